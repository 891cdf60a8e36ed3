//! Keys that sessions lock.

use serde_json::{Value, json};

use super::support::Catalog;

/// A session of the node itself, whose keys can be locked again at once.
fn session(catalog: &Catalog, more: &Value) -> String {
    let mut body = json!({ "LockDelay": "0s" });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let created = catalog.put_json("/v1/session/create", &body).ok().json();
    created["ID"].as_str().unwrap().to_owned()
}

fn put(catalog: &Catalog, path: &str, value: &str) -> String {
    catalog.put(path, value).ok().text
}

fn pair(catalog: &Catalog, key: &str) -> Value {
    catalog.get(&format!("/v1/kv/{key}")).ok().json()[0].clone()
}

#[test]
fn one_holds_it_and_the_others_do_not() {
    let catalog = Catalog::in_memory();
    let (a, b) = (session(&catalog, &json!({})), session(&catalog, &json!({})));
    assert_ne!(a, b);
    let acquire = |id: &str, value: &str| put(&catalog, &format!("/v1/kv/l?acquire={id}"), value);
    let release = |id: &str, value: &str| put(&catalog, &format!("/v1/kv/l?release={id}"), value);

    assert_eq!(release(&a, "nobody"), "false");
    assert_eq!(catalog.get("/v1/kv/l").status, 404);
    assert_eq!(acquire(&a, "a"), "true");
    let held = pair(&catalog, "l");
    let index = held["CreateIndex"].clone();
    assert_eq!(
        held,
        json!({
            "LockIndex": 1, "Key": "l", "Flags": 0, "Value": "YQ==", "Session": a,
            "CreateIndex": index, "ModifyIndex": index,
        })
    );
    // Again by who has it: the value changes, and it is the same lock.
    assert_eq!(acquire(&a, "a2"), "true");
    assert_eq!(acquire(&b, "b"), "false");
    assert_eq!(release(&b, "b"), "false");
    let still = pair(&catalog, "l");
    assert_eq!(
        (&still["LockIndex"], &still["Session"], &still["Value"]),
        (&json!(1), &json!(a), &json!("YTI="))
    );
    // A lock is advice: others can write, and it stays.
    assert_eq!(put(&catalog, "/v1/kv/l", "anybody"), "true");
    assert_eq!(pair(&catalog, "l")["Session"], a);
    let index = &pair(&catalog, "l")["ModifyIndex"];
    assert_eq!(put(&catalog, &format!("/v1/kv/l?cas={index}"), "c"), "true");
    assert_eq!(pair(&catalog, "l")["Session"], a);

    assert_eq!(release(&a, "free"), "true");
    let free = pair(&catalog, "l");
    assert_eq!((&free["LockIndex"], free.get("Session")), (&json!(1), None));
    // Released, it can be locked at once.
    assert_eq!(acquire(&b, "b"), "true");
    let held = pair(&catalog, "l");
    assert_eq!(
        (&held["LockIndex"], &held["Session"]),
        (&json!(2), &json!(b))
    );
    // Deleted, it is nobody's.
    catalog.delete("/v1/kv/l").ok();
    assert_eq!(acquire(&a, "a"), "true");
    assert_eq!(pair(&catalog, "l")["LockIndex"], 1);
}

