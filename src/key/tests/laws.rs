//! Order and self-delimitation, for every type.

use super::*;
use crate::position::LogIndex;
use proptest::array::{uniform4, uniform8};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZero, Wrapping};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Integers near a power of two or its negative, so that every byte and the sign decide.
fn int() -> impl Strategy<Value = i128> {
    (0u32..128, -2i128..=2, any::<bool>()).prop_map(|(bit, near, negative)| {
        let near_power = (1i128 << bit).wrapping_add(near);
        if negative {
            near_power.wrapping_neg()
        } else {
            near_power
        }
    })
}

fn duration() -> impl Strategy<Value = Duration> {
    (
        prop_oneof![0..3u64, any::<u32>().prop_map(u64::from), Just(u64::MAX)],
        prop_oneof![0..3u32, 999_999_997..1_000_000_000u32],
    )
        .prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

fn system_time() -> impl Strategy<Value = SystemTime> {
    (duration(), any::<bool>()).prop_filter_map("in range", |(distance, after)| {
        if after {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        }
    })
}

fn v4() -> BoxedStrategy<Ipv4Addr> {
    uniform4(prop_oneof![Just(0u8), Just(10), Just(255)])
        .prop_map(Ipv4Addr::from)
        .boxed()
}

fn v6() -> BoxedStrategy<Ipv6Addr> {
    prop_oneof![
        v4().prop_map(|v4| v4.to_ipv6_mapped()),
        uniform8(prop_oneof![Just(0u16), Just(1), Just(0x100), Just(0xFFFF)])
            .prop_map(Ipv6Addr::from),
    ]
    .boxed()
}

fn ip() -> BoxedStrategy<IpAddr> {
    prop_oneof![v4().prop_map(IpAddr::V4), v6().prop_map(IpAddr::V6)].boxed()
}

fn socket_v4() -> impl Strategy<Value = SocketAddrV4> {
    (v4(), any::<u16>()).prop_map(|(ip, port)| SocketAddrV4::new(ip, port))
}

fn socket_v6() -> impl Strategy<Value = SocketAddrV6> {
    (v6(), 0..3u16, 0..3u32, 0..3u32)
        .prop_map(|(ip, port, flow, scope)| SocketAddrV6::new(ip, port, flow, scope))
}

/// Promises 1 and 2 for one pair.
fn check_laws<K: Key + Ord + Debug>(a: &K, b: &K) -> Result<(), TestCaseError> {
    let (a_bytes, b_bytes) = (encode(a), encode(b));
    prop_assert_eq!(a_bytes.cmp(&b_bytes), a.cmp(b), "{:?} and {:?}", a, b);
    if a != b {
        prop_assert!(
            !a_bytes.starts_with(&b_bytes),
            "{:?} begins with {:?}",
            a,
            b
        );
        prop_assert!(
            !b_bytes.starts_with(&a_bytes),
            "{:?} begins with {:?}",
            b,
            a
        );
    }
    Ok(())
}

macro_rules! laws {
    ($($name:ident: $strategy:expr;)*) => {
        mod laws {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(256))]
                $(
                    #[test]
                    fn $name((a, b) in ($strategy, $strategy)) {
                        check_laws(&a, &b)?;
                    }
                )*
            }
        }
    };
}

macro_rules! laws_of_integers {
    ($($name:ident)*) => {
        mod laws_of_integers {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(256))]
                $(
                    #[test]
                    fn $name(a in int(), b in int()) {
                        #[expect(clippy::allow_attributes, reason = "as wide as the widest type")]
                        #[allow(
                            clippy::cast_possible_truncation,
                            clippy::cast_sign_loss,
                            clippy::unnecessary_cast,
                            reason = "any value of the type will do"
                        )]
                        let (a, b) = (a as $name, b as $name);
                        check_laws(&a, &b)?;
                        check_laws(&Wrapping(a), &Wrapping(b))?;
                        check_laws(&Reverse(a), &Reverse(b))?;
                        if let (Some(a), Some(b)) = (NonZero::new(a), NonZero::new(b)) {
                            check_laws(&a, &b)?;
                        }
                        for edge in [<$name>::MIN, <$name>::MAX, 0, 1] {
                            check_laws(&a, &edge)?;
                        }
                    }
                )*
            }
        }
    };
}
laws_of_integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

