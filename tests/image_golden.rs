//! The format does not change unseen: an image that an earlier build wrote is read, and written
//! again byte for byte.

#[path = "image_support/mod.rs"]
mod support;

use highwater::Store;
use support::{Catalog, Forge, image, seen, small};

const GOLDEN: &[u8] = include_bytes!("data/image-v1.hwi");

#[test]
fn the_same_state_gives_the_same_bytes() {
    let written = image(&small());
    if written == GOLDEN {
        return;
    }
    let (old, new) = (Forge::parse(GOLDEN), Forge::parse(&written));
    for (i, (old, new)) in old.frames.iter().zip(&new.frames).enumerate() {
        assert_eq!(
            old, new,
            "frame {i} of the image has changed: raise the format's number"
        );
    }
    panic!("the image has changed around its frames: raise the format's number");
}

#[test]
fn the_old_bytes_give_the_same_state() {
    let restored = Store::<Catalog>::from_image(GOLDEN).unwrap();
    assert_eq!(seen(&restored), seen(&small()));
}
