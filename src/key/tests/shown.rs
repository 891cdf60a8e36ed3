//! Keys are shown as what they are.

use super::*;
use crate::position::LogIndex;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZero, Wrapping};
use std::time::{Duration, SystemTime};

/// What is shown of bytes, if all of it is a key.
fn shown<K: Key>(bytes: &[u8], prefix: bool) -> Option<String> {
    let mut text = String::new();
    let mut encoded = Encoded::new(bytes, prefix);
    K::show(&mut encoded, &mut text)?;
    encoded.is_done().then_some(text)
}

#[track_caller]
fn check<K: Key>(key: &K, text: &str) {
    assert_eq!(shown::<K>(&encode(key), false).as_deref(), Some(text));
    // What follows is left, and what is cut off is missed.
    let mut encoded = encode(key);
    let whole = encoded.len();
    encoded.extend(b"rest");
    let mut encoded = Encoded::new(&encoded, false);
    assert_eq!(K::show(&mut encoded, &mut String::new()), Some(()));
    assert_eq!(encoded.rest, b"rest");
    for cut in 0..whole {
        assert_eq!(shown::<K>(&encode(key)[..cut], false), None);
    }
}

#[test]
fn keys_are_shown_by_their_types() {
    check(&7_u64, "7");
    check(&0_u8, "0");
    check(&i64::MIN, "-9223372036854775808");
    check(&-1_i8, "-1");
    check(&9_usize, "9");
    check(&-9_isize, "-9");
    check(&true, "true");
    check(&'x', "'x'");
    check(&LogIndex(5), "5");
    check(&NonZero::new(3_u16).unwrap(), "3");
    check(&Wrapping(3_i32), "3");
    check(&"web-1".to_owned(), r#""web-1""#);
    check(&String::new(), r#""""#);
    check(&"a\0\"b".to_owned(), r#""a\0\"b""#);
    check(&Cow::Borrowed("web"), r#""web""#);
    check(&vec![b'a', 0, 0xff], r#"b"a\x00\xff""#);
    check(&Some(7_u8), "Some(7)");
    check(&None::<u8>, "None");
    check(&[1_u8, 2], "[1, 2]");
    check(&Reverse("a\0".to_owned()), r#"Reverse("a\0")"#);
    check(&("n1".to_owned(), -7_i32), r#"("n1", -7)"#);
    check(&(1_u8,), "(1,)");
    check(
        &(Reverse(1_u8), (2_u8, Some('c'))),
        "(Reverse(1), (2, Some('c')))",
    );
    check(&Duration::from_millis(1500), "1.5s");
    check(&"10.0.0.1".parse::<IpAddr>().unwrap(), "10.0.0.1");
    check(&"[::1]:80".parse::<SocketAddr>().unwrap(), "[::1]:80");
    check(&"1.2.3.4:5".parse::<SocketAddr>().unwrap(), "1.2.3.4:5");
    let half = Duration::from_millis(2500);
    check(&(SystemTime::UNIX_EPOCH + half), "1970 + 2.5s");
    check(&(SystemTime::UNIX_EPOCH - half), "1970 - 2.5s");
}

#[test]
fn one_value_is_shown_by_no_bytes() {
    assert_eq!(shown::<()>(&[], false).as_deref(), Some("()"));
    assert_eq!(
        shown::<Caseless>(b"web\0\0", false).as_deref(),
        Some("\"web\"")
    );
}

#[test]
fn what_is_no_key_is_not_shown() {
    assert_eq!(shown::<bool>(&[2], false), None);
    assert_eq!(shown::<char>(&[0, 0xd8, 0], false), None);
    assert_eq!(shown::<String>(b"a\0\x01", false), None);
    assert_eq!(shown::<String>(b"\xff\0\0", false), None);
    assert_eq!(shown::<String>(b"a\0", true), None);
    assert_eq!(shown::<Duration>(&[0xff; 12], false), None);
    assert_eq!(shown::<IpAddr>(&[5, 1, 1, 1, 1], false), None);
}

#[test]
fn a_beginning_is_shown_as_far_as_it_goes() {
    type Columns = (String, String, u8);
    let text = |bytes: &[u8]| {
        let mut text = String::new();
        let done = Columns::show(&mut Encoded::new(bytes, true), &mut text);
        (text, done.is_some())
    };
    assert_eq!(shown::<String>(b"we", true).as_deref(), Some("\"we\""));
    assert_eq!(text(b"we"), ("(\"we\", ..)".to_owned(), false));
    assert_eq!(text(b"web\0\0"), ("(\"web\", ..)".to_owned(), false));
    assert_eq!(
        text(b"web\0\0n"),
        ("(\"web\", \"n\", ..)".to_owned(), false)
    );
    assert_eq!(
        text(b"web\0\0n\0\0\x07"),
        ("(\"web\", \"n\", 7)".to_owned(), true)
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..30), prefix: bool) {
        type Columns = (Reverse<String>, Option<[SystemTime; 2]>, Vec<u8>, SocketAddr);
        let _ = shown::<Columns>(&bytes, prefix);
        let _ = shown::<(SystemTime, Option<char>, bool)>(&bytes, prefix);
    }

    #[test]
    fn texts_and_numbers_are_shown_as_debug_does(text: String, number: i128, some: Option<u16>) {
        let key = (text, number, some);
        let text = shown::<(String, i128, Option<u16>)>(&encode(&key), false);
        prop_assert_eq!(text, Some(format!("{key:?}")));
    }
}
