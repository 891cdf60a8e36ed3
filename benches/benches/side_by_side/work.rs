//! The kinds of work: what each is called, and what exactly it is.

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its name in data.
    pub(crate) key: &'static str,
    /// Its name in the table.
    pub(crate) title: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// What is done.
    pub(crate) note: &'static str,
}

pub(crate) const LOAD: Row = Row {
    key: "load",
    title: "load, per record",
    unit: "ns",
    note: "All records in random order, in transactions of 1000, into an empty store. The mean over \
           the whole load.",
};

pub(crate) const BYTES_PER_RECORD: Row = Row {
    key: "bytes_per_record",
    title: "memory per record, bytes",
    unit: "bytes",
    note: "After such a load in a process of its own: live bytes asked of the allocator, divided by \
           the records; record and indexes together. SQLite's are its database pages.",
};

pub(crate) const BYTES_PER_ENTRY: Row = Row {
    key: "bytes_per_entry",
    title: "memory per index entry, bytes",
    unit: "bytes",
    note: "The same without the records themselves (as values in `Arc`s, or their fields' bytes where \
           the system encodes them), divided by six entries a record: id, node, name, two tags, \
           (name, node).",
};

pub(crate) const COMMIT_BESIDE_READER: Row = Row {
    key: "commit_beside_reader",
    title: "commit beside that reader",
    unit: "ns",
    note: "The writer of the row above: its time per commit, making the record included.",
};

/// What is timed in slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Get,
    View,
    ViewAndGet,
    ListByNode,
    Scan,
    ScanPrefix,
    UpsertOne,
    UpsertHundred,
    DeleteOne,
    GetBesideWriter,
}

impl Work {
    pub(crate) const ALL: [Self; 10] = [
        Self::Get,
        Self::View,
        Self::ViewAndGet,
        Self::ListByNode,
        Self::Scan,
        Self::ScanPrefix,
        Self::UpsertOne,
        Self::UpsertHundred,
        Self::DeleteOne,
        Self::GetBesideWriter,
    ];

    pub(crate) fn row(self) -> Row {
        let (key, title, note) = match self {
            Self::Get => (
                "get",
                "get by id",
                "One record by a random id, on a snapshot (lock, read transaction) that is held \
                 throughout; its port is read.",
            ),
            Self::View => (
                "snapshot",
                "take a snapshot",
                "Take and drop a snapshot, a read lock, or a read transaction with one table open.",
            ),
            Self::ViewAndGet => (
                "snapshot_get",
                "snapshot and get",
                "Take a snapshot, get one record by a random id, drop the snapshot.",
            ),
            Self::ListByNode => (
                "list_by_node",
                "list by node (20)",
                "The 20 records of a random node through its index, on a held snapshot. Neighbours \
                 in id order are on different nodes.",
            ),
            Self::Scan => (
                "scan",
                "full scan, per record",
                "All records in the order of their ids, on a held snapshot; each port is read.",
            ),
            Self::ScanPrefix => (
                "scan_prefix",
                "prefix scan (100)",
                "The 100 records whose ids share a random prefix, on a held snapshot.",
            ),
            Self::UpsertOne => (
                "upsert_1",
                "upsert, 1 per commit",
                "Replaces a random record by one with another port and payload, in a transaction of \
                 its own. Index keys stay the same; every index leads to the new record afterwards.",
            ),
            Self::UpsertHundred => (
                "upsert_100",
                "upsert, 100 per commit, per record",
                "The same with a hundred records in each transaction.",
            ),
            Self::DeleteOne => (
                "delete_1",
                "delete, 1 per commit",
                "Deletes a random record in a transaction of its own, from every index. (They are \
                 put back afterwards, untimed.)",
            ),
            Self::GetBesideWriter => (
                "get_beside_writer",
                "snapshot and get beside a writer",
                "\"Snapshot and get\" on one thread while another upserts one record per commit, as \
                 fast as it can.",
            ),
        };
        Row {
            key,
            title,
            unit: "ns",
            note,
        }
    }
}