laws! {
    bool: any::<bool>();
    char: any::<char>();
    log_index: any::<u64>().prop_map(LogIndex);
    unit: Just(());
    string: text();
    box_str: text().prop_map(String::into_boxed_str);
    arc_str: text().prop_map(Arc::<str>::from);
    cow_str: text().prop_map(Cow::<'static, str>::Owned);
    vec_u8: bytes();
    box_bytes: bytes().prop_map(Vec::into_boxed_slice);
    arc_bytes: bytes().prop_map(Arc::<[u8]>::from);
    durations: duration();
    system_times: system_time();
    ipv4: v4();
    ipv6: v6();
    ips: ip();
    socket_v4s: socket_v4();
    socket_v6s: socket_v6();
    socket: prop_oneof![socket_v4().prop_map(SocketAddr::V4), socket_v6().prop_map(SocketAddr::V6)];
    option: proptest::option::of(text());
    option_of_option: proptest::option::of(proptest::option::of(any::<u8>()));
    raw_array: any::<[u8; 4]>();
    array: [text(), text()];
    reverse: text().prop_map(Reverse);
    text_then_number: (text(), any::<u32>());
    bytes_then_bytes: (bytes(), bytes());
    option_then_text: (proptest::option::of(bytes()), text());
    reverse_inside: (text().prop_map(Reverse), any::<bool>(), bytes());
    nested: ((text(), any::<bool>()), [bytes(), bytes()], proptest::option::of((text(), ip())));
    one: (text(),);
    eight: (text(), 0..2u8, bytes(), any::<bool>(), text(), -1..1i64, system_time(), text());
}

#[cfg(feature = "uuid")]
proptest! {
    #[test]
    fn laws_of_uuid(a: u128, b: u128) {
        check_laws(&::uuid::Uuid::from_u128(a), &::uuid::Uuid::from_u128(b))?;
        check_laws(&::uuid::Uuid::from_u128(a), &::uuid::Uuid::from_u128(a ^ 1))?;
    }
}

/// The table in the room's header, by example.
#[test]
fn encodings() {
    assert_eq!(encode(&0x0102u16), [1, 2]);
    assert_eq!(encode(&-1i16), [0x7F, 0xFF]);
    assert_eq!(encode(&1usize), encode(&1u64));
    assert_eq!(encode(&-1isize), encode(&-1i64));
    assert_eq!(encode(&false), [0]);
    assert_eq!(encode(&'a'), [0, 0, b'a']);
    assert_eq!(encode("a\0b"), [b'a', 0, 0xFF, b'b', 0, 0]);
    assert_eq!(encode("\0\0"), [0, 0xFF, 0, 0xFF, 0, 0]);
    assert_eq!(encode(""), [0, 0]);
    assert_eq!(encode(&b"a\0"[..]), [b'a', 0, 0xFF, 0, 0]);
    assert_eq!(encode(&None::<u8>), [0]);
    assert_eq!(encode(&Some(7u8)), [1, 7]);
    assert_eq!(encode(&(1u8, "a", 2u16)), [1, b'a', 0, 0, 0, 2]);
    assert_eq!(encode(&[1u8, 2, 0]), [1, 2, 0]);
    assert_eq!(encode(&[1u16, 2]), [0, 1, 0, 2]);
    assert_eq!(encode(&Reverse(1u8)), [0xFE]);
    assert_eq!(
        encode(&Duration::new(1, 2)),
        [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    );
    assert_eq!(
        encode(&(SystemTime::UNIX_EPOCH - Duration::new(0, 1))),
        [
            0x7F, 255, 255, 255, 255, 255, 255, 255, 0x3B, 0x9A, 0xC9, 0xFF
        ]
    );
    assert_eq!(encode(&IpAddr::V4(Ipv4Addr::LOCALHOST)), [4, 127, 0, 0, 1]);
    assert_eq!(encode(&IpAddr::V6(Ipv6Addr::LOCALHOST)).first(), Some(&6));
    assert!(encode(&()).is_empty());
}
