//! Look-ups of the keys that are prefixes of a text or an address, and of the networks within one.

use highwater::{Row, Schema, Store, Table};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
struct Rule {
    #[primary_key]
    path: String,
    #[index]
    scope: Vec<u8>,
    #[index(caseless)]
    name: String,
}

#[derive(Schema)]
struct Acl {
    rules: Rule,
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => proptest::string::string_regex("[aB\0]{0,6}").unwrap(),
        1 => (100..300_usize).prop_map(|len| "a".repeat(len)),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let scope = prop::collection::vec(prop::sample::select(vec![0, 1, 0xFF]), 0..4);
    (path(), scope, path()).prop_map(|(path, scope, name)| Rule { path, scope, name })
}

type Found = [Vec<String>; 3];

fn paths<'a>(rows: impl Iterator<Item = &'a Row<Rule>>) -> Vec<String> {
    rows.map(|rule| rule.path.clone()).collect()
}

fn find(db: &AclView, text: &str, scope: &[u8]) -> Found {
    let rules = db.rules();
    [
        paths(rules.prefixes_of(text)),
        paths(rules.scope_index().prefixes_of(scope)),
        paths(rules.name_index().prefixes_of(text)),
    ]
}

fn model(rules: &[Rule], text: &str, scope: &[u8]) -> Found {
    let sorted = |keep: &dyn Fn(&Rule) -> bool, len: &dyn Fn(&Rule) -> usize| {
        let mut kept: Vec<&Rule> = rules.iter().filter(|rule| keep(rule)).collect();
        kept.sort_by_key(|rule| (len(rule), rule.path.clone()));
        kept.iter().map(|rule| rule.path.clone()).collect()
    };
    let lower = text.to_lowercase();
    let name = |rule: &Rule| rule.name.to_lowercase();
    [
        sorted(&|rule| text.starts_with(&rule.path), &|rule| {
            rule.path.len()
        }),
        sorted(&|rule| scope.starts_with(&rule.scope), &|rule| {
            rule.scope.len()
        }),
        sorted(&|rule| lower.starts_with(&name(rule)), &|rule| {
            rule.name.len()
        }),
    ]
}

proptest! {
    #[test]
    fn prefixes_are_those_that_a_text_begins_with(
        rules in prop::collection::btree_map(path(), rule(), 0..25),
        later in rule(),
        text in path(),
        scope in prop::collection::vec(prop::sample::select(vec![0, 1, 0xFF]), 0..6),
    ) {
        let mut rules: Vec<Rule> =
            rules.into_iter().map(|(path, rule)| Rule { path, ..rule }).collect();
        let store = Store::<Acl>::new();
        let mut txn = store.write().unwrap();
        for rule in &rules {
            txn.rules_mut().insert(rule.clone()).unwrap();
        }
        let expected = model(&rules, &text, &scope);
        prop_assert_eq!(&find(&txn, &text, &scope), &expected);
        txn.commit().unwrap();
        let snap = store.snapshot();
        let mut nearest = paths(snap.rules().prefixes_of(&text).rev());
        prop_assert_eq!(
            snap.rules().longest_prefix(&text).map(|rule| &rule.path),
            nearest.first()
        );
        nearest.reverse();
        prop_assert_eq!(&nearest, &expected[0]);
        let scopes = snap.rules().scope_index().prefixes_of(&scope[..]);
        prop_assert!(scopes.clone().rev().eq(scopes.collect::<Vec<_>>().into_iter().rev()));

        // A tracked reader finds the same, and is told of what comes to be a prefix.
        let (answer, watch) = store.watch(|db| find(db, &text, &scope));
        prop_assert_eq!(&answer.value, &expected);
        rules.retain(|rule| rule.path != later.path);
        rules.push(later.clone());
        let mut txn = store.write().unwrap();
        txn.rules_mut().upsert(later).unwrap();
        txn.commit().unwrap();
        let now = model(&rules, &text, &scope);
        prop_assert_eq!(&find(&store.snapshot(), &text, &scope), &now);
        prop_assert!(watch.has_fired() || now == expected);
    }
}

