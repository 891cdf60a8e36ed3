//! Keys that are addresses: IP and socket addresses, networks.

use super::columns::by_from_str;
use super::number::by_value;
use super::shown::display;
use super::{AsKey, Encoded, Key, KeyBuf};
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

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        display(&Ipv4Addr::from(encoded.take::<4>()?), out)
    }
}

impl Key for Ipv6Addr {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        out.extend(&self.octets());
    }

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        display(&Ipv6Addr::from(encoded.take::<16>()?), out)
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

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        match encoded.take()? {
            [V4] => Ipv4Addr::show(encoded, out),
            [V6] => Ipv6Addr::show(encoded, out),
            _ => None,
        }
    }
}

impl Key for SocketAddrV4 {
    #[inline]
    fn encode(&self, out: &mut KeyBuf) {
        self.ip().encode(out);
        self.port().encode(out);
    }

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        let ip = Ipv4Addr::from(encoded.take::<4>()?);
        let port = u16::from_be_bytes(encoded.take()?);
        display(&SocketAddrV4::new(ip, port), out)
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

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        let ip = Ipv6Addr::from(encoded.take::<16>()?);
        let port = u16::from_be_bytes(encoded.take()?);
        let flow = u32::from_be_bytes(encoded.take()?);
        let scope = u32::from_be_bytes(encoded.take()?);
        display(&SocketAddrV6::new(ip, port, flow, scope), out)
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

    by_from_str!();

    fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
        match encoded.take()? {
            [V4] => SocketAddrV4::show(encoded, out),
            [V6] => SocketAddrV6::show(encoded, out),
            _ => None,
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

#[cfg(feature = "ipnet")]
pub use net::Within;

#[cfg(feature = "ipnet")]
mod net {
    use super::{
        AsKey, Encoded, IpAddr, Ipv4Addr, Ipv6Addr, Key, KeyBuf, V4, V6, by_from_str, by_value,
        display,
    };
    use crate::key::{HasPrefixes, KeyBounds};
    use ::ipnet::{IpNet, Ipv4Net, Ipv6Net};
    use std::ops::Bound;

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

                fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
                    <$addr>::show(encoded, out)?;
                    let [len] = encoded.take()?;
                    out.push('/');
                    display(&len, out)
                }
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

        fn show(encoded: &mut Encoded<'_>, out: &mut String) -> Option<()> {
            match encoded.take()? {
                [V4] => Ipv4Net::show(encoded, out),
                [V6] => Ipv6Net::show(encoded, out),
                _ => None,
            }
        }
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

    /// The networks within one, that one included: bounds, as of `range`, of keys that are networks.
    ///
    /// A stored network that has bits beyond its prefix (`10.1.2.3/8`) is taken to be where its address is.
    ///
    /// ```
    /// # use highwater::{Schema, Store, Table, key::Within};
    /// # use ipnet::Ipv4Net;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    /// # pub struct Route { #[primary_key] pub net: Ipv4Net }
    /// # #[derive(Schema)]
    /// # pub struct Routing { routes: Route }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = Store::<Routing>::new();
    /// let mut txn = store.write()?;
    /// for net in ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"] {
    ///     txn.routes_mut().insert(Route { net: net.parse()? })?;
    /// }
    /// let within: Ipv4Net = "10.0.0.0/8".parse()?;
    /// assert_eq!(txn.routes().range(Within(within)).count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Within<N>(
        /// The network that others are within.
        pub N,
    );

    macro_rules! within {
        ($($net:ty),*) => {$(
            impl KeyBounds<$net> for Within<$net> {
                fn encode_start(&self, out: &mut KeyBuf) -> Bound<()> {
                    self.0.trunc().encode(out);
                    Bound::Included(())
                }

                fn encode_end(&self, out: &mut KeyBuf) -> Bound<()> {
                    <$net>::from(self.0.broadcast()).encode(out);
                    Bound::Included(())
                }
            }
        )*};
    }
    within!(Ipv4Net, Ipv6Net, IpNet);
}
