//! References between tables and checks of records: what a deletion does, what the end of an entry
//! refuses, and a model of both.

use highwater::fsm::{Batch, Command, Context, LogEntry, Outcome, Proposal, SessionOptions};
use highwater::fsm::{RequestId, SessionId};
use highwater::schema::OnDelete;
use highwater::{CommitError, LogIndex, Schema, Store, Table, Turn, WriteError, WriteTxn};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// When everything is proposed.
const NOW: SystemTime = SystemTime::UNIX_EPOCH;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "nodes")]
struct Node {
    #[primary_key]
    name: String,
    /// A node that goes takes those that are on it with it.
    #[index(sparse, references = Self, cascade)]
    on: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "services", check = Self::has_port, check = is_short)]
struct Service {
    #[primary_key]
    #[index(name = "host", references = Node, cascade)]
    node: String,
    #[primary_key]
    id: String,
    #[index(sparse, references = Node, set_null)]
    backup: Option<String>,
    port: u16,
}

impl Service {
    fn has_port(&self) -> bool {
        self.port > 0
    }
}

fn is_short(service: &Service) -> bool {
    service.id.len() < 5
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "checks")]
#[index(references = Service, restrict, by_service(node, service))]
struct Check {
    #[primary_key]
    id: u8,
    node: String,
    service: String,
}

#[derive(Schema)]
struct Catalog {
    checks: Check,
    nodes: Node,
    services: Service,
}

fn node(name: &str, on: Option<&str>) -> Node {
    let on = on.map(String::from);
    Node {
        name: name.into(),
        on,
    }
}

fn service(node: &str, id: &str, backup: Option<&str>) -> Service {
    Service {
        node: node.into(),
        id: id.into(),
        backup: backup.map(String::from),
        port: 80,
    }
}

fn check(id: u8, node: &str, service: &str) -> Check {
    Check {
        id,
        node: node.into(),
        service: service.into(),
    }
}

fn commit(
    store: &Store<Catalog>,
    write: impl FnOnce(&mut WriteTxn<Catalog>) -> Result<(), WriteError>,
) -> Result<LogIndex, CommitError> {
    let mut txn = store.write().unwrap();
    write(&mut txn).unwrap();
    txn.commit()
}

fn filled() -> Store<Catalog> {
    let store = Store::new();
    let filled = commit(&store, |txn| {
        // Each refers to what comes after it: only the end counts.
        txn.checks_mut().insert(check(1, "a", "web"))?;
        txn.services_mut().insert(service("a", "web", Some("b")))?;
        txn.services_mut().insert(service("b", "db", Some("a")))?;
        txn.services_mut().insert(service("c", "dns", None))?;
        txn.nodes_mut().insert(node("c", Some("b")))?;
        txn.nodes_mut().insert(node("b", None))?;
        txn.nodes_mut().insert(node("a", None))
    });
    assert_eq!(filled, Ok(LogIndex(1)));
    store
}

#[test]
fn rules_are_as_declared() {
    let reference = |index: usize| Service::INDEXES[index].references.unwrap();
    assert_eq!(reference(0).table, "nodes");
    assert!(matches!(reference(0).on_delete, OnDelete::Cascade));
    assert!(matches!(reference(1).on_delete, OnDelete::SetNull(_)));
    assert_eq!(Node::INDEXES[0].references.unwrap().table, "nodes");
    assert!(matches!(
        Check::INDEXES[0].references.unwrap().on_delete,
        OnDelete::Restrict
    ));
    let names: Vec<_> = Service::CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(names, ["Self::has_port", "is_short"]);
}

