//! Frames: the checksummed pieces an image is made of, and the marks before and after them.

use super::error::{ImageError, ImagePlace};
use crc32fast::Hasher;
use std::io::{self, BufReader, Read, Write};

/// The first bytes of an image. Not text, so that a transfer that changes line ends is noticed.
pub(super) const MAGIC: [u8; 8] = *b"\x89HWI\r\n\x1a\n";
/// The last bytes of an image.
pub(super) const END_MARK: [u8; 8] = *b"HWIEND\r\n";
/// The version of the format that is written and read.
pub(super) const FORMAT: u16 = 1;
/// The longest frame body: 256 MiB.
pub(super) const MAX_BODY: usize = 256 << 20;
/// The longest header, which is decoded as a whole.
pub(super) const MAX_HEADER: usize = 1 << 20;
/// Length and checksum before a body.
const HEAD: usize = 8;

/// What a frame holds: the first byte of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Header = 1,
    Driver = 2,
    Rows = 3,
    TableEnd = 4,
    Stamps = 5,
    StampsEnd = 6,
    Trailer = 7,
    Kept = 8,
}

impl Kind {
    fn from_u8(byte: u8) -> Option<Kind> {
        use Kind::{Driver, Header, Kept, Rows, Stamps, StampsEnd, TableEnd, Trailer};
        let kinds = [
            Header, Driver, Rows, TableEnd, Stamps, StampsEnd, Trailer, Kept,
        ];
        kinds.into_iter().find(|&kind| kind as u8 == byte)
    }
}

/// Writes the marks and frames of one image.
pub(super) struct FrameWriter<'w> {
    out: &'w mut dyn Write,
    offset: u64,
    /// Of all bytes so far.
    running: Hasher,
}

/// A frame in the making.
pub(super) struct Frame(Vec<u8>);

impl Frame {
    pub(super) fn new(kind: Kind) -> Frame {
        let mut frame = Frame(Vec::new());
        frame.restart(kind);
        frame
    }

    /// Empties it, keeping its memory.
    pub(super) fn restart(&mut self, kind: Kind) {
        self.0.clear();
        self.0.extend([0; HEAD]);
        self.0.push(kind as u8);
    }

    /// What the body is appended to.
    pub(super) fn body(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    pub(super) fn body_len(&self) -> usize {
        self.0.len() - HEAD
    }

    /// Whether nothing but its kind is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.body_len() == 1
    }
}

impl<'w> FrameWriter<'w> {
    /// Begins an image.
    pub(super) fn begin(out: &'w mut dyn Write) -> Result<Self, ImageError> {
        let mut writer = FrameWriter {
            out,
            offset: 0,
            running: Hasher::new(),
        };
        let mut preamble = [0; 12];
        preamble[..8].copy_from_slice(&MAGIC);
        preamble[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        writer.raw(&preamble)?;
        Ok(writer)
    }

    /// Bytes written so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The checksum of all bytes so far.
    pub(super) fn checksum(&self) -> u32 {
        self.running.clone().finalize()
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.out
            .write_all(bytes)
            .map_err(|source| ImageError::Write {
                offset: self.offset,
                source,
            })?;
        self.running.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Writes a frame whose body is at most [`MAX_BODY`] long.
    pub(super) fn frame(&mut self, frame: &mut Frame) -> Result<(), ImageError> {
        let len = u32::try_from(frame.body_len()).expect("the caller keeps frames below MAX_BODY");
        let crc = crc32fast::hash(&frame.0[HEAD..]);
        frame.0[..4].copy_from_slice(&len.to_le_bytes());
        frame.0[4..HEAD].copy_from_slice(&crc.to_le_bytes());
        self.raw(&frame.0)
    }

    /// Writes the end mark and flushes; the number of bytes of the whole image.
    pub(super) fn finish(mut self) -> Result<u64, ImageError> {
        self.raw(&END_MARK)?;
        self.out.flush().map_err(|source| ImageError::Write {
            offset: self.offset,
            source,
        })?;
        Ok(self.offset)
    }
}

/// Reads the marks and frames of one image.
pub(super) struct FrameReader<'r> {
    input: BufReader<&'r mut dyn Read>,
    offset: u64,
    /// Of all bytes so far.
    running: Hasher,
    /// Of all bytes before the newest frame.
    before: Hasher,
    kind: Kind,
    body: Vec<u8>,
    /// The table that is read now, for errors.
    pub(super) table: Option<&'static str>,
}

impl<'r> FrameReader<'r> {
    /// Reads the marks an image begins with.
    pub(super) fn begin(input: &'r mut dyn Read) -> Result<Self, ImageError> {
        let mut reader = FrameReader {
            input: BufReader::with_capacity(64 << 10, input),
            offset: 0,
            running: Hasher::new(),
            before: Hasher::new(),
            kind: Kind::Header,
            body: Vec::new(),
            table: None,
        };
        let mut magic = [0; 8];
        let found = reader.up_to(&mut magic)?;
        if magic[..found] != MAGIC[..found] {
            return Err(ImageError::NotAnImage);
        }
        if found < magic.len() {
            return Err(reader.truncated());
        }
        let mut rest = [0; 4];
        reader.exact(&mut rest)?;
        let format = u16::from_le_bytes([rest[0], rest[1]]);
        if format != FORMAT {
            return Err(ImageError::Format {
                found: format,
                supported: FORMAT,
            });
        }
        if rest[2..] != [0, 0] {
            let what = format!("unknown flags {:02x}{:02x}", rest[3], rest[2]);
            return Err(ImageError::Malformed {
                place: reader.place(10, None),
                what,
            });
        }
        Ok(reader)
    }