#[test]
fn what_is_beside_the_prefixes_is_not_read() {
    let store = Store::<Acl>::new();
    let put = |path: &str| {
        let mut txn = store.write().unwrap();
        let (scope, name) = (Vec::new(), String::new());
        txn.rules_mut()
            .upsert(Rule {
                path: path.to_owned(),
                scope,
                name,
            })
            .unwrap();
        txn.commit().unwrap();
    };
    put("/a");
    let (answer, watch) = store.watch(|db| db.rules().prefixes_of("/a/b").count());
    assert_eq!(answer.value, 1);
    put("/b");
    put("/a/c");
    put("/a/b/c");
    assert!(!watch.has_fired());
    put("/");
    assert!(watch.has_fired());
}

/// A text as long as a client may send: what is longer than any key is passed over.
#[test]
fn a_text_of_any_length_has_prefixes() {
    let store = Store::<Acl>::new();
    let mut txn = store.write().unwrap();
    let (scope, name) = (b"a".repeat(1000), String::new());
    let path = "/a".to_owned();
    txn.rules_mut().insert(Rule { path, scope, name }).unwrap();
    txn.commit().unwrap();
    let text = "a".repeat(4 << 20);
    let found = |db: &AclView| {
        db.rules()
            .scope_index()
            .prefixes_of(text.as_bytes())
            .count()
    };
    assert_eq!(
        (found(&store.snapshot()), store.watch(found).0.value),
        (1, 1)
    );
}

#[cfg(feature = "ipnet")]
mod networks {
    use super::*;
    use highwater::key::Within;
    use ipnet::{IpNet, Ipv4Net};
    use std::net::IpAddr;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[index(by_zone_net(zone, net))]
    struct Route {
        #[primary_key]
        net: IpNet,
        #[index]
        via: Ipv4Net,
        zone: u8,
    }

    #[derive(Schema)]
    struct Routing {
        routes: Route,
    }

    fn nets<'a>(rows: impl Iterator<Item = &'a Row<Route>>) -> Vec<String> {
        rows.map(|route| route.net.to_string()).collect()
    }

    #[test]
    fn networks_around_an_address_and_within_a_network() {
        let store = Store::<Routing>::new();
        let mut txn = store.write().unwrap();
        for net in [
            "0.0.0.0/0",
            "10.0.0.0/7",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "10.255.255.255/32",
            "11.0.0.0/8",
            "::/0",
            "fd00::/8",
            "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
        ] {
            let net: IpNet = net.parse().unwrap();
            let via = match net {
                IpNet::V4(v4) => v4,
                IpNet::V6(_) => "192.0.2.0/24".parse().unwrap(),
            };
            txn.routes_mut()
                .insert(Route { net, via, zone: 1 })
                .unwrap();
        }
        txn.commit().unwrap();
        let around = |address: &str| {
            let address: IpAddr = address.parse().unwrap();
            let found = |db: &RoutingView| nets(db.routes().prefixes_of(address));
            let (answer, _) = store.watch(found);
            assert_eq!(found(&store.snapshot()), answer.value);
            answer.value
        };
        assert_eq!(
            around("10.1.2.3"),
            [
                "0.0.0.0/0",
                "10.0.0.0/7",
                "10.0.0.0/8",
                "10.1.0.0/16",
                "10.1.2.3/32"
            ]
        );
        assert_eq!(
            around("11.0.0.1"),
            ["0.0.0.0/0", "10.0.0.0/7", "11.0.0.0/8"]
        );
        assert_eq!(around("fd00::1"), ["::/0", "fd00::/8"]);
        let snap = store.snapshot();
        let routes = snap.routes();
        let within = |net: &str| {
            let within = Within::<IpNet>(net.parse().unwrap());
            let found = nets(routes.range(within));
            assert_eq!(
                nets(routes.zone_net_index().leading_range(1, within)),
                found
            );
            found
        };
        assert_eq!(
            within("10.0.0.0/8"),
            [
                "10.0.0.0/8",
                "10.1.0.0/16",
                "10.1.2.3/32",
                "10.255.255.255/32"
            ]
        );
        assert_eq!(within("10.1.9.9/16"), ["10.1.0.0/16", "10.1.2.3/32"]);
        assert_eq!(within("10.1.2.3/32"), ["10.1.2.3/32"]);
        assert_eq!(within("0.0.0.0/0").len(), 7);
        assert_eq!(within("::/0").len(), 3);
        assert_eq!(within("fd00::/8").len(), 2);
        let via = routes.via_index();
        let v4 = Within::<Ipv4Net>("10.0.0.0/7".parse().unwrap());
        assert_eq!(via.range(v4).count(), 6);
        assert_eq!(
            via.range(Within::<Ipv4Net>("192.0.2.0/23".parse().unwrap()))
                .count(),
            3
        );
    }
}

