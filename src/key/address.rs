//! Keys that are addresses or identifiers: IP and socket addresses, networks, `Uuid`.

use super::columns::by_from_str;
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

    by_from_str!();
}

impl Key for Ipv6Addr {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        out.extend(&self.octets());
    }

    by_from_str!();
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

    by_from_str!();
}

impl Key for SocketAddrV4 {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.ip().encode(out);
        self.port().encode(out);
    }

    by_from_str!();
}

impl Key for SocketAddrV6 {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.ip().encode(out);
        self.port().encode(out);
        self.flowinfo().encode(out);
        self.scope_id().encode(out);
    }

    by_from_str!();
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

    by_from_str!();
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
    use super::{AsKey, Key, KeyBuf, by_from_str, by_value};
    use ::uuid::Uuid;

    impl Key for Uuid {
        #[inline]
        fn encode(&self, out: &mut KeyBuf) {
            out.extend(self.as_bytes());
        }

        by_from_str!();
    }

    by_value!(Uuid);
}

#[cfg(feature = "ipnet")]
mod net {
    use super::{AsKey, IpAddr, Ipv4Addr, Ipv6Addr, Key, KeyBuf, V4, V6, by_from_str, by_value};
    use crate::key::HasPrefixes;
    use ::ipnet::{IpNet, Ipv4Net, Ipv6Net};

    /// A network is in the order of its address, then of its prefix's length: the networks that
    /// contain an address rise towards it.
    macro_rules! network {
        ($net:ty, $addr:ty) => {
            impl Key for $net {
                #[inline]
                fn encode(&self, out: &mut KeyBuf) {
                    self.addr().encode(out);
                    out.push(self.prefix_len());
                }

                by_from_str!();
            }

            impl HasPrefixes<$net> for $net {
                fn for_each_prefix(&self, f: &mut dyn FnMut(&KeyBuf) -> bool) {
                    prefixes(self.trunc(), f, |net| net.supernet());
                }
            }

            impl HasPrefixes<$net> for $addr {
                fn for_each_prefix(&self, f: &mut dyn FnMut(&KeyBuf) -> bool) {
                    HasPrefixes::<$net>::for_each_prefix(&<$net>::from(*self), f);
                }
            }

            by_value!($net);
        };
    }
    network!(Ipv4Net, Ipv4Addr);
    network!(Ipv6Net, Ipv6Addr);

    /// A network without bits beyond its prefix, then those that contain it.
    fn prefixes<N: Key>(net: N, f: &mut dyn FnMut(&KeyBuf) -> bool, larger: fn(&N) -> Option<N>) {
        let mut key = KeyBuf::new();
        let mut at = Some(net);
        while let Some(net) = at {
            key.clear();
            net.encode(&mut key);
            if f(&key) {
                return;
            }
            at = larger(&net);
        }
    }

    /// All IPv4 networks before all IPv6 networks, as `IpNet` orders them.
    impl Key for IpNet {
        #[inline]
        fn encode(&self, out: &mut KeyBuf) {
            match self {
                IpNet::V4(v4) => {
                    out.push(V4);
                    v4.encode(out);
                }
                IpNet::V6(v6) => {
                    out.push(V6);
                    v6.encode(out);
                }
            }
        }

        by_from_str!();
    }

    impl HasPrefixes<IpNet> for IpNet {
        fn for_each_prefix(&self, f: &mut dyn FnMut(&KeyBuf) -> bool) {
            prefixes(self.trunc(), f, IpNet::supernet);
        }
    }

    impl HasPrefixes<IpNet> for IpAddr {
        fn for_each_prefix(&self, f: &mut dyn FnMut(&KeyBuf) -> bool) {
            IpNet::from(*self).for_each_prefix(f);
        }
    }

    by_value!(IpNet);
}