#[test]
fn of_many_who_try_one_succeeds() {
    let catalog = Catalog::in_memory();
    let ids: Vec<String> = (0..8).map(|_| session(&catalog, &json!({}))).collect();
    let won: Vec<bool> = std::thread::scope(|scope| {
        let tries: Vec<_> = ids
            .iter()
            .map(|id| {
                let client = catalog.client();
                scope.spawn(move || {
                    let path = format!("/v1/kv/leader?acquire={id}");
                    client.put(&path, id).ok().text == "true"
                })
            })
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(pair(&catalog, "leader")["Session"], ids[winner]);
}

#[test]
fn what_is_no_session_locks_nothing() {
    let catalog = Catalog::in_memory();
    for (id, status) in [
        ("", 400),
        ("no-uuid", 400),
        ("8f9c7a54-0000-4000-8000-000000000000", 500),
    ] {
        catalog
            .put(&format!("/v1/kv/l?acquire={id}"), "x")
            .refused(status, "invalid session");
    }
    let id = session(&catalog, &json!({}));
    catalog.put(&format!("/v1/session/destroy/{id}"), "").ok();
    catalog
        .put(&format!("/v1/kv/l?acquire={id}"), "x")
        .refused(500, "invalid session");
    catalog
        .put(&format!("/v1/kv/l?acquire={id}&cas=0"), "x")
        .refused(400, "Conflicting");
    assert_eq!(catalog.get("/v1/kv/l").status, 404);
}

#[test]
fn a_session_that_ends_unlocks_or_deletes_and_wakes_who_waits() {
    let catalog = Catalog::in_memory();
    for (behavior, status) in [("release", 200), ("delete", 404)] {
        let id = session(&catalog, &json!({ "Behavior": behavior }));
        for key in ["e/a", "e/b"] {
            assert_eq!(
                put(&catalog, &format!("/v1/kv/{key}?acquire={id}"), "x"),
                "true"
            );
        }
        catalog.put("/v1/kv/e/other", behavior).ok();
        let index = catalog.get("/v1/kv/e/a").index();
        let client = catalog.client();
        let waits = format!("/v1/kv/e/a?index={index}&wait=60s");
        let waiting = std::thread::spawn(move || client.get(&waits));
        catalog.put(&format!("/v1/session/destroy/{id}"), "").ok();
        let woken = waiting.join().unwrap();
        assert_eq!(woken.status, status);
        assert!(woken.index() > index);
        for key in ["e/a", "e/b"] {
            let reply = catalog.get(&format!("/v1/kv/{key}"));
            assert_eq!(reply.status, status, "{key}");
            if status == 200 {
                assert_eq!(reply.json()[0].get("Session"), None);
                assert_eq!(reply.json()[0]["Value"], "eA==");
            }
        }
        assert_eq!(catalog.get("/v1/kv/e/other?raw").ok().text, behavior);
    }
}

#[test]
fn after_the_end_of_a_session_nobody_locks_its_keys_for_a_while() {
    let catalog = Catalog::in_memory();
    let next = session(&catalog, &json!({}));
    let acquire = format!("/v1/kv/l?acquire={next}");
    // A number is one of seconds; this is the longest there is.
    let long = session(&catalog, &json!({ "LockDelay": 60 }));
    assert_eq!(
        put(&catalog, &format!("/v1/kv/l?acquire={long}"), "x"),
        "true"
    );
    catalog.put(&format!("/v1/session/destroy/{long}"), "").ok();
    assert_eq!(put(&catalog, &acquire, "y"), "false");
    let lock = json!([{ "KV": { "Verb": "lock", "Key": "l", "Value": "eQ==", "Session": next } }]);
    catalog
        .put_json("/v1/txn", &lock)
        .refused(409, "due to lock delay");
    // It is a matter of locks alone.
    assert_eq!(put(&catalog, "/v1/kv/l", "z"), "true");

    for behavior in ["release", "delete"] {
        let short = session(
            &catalog,
            &json!({ "LockDelay": "1500ms", "Behavior": behavior }),
        );
        let path = format!("/v1/kv/s?acquire={short}");
        assert_eq!(put(&catalog, &path, "x"), "true");
        let began = std::time::Instant::now();
        catalog
            .put(&format!("/v1/session/destroy/{short}"), "")
            .ok();
        let path = format!("/v1/kv/s?acquire={next}");
        while put(&catalog, &path, "y") == "false" {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let delay = began.elapsed();
        assert!(delay.as_millis() >= 1500, "{behavior}: {delay:?}");
        assert_eq!(
            put(&catalog, &format!("/v1/kv/s?release={next}"), "y"),
            "true"
        );
    }
}

#[test]
fn in_transactions() {
    let catalog = Catalog::in_memory();
    let (a, b) = (session(&catalog, &json!({})), session(&catalog, &json!({})));
    let txn = |ops: &[(&str, &str)]| {
        let ops: Vec<Value> = ops
            .iter()
            .map(|(verb, id)| {
                json!({ "KV": { "Verb": verb, "Key": "t", "Value": "eA==", "Session": id } })
            })
            .collect();
        catalog.put_json("/v1/txn", &json!(ops))
    };
    txn(&[("lock", "")]).refused(409, "invalid session");
    txn(&[("lock", "8f9c7a54-0000-4000-8000-000000000000")]).refused(409, "invalid session");
    txn(&[("check-session", &a)]).refused(409, "doesn't exist");
    txn(&[("unlock", &a)]).refused(409, "isn't held");
    let locked = txn(&[("lock", &a), ("check-session", &a)]).ok().json();
    for result in locked["Results"].as_array().unwrap() {
        assert_eq!(result["KV"]["Session"], a);
        assert_eq!(result["KV"]["LockIndex"], 1);
    }
    txn(&[("check-session", &b)]).refused(409, "another session");
    txn(&[("lock", &b)]).refused(409, "already held");
    // All or none.
    txn(&[("unlock", &a), ("lock", &b), ("check-session", &a)]).refused(409, "another session");
    assert_eq!(pair(&catalog, "t")["Session"], a);
    let passed = txn(&[("unlock", &a), ("lock", &b)]).ok().json();
    assert_eq!(passed["Results"][1]["KV"]["LockIndex"], 2);
    assert_eq!(pair(&catalog, "t")["Session"], b);
}
