//! Images that are damaged, forged, or none at all: refused with a place, and nothing changed.

#[path = "image_support/mod.rs"]
mod support;

use highwater::{ImageError, Store};
use proptest::prelude::*;
use support::{
    Catalog, DRIVER, Forge, HEADER, ROWS, STAMPS, STAMPS_END, TABLE_END, TRAILER, image,
    put_number, rows, rows_frame, seen, small,
};

/// Restores into a store that has content, and sees that an error changed nothing.
fn refused(bytes: &[u8]) -> Option<ImageError> {
    let store = small();
    let before = seen(&store);
    let error = store.rewind(bytes).err()?;
    assert_eq!(seen(&store), before, "{error}");
    assert!(!error.to_string().is_empty());
    Some(error)
}

#[test]
fn cut_anywhere() {
    let bytes = image(&small());
    for cut in 0..bytes.len() {
        match refused(&bytes[..cut]) {
            Some(ImageError::Truncated { place }) => assert_eq!(place.offset, cut as u64),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

#[test]
fn a_bit_flipped_anywhere() {
    let bytes = image(&small());
    // Once with a look at the store each time; what follows compares less, so it can be all bits.
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(refused(&bad).is_some(), "byte {at}");
    }
    let store = small();
    let before = seen(&store);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << bit;
            assert!(store.restore(&bad[..]).is_err(), "byte {at} bit {bit}");
        }
    }
    assert_eq!(seen(&store), before);
}

