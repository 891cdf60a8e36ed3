//! Keys that are addresses or identifiers: IP and socket addresses, `Uuid`.

use super::number::by_value;
use super::{AsKey, Key, KeyBuf};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Before an IPv4 address where either kind may stand.
const V4: u8 = 4;
/// Before an IPv6 address where either kind may stand; above [`V4`], as in the `Ord` of `IpAddr`.
const V6: u8 = 6;

impl Key for Ipv4Addr {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        out.extend(&self.octets());
    }
}

impl Key for Ipv6Addr {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        out.extend(&self.octets());
    }
}

/// All IPv4 addresses before all IPv6 addresses, as `IpAddr` orders them; an IPv4-mapped IPv6
/// address is an IPv6 address.
impl Key for IpAddr {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        match self {
            IpAddr::V4(v4) => {
                out.push(V4);
                v4.encode(out);
            }
            IpAddr::V6(v6) => {
                out.push(V6);
                v6.encode(out);
            }
        }
    }
}

impl Key for SocketAddrV4 {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.ip().encode(out);
        self.port().encode(out);
    }
}

impl Key for SocketAddrV6 {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.ip().encode(out);
        self.port().encode(out);
        self.flowinfo().encode(out);
        self.scope_id().encode(out);
    }
}

/// All IPv4 addresses before all IPv6 addresses, as `SocketAddr` orders them.
impl Key for SocketAddr {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        match self {
            SocketAddr::V4(v4) => {
                out.push(V4);
                v4.encode(out);
            }
            SocketAddr::V6(v6) => {
                out.push(V6);
                v6.encode(out);
            }
        }
    }
}

by_value!(
    Ipv4Addr,
    Ipv6Addr,
    IpAddr,
    SocketAddrV4,
    SocketAddrV6,
    SocketAddr
);

#[cfg(feature = "uuid")]
mod uuid {
    use super::{AsKey, Key, KeyBuf, by_value};
    use ::uuid::Uuid;

    impl Key for Uuid {
        #[inline]
        fn encode(&self, out: &mut KeyBuf) {
            out.extend(self.as_bytes());
        }
    }

    by_value!(Uuid);
}
