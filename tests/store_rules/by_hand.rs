//! A record type that no derive has looked at: what the derives refuse is refused when a store is made.

use super::*;
use highwater::__private::{Readable, TableOps, table_ops};
use highwater::key::KeyBuf;
use highwater::schema::IndexDef;
use highwater::{Key, TableReader, TableWriter};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    id: u8,
}

impl Table for Seen {
    const NAME: &'static str = "seen";
    const FIELDS: &'static [&'static str] = &["id"];
    const PRIMARY_KEY: &'static [&'static str] = &["id"];
    const INDEXES: &'static [IndexDef<Self>] =
        &[IndexDef::new("other", &["id"], |seen: &Self, sink| {
            sink.push(|out| seen.id.encode(out));
        })
        .unique()];
    const LOCAL: bool = true;
    type Key = u8;

    fn encode_key(&self, out: &mut KeyBuf) {
        self.id.encode(out);
    }
}

impl Readable for Seen {
    type Reader<'a> = TableReader<'a, Seen>;
    type Writer<'a> = TableWriter<'a, Seen>;
    const TABLE: &'static str = <Self as Table>::NAME;
    const OWN: bool = <Self as Table>::LOCAL && !Self::DERIVED;
    const REFERRING: &'static [IndexDef<Self>] = <Self as Table>::INDEXES;

    fn ops() -> Box<dyn TableOps> {
        table_ops::<Self>()
    }
}

#[derive(Schema)]
struct Memory {
    seen: Seen,
}

#[test]
#[should_panic(
    expected = "table seen is local, and its index other is unique: a local table refuses"
)]
fn a_local_table_with_a_unique_index_is_refused() {
    drop(Store::<Memory>::new());
}
