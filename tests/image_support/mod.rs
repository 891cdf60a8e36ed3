//! What the tests of images share: a schema, what is seen of a store of it, and a forge that
//! changes images and makes their checksums right again.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part")]

use highwater::{LogIndex, Position, Schema, Snapshot, Store, Table, Turn, WriteTxn};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A record with an index of each kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services")]
#[index(by_name_node(name, node))]
pub struct Service {
    #[primary_key]
    pub id: String,
    #[index]
    pub node: String,
    pub name: String,
    #[index(each)]
    pub tags: BTreeSet<String>,
    #[index(unique)]
    pub port: u16,
    pub note: Option<String>,
}

/// A record with a composite key and no index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "links")]
pub struct Link {
    #[primary_key]
    pub from: u8,
    #[primary_key]
    pub to: i16,
    pub weight: f64,
}

#[derive(Schema)]
pub struct Catalog {
    services: Service,
    links: Link,
}

pub fn service(id: &str, node: &str, port: u16) -> Service {
    Service {
        id: id.into(),
        node: node.into(),
        name: id.chars().take(1).collect(),
        tags: id.chars().map(String::from).collect(),
        port,
        note: port.is_multiple_of(2).then(|| "even".into()),
    }
}

/// A small store with some history: records changed and deleted.
pub fn small() -> Store<Catalog> {
    let store = Store::new();
    at(&store, 3, |txn| {
        for (id, port) in [("ab", 1), ("abc", 2), ("abd", 3), ("b", 4)] {
            txn.services_mut().insert(service(id, "n1", port)).unwrap();
        }
    });
    at(&store, 5, |txn| {
        txn.links_mut()
            .insert(Link {
                from: 1,
                to: -1,
                weight: 0.5,
            })
            .unwrap();
        txn.links_mut()
            .insert(Link {
                from: 1,
                to: 300,
                weight: -0.5,
            })
            .unwrap();
        txn.services_mut().delete("abc").unwrap();
    });
    at(&store, 9, |txn| {
        txn.services_mut().upsert(service("b", "n2", 4)).unwrap();
        // The leaf that is left alone then has a later stamp than its record.
        txn.links_mut().delete((1_u8, 300_i16)).unwrap();
        txn.set_driver_state(b"term 4".to_vec());
    });
    store
}

/// Commits at an index.
pub fn at(store: &Store<Catalog>, index: u64, work: impl FnOnce(&mut WriteTxn<Catalog>)) {
    match store.write_at(LogIndex(index)).unwrap() {
        Turn::Apply(mut txn) => {
            work(&mut txn);
            txn.commit().unwrap();
        }
        Turn::AlreadyApplied { applied } => panic!("{index} is not after {applied}"),
    }
}

pub fn image(store: &Store<Catalog>) -> Vec<u8> {
    image_of(&store.snapshot())
}

pub fn image_of(snapshot: &Snapshot<Catalog>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let summary = snapshot.write_image(&mut bytes).unwrap();
    assert_eq!(summary.bytes, bytes.len() as u64);
    assert_eq!(summary.position, snapshot.position());
    bytes
}

/// One line for each record, in order, with its indexes.
pub fn records(snapshot: &Snapshot<Catalog>) -> Vec<String> {
    let mut lines = Vec::new();
    for row in snapshot.services().iter() {
        lines.push(format!(
            "{} {} {:?}",
            row.create_index(),
            row.modify_index(),
            **row
        ));
    }
    for row in snapshot.links().iter() {
        lines.push(format!(
            "{} {} {:?}",
            row.create_index(),
            row.modify_index(),
            **row
        ));
    }
    lines
}

/// Texts that are keys and prefixes of the property tests.
pub fn texts() -> Vec<String> {
    let mut all = vec![String::new()];
    let mut from = 0;
    for _ in 0..3 {
        let to = all.len();
        for i in from..to {
            for c in ["a", "b", "c"] {
                all.push(format!("{}{c}", all[i]));
            }
        }
        from = to;
    }
    all
}

pub const NODES: [&str; 4] = ["n", "n1", "n2", "x"];
pub const PORTS: u16 = 12;

