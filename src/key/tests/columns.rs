//! Keys as text are the keys.

use super::*;
use std::cmp::Reverse;
use std::fmt::{Debug, Display};
use std::net::{IpAddr, SocketAddr};

type Tuple = (String, i64, String);

/// What texts are encoded as, a prefix or whole.
fn read<K: Key>(columns: &[&str], prefix: bool) -> Result<Vec<u8>, Unread> {
    let mut texts = TextColumns::new(columns, prefix);
    let mut out = KeyBuf::new();
    K::encode_columns(&mut texts, &mut out)?;
    assert!(texts.is_done());
    Ok(out.as_bytes().to_vec())
}

/// The first columns of a key.
fn leading<K: Key>(columns: &[&str]) -> Vec<u8> {
    let mut out = KeyBuf::new();
    let result = K::encode_columns(&mut TextColumns::new(columns, false), &mut out);
    assert_eq!(result, Err(Unread::Ended));
    out.as_bytes().to_vec()
}

fn check_shown<K: Key + Display + Debug>(key: &K) {
    let text = key.to_string();
    assert_eq!(read::<K>(&[&text], false), Ok(encode(key)), "{key:?}");
}

proptest! {
    #[test]
    fn a_text_is_the_key_that_is_shown_so(
        text in any::<String>(),
        number in any::<i64>(),
        small in any::<u8>(),
        wide in any::<u128>(),
        truth in any::<bool>(),
        letter in any::<char>(),
        address in any::<IpAddr>(),
        socket in any::<std::net::SocketAddrV4>(),
    ) {
        check_shown(&text);
        check_shown(&number);
        check_shown(&small);
        check_shown(&wide);
        check_shown(&truth);
        check_shown(&letter);
        check_shown(&address);
        check_shown(&SocketAddr::V4(socket));
        let shown = number.to_string();
        prop_assert_eq!(read::<Reverse<i64>>(&[&shown], false), Ok(encode(&Reverse(number))));
        prop_assert_eq!(read::<Option<i64>>(&[&shown], false), Ok(encode(&Some(number))));
        prop_assert_eq!(read::<Vec<u8>>(&[&text], false), Ok(encode(text.as_bytes())));
        let tuple = (text.clone(), number, text.clone());
        prop_assert_eq!(read::<Tuple>(&[&text, &shown, &text], false), Ok(encode(&tuple)));
        // Fewer columns, and the beginning of one, are the beginning of the key.
        prop_assert!(encode(&tuple).starts_with(&leading::<Tuple>(&[&text, &shown])));
        let (half, _) = text.char_indices().nth(text.chars().count() / 2).unwrap_or_default();
        let begun = read::<Tuple>(&[&text, &shown, &text[..half]], true);
        prop_assert!(encode(&tuple).starts_with(&begun.unwrap()));
        let begun = read::<Reverse<String>>(&[&text[..half]], true);
        prop_assert!(encode(&Reverse(text.clone())).starts_with(&begun.unwrap()));
        let begun = read::<Caseless>(&[&text[..half]], true).unwrap();
        prop_assert!(read::<Caseless>(&[&text.to_uppercase()], false).unwrap().starts_with(&begun));
    }
}

#[test]
fn what_is_no_key_is_told() {
    assert_eq!(read::<u8>(&["256"], false), Err(Unread::Malformed));
    assert_eq!(read::<u8>(&["25"], true), Err(Unread::Unsupported));
    assert_eq!(read::<[u8; 2]>(&["25"], false), Err(Unread::Unsupported));
    assert_eq!(read::<bool>(&[], false), Err(Unread::Ended));
    assert_eq!(
        read::<Option<u8>>(&["null"], false),
        Ok(encode(&None::<u8>))
    );
    // An absent column does not say that there is a value.
    assert!(leading::<(u8, Option<u8>)>(&["7"]) == [7]);
    let begun = read::<Option<String>>(&["null"], true);
    assert_eq!(begun, Ok([&[1][..], b"null"].concat()));
}
