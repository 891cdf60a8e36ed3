//! Variable-length integers of the image format: unsigned LEB128, at most ten bytes, shortest form.

/// Appends `n`.
pub(super) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n.to_le_bytes()[0] | 0x80);
        n >>= 7;
    }
    out.push(n.to_le_bytes()[0]);
}

/// Takes one off the front of `bytes`; `None` if they end within it, if it does not fit 64 bits,
/// or if it is longer than needed.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0_u64;
    let mut shift = 0;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if shift == 63 && low > 1 {
            return None;
        }
        n |= low << shift;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(n);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_or_is_not_shortest_is_refused() {
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0x00],
            &[0xff; 9],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[
                0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01,
            ],
        ] {
            assert_eq!(take(&mut &*bad), None, "{bad:02x?}");
        }
    }

    proptest! {
        #[test]
        fn comes_back(n in any::<u64>(), bits in 0_u32..64, rest in any::<Vec<u8>>()) {
            let n = n >> bits;
            let mut bytes = Vec::new();
            put(&mut bytes, n);
            prop_assert!(bytes.len() <= 10);
            bytes.extend(&rest);
            let mut left = &bytes[..];
            prop_assert_eq!(take(&mut left), Some(n));
            prop_assert_eq!(left, &rest[..]);
        }

        #[test]
        fn has_one_form(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut left = &bytes[..];
            if let Some(n) = take(&mut left) {
                let mut again = Vec::new();
                put(&mut again, n);
                prop_assert_eq!(&bytes[..bytes.len() - left.len()], &again[..]);
            }
        }
    }
}
