//! `/v1/kv/` and `/v1/txn`.

#[path = "sessions/locks.rs"]
mod locks;
mod support;

use serde_json::{Value, json};
use support::Catalog;

#[test]
fn one_key() {
    let catalog = Catalog::in_memory();
    let absent = catalog.get("/v1/kv/web/port");
    assert_eq!((absent.status, absent.text.as_str()), (404, ""));
    assert!(absent.index() >= 1);

    assert_eq!(
        catalog.put("/v1/kv/web/port?flags=42", "8080").ok().text,
        "true"
    );
    let found = catalog.get("/v1/kv/web/port").ok();
    let index = found.index();
    assert!(index > absent.index());
    assert_eq!(found.header("content-type"), Some("application/json"));
    assert_eq!(found.header("x-consul-knownleader"), Some("true"));
    assert_eq!(found.header("x-consul-lastcontact"), Some("0"));
    let pair = json!({
        "LockIndex": 0, "Key": "web/port", "Flags": 42, "Value": "ODA4MA==",
        "CreateIndex": index, "ModifyIndex": index,
    });
    assert_eq!(found.json(), json!([pair]));

    // The same again changes nothing; another value does.
    catalog.put("/v1/kv/web/port?flags=42", "8080").ok();
    assert_eq!(catalog.get("/v1/kv/web/port").json(), json!([pair]));
    catalog.put("/v1/kv/web/port", "8081").ok();
    let changed = catalog.get("/v1/kv/web/port").json();
    assert_eq!(changed[0]["CreateIndex"], index);
    assert!(changed[0]["ModifyIndex"].as_u64().unwrap() > index);
    assert_eq!(changed[0]["Flags"], 0);

    assert_eq!(catalog.delete("/v1/kv/web/port").ok().text, "true");
    assert_eq!(catalog.get("/v1/kv/web/port").status, 404);
    assert_eq!(catalog.delete("/v1/kv/web/port").ok().text, "true");
}

#[test]
fn raw_and_pretty_and_empty() {
    let catalog = Catalog::in_memory();
    catalog.put("/v1/kv/k", "<b>\n").ok();
    let raw = catalog.get("/v1/kv/k?raw").ok();
    assert_eq!(raw.text, "<b>\n");
    assert_eq!(raw.header("content-type"), Some("text/plain"));
    assert_eq!(raw.header("x-content-type-options"), Some("nosniff"));
    assert!(raw.index() > 1);
    let pretty = catalog.get("/v1/kv/k?pretty").ok();
    assert!(
        pretty
            .text
            .starts_with("[\n    {\n        \"LockIndex\": 0,\n"),
        "{pretty:?}"
    );

    catalog.put("/v1/kv/k", "").ok();
    assert_eq!(catalog.get("/v1/kv/k").json()[0]["Value"], Value::Null);
    assert_eq!(catalog.get("/v1/kv/k?raw").ok().text, "");
}

#[test]
fn any_key() {
    let catalog = Catalog::in_memory();
    for (path, key) in [
        ("a", "a"),
        ("a/b/c", "a/b/c"),
        ("a/", "a/"),
        ("a//b", "a//b"),
        ("/leading", "/leading"),
        ("with%20space", "with space"),
        ("percent%2Fslash", "percent/slash"),
        ("a%3Fquestion%23hash%25", "a?question#hash%"),
        ("%C3%BC%E2%82%AC", "ü€"),
        ("nul%00in", "nul\0in"),
        ("plus+plus", "plus+plus"),
    ] {
        catalog.put(&format!("/v1/kv/{path}"), path).ok();
        let found = catalog.get(&format!("/v1/kv/{path}")).ok();
        assert_eq!(found.json()[0]["Key"], key);
    }
    assert_eq!(catalog.get("/v1/kv/bad%FF").status, 400);
}