#[test]
fn a_schema_is_data() {
    let described = serde_json::to_value(Store::<Catalog>::describe()).unwrap();
    let names: Vec<_> = described["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["checks", "nodes", "services"]);
    let expected = serde_json::json!({
        "name": "services",
        "version": 1,
        "oldest_version": 1,
        "fields": [
            { "name": "node", "type": "String" },
            { "name": "id", "type": "String" },
            { "name": "backup", "type": "Option<String>" },
            { "name": "port", "type": "u16" },
        ],
        "primary_key": ["node", "id"],
        "indexes": [
            {
                "name": "host", "fields": ["node"], "parts": ["node"], "when": null,
                "unique": false, "each": false,
                "references": { "table": "nodes", "on_delete": "cascade" },
            },
            {
                "name": "backup", "fields": ["backup"], "parts": ["sparse(backup)"], "when": null,
                "unique": false, "each": false,
                "references": { "table": "nodes", "on_delete": "set_null" },
            },
        ],
        "checks": ["Self::has_port", "is_short"],
        "local": false, "derived_from": [],
    });
    assert_eq!(described["tables"][2], expected);
    let shown = Store::<Catalog>::describe().tables[2].to_string();
    assert_eq!(
        shown.lines().collect::<Vec<_>>(),
        [
            "table services",
            "  primary key (node, id)",
            "  field node: String",
            "  field id: String",
            "  field backup: Option<String>",
            "  field port: u16",
            "  index host (node) references nodes, cascade",
            "  index backup (sparse(backup)) references nodes, set_null",
            "  check Self::has_port",
            "  check is_short",
        ]
    );
}

#[cfg(feature = "json")]
#[test]
fn a_snapshot_is_read_by_names_and_text() {
    let store = filled();
    commit(&store, |txn| txn.checks_mut().insert(check(20, "b", "db"))).unwrap();
    let snap = store.snapshot();
    let services = snap.untyped("services").unwrap();
    let db = services.get(&["b", "db"]).unwrap().unwrap();
    assert_eq!(
        db.value,
        serde_json::json!({ "node": "b", "id": "db", "backup": "a", "port": 80 })
    );
    assert_eq!(
        (db.create_index, db.modify_index),
        (LogIndex(1), LogIndex(1))
    );
    assert_eq!(services.get(&["b", "web"]).unwrap(), None);
    let unknown = |table: &highwater::untyped::Table<'_>, key: &[&str]| {
        let error = table.get(key).unwrap_err();
        assert!(matches!(
            error,
            highwater::untyped::Error::NoKey { index: None, .. }
        ));
        error.to_string()
    };
    for other in [&["b"][..], &["b", "db", ""], &[]] {
        let error = unknown(&services, other);
        assert!(error.contains("of services.primary key"), "{error}");
    }
    let ids = services.rows().map(|row| row.unwrap().value["id"].clone());
    assert_eq!(ids.collect::<Vec<_>>(), ["web", "db", "dns"]);
    let checks = snap.untyped("checks").unwrap();
    assert_eq!(
        checks.get(&["20"]).unwrap().unwrap().modify_index,
        LogIndex(2)
    );
    assert_eq!(checks.get(&["2"]).unwrap(), None);
    let error = unknown(&checks, &["two"]);
    assert!(error.starts_with(r#"["two"] is no key"#), "{error}");
    assert!(snap.untyped("nobody").is_none());
}

#[test]
fn a_deletion_goes_on_to_those_that_refer_to_the_record() {
    let store = filled();
    let mut txn = store.write().unwrap();
    // With node b go node c on it, their services, and the reference to b.
    let gone = txn.nodes_mut().delete("b").unwrap().unwrap();
    assert_eq!(*gone, node("b", None));
    assert_eq!(txn.nodes().len(), 1);
    let left: Vec<_> = txn
        .services()
        .iter()
        .map(|row| Service::clone(row))
        .collect();
    assert_eq!(left, [service("a", "web", None)]);
    let changes = txn.changes();
    assert_eq!(
        (changes.nodes().count(), changes.services().count()),
        (2, 3)
    );
    txn.commit().unwrap();
    let snap = store.snapshot();
    snap.check().unwrap();
    assert_eq!(
        snap.services().get(("a", "web")).unwrap().modify_index(),
        LogIndex(2)
    );
}

#[test]
fn what_is_referred_to_is_there_at_the_end() {
    let store = filled();
    let error = commit(&store, |txn| {
        txn.services_mut().delete(("a", "web")).map(drop)
    });
    let Err(CommitError::RuleBroken(rule)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        rule.to_string(),
        "table services, record (\"a\", \"web\") is deleted, but record 1 of table checks refers \
         to it by service; delete or change that too"
    );
    // Also where the deletion was another's.
    let error = commit(&store, |txn| txn.nodes_mut().delete("a").map(drop));
    assert!(matches!(
        error,
        Err(CommitError::RuleBroken(WriteError::Referenced { .. }))
    ));
    let error = commit(&store, |txn| txn.checks_mut().insert(check(2, "a", "db")));
    assert_eq!(
        error.unwrap_err().to_string(),
        "table checks, record 2: its service refers to (\"a\", \"db\"), which table services has \
         not; insert that in the same entry, or before"
    );
    // In between it may be otherwise.
    let moved = commit(&store, |txn| {
        txn.services_mut().delete(("a", "web"))?;
        assert!(matches!(
            txn.check_rules(),
            Err(WriteError::Referenced { .. })
        ));
        txn.services_mut().insert(service("a", "new", None))?;
        txn.checks_mut().update(check(1, "a", "new"))?;
        txn.check_rules()
    });
    assert_eq!(moved, Ok(LogIndex(2)));
    store.snapshot().check().unwrap();
}

#[test]
fn checks_are_of_every_record_that_an_entry_leaves() {
    let store = filled();
    let bad = |txn: &mut WriteTxn<Catalog>| {
        txn.services_mut()
            .update_with(("b", "db"), |service| service.port = 0)
            .map(drop)
    };
    let error = commit(&store, bad).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table services, record (\"b\", \"db\") does not meet the check Self::has_port"
    );
    assert_eq!(store.position().index, LogIndex(1));
    let error = commit(&store, |txn| {
        txn.services_mut().insert(service("a", "longer", None))
    });
    assert!(matches!(
        error,
        Err(CommitError::RuleBroken(WriteError::CheckFailed { check, .. })) if check == "is_short"
    ));
    let repaired = commit(&store, |txn| {
        bad(txn)?;
        txn.services_mut()
            .update_with(("b", "db"), |service| service.port = 81)
            .map(drop)
    });
    assert_eq!(repaired, Ok(LogIndex(2)));
    // Each entry of a batch by itself; the one that is refused can be put right.
    let Turn::Apply(mut txn) = store.write_at(LogIndex(10)).unwrap() else {
        panic!("10 is new")
    };
    bad(&mut txn).unwrap();
    let refused = txn.next_entry(LogIndex(11));
    assert!(matches!(refused, Err(CommitError::RuleBroken(_))));
    assert_eq!(txn.index(), LogIndex(10));
    txn.services_mut().delete(("b", "db")).unwrap();
    txn.next_entry(LogIndex(11)).unwrap();
    assert_eq!(txn.commit(), Ok(LogIndex(11)));
}

/// A unique index that taking a reference away can clash in.
mod set_null {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Seat {
        #[primary_key]
        id: u8,
        #[index(sparse, references = Guest, set_null)]
        #[index(unique, name = "held")]
        guest: Option<u8>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Guest {
        #[primary_key]
        id: u8,
        #[index(references = Self, cascade)]
        of: u8,
    }

    #[derive(Schema)]
    struct Party {
        seats: Seat,
        guests: Guest,
    }

    #[test]
    fn a_deletion_that_cannot_be_done_whole_is_not_done() {
        let store = Store::<Party>::new();
        let mut txn = store.write().unwrap();
        for (id, of) in [(1, 1), (2, 1), (3, 3)] {
            txn.guests_mut().insert(Guest { id, of }).unwrap();
        }
        for (id, guest) in [(1, None), (2, Some(2)), (3, Some(3))] {
            txn.seats_mut().insert(Seat { id, guest }).unwrap();
        }
        txn.commit().unwrap();
        let mut txn = store.write().unwrap();
        // Guest 2 goes with guest 1, and seat 2 would be held by nobody, as seat 1 is.
        let error = txn.guests_mut().delete(1).unwrap_err();
        assert!(matches!(error, WriteError::NotUnique { index, .. } if index == "held"));
        assert!(txn.guests_mut().delete_where(|_| true).is_err());
        assert_eq!((txn.guests().len(), txn.changes().guests().count()), (3, 0));
        txn.seats_mut().delete(1).unwrap();
        txn.guests_mut().delete(1).unwrap();
        assert_eq!(
            (
                txn.guests().len(),
                txn.seats().by_held(None::<u8>).unwrap().id
            ),
            (1, 2)
        );
        txn.commit().unwrap();
        store.snapshot().check().unwrap();
    }
}

/// What becomes of those that go with a record anyway is not in the way of the deletion.
mod mixed {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Seat {
        #[primary_key]
        id: u8,
        #[index(sparse, references = Guest, set_null)]
        #[index(unique, name = "held")]
        guest: Option<u8>,
        #[index(sparse, references = Guest, cascade)]
        owner: Option<u8>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Guest {
        #[primary_key]
        id: u8,
        #[index(sparse, references = Self, cascade)]
        of: Option<u8>,
    }

    #[derive(Schema)]
    struct Party {
        seats: Seat,
        guests: Guest,
    }

    /// Seat 1 is held by nobody and goes with guest 2, who is guest 1's; seat 2 is held by guest 1.
    fn party() -> Store<Party> {
        let store = Store::<Party>::new();
        let mut txn = store.write().unwrap();
        for (id, of) in [(1, None), (2, Some(1)), (3, Some(1))] {
            txn.guests_mut().insert(Guest { id, of }).unwrap();
        }
        for (id, guest, owner) in [
            (1, None, Some(2)),
            (2, Some(1), None),
            (3, Some(3), Some(3)),
        ] {
            txn.seats_mut().insert(Seat { id, guest, owner }).unwrap();
        }
        txn.commit().unwrap();
        store
    }

    fn left(store: &Store<Party>) -> Vec<(u8, Option<u8>)> {
        let snap = store.snapshot();
        snap.check().unwrap();
        snap.seats()
            .iter()
            .map(|seat| (seat.id, seat.guest))
            .collect()
    }

    #[test]
    fn what_is_deleted_clashes_with_nothing() {
        let store = party();
        let mut txn = store.write().unwrap();
        txn.guests_mut().delete(1).unwrap().unwrap();
        assert!(txn.guests().is_empty());
        txn.commit().unwrap();
        assert_eq!(left(&store), [(2, None)]);
    }

    #[test]
    fn all_that_a_deletion_finds_is_deleted_together_and_handed_back() {
        let store = party();
        let mut txn = store.write().unwrap();
        let gone = txn.guests_mut().delete_where(|_| true).unwrap();
        let ids: Vec<u8> = gone.iter().map(|guest| guest.id).collect();
        assert_eq!(ids, [1, 2, 3]);
        // Each once, also if a query finds it twice.
        assert_eq!(txn.changes().guests().count(), 3);
        txn.commit().unwrap();
        assert_eq!(left(&store), [(2, None)]);
    }
}

/// A table that is this process's own: what is in it has no say in what is replicated.
mod local {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Node {
        #[primary_key]
        id: u8,
        #[index(sparse, references = Rack)]
        rack: Option<u8>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(check = Self::is_even)]
    struct Rack {
        #[primary_key]
        id: u8,
    }

    impl Rack {
        fn is_even(&self) -> bool {
            self.id.is_multiple_of(2)
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(local)]
    struct Contact {
        #[primary_key]
        #[index(references = Node, cascade)]
        node: u8,
        tries: u8,
    }

    /// Of what is local as well.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(local, check = Self::is_short)]
    struct Line {
        #[primary_key]
        id: u8,
        #[index(references = Contact, cascade)]
        contact: u8,
        text: String,
    }

    impl Line {
        fn is_short(&self) -> bool {
            self.text.len() < 4
        }
    }

    #[derive(Schema)]
    struct Cluster {
        lines: Line,
        contacts: Contact,
        nodes: Node,
        racks: Rack,
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    enum Step {
        Node(u8, Option<u8>),
        Rack(u8),
        Contact(u8),
        Line(u8, u8, String),
        DeleteNode(u8),
        DeleteContact(u8),
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    struct Steps(Vec<Step>);

    impl Command<Cluster> for Steps {
        type Reply = ();
        type Error = WriteError;

        fn apply(self, _: &Context, txn: &mut WriteTxn<Cluster>) -> Result<(), WriteError> {
            self.0.into_iter().try_for_each(|step| match step {
                Step::Node(id, rack) => txn.nodes_mut().upsert(Node { id, rack }).map(drop),
                Step::Rack(id) => txn.racks_mut().upsert(Rack { id }).map(drop),
                Step::Contact(node) => {
                    let contact = Contact { node, tries: 0 };
                    txn.contacts_mut().upsert(contact).map(drop)
                }
                Step::Line(id, contact, text) => {
                    let line = Line { id, contact, text };
                    txn.lines_mut().upsert(line).map(drop)
                }
                Step::DeleteNode(id) => txn.nodes_mut().delete(id).map(drop),
                Step::DeleteContact(node) => txn.contacts_mut().delete(node).map(drop),
            })
        }
    }

    type Applied = Outcome<(), WriteError>;

    fn apply(store: &Store<Cluster>, steps: Vec<Step>) -> Applied {
        let index = LogIndex(store.position().index.0 + 1);
        let proposal = Proposal::new(&Steps(steps), NOW, 0).unwrap();
        let entry = LogEntry::<Steps>::from_proposal(index, proposal);
        let applied = Batch::new(vec![entry]).apply(store);
        assert_eq!(applied.halted, None);
        store.snapshot().check().unwrap();
        applied.outcomes.into_iter().next().unwrap()
    }

    fn image(store: &Store<Cluster>) -> Vec<u8> {
        let mut bytes = Vec::new();
        store.snapshot().write_image(&mut bytes).unwrap();
        bytes
    }

    fn done() -> Applied {
        Outcome::Done(Ok(()))
    }

    /// A replica that has had the log from the beginning, and one that began with an image.
    fn replicas() -> (Store<Cluster>, Store<Cluster>) {
        let old = Store::new();
        let nodes = (1..=4).map(|id| Step::Node(id, None));
        assert_eq!(apply(&old, nodes.collect()), done());
        let steps = vec![
            Step::Contact(1),
            Step::Contact(2),
            Step::Line(1, 1, "a".into()),
            Step::Line(2, 2, "b".into()),
        ];
        assert_eq!(apply(&old, steps), done());
        let new = Store::<Cluster>::from_image(&image(&old)[..]).unwrap();
        assert!(new.snapshot().contacts().is_empty());
        (old, new)
    }

    fn contacts(store: &Store<Cluster>) -> (Vec<u8>, Vec<u8>) {
        let snap = store.snapshot();
        let nodes = snap.contacts().iter().map(|contact| contact.node);
        let lines = snap.lines().iter().map(|line| line.id);
        (nodes.collect(), lines.collect())
    }

    #[test]
    fn replicas_agree_whatever_it_has() {
        let odd = || Step::Rack(1);
        let long = || Step::Line(9, 1, "long".into());
        let cases = [
            vec![Step::DeleteNode(1)],
            // A record that refers to one that is gone, or never was, is no reason to refuse.
            vec![Step::DeleteNode(2), Step::Contact(2)],
            vec![Step::Contact(77)],
            vec![Step::Line(3, 1, "c".into())],
            vec![Step::DeleteContact(1), Step::Line(1, 1, "a".into())],
            // What is told of an entry that breaks several rules.
            vec![Step::DeleteNode(3), odd(), Step::Contact(3), long()],
            vec![Step::DeleteNode(1), odd(), long()],
            vec![long(), Step::Node(5, Some(9)), odd()],
            vec![
                Step::DeleteContact(2),
                odd(),
                Step::Node(5, Some(9)),
                long(),
            ],
        ];
        for steps in cases {
            let (old, new) = replicas();
            let (one, other) = (apply(&old, steps.clone()), apply(&new, steps.clone()));
            assert_eq!(one, other, "{steps:?}");
            let broken = steps.iter().any(|step| matches!(step, Step::Rack(_)));
            assert_eq!(one != done(), broken, "{steps:?}");
            assert_eq!(image(&old), image(&new), "{steps:?}");
        }
    }

    #[test]
    fn it_goes_with_what_it_refers_to() {
        let (old, _) = replicas();
        assert_eq!(apply(&old, vec![Step::DeleteNode(1)]), done());
        assert_eq!(contacts(&old), (vec![2], vec![2]));
    }

    #[test]
    fn a_restore_takes_what_refers_to_nothing() {
        let (old, new) = replicas();
        assert_eq!(apply(&new, vec![Step::DeleteNode(1)]), done());
        assert_eq!(apply(&new, vec![Step::DeleteNode(4)]), done());
        let (_, watch) = old.watch(|db| db.lines().contains(1));
        old.restore(&image(&new)[..]).unwrap();
        assert!(watch.has_fired());
        assert_eq!(contacts(&old), (vec![2], vec![2]));
        let snap = old.snapshot();
        snap.check().unwrap();
        // What stays is as it was; what changed, changed at the position that was restored.
        assert_eq!(snap.contacts().get(2).unwrap().modify_index(), LogIndex(2));
        let answer = old.watch(|db| db.lines().contains(1)).0;
        assert_eq!((answer.value, answer.index), (false, LogIndex(4)));
    }
}

/// Two record types of one name, of which a schema has the one that others do not mean.
mod namesakes {
    use super::*;
    use highwater::TableWriter;

    mod other {
        use super::*;

        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
        pub(super) struct Node {
            #[primary_key]
            pub id: u8,
        }
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Node {
        #[primary_key]
        id: String,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    struct Disk {
        #[primary_key]
        #[index(references = other::Node)]
        node: u8,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(derived_from = other::Node, by = Place::node)]
    struct Place {
        #[primary_key]
        node: u8,
    }

    impl Place {
        fn node(
            before: Option<&other::Node>,
            after: Option<&other::Node>,
            places: &mut TableWriter<'_, Place>,
        ) -> Result<(), WriteError> {
            if let Some(node) = before {
                places.delete(node.id)?;
            }
            if let Some(node) = after {
                places.upsert(Place { node: node.id })?;
            }
            Ok(())
        }
    }

    #[derive(Schema)]
    struct Disks {
        nodes: Node,
        disks: Disk,
    }

    #[derive(Schema)]
    struct Places {
        nodes: Node,
        places: Place,
    }

    #[derive(Schema)]
    struct Meant {
        nodes: other::Node,
        places: Place,
        disks: Disk,
    }

    #[test]
    #[should_panic(
        expected = "table disk refers to a table node of other records than the schema's"
    )]
    fn a_reference_is_to_the_records_it_names() {
        drop(Store::<Disks>::new());
    }

    #[test]
    #[should_panic(
        expected = "table place is derived from a table node of other records than the schema's"
    )]
    fn a_derived_table_is_of_the_records_it_names() {
        drop(Store::<Places>::new());
    }

    #[test]
    fn those_that_are_meant_do() {
        let store = Store::<Meant>::new();
        let mut txn = store.write().unwrap();
        txn.nodes_mut().insert(other::Node { id: 1 }).unwrap();
        txn.disks_mut().insert(Disk { node: 1 }).unwrap();
        txn.commit().unwrap();
        assert!(store.snapshot().places().contains(1));
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Op {
    PutNode(String, Option<String>),
    PutService(String, String, Option<String>, u16),
    PutCheck(u8, String, String),
    DeleteNode(String),
    DeleteNodes(String),
    DeleteService(String, String),
    DeleteCheck(u8),
    Undone(Box<Op>),
}

/// All ops, as one entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ops(Vec<Op>);

impl Op {
    fn run(&self, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
        match self {
            Op::PutNode(name, on) => txn.nodes_mut().upsert(node(name, on.as_deref())).map(drop),
            Op::PutService(node, id, backup, port) => txn
                .services_mut()
                .upsert(Service {
                    port: *port,
                    ..service(node, id, backup.as_deref())
                })
                .map(drop),
            Op::PutCheck(id, node, service) => {
                txn.checks_mut().upsert(check(*id, node, service)).map(drop)
            }
            Op::DeleteNode(name) => txn.nodes_mut().delete(name).map(drop),
            Op::DeleteNodes(prefix) => txn.nodes_mut().delete_prefix(prefix).map(drop),
            Op::DeleteService(node, id) => txn.services_mut().delete((node, id)).map(drop),
            Op::DeleteCheck(id) => txn.checks_mut().delete(*id).map(drop),
            Op::Undone(op) => {
                let savepoint = txn.savepoint();
                op.run(txn)?;
                txn.rollback_to(savepoint);
                Ok(())
            }
        }
    }
}

impl Command<Catalog> for Ops {
    type Reply = ();
    type Error = WriteError;

    fn apply(self, _: &Context, txn: &mut WriteTxn<Catalog>) -> Result<(), WriteError> {
        self.0.iter().try_for_each(|op| op.run(txn))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    nodes: BTreeMap<String, Option<String>>,
    services: BTreeMap<(String, String), (Option<String>, u16)>,
    checks: BTreeMap<u8, (String, String)>,
}

impl Model {
    fn of(db: &CatalogView) -> Self {
        Model {
            nodes: db
                .nodes()
                .iter()
                .map(|row| (row.name.clone(), row.on.clone()))
                .collect(),
            services: db
                .services()
                .iter()
                .map(|row| {
                    (
                        (row.node.clone(), row.id.clone()),
                        (row.backup.clone(), row.port),
                    )
                })
                .collect(),
            checks: db
                .checks()
                .iter()
                .map(|row| (row.id, (row.node.clone(), row.service.clone())))
                .collect(),
        }
    }

    fn run(&mut self, op: &Op) {
        match op.clone() {
            Op::PutNode(name, on) => drop(self.nodes.insert(name, on)),
            Op::PutService(node, id, backup, port) => {
                self.services.insert((node, id), (backup, port));
            }
            Op::PutCheck(id, node, service) => drop(self.checks.insert(id, (node, service))),
            Op::DeleteNode(name) => self.delete_node(&name),
            Op::DeleteNodes(prefix) => {
                let names: Vec<_> = self.nodes.keys().cloned().collect();
                for name in names.iter().filter(|name| name.starts_with(&prefix)) {
                    self.delete_node(name);
                }
            }
            Op::DeleteService(node, id) => drop(self.services.remove(&(node, id))),
            Op::DeleteCheck(id) => drop(self.checks.remove(&id)),
            Op::Undone(_) => {}
        }
    }

    fn delete_node(&mut self, name: &str) {
        if self.nodes.remove(name).is_none() {
            return;
        }
        self.services.retain(|(node, _), _| node != name);
        for (backup, _) in self.services.values_mut() {
            backup.take_if(|backup| backup == name);
        }
        let on_it = self
            .nodes
            .iter()
            .filter(|(_, on)| on.as_deref() == Some(name));
        let on_it: Vec<_> = on_it.map(|(name, _)| name.clone()).collect();
        for name in on_it {
            self.delete_node(&name);
        }
    }

    fn is_whole(&self) -> bool {
        let there = |name: &Option<String>| {
            name.as_ref()
                .is_none_or(|name| self.nodes.contains_key(name))
        };
        self.nodes.values().all(there)
            && self.services.iter().all(|((node, id), (backup, port))| {
                self.nodes.contains_key(node) && there(backup) && *port > 0 && id.len() < 5
            })
            && self
                .checks
                .values()
                .all(|service| self.services.contains_key(service))
    }
}

fn ops() -> impl Strategy<Value = Ops> {
    let name = || "[ab]{1,2}";
    let optional = || proptest::option::of("[ab]{1,2}");
    let id = || "[xy]";
    let op = prop_oneof![
        4 => (name(), optional()).prop_map(|(name, on)| Op::PutNode(name, on)),
        4 => (name(), id(), optional(), prop_oneof![9 => Just(1_u16), 1 => Just(0)])
            .prop_map(|(node, id, backup, port)| Op::PutService(node, id, backup, port)),
        2 => (0..3_u8, name(), id()).prop_map(|(id, node, service)| Op::PutCheck(id, node, service)),
        2 => name().prop_map(Op::DeleteNode),
        1 => "[ab]".prop_map(Op::DeleteNodes),
        1 => (name(), id()).prop_map(|(node, id)| Op::DeleteService(node, id)),
        2 => (0..3_u8).prop_map(Op::DeleteCheck),
    ];
    let op = op.prop_flat_map(
        |op| prop_oneof![9 => Just(op.clone()), 1 => Just(Op::Undone(Box::new(op)))],
    );
    // All nodes there are first, often: so that many an entry leaves all whole.
    let all = ["a", "b", "aa", "ab", "ba", "bb"].map(|name| Op::PutNode(name.into(), None));
    (any::<bool>(), vec(op, 1..6)).prop_map(move |(fill, ops)| {
        let first = if fill { all.to_vec() } else { Vec::new() };
        Ops(first.into_iter().chain(ops).collect())
    })
}

proptest! {
    /// Entry by entry, as transactions and as a batch of commands.
    #[test]
    fn a_store_is_whole_after_every_entry(entries in vec(ops(), 1..12)) {
        let (store, batched) = (Store::<Catalog>::new(), Store::<Catalog>::new());
        let mut model = Model::default();
        let mut outcomes = Vec::new();
        for ops in &entries {
            let mut after = model.clone();
            ops.0.iter().for_each(|op| after.run(op));
            let mut txn = store.write().unwrap();
            for op in &ops.0 {
                op.run(&mut txn).unwrap();
            }
            prop_assert_eq!(Model::of(&txn), after.clone());
            prop_assert_eq!(txn.check_rules().is_ok(), after.is_whole());
            match txn.commit() {
                Ok(_) => {
                    prop_assert!(after.is_whole());
                    model = after;
                    outcomes.push(Outcome::Done(Ok(())));
                }
                Err(CommitError::RuleBroken(rule)) => {
                    prop_assert!(!after.is_whole());
                    outcomes.push(Outcome::Done(Err(rule)));
                }
                Err(error) => panic!("{error}"),
            }
            let snap = store.snapshot();
            prop_assert_eq!(Model::of(&snap), model.clone());
            snap.check().unwrap();
        }
        let entry = |(ops, n): (&Ops, u64)| {
            LogEntry::from_proposal(LogIndex(n), Proposal::new(ops, NOW, 0).unwrap())
        };
        let batch: Vec<LogEntry<Ops>> = entries.iter().zip(1..).map(entry).collect();
        let applied = Batch::new(batch).apply(&batched);
        prop_assert_eq!(applied.halted, None);
        prop_assert_eq!(applied.outcomes, outcomes);
        prop_assert_eq!(Model::of(&batched.snapshot()), model);
        batched.snapshot().check().unwrap();
    }
}

#[test]
fn a_command_that_breaks_a_rule_is_told_so_again() {
    let store = Store::<Catalog>::new();
    let apply = |index: u64, proposal| {
        let entry = LogEntry::<Ops>::from_proposal(LogIndex(index), proposal);
        let applied = Batch::new(vec![entry]).apply(&store);
        assert_eq!(applied.halted, None);
        applied.outcomes.into_iter().next().unwrap()
    };
    apply(1, Proposal::open_session(SessionOptions::default(), NOW));
    let request = RequestId {
        session: SessionId(1),
        sequence: 1,
        answered: 0,
    };
    let ops = Ops(vec![Op::PutCheck(1, "a".into(), "x".into())]);
    let send = |index| apply(index, Proposal::in_session(request, &ops, NOW, 0).unwrap());
    let first = send(2);
    let Outcome::Done(Err(rule @ WriteError::NoTarget { .. })) = first else {
        panic!("{first:?}");
    };
    // By now it would do; but it was answered.
    let all = Ops(vec![
        Op::PutNode("a".into(), None),
        Op::PutService("a".into(), "x".into(), None, 1),
    ]);
    assert_eq!(
        apply(3, Proposal::new(&all, NOW, 0).unwrap()),
        Outcome::Done(Ok(()))
    );
    let again = Outcome::Repeated {
        index: LogIndex(2),
        result: Err(rule),
    };
    assert_eq!(send(4), again);
    assert!(store.snapshot().checks().is_empty());
}
