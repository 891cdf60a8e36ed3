//! What has no content or no order of its own is no key.
use highwater::Key;

#[derive(Key)]
struct Unit;

#[derive(Key)]
enum Never {}

#[derive(Key)]
enum Falling {
    High = 2,
    Low = 1,
}

#[derive(Key)]
#[repr(u8)]
enum Mixed {
    A(u8) = 2,
    B = 3,
}

#[derive(Key)]
union Either {
    a: u8,
    b: i8,
}

fn main() {}
