//! Sessions from their beginning to their end.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Catalog, Reply};

fn create(catalog: &Catalog, body: &Value) -> String {
    let created = catalog.put_json("/v1/session/create", body).ok().json();
    created["ID"].as_str().unwrap().to_owned()
}

fn info(catalog: &Catalog, id: &str) -> Reply {
    catalog.get(&format!("/v1/session/info/{id}")).ok()
}

fn lives(catalog: &Catalog, id: &str) -> bool {
    info(catalog, id).json() != json!([])
}

#[test]
fn what_a_session_is() {
    let catalog = Catalog::in_memory();
    let me = catalog.get("/v1/agent/self").json()["Config"]["NodeName"].clone();
    let created = catalog.put("/v1/session/create", "").ok();
    let index = created.index();
    let id = created.json()["ID"].as_str().unwrap().to_owned();
    let shown = json!([{
        "ID": id, "Name": "", "Node": me, "LockDelay": 15_000_000_000_u64, "Behavior": "release",
        "TTL": "", "NodeChecks": ["serfHealth"], "ServiceChecks": [],
        "CreateIndex": index, "ModifyIndex": index,
    }]);
    assert_eq!(info(&catalog, &id).json(), shown);
    assert_eq!(info(&catalog, &id).index(), index);

    let service = json!({ "Name": "web", "Check": { "TTL": "1h", "Status": "passing" } });
    catalog
        .put_json("/v1/agent/service/register", &service)
        .ok();
    let body = json!({
        "Name": "mine", "LockDelay": "5s", "Behavior": "delete", "TTL": "1m30s",
        "NodeChecks": ["serfHealth"], "ServiceChecks": [{ "ID": "service:web", "Namespace": "" }],
    });
    let mine = create(&catalog, &body);
    let known = info(&catalog, &mine).json();
    assert_eq!(known[0]["ServiceChecks"][0]["ID"], "service:web");
    for (field, value) in [
        ("Name", json!("mine")),
        ("LockDelay", json!(5_000_000_000_u64)),
        ("Behavior", json!("delete")),
        ("TTL", json!("1m30s")),
    ] {
        assert_eq!(known[0][field], value);
    }
    let old = create(&catalog, &json!({ "Checks": [], "LockDelay": 7 }));
    let known = info(&catalog, &old).json();
    assert_eq!(known[0]["NodeChecks"], json!([]));
    assert_eq!(known[0]["LockDelay"], 7_000_000_000_u64);

    let ids = |path: &str| {
        let list = catalog.get(path).ok().json();
        let ids = list.as_array().unwrap().iter();
        let mut ids: Vec<_> = ids
            .map(|one| one["ID"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let mut all = vec![id, mine, old];
    all.sort();
    assert_eq!(ids("/v1/session/list"), all);
    let me = me.as_str().unwrap();
    assert_eq!(ids(&format!("/v1/session/node/{me}")), all);
    assert!(ids("/v1/session/node/none").is_empty());
    for id in &all {
        let destroyed = catalog.put(&format!("/v1/session/destroy/{id}"), "").ok();
        assert_eq!(destroyed.text, "true");
    }
    assert!(ids("/v1/session/list").is_empty());
    // What is gone already is what was asked for.
    catalog
        .put(&format!("/v1/session/destroy/{}", all[0]), "")
        .ok();
    assert!(!lives(&catalog, &all[0]));
}

#[test]
fn what_cannot_be_one() {
    let catalog = Catalog::in_memory();
    for (body, status, text) in [
        (json!({ "TTL": "9s" }), 400, "must be between [10s=24h0m0s]"),
        (json!({ "TTL": "25h" }), 400, "must be between"),
        (json!({ "TTL": "soon" }), 400, "decode"),
        (json!({ "Behavior": "keep" }), 400, "decode"),
        (json!({ "Node": "none" }), 500, "Missing node registration"),
        (
            json!({ "NodeChecks": ["none"] }),
            500,
            "Missing check registration",
        ),
    ] {
        catalog
            .put_json("/v1/session/create", &body)
            .refused(status, text);
    }
    let check = json!({ "Name": "ill", "TTL": "1h" });
    catalog.put_json("/v1/agent/check/register", &check).ok();
    catalog
        .put_json("/v1/session/create", &json!({ "Checks": ["ill"] }))
        .refused(500, "critical state");
    let unknown = "8f9c7a54-0000-4000-8000-000000000000";
    catalog
        .put(&format!("/v1/session/renew/{unknown}"), "")
        .refused(404, "not found");
    catalog
        .get("/v1/session/info/no-uuid")
        .refused(400, "invalid session \"no-uuid\": expected the UUID");
    assert_eq!(catalog.get("/v1/session/list").json(), json!([]));
}

/// Ends of sessions that are nobody's wish.
#[test]
fn it_ends_with_what_it_depends_on() {
    let catalog = Catalog::in_memory();
    let node = json!({
        "Node": "n1", "Address": "10.0.0.9", "Service": { "Service": "db" },
        "Checks": [
            { "CheckID": "alive", "Name": "alive", "Status": "passing" },
            { "CheckID": "db", "Name": "db", "ServiceID": "db", "Status": "passing" },
        ],
    });
    let register = || catalog.put_json("/v1/catalog/register", &node).ok();
    let leave = |what: Value| {
        let mut body = json!({ "Node": "n1" });
        body.as_object_mut()
            .unwrap()
            .extend(what.as_object().unwrap().clone());
        catalog.put_json("/v1/catalog/deregister", &body).ok();
    };
    let critical = |id: &str, service: &str| {
        let check = json!({
            "Node": "n1", "Address": "10.0.0.9",
            "Check": { "CheckID": id, "Name": id, "ServiceID": service, "Status": "critical" },
        });
        catalog.put_json("/v1/catalog/register", &check).ok();
    };
    let ends: [(&str, &dyn Fn()); 6] = [
        ("its node leaves", &|| leave(json!({}))),
        ("a check of its node leaves", &|| {
            leave(json!({ "CheckID": "alive" }));
        }),
        ("a check of a service leaves", &|| {
            leave(json!({ "CheckID": "db" }));
        }),
        ("a service leaves with its check", &|| {
            leave(json!({ "ServiceID": "db" }));
        }),
        ("a check of its node is critical", &|| critical("alive", "")),
        ("a check of a service is critical", &|| critical("db", "db")),
    ];
    for (number, (what, ends)) in ends.iter().enumerate() {
        register();
        let others = create(&catalog, &json!({ "LockDelay": "0s" }));
        let body = json!({
            "Node": "n1", "LockDelay": "0s", "NodeChecks": ["alive"], "ServiceChecks": [{ "ID": "db" }],
        });
        let id = create(&catalog, &body);
        let key = format!("/v1/kv/key-{number}");
        catalog.put(&format!("{key}?acquire={id}"), "x").ok();
        let index = info(&catalog, &id).index();
        let client = catalog.client();
        let path = format!("/v1/session/info/{id}?index={index}&wait=60s");
        let waiting = thread::spawn(move || client.get(&path));
        ends();
        assert_eq!(waiting.join().unwrap().json(), json!([]), "{what}");
        assert_eq!(catalog.get(&key).json()[0].get("Session"), None, "{what}");
        assert!(lives(&catalog, &others), "{what}");
        let taken = catalog.put(&format!("{key}?acquire={others}"), "y").ok();
        assert_eq!(taken.text, "true", "{what}");
    }
}

#[test]
fn a_check_of_the_agent_that_nobody_reports_on_ends_it() {
    let catalog = Catalog::in_memory();
    let check = json!({ "Name": "beat", "TTL": "500ms", "Status": "passing" });
    catalog.put_json("/v1/agent/check/register", &check).ok();
    let id = create(&catalog, &json!({ "Checks": ["beat"] }));
    let index = info(&catalog, &id).index();
    let ended = catalog.get(&format!("/v1/session/info/{id}?index={index}&wait=60s"));
    assert_eq!(ended.json(), json!([]));
    assert_eq!(
        catalog.get("/v1/agent/checks").json()["beat"]["Status"],
        "critical"
    );
}

#[test]
fn it_ends_when_it_is_not_renewed() {
    const TTL: Duration = Duration::from_secs(1);
    let listen = ["--listen", "127.0.0.1:0", "--memory"];
    let least = ["--session-ttl-min", "1s"];
    let catalog = Catalog::run(Catalog::program().args(listen).args(least));
    let began = Instant::now();
    let body = json!({ "TTL": "1s", "LockDelay": "0s" });
    let (kept, left) = (create(&catalog, &body), create(&catalog, &body));
    let forever = create(&catalog, &json!({}));
    catalog.put(&format!("/v1/kv/l?acquire={left}"), "x").ok();
    let before = info(&catalog, &kept);
    let renew = || catalog.put(&format!("/v1/session/renew/{kept}"), "");
    // Who waits for its key hears of its end.
    let index = catalog.get("/v1/kv/l").index();
    let path = format!("/v1/kv/l?index={index}&wait=60s");
    let free = thread::scope(|scope| {
        let waiting = scope.spawn(|| catalog.client().get(&path));
        let mut renewed = began;
        while !waiting.is_finished() || began.elapsed() < 4 * TTL {
            let reply = renew();
            if reply.status == 404 {
                // This machine was too slow to renew it in time.
                assert!(renewed.elapsed() >= TTL, "{:?}", renewed.elapsed());
                break;
            }
            assert_eq!(reply.ok().json()[0]["ID"], kept);
            // Renewed, it is as it was: nobody who waits for it to change is woken.
            let after = info(&catalog, &kept);
            if after.json() != json!([]) {
                assert_eq!(after.json(), before.json());
                assert_eq!(after.index(), before.index());
            }
            renewed = Instant::now();
            thread::sleep(TTL / 10);
        }
        waiting.join().unwrap()
    });
    assert_eq!(free.json()[0].get("Session"), None);
    assert!(began.elapsed() >= TTL, "{:?}", began.elapsed());
    assert!(!lives(&catalog, &left));
    let index = before.index();
    let ended = catalog.get(&format!("/v1/session/info/{kept}?index={index}&wait=60s"));
    assert_eq!(ended.json(), json!([]));
    renew().refused(404, "not found");
    assert!(lives(&catalog, &forever));
}