#[test]
fn bytes_after_the_end() {
    let mut bytes = image(&small());
    let len = bytes.len() as u64;
    bytes.push(b'\n');
    match refused(&bytes) {
        Some(ImageError::TrailingBytes { offset }) => assert_eq!(offset, len),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_image() {
    for bytes in [
        &b"{\"json\": true}"[..],
        b"SQLite format 3\0",
        &[0x89, b'P', b'N', b'G'],
        b"\n",
    ] {
        assert!(matches!(refused(bytes), Some(ImageError::NotAnImage)));
    }
    assert!(matches!(refused(b""), Some(ImageError::Truncated { .. })));
}

#[test]
fn another_format() {
    let mut bytes = image(&small());
    bytes[8] = 2;
    assert!(matches!(
        refused(&bytes),
        Some(ImageError::Format {
            found: 2,
            supported: 1
        })
    ));
    let mut bytes = image(&small());
    bytes[10] = 1;
    assert!(matches!(
        refused(&bytes),
        Some(ImageError::Malformed { .. })
    ));
}

/// Changes the frames of an image whose checksums are then right.
fn forged(change: impl FnOnce(&mut Forge)) -> Option<ImageError> {
    let mut forge = Forge::parse(&image(&small()));
    change(&mut forge);
    refused(&forge.bytes())
}

/// It is malformed, and says so with this text.
#[track_caller]
fn malformed(text: &str, change: impl FnOnce(&mut Forge)) {
    match forged(change) {
        Some(error @ ImageError::Malformed { .. }) => {
            assert!(error.to_string().contains(text), "{error}");
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_forge_is_true() {
    let bytes = image(&small());
    assert_eq!(Forge::parse(&bytes).bytes(), bytes);
    assert!(forged(|_| ()).is_none());
    assert!(
        forged(|forge| {
            let again = rows_frame(&rows(forge.frame(ROWS)));
            assert_eq!(*forge.frame(ROWS), again);
        })
        .is_none()
    );
}

#[test]
fn forged_frames() {
    malformed("unknown kind of frame 9", |forge| forge.frame(ROWS)[0] = 9);
    malformed("the header is due", |forge| drop(forge.frames.remove(0)));
    malformed("the driver's state is due", |forge| {
        drop(forge.frames.remove(1));
    });
    for frame in [HEADER, DRIVER] {
        malformed("rows or the end of the table is due", |forge| {
            let again = forge.frame(frame).clone();
            forge.frames.insert(2, again);
        });
    }
    malformed("stamps or their end is due", |forge| {
        let at = forge
            .frames
            .iter()
            .position(|frame| frame[0] == TABLE_END)
            .unwrap();
        let rows = forge.frame(ROWS).clone();
        forge.frames.insert(at + 1, rows);
    });
    malformed("a frame of no rows", |forge| forge.frame(ROWS).truncate(1));
    malformed("a frame of no stamps", |forge| {
        forge.frame(STAMPS).truncate(1);
    });
    malformed("which is not what their end says", |forge| {
        let at = forge
            .frames
            .iter()
            .position(|frame| frame[0] == STAMPS_END)
            .unwrap();
        forge.frames.remove(at);
    });
    malformed("is due", |forge| {
        let trailer = forge.frames.len() - 1;
        forge.frames.insert(trailer, vec![TRAILER, 0, 0, 0, 0, 0]);
        forge.frames.insert(trailer, vec![ROWS, 1]);
    });
    malformed("which is not what the trailer says", |forge| {
        *forge.frame(TRAILER) = vec![TRAILER, 77, 0, 0, 0, 0];
    });
    malformed("the trailer has another form", |forge| {
        forge.frame(TRAILER).truncate(4);
    });
    malformed("which is not what it says", |forge| {
        *forge.frame(TABLE_END) = vec![TABLE_END, 7];
    });
    malformed("which is not what it says", |forge| {
        forge.frame(TABLE_END).push(0);
    });
    malformed("which is not what their end says", |forge| {
        forge.frame(STAMPS_END)[1] += 1;
    });
    malformed("the end of the stamps has another form", |forge| {
        forge.frame(STAMPS_END).push(0);
    });
    // An empty frame, and a trailer that is right about all but the bytes before it.
    assert!(matches!(
        forged(|forge| forge.frames.insert(1, vec![])),
        Some(ImageError::Damaged { .. })
    ));
    let mut forge = Forge::parse(&image(&small()));
    let bytes = forge.bytes();
    *forge.frame(DRIVER) = b"\x02term 5".to_vec();
    let other = forge.bytes();
    let tail = bytes.len() - 8 - 8 - forge.frame(TRAILER).len();
    let mixed = [&other[..tail], &bytes[tail..]].concat();
    assert!(matches!(refused(&mixed), Some(ImageError::Damaged { .. })));
}

#[test]
fn forged_headers() {
    let deep = |n: usize| [vec![HEADER], vec![0x91; n], vec![0xc0]].concat();
    malformed("deeper than 128", |forge| {
        *forge.frame(HEADER) = deep(100_000);
    });
    malformed("header", |forge| *forge.frame(HEADER) = deep(100));
    malformed("header", |forge| *forge.frame(HEADER) = vec![HEADER]);
    malformed("needs more bytes", |forge| {
        *forge.frame(HEADER) = vec![HEADER, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0];
    });
    malformed("longer than 1 MiB", |forge| {
        forge.frame(HEADER).resize(2 << 20, 0xc0);
    });
    malformed("bytes follow", |forge| forge.frame(HEADER).push(0xc0));
    // The same table twice.
    malformed("twice", |forge| {
        let header = forge.frame(HEADER);
        let text = b"\xa5links";
        let at = header.windows(text.len()).position(|w| w == text).unwrap();
        header.splice(at..at + text.len(), *b"\xa8services");
        let at = header
            .windows(14)
            .rposition(|w| w == b"\xa6fields\x93\xa4from\xa2")
            .unwrap();
        header[at] = 0xa6;
        let fields = b"\x93\xa4from\xa2to\xa6weight";
        let at = header
            .windows(fields.len())
            .position(|w| w == fields)
            .unwrap();
        header.splice(at..at + fields.len(), *b"\x90");
        let key = b"\x92\xa4from\xa2to";
        let at = header.windows(key.len()).position(|w| w == key).unwrap();
        header.splice(at..at + key.len(), *b"\x91\xa2id");
    });
    // A position before what its records say of themselves.
    malformed("below 1", |forge| {
        let header = forge.frame(HEADER);
        let at = header.windows(6).position(|w| w == b"\xa5index").unwrap();
        assert_eq!(header[at + 6], 9);
        header[at + 6] = 6;
    });
}

/// Has the header say that the records of table `services` are of a version.
fn with_version(version: &[u8]) -> Option<ImageError> {
    forged(|forge| {
        let header = forge.frame(HEADER);
        let name = b"\x84\xa4name\xa8services";
        let at = header.windows(name.len()).position(|w| w == name).unwrap();
        header[at] = 0x85;
        let after = at + name.len();
        header.splice(after..after, [b"\xa7version", version].concat());
    })
}

#[test]
fn forged_versions() {
    assert!(with_version(&[1]).is_none());
    for (version, image) in [(&[2][..], 2), (b"\xce\xff\xff\xff\xff", u32::MAX)] {
        match with_version(version) {
            Some(ImageError::NewerRecords {
                table: "services",
                image: found,
                schema: 1,
            }) => assert_eq!(found, image),
            other => panic!("{other:?}"),
        }
    }
    for (version, why) in [
        (&[0][..], "version 0"),
        (&[0xff], "header"),
        (b"\xa11", "header"),
        (b"\xcf\0\0\0\x01\0\0\0\0", "header"),
    ] {
        match with_version(version) {
            Some(error @ ImageError::Malformed { .. }) => {
                assert!(error.to_string().contains(why), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Changes the rows of the first table, and their number with them.
fn with_rows(forge: &mut Forge, change: impl FnOnce(&mut Vec<support::RawRow>)) {
    let mut all = rows(forge.frame(ROWS));
    let before = all.len();
    change(&mut all);
    *forge.frame(ROWS) = rows_frame(&all);
    forge.frame(TABLE_END)[1] = u8::try_from(all.len()).unwrap();
    let trailer = forge.frame(TRAILER);
    trailer[1] = trailer[1] + u8::try_from(all.len()).unwrap() - u8::try_from(before).unwrap();
}

#[test]
fn forged_rows() {
    malformed("below 1", |forge| with_rows(forge, |rows| rows[0].1 = 3));
    malformed("below 1", |forge| {
        with_rows(forge, |rows| rows[0].0 = u64::MAX);
    });
    malformed("below 1", |forge| {
        with_rows(forge, |rows| rows[1].1 = u64::MAX);
    });
    malformed("order", |forge| with_rows(forge, |rows| rows.swap(0, 1)));
    malformed("order", |forge| {
        with_rows(forge, |rows| rows.insert(1, rows[0].clone()));
    });
    malformed("bytes follow", |forge| {
        with_rows(forge, |rows| rows[0].2.push(0xc0));
    });
    malformed("needs more bytes", |forge| {
        with_rows(forge, |rows| {
            rows[0].2.pop();
        });
    });
    malformed("needs more bytes", |forge| {
        with_rows(forge, |rows| rows[0].2.clear());
    });
    malformed("deeper than 128", |forge| {
        with_rows(forge, |rows| {
            rows[0].2 = [vec![0x81; 100_000], vec![0xc0; 100_001]].concat();
        });
    });
    malformed("more than are left in its frame", |forge| {
        let frame = forge.frame(ROWS);
        frame.truncate(3);
        put_number(frame, u64::MAX);
    });
    malformed("cut short", |forge| forge.frame(ROWS).truncate(2));
    // Places are exact: record 2 of the table, at its first byte.
    let mut at = 0;
    match forged(|forge| {
        let place = forge
            .frames
            .iter()
            .position(|frame| frame[0] == ROWS)
            .unwrap();
        with_rows(forge, |rows| {
            at = 9 + rows_frame(&rows[..2]).len() as u64 - 1;
            rows[2].2 = vec![0x80];
        });
        at += forge.offset(place);
    }) {
        Some(ImageError::Record { place, .. }) => {
            assert_eq!(
                (place.offset, place.table, place.row),
                (at, Some("services"), Some(2))
            );
        }
        other => panic!("{other:?}"),
    }
    // Two records with one unique key.
    match forged(|forge| {
        with_rows(forge, |rows| {
            let record = &mut rows[1].2;
            let at = record.windows(5).position(|w| w == b"\xa4port").unwrap();
            assert_eq!(record[at + 5], 3);
            record[at + 5] = 1;
        });
    }) {
        Some(ImageError::Refused { place, source }) => {
            assert_eq!(place.row, Some(1));
            assert!(source.to_string().contains("port"), "{source}");
        }
        other => panic!("{other:?}"),
    }
    // A key beyond the limit.
    match forged(|forge| {
        with_rows(forge, |rows| {
            let record = &mut rows[2].2;
            let at = record.windows(5).position(|w| w == b"\xa2id\xa1b").unwrap();
            let long = [&b"\xa2id\xda\x20\x00"[..], &[b'b'; 0x2000]].concat();
            record.splice(at..at + 5, long);
        });
    }) {
        Some(ImageError::Refused { place, .. }) => assert_eq!(place.row, Some(2)),
        other => panic!("{other:?}"),
    }
}

/// The tokens of the first tree with a leaf that is not as its record: none in `small`, so this
/// only sets what is given.
fn with_stamps(forge: &mut Forge, tokens: &[u8], nodes: u8) {
    *forge.frame(STAMPS) = [&[STAMPS], tokens].concat();
    forge.frame(STAMPS_END)[1] = nodes;
}

#[test]
fn forged_stamps() {
    // The tree of services has the keys ab, abd, b: header, root, a's node, two leaves, leaf b.
    let shape =
        |tokens: &'static [u8], nodes| move |forge: &mut Forge| with_stamps(forge, tokens, nodes);
    assert!(forged(shape(&[2, 0, 0, 2, 0, 0, 2, 0, 0, 0, 3], 6)).is_none());
    malformed("impossible", shape(&[2, 0, 0, 2, 0, 0, 0, 3], 5));
    malformed(
        "impossible",
        shape(&[2, 0, 0, 2, 0, 0, 0, 1, 2, 0, 0, 0, 2], 6),
    );
    // A child later than its parent; a leaf later than what is above it.
    malformed("impossible", shape(&[2, 1, 0, 2, 0, 0, 2, 0, 0, 0, 3], 6));
    malformed(
        "impossible",
        shape(&[2, 0, 0, 2, 0, 0, 2, 3, 0, 1, 2, 0, 2], 6),
    );
    malformed("below zero", shape(&[2, 10, 0, 2, 0, 0, 2, 0, 0, 0, 3], 6));
    malformed("below zero", shape(&[2, 0, 10, 2, 0, 0, 2, 0, 0, 0, 3], 6));
    malformed(
        "before its record's",
        shape(&[2, 0, 0, 2, 0, 0, 2, 0, 0, 1, 8, 0, 2], 6),
    );
    malformed(
        "more than the index has",
        shape(&[2, 0, 0, 2, 0, 0, 2, 0, 0, 0, 4], 7),
    );
    malformed("fewer leaves", shape(&[2, 0, 0, 2, 0, 0, 2, 0, 0, 0, 2], 5));
    malformed(
        "more inner nodes",
        shape(&[2, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0], 5),
    );
    malformed("unknown kind of token", shape(&[7], 1));
    malformed("number", shape(&[2, 0], 1));
    malformed("too many stamps", |forge| {
        let run = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        with_stamps(forge, &[run, run].concat(), 0);
    });
    // Keys that are said to be others: the tokens are passed over, whatever they are.
    let store = small();
    let mut forge = Forge::parse(&image(&store));
    with_stamps(&mut forge, &[0, 0xff, 0xff, 1], 0);
    *forge.frame(STAMPS_END) = vec![STAMPS_END, 0xff, 0xff, 1, 1, 2, 3, 4];
    store.restore(&forge.bytes()[..]).unwrap();
    store.snapshot().check().unwrap();
    assert_eq!(store.snapshot().services().log_index().0, 9);
}

#[derive(Clone, Debug)]
enum Change {
    Set { byte: u8 },
    Insert { bytes: Vec<u8> },
    Cut { len: usize },
    Repeat { len: usize },
    RemoveFrame,
    RepeatFrame,
    SwapFrames,
}

fn change() -> impl Strategy<Value = (usize, prop::sample::Index, Change)> {
    let change = prop_oneof![
        6 => prop_oneof![0_u8..4, any::<u8>()].prop_map(|byte| Change::Set { byte }),
        2 => prop::collection::vec(any::<u8>(), 1..5).prop_map(|bytes| Change::Insert { bytes }),
        2 => (1_usize..5).prop_map(|len| Change::Cut { len }),
        1 => (1_usize..40).prop_map(|len| Change::Repeat { len }),
        1 => Just(Change::RemoveFrame),
        1 => Just(Change::RepeatFrame),
        1 => Just(Change::SwapFrames),
    ];
    (any::<usize>(), any::<prop::sample::Index>(), change)
}

/// The image with these changes and right checksums.
fn changed(image: &[u8], changes: Vec<(usize, prop::sample::Index, Change)>) -> Forge {
    let mut forge = Forge::parse(image);
    for (number, place, change) in changes {
        if forge.frames.is_empty() {
            break;
        }
        let number = number % forge.frames.len();
        let frame = &mut forge.frames[number];
        let at = place.index(frame.len().max(1)).min(frame.len());
        match change {
            Change::Set { byte } => {
                if let Some(to) = frame.get_mut(at) {
                    *to = byte;
                }
            }
            Change::Insert { bytes } => drop(frame.splice(at..at, bytes)),
            Change::Cut { len } => drop(frame.drain(at..(at + len).min(frame.len()))),
            Change::Repeat { len } => {
                let again = frame[at..(at + len).min(frame.len())].to_vec();
                drop(frame.splice(at..at, again));
            }
            Change::RemoveFrame => drop(forge.frames.remove(number)),
            Change::RepeatFrame => {
                let again = frame.clone();
                forge.frames.insert(number, again);
            }
            Change::SwapFrames => {
                let other = place.index(forge.frames.len());
                forge.frames.swap(number, other);
            }
        }
    }
    forge
}

/// Two programs, of which the older has no links and no notes.
mod older {
    use highwater::{Schema, Table};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services")]
    pub(super) struct Service {
        #[primary_key]
        id: String,
        #[index]
        node: String,
    }

    #[derive(Schema)]
    pub(super) struct Catalog {
        services: Service,
    }
}

mod newer {
    use super::support::Link;
    use highwater::{Schema, Table};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "services")]
    pub(super) struct Service {
        #[primary_key]
        pub(super) id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(super) note: Option<String>,
        #[index]
        pub(super) node: String,
    }

    #[derive(Schema)]
    pub(super) struct Catalog {
        links: Link,
        services: Service,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// With right checksums anything may come; it is refused, or it is a state like any other.
    #[test]
    fn changed_frames(changes in prop::collection::vec(change(), 1..4)) {
        let forge = changed(&image(&small()), changes);
        let store = small();
        let before = seen(&store);
        match store.rewind(&forge.bytes()[..]) {
            Err(_) => prop_assert_eq!(seen(&store), before),
            Ok(position) => {
                let after = seen(&store);
                let copy = Store::<Catalog>::from_image(&image(&store)[..]).unwrap();
                prop_assert_eq!(seen(&copy), after);
                let snapshot = store.snapshot();
                for row in snapshot.services().iter() {
                    prop_assert!(1 <= row.create_index().0);
                    prop_assert!(row.create_index() <= row.modify_index());
                    prop_assert!(row.modify_index() <= position.index);
                }
                prop_assert!(snapshot.services().log_index() <= position.index.max(highwater::LogIndex(1)));
            }
        }
    }

    /// The same to a program that does not know all that is listed, in an image that has nothing of it.
    #[test]
    fn changed_frames_that_are_passed_over(changes in prop::collection::vec(change(), 0..4)) {
        let newer = Store::<newer::Catalog>::new();
        let mut txn = newer.write().unwrap();
        for id in ["a", "ab", "b"] {
            let (id, node, note) = (id.to_owned(), "n".to_owned(), None);
            txn.services_mut().insert(newer::Service { id, note, node }).unwrap();
        }
        txn.commit().unwrap();
        let mut good = Vec::new();
        newer.snapshot().write_image(&mut good).unwrap();
        let unchanged = changes.is_empty();
        let forge = changed(&good, changes);
        let bytes = |store: &Store<older::Catalog>| {
            let mut bytes = Vec::new();
            store.snapshot().write_image(&mut bytes).unwrap();
            bytes
        };
        let store = Store::<older::Catalog>::new();
        let before = bytes(&store);
        let taken = store.restore(&forge.bytes()[..]);
        prop_assert!(taken.is_ok() || !unchanged, "{:?}", taken);
        if taken.is_err() {
            prop_assert_eq!(bytes(&store), before);
        } else {
            store.snapshot().check().unwrap();
            let copy = Store::<older::Catalog>::from_image(&bytes(&store)[..]).unwrap();
            prop_assert_eq!(bytes(&copy), bytes(&store));
        }
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), begin in 0_usize..40) {
        let image = image(&small());
        let store = small();
        prop_assert!(store.restore(&bytes[..]).is_err());
        prop_assert!(store.restore(&[&image[..begin], &bytes].concat()[..]).is_err());
    }
}
