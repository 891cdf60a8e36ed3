//! A table that is this process's own: what is in it has no say in what is replicated.

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