#[test]
fn lists_and_their_indexes() {
    let catalog = Catalog::in_memory();
    for key in ["app/a", "app/b/x", "app/b/y", "app2", "other"] {
        catalog.put(&format!("/v1/kv/{key}"), key).ok();
    }
    let names = |path: &str| -> Vec<String> {
        let entries = catalog.get(path).ok().json();
        let entries = entries.as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["Key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names("/v1/kv/app/?recurse"),
        ["app/a", "app/b/x", "app/b/y"]
    );
    assert_eq!(names("/v1/kv/app?recurse=1").len(), 4);
    assert_eq!(names("/v1/kv/?recurse").len(), 5);
    assert_eq!(catalog.get("/v1/kv/none/?recurse").status, 404);

    let keys = |path: &str| catalog.get(path).ok().json();
    assert_eq!(
        keys("/v1/kv/app/?keys"),
        json!(["app/a", "app/b/x", "app/b/y"])
    );
    assert_eq!(
        keys("/v1/kv/app/?keys&separator=/"),
        json!(["app/a", "app/b/"])
    );
    assert_eq!(
        keys("/v1/kv/app/?keys&seperator=/"),
        json!(["app/a", "app/b/"])
    );
    assert_eq!(
        keys("/v1/kv/?keys&separator=/"),
        json!(["app/", "app2", "other"])
    );
    assert_eq!(catalog.get("/v1/kv/none?keys").status, 404);

    // A deletion raises the index of its prefix, also when nothing is left; and of no other.
    let before = catalog.get("/v1/kv/app/b/?recurse").index();
    let other = catalog.get("/v1/kv/other?recurse").index();
    assert_eq!(catalog.delete("/v1/kv/app/b/y").ok().text, "true");
    let after = catalog.get("/v1/kv/app/b/?recurse").index();
    assert!(after > before, "{after} > {before}");
    catalog.delete("/v1/kv/app/b/?recurse").ok();
    let gone = catalog.get("/v1/kv/app/b/?recurse");
    assert_eq!(gone.status, 404);
    assert!(gone.index() > after);
    assert_eq!(catalog.get("/v1/kv/other?recurse").index(), other);
    assert_eq!(names("/v1/kv/?recurse"), ["app/a", "app2", "other"]);
    catalog.delete("/v1/kv/?recurse").ok();
    assert_eq!(catalog.get("/v1/kv/?recurse").status, 404);
    assert_eq!(keys("/v1/kv/?keys"), json!([]));
}

#[test]
fn compare_and_set() {
    let catalog = Catalog::in_memory();
    assert_eq!(catalog.put("/v1/kv/k?cas=5", "x").ok().text, "false");
    assert_eq!(catalog.put("/v1/kv/k?cas=0", "a").ok().text, "true");
    assert_eq!(catalog.put("/v1/kv/k?cas=0", "b").ok().text, "false");
    let index = catalog.get("/v1/kv/k").index();
    assert_eq!(
        catalog
            .put(&format!("/v1/kv/k?cas={}", index + 1), "b")
            .ok()
            .text,
        "false"
    );
    assert_eq!(
        catalog.put(&format!("/v1/kv/k?cas={index}"), "b").ok().text,
        "true"
    );
    assert_eq!(catalog.get("/v1/kv/k?raw").text, "b");
    assert_eq!(
        catalog.delete(&format!("/v1/kv/k?cas={index}")).ok().text,
        "false"
    );
    assert_eq!(catalog.delete("/v1/kv/k?cas=0").ok().text, "false");
    let index = catalog.get("/v1/kv/k").index();
    assert_eq!(
        catalog.delete(&format!("/v1/kv/k?cas={index}")).ok().text,
        "true"
    );
    assert_eq!(
        catalog.delete(&format!("/v1/kv/k?cas={index}")).ok().text,
        "true"
    );
    assert_eq!(catalog.get("/v1/kv/k").status, 404);
}

#[test]
fn refusals() {
    let catalog = Catalog::in_memory();
    catalog.get("/v1/kv/").refused(400, "Missing key name");
    catalog.put("/v1/kv/", "x").refused(400, "Missing key name");
    catalog.delete("/v1/kv/").refused(400, "Missing key name");
    catalog.put("/v1/kv/k?flags=x", "x").refused(400, "flags");
    catalog.put("/v1/kv/k?cas=x", "x").refused(400, "cas");
    catalog
        .put("/v1/kv/k?cas=1&acquire=s", "x")
        .refused(400, "Conflicting");
    catalog
        .delete("/v1/kv/k?recurse&cas=1")
        .refused(400, "Conflicting");
    catalog
        .get("/v1/kv/k?index=x")
        .refused(400, "Invalid index");
    catalog
        .get("/v1/kv/k?index=1&wait=soon")
        .refused(400, "Invalid wait time");
    catalog
        .get("/v1/kv/k?stale&consistent")
        .refused(400, "conflicting semantics");
    catalog
        .get("/v1/kv/k?dc=elsewhere")
        .refused(500, "No path to datacenter");
    assert_eq!(catalog.get("/v1/kv/k?dc=dc1&stale&near=_agent").status, 404);
    catalog
        .put("/v1/kv/k", vec![b'x'; 512 * 1024 + 1])
        .refused(413, "too large");
    catalog.put("/v1/kv/k", vec![b'x'; 512 * 1024]).ok();
    catalog
        .put(&format!("/v1/kv/{}", "k".repeat(6000)), "x")
        .refused(400, "");

    let patch = catalog.client().request("PATCH", "/v1/kv/k", &[]).unwrap();
    patch.refused(405, "method PATCH not allowed");
    assert!(patch.header("allow").is_some());
    catalog
        .get("/v1/catalog/register")
        .refused(405, "method GET not allowed");
    catalog.get("/v1/nothing").refused(404, "/v1/nothing");
}

fn op(verb: &str, key: &str, more: &Value) -> Value {
    let mut kv = json!({ "Verb": verb, "Key": key });
    kv.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({ "KV": kv })
}

#[test]
fn transactions() {
    let catalog = Catalog::in_memory();
    let done = catalog
        .put_json(
            "/v1/txn",
            &json!([
                op("check-not-exists", "t/a", &json!({})),
                op("set", "t/a", &json!({ "Value": "YQ==", "Flags": 3 })),
                op("set", "t/b", &json!({ "Value": "Yg==" })),
                op("get-tree", "t/", &json!({})),
                op("get", "t/a", &json!({})),
                op("get-or-empty", "t/none", &json!({})),
                op("delete", "t/b", &json!({})),
            ]),
        )
        .ok()
        .json();
    assert_eq!(done["Errors"], Value::Null);
    let index = catalog.get("/v1/kv/t/a").index();
    let a = |value: Value| {
        json!({ "KV": {
            "LockIndex": 0, "Key": "t/a", "Flags": 3, "Value": value,
            "CreateIndex": index, "ModifyIndex": index,
        }})
    };
    let results = done["Results"].as_array().unwrap();
    assert_eq!(results.len(), 6, "{done}");
    assert_eq!(results[0], a(Value::Null));
    assert_eq!(results[1]["KV"]["Value"], Value::Null);
    assert_eq!(results[2], a(json!("YQ==")));
    assert_eq!(results[3]["KV"]["Value"], "Yg==");
    assert_eq!(results[4], a(json!("YQ==")));
    assert_eq!(results[5]["KV"]["CreateIndex"], 0);
    assert_eq!(catalog.get("/v1/kv/t/b").status, 404);

    // All or none.
    let refused = catalog.put_json(
        "/v1/txn",
        &json!([
            op("set", "t/c", &json!({ "Value": "Yw==" })),
            op(
                "cas",
                "t/a",
                &json!({ "Value": "eA==", "Index": index + 1 })
            ),
            op("delete-cas", "t/a", &json!({ "Index": index })),
            op("check-index", "t/none", &json!({ "Index": 1 })),
        ]),
    );
    assert_eq!(refused.status, 409);
    let refused = refused.json();
    assert_eq!(refused["Results"], Value::Null);
    let errors = refused["Errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{refused}");
    assert_eq!(
        (&errors[0]["OpIndex"], &errors[1]["OpIndex"]),
        (&json!(1), &json!(3))
    );
    assert!(
        errors[0]["What"]
            .as_str()
            .unwrap()
            .contains("index is stale"),
        "{refused}"
    );
    assert_eq!(catalog.get("/v1/kv/t/c").status, 404);
    assert_eq!(catalog.get("/v1/kv/t/a?raw").text, "a");

    let swapped = catalog.put_json(
        "/v1/txn",
        &json!([
            op("check-index", "t/a", &json!({ "Index": index })),
            op("cas", "t/a", &json!({ "Value": "eA==", "Index": index })),
            op("delete-tree", "t/z", &json!({})),
        ]),
    );
    assert_eq!(swapped.ok().json()["Results"].as_array().unwrap().len(), 2);
    assert_eq!(catalog.get("/v1/kv/t/a?raw").text, "x");
}

#[test]
fn transactions_that_only_read_or_are_refused() {
    let catalog = Catalog::in_memory();
    catalog.put("/v1/kv/a", "1").ok();
    let read = catalog
        .put_json("/v1/txn", &json!([op("get", "a", &json!({}))]))
        .ok()
        .json();
    assert_eq!(read["Results"][0]["KV"]["Value"], "MQ==");
    let read = catalog.put_json("/v1/txn", &json!([op("get", "none", &json!({}))]));
    assert_eq!(read.status, 409);
    assert_eq!(
        catalog.put_json("/v1/txn", &json!([])).ok().json()["Results"],
        json!([])
    );

    catalog
        .put_json("/v1/txn", &json!([op("frobnicate", "a", &json!({}))]))
        .refused(409, "unknown KV verb");
    catalog
        .put_json("/v1/txn", &json!([{ "Node": {} }]))
        .refused(409, "only KV operations");
    catalog.put("/v1/txn", "{").refused(400, "decode failed");
    let many: Vec<_> = (0..129).map(|_| op("get", "a", &json!({}))).collect();
    catalog
        .put_json("/v1/txn", &json!(many))
        .refused(413, "too many operations (129 > 128)");
    catalog.put_json("/v1/txn", &json!(many[..128])).ok();
}