/// The answers of many queries, present and absent, each with its own index.
pub fn queries(snapshot: &Snapshot<Catalog>) -> Vec<String> {
    let services = snapshot.services();
    let mut lines = Vec::new();
    macro_rules! ask {
        ($rows:expr) => {{
            let rows = $rows;
            let index = rows.log_index();
            let keys: Vec<_> = rows
                .map(|row| (row.id.clone(), row.modify_index()))
                .collect();
            lines.push(format!("{}: {index} {keys:?}", stringify!($rows)));
        }};
    }
    for text in &texts() {
        lines.push(format!(
            "{text} {} {:?}",
            services.log_index_of(text),
            services.get(text)
        ));
        ask!(services.prefix(text));
        ask!(services.range(text.clone()..));
        ask!(services.range(..text.clone()));
        ask!(services.by_tags(text));
        ask!(services.tags_index().prefix(text));
        ask!(services.name_node_index().leading(text));
        for node in NODES {
            ask!(services.by_name_node((text, node)));
        }
    }
    for node in NODES {
        ask!(services.by_node(node));
        ask!(services.node_index().range(node.to_string()..));
    }
    for port in 0..PORTS {
        lines.push(format!("{port} {:?}", services.by_port(port)));
        ask!(services.port_index().get(port));
        ask!(services.port_index().range(port..port + 3));
    }
    lines.push(format!(
        "{} {}",
        services.log_index(),
        snapshot.links().log_index()
    ));
    for from in 0..4 {
        lines.push(format!("{}", snapshot.links().leading(from).log_index()));
        lines.push(format!("{}", snapshot.links().log_index_of((from, 0))));
    }
    lines
}

/// What an index of a query was in a line of [`queries`], if it has one.
pub fn index_in(line: &str) -> Option<u64> {
    line.split([' ', ':']).find_map(|word| word.parse().ok())
}

/// Everything seen of a store, to tell that it is unchanged.
#[derive(Debug, PartialEq)]
pub struct Seen {
    position: Position,
    driver: Option<Vec<u8>>,
    records: Vec<String>,
    queries: Vec<String>,
    image: Vec<u8>,
}

pub fn seen(store: &Store<Catalog>) -> Seen {
    let snapshot = store.snapshot();
    snapshot.check().unwrap();
    Seen {
        position: snapshot.position(),
        driver: snapshot.driver_state().map(<[u8]>::to_vec),
        records: records(&snapshot),
        queries: queries(&snapshot),
        image: image_of(&snapshot),
    }
}

/// An image taken apart into the bodies of its frames.
#[derive(Clone, Debug)]
pub struct Forge {
    pub frames: Vec<Vec<u8>>,
}

pub const HEADER: u8 = 1;
pub const DRIVER: u8 = 2;
pub const ROWS: u8 = 3;
pub const TABLE_END: u8 = 4;
pub const STAMPS: u8 = 5;
pub const STAMPS_END: u8 = 6;
pub const TRAILER: u8 = 7;

const PREAMBLE: usize = 12;
const END_MARK: usize = 8;

impl Forge {
    pub fn parse(image: &[u8]) -> Forge {
        let mut rest = &image[PREAMBLE..image.len() - END_MARK];
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
            frames.push(rest[8..8 + len].to_vec());
            rest = &rest[8 + len..];
        }
        Forge { frames }
    }

    /// The image of the frames, with right checksums.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"\x89HWI\r\n\x1a\n\x01\x00\x00\x00".to_vec();
        for frame in &self.frames {
            let mut body = frame.clone();
            if body.first() == Some(&TRAILER) && body.len() >= 5 {
                let at = body.len() - 4;
                body[at..].copy_from_slice(&crc32fast::hash(&out).to_le_bytes());
            }
            out.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
            out.extend(crc32fast::hash(&body).to_le_bytes());
            out.extend(&body);
        }
        out.extend(b"HWIEND\r\n");
        out
    }

    /// The first frame of a kind.
    pub fn frame(&mut self, kind: u8) -> &mut Vec<u8> {
        self.frames
            .iter_mut()
            .find(|frame| frame[0] == kind)
            .unwrap()
    }

    /// Where in the image frame number `i` begins.
    pub fn offset(&self, i: usize) -> u64 {
        (PREAMBLE
            + self.frames[..i]
                .iter()
                .map(|frame| 8 + frame.len())
                .sum::<usize>()) as u64
    }
}

/// A row of a frame of rows: the image's index less its modify index, that less its create index,
/// the record.
pub type RawRow = (u64, u64, Vec<u8>);

pub fn rows(frame: &[u8]) -> Vec<RawRow> {
    let mut rest = &frame[1..];
    let mut rows = Vec::new();
    while !rest.is_empty() {
        let (since, kept, len) = (number(&mut rest), number(&mut rest), number(&mut rest));
        let (record, after) = rest.split_at(len.try_into().unwrap());
        rows.push((since, kept, record.to_vec()));
        rest = after;
    }
    rows
}

pub fn rows_frame(rows: &[RawRow]) -> Vec<u8> {
    let mut frame = vec![ROWS];
    for (since, kept, record) in rows {
        for n in [*since, *kept, record.len() as u64] {
            put_number(&mut frame, n);
        }
        frame.extend(record);
    }
    frame
}

/// Unsigned LEB128.
fn number(bytes: &mut &[u8]) -> u64 {
    let len = 1 + bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let (own, rest) = bytes.split_at(len);
    *bytes = rest;
    own.iter()
        .rev()
        .fold(0, |n, byte| n << 7 | u64::from(byte & 0x7f))
}

pub fn put_number(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let low = u8::try_from(n & 0x7f).unwrap();
        n >>= 7;
        if n == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}
