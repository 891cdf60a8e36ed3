//! Bytes as images: as they are, and as frames whose checksums are right. What is refused changes
//! nothing; what is taken is a state like any other.
#![no_main]

#[path = "../../tests/image_support/mod.rs"]
mod support;

use highwater::{LogIndex, Store};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use support::{Catalog, Forge, image, seen, small};

/// The first byte says what the others are.
fn image_of(data: &[u8]) -> Option<Vec<u8>> {
    let (&kind, rest) = data.split_first()?;
    match kind % 3 {
        0 => Some(rest.to_vec()),
        1 => Some(frames(rest).bytes()),
        _ => Some(edited(rest).bytes()),
    }
}

/// Frames: a length in two bytes, and so many bytes.
fn frames(mut rest: &[u8]) -> Forge {
    let mut frames = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(after.len());
        let (frame, after) = after.split_at(len);
        frames.push(frame.to_vec());
        rest = after;
    }
    Forge { frames }
}

/// Edits of a good image: frame, place, bytes to take away, bytes to put there.
fn edited(mut rest: &[u8]) -> Forge {
    let mut forge = Forge::parse(good());
    while let Some(([frame, high, low, cut, put], after)) = rest.split_first_chunk::<5>() {
        let (put, after) = after.split_at(usize::from(put % 32).min(after.len()));
        rest = after;
        let number = usize::from(*frame) % forge.frames.len();
        let frame = &mut forge.frames[number];
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (frame.len() + 1);
        let end = (at + usize::from(cut % 32)).min(frame.len());
        frame.splice(at..end, put.iter().copied());
    }
    forge
}

fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| image(&small()))
}

fuzz_target!(|data: &[u8]| {
    let Some(bytes) = image_of(data) else { return };
    let store = small();
    let Ok(position) = store.rewind(&bytes[..]) else {
        assert!(
            image(&store) == good(),
            "a refused image has changed the store"
        );
        return;
    };
    let after = seen(&store);
    let snapshot = store.snapshot();
    assert_eq!(snapshot.position(), position);
    for row in snapshot.services().iter() {
        assert!(LogIndex(1) <= row.create_index());
        assert!(row.create_index() <= row.modify_index());
        assert!(row.modify_index() <= position.index);
    }
    let copy = Store::<Catalog>::from_image(&image(&store)[..]).expect("its own image");
    assert_eq!(seen(&copy), after);
});
