//! References between tables and checks of records: what a deletion does, what the end of an entry
//! refuses, and a model of both.

mod by_hand;
mod local;
mod mixed;
mod namesakes;
mod set_null;

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
fn who_still_refers_is_found_without_a_list_of_all_who_do() {
    let allocated = |checks: u8| {
        let store = filled();
        let referring = (2..checks).map(|id| check(id, "a", "web"));
        let inserted = commit(&store, |txn| txn.checks_mut().insert_all(referring));
        inserted.unwrap();
        let mut txn = store.write().unwrap();
        txn.services_mut().delete(("a", "web")).unwrap();
        let mut refused = Ok(());
        let measured = allocation_counter::measure(|| refused = txn.check_rules());
        assert!(
            matches!(&refused, Err(WriteError::Referenced { holder, .. }) if holder.to_string() == "1"),
            "{refused:?}"
        );
        (measured.count_total, measured.bytes_total)
    };
    assert_eq!(allocated(2), allocated(200));
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
    let opened = apply(1, Proposal::open_session(SessionOptions::default(), NOW));
    assert_eq!(opened, Outcome::Session(SessionId(1)));
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
