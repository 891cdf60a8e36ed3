//! What is looked up has the type of the index's fields.
use highwater::{Key, Schema, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Key)]
enum Id {
    First,
    Other(u64),
}

#[derive(PartialEq, Serialize, Deserialize, Key)]
enum Kind {
    Web,
    Database,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_kind_owner(kind, owner))]
struct Service {
    #[primary_key]
    id: Id,
    #[index]
    kind: Kind,
    #[index(unique)]
    owner: Id,
    #[index(each)]
    kinds: Vec<Kind>,
}

#[derive(Schema)]
struct Catalog {
    services: Service,
}

fn main() {
    let snap = Store::<Catalog>::new().snapshot();
    let services = snap.services();
    let _ = services.get(Kind::Web);
    let _ = services.by_kind(Id::First);
    let _ = services.by_owner(&Kind::Web);
    let _ = services.by_kinds(Id::Other(1));
    let _ = services.by_kind_owner((Id::First, Kind::Web));
    let _ = services.kind_owner_index().get(Kind::Web);
    let _ = services.owner_index().range(Kind::Web..);
}