#[cfg(feature = "uuid")]
mod ids {
    //! Ids by their first digits.

    use highwater::key::UuidPrefix;
    use highwater::{Key, Rows, Schema, Store, Table};
    use serde::{Deserialize, Serialize};
    use uuid::Uuid;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Key)]
    struct Owner(Uuid);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[index(by_zone_id(zone, id))]
    struct Task {
        #[primary_key]
        id: Uuid,
        #[primary_key]
        zone: String,
        #[index]
        owner: Owner,
        #[index(sparse)]
        parent: Option<Uuid>,
    }

    #[derive(Schema)]
    struct Tasks {
        tasks: Task,
    }

    fn found(rows: Rows<'_, Task>) -> Vec<(Uuid, &str)> {
        rows.map(|task| (task.id, &*task.zone)).collect()
    }

    #[test]
    fn every_key_that_begins_with_an_id_is_found_by_its_digits() {
        let store = Store::<Tasks>::new();
        let mut txn = store.write().unwrap();
        let ids = [
            "4f1a0000-0000-4000-8000-000000000000",
            "4f1b0000-0000-4000-8000-000000000000",
        ];
        let [a, b] = ids.map(|id| id.parse::<Uuid>().unwrap());
        for (id, zone) in [
            (a, "x"),
            (a, "y"),
            (b, "x"),
            (Uuid::max(), "x"),
            (Uuid::nil(), "x"),
        ] {
            let task = Task {
                id,
                zone: zone.into(),
                owner: Owner(id),
                parent: Some(id),
            };
            txn.tasks_mut().insert(task).unwrap();
        }
        let tasks = txn.tasks();
        let all = [(a, "x"), (a, "y"), (b, "x")];
        for (text, expected) in [
            ("4f1", &all[..]),
            ("4f1a", &all[..2]),
            ("4f1B", &all[2..]),
            ("5", &[]),
        ] {
            let prefix: UuidPrefix = text.parse().unwrap();
            assert_eq!(found(tasks.range(prefix)), expected);
            assert_eq!(found(tasks.owner_index().range(prefix)), expected);
            assert_eq!(found(tasks.parent_index().range(prefix)), expected);
            let in_x: Vec<_> = expected
                .iter()
                .copied()
                .filter(|(_, zone)| *zone == "x")
                .collect();
            assert_eq!(
                found(tasks.zone_id_index().leading_range("x", prefix)),
                in_x
            );
            assert_eq!(tasks.matching(prefix).count(), expected.len());
        }
        let every: UuidPrefix = "".parse().unwrap();
        assert_eq!(tasks.range(every).count(), 5);
        let last: UuidPrefix = "ffffffff-ffff-ffff-ffff-ffffffffffff".parse().unwrap();
        assert_eq!(found(tasks.range(last)), [(Uuid::max(), "x")]);
    }
}