    /// Reads until `buf` is full or the input ends.
    fn up_to(&mut self, buf: &mut [u8]) -> Result<usize, ImageError> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.input.read(&mut buf[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.offset + filled as u64;
                    return Err(ImageError::Read { offset, source });
                }
            }
        }
        self.running.update(&buf[..filled]);
        self.offset += filled as u64;
        Ok(filled)
    }

    fn exact(&mut self, buf: &mut [u8]) -> Result<(), ImageError> {
        if self.up_to(buf)? < buf.len() {
            Err(self.truncated())
        } else {
            Ok(())
        }
    }

    fn truncated(&self) -> ImageError {
        ImageError::Truncated {
            place: self.place(self.offset, None),
        }
    }

    /// A place in the table that is read now.
    pub(super) fn place(&self, offset: u64, row: Option<u64>) -> ImagePlace {
        ImagePlace {
            offset,
            table: self.table,
            row,
        }
    }

    /// Reads the next frame; [`kind`](Self::kind) and [`body`](Self::body) are then its own.
    pub(super) fn next(&mut self) -> Result<Kind, ImageError> {
        self.before = self.running.clone();
        let start = self.offset;
        let mut head = [0; HEAD];
        self.exact(&mut head)?;
        let word =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (len, crc) = (word(0), word(4));
        let damaged = |reader: &Self, what: String| ImageError::Damaged {
            place: reader.place(start, None),
            what,
        };
        if len == 0 || len as usize > MAX_BODY {
            let what = format!("a frame of {len} bytes (it has 1 to {MAX_BODY})");
            return Err(damaged(self, what));
        }
        // Memory grows with the bytes that have come, not with the length that was claimed.
        self.body.clear();
        let read = self
            .input
            .by_ref()
            .take(u64::from(len))
            .read_to_end(&mut self.body);
        self.running.update(&self.body);
        self.offset += self.body.len() as u64;
        if let Err(source) = read {
            return Err(ImageError::Read {
                offset: self.offset,
                source,
            });
        }
        if self.body.len() < len as usize {
            return Err(self.truncated());
        }
        let computed = crc32fast::hash(&self.body);
        if computed != crc {
            let what = format!("the frame's checksum is {computed:08x}, it should be {crc:08x}");
            return Err(damaged(self, what));
        }
        self.kind = Kind::from_u8(self.body[0]).ok_or_else(|| ImageError::Malformed {
            place: self.place(start + HEAD as u64, None),
            what: format!("unknown kind of frame {}", self.body[0]),
        })?;
        Ok(self.kind)
    }

    /// What follows the kind in the newest frame.
    pub(super) fn body(&self) -> &[u8] {
        &self.body[1..]
    }

    /// Where in the image the first byte of which `rest` is left of the newest frame's body is.
    pub(super) fn offset_of(&self, rest: &[u8]) -> u64 {
        self.offset - rest.len() as u64
    }

    /// The checksum of all bytes before the newest frame.
    pub(super) fn checksum_before(&self) -> u32 {
        self.before.clone().finalize()
    }

    /// Something wrong at the start of `rest`, what is left of the newest frame's body.
    pub(super) fn malformed(
        &self,
        rest: &[u8],
        row: Option<u64>,
        what: impl Into<String>,
    ) -> ImageError {
        ImageError::Malformed {
            place: self.place(self.offset_of(rest), row),
            what: what.into(),
        }
    }

    /// A frame of another kind was due.
    pub(super) fn unexpected(&self, due: &str) -> ImageError {
        self.malformed(
            &self.body,
            None,
            format!("a frame of {:?} where {due} is due", self.kind),
        )
    }

    /// Reads the end mark and sees that nothing follows.
    pub(super) fn finish(mut self) -> Result<(), ImageError> {
        self.table = None;
        let start = self.offset;
        let mut mark = [0; END_MARK.len()];
        self.exact(&mut mark)?;
        if mark != END_MARK {
            let what = "the end mark is wrong".into();
            return Err(ImageError::Damaged {
                place: self.place(start, None),
                what,
            });
        }
        let offset = self.offset;
        if self.up_to(&mut [0])? > 0 {
            return Err(ImageError::TrailingBytes { offset });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bodies: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = FrameWriter::begin(&mut out).unwrap();
        for (kind, body) in bodies {
            let mut frame = Frame::new(*kind);
            frame.body().extend(body);
            writer.frame(&mut frame).unwrap();
        }
        let len = writer.finish().unwrap();
        assert_eq!(len, out.len() as u64);
        out
    }

    type Frames = Vec<(Kind, Vec<u8>)>;

    fn read(mut bytes: &[u8], frames: usize) -> Result<Frames, ImageError> {
        let mut reader = FrameReader::begin(&mut bytes)?;
        let mut all = Vec::new();
        for _ in 0..frames {
            let kind = reader.next()?;
            all.push((kind, reader.body().to_vec()));
        }
        reader.finish()?;
        Ok(all)
    }

    fn sample() -> Frames {
        vec![
            (Kind::Header, b"head".to_vec()),
            (Kind::Rows, vec![7; 200_000]),
            (Kind::Trailer, vec![]),
        ]
    }

    #[test]
    fn frames_come_back() {
        assert_eq!(read(&image(&sample()), 3).unwrap(), sample());
    }

    #[test]
    fn the_checksum_is_of_all_bytes_before_the_frame() {
        let bytes = image(&sample());
        let mut input = &bytes[..];
        let mut reader = FrameReader::begin(&mut input).unwrap();
        for _ in 0..3 {
            reader.next().unwrap();
        }
        let trailer = bytes.len() - END_MARK.len() - HEAD - 1;
        assert_eq!(reader.checksum_before(), crc32fast::hash(&bytes[..trailer]));
    }

    #[test]
    fn a_cut_is_seen_and_placed() {
        let frames = vec![(Kind::Header, b"head".to_vec()), (Kind::Trailer, vec![])];
        let bytes = image(&frames);
        for cut in 0..bytes.len() {
            match read(&bytes[..cut], 2) {
                Err(ImageError::Truncated { place }) => assert_eq!(place.offset, cut as u64),
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let frames = vec![(Kind::Header, b"head".to_vec()), (Kind::Trailer, vec![])];
        let bytes = image(&frames);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert!(read(&bad, 2).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn bytes_after_the_end_are_seen() {
        let mut bytes = image(&sample());
        let len = bytes.len() as u64;
        bytes.push(0);
        match read(&bytes, 3) {
            Err(ImageError::TrailingBytes { offset }) => assert_eq!(offset, len),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut bytes = image(&[]);
        bytes.truncate(12);
        bytes.extend(u32::try_from(MAX_BODY).unwrap().to_le_bytes());
        bytes.extend([0; 4]);
        let mut input = &bytes[..];
        let mut reader = FrameReader::begin(&mut input).unwrap();
        assert!(matches!(reader.next(), Err(ImageError::Truncated { .. })));
        assert!(reader.body.capacity() < 1 << 20);
        let mut bytes = bytes[..12].to_vec();
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend([0; 4]);
        assert!(matches!(read(&bytes, 1), Err(ImageError::Damaged { .. })));
    }

    #[test]
    fn a_failing_reader_is_told_apart_from_a_short_one() {
        struct Fails;
        impl Read for Fails {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cable pulled"))
            }
        }
        let bytes = image(&sample());
        let mut input = bytes[..100].chain(Fails);
        let mut reader = FrameReader::begin(&mut input).unwrap();
        reader.next().unwrap();
        match reader.next() {
            Err(ImageError::Read { offset, .. }) => assert_eq!(offset, 100),
            other => panic!("{other:?}"),
        }
    }
}
