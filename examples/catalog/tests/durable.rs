//! What was acknowledged is there after `kill -9`.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use support::Catalog;

/// How often the program is killed; `CATALOG_KILLS=100` for a long run.
fn kills() -> u64 {
    std::env::var("CATALOG_KILLS").map_or(10, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_acknowledged_is_lost() {
    const WRITERS: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    // Of each writer: the last value that was acknowledged of each key, and what it tried last.
    let mut known: Vec<Writer> = (0..WRITERS).map(Writer::new).collect();
    let mut last_index = 0;
    for round in 0..kills() {
        let mut catalog = Catalog::in_folder(folder.path());
        let list = catalog.get("/v1/kv/?keys");
        assert!(
            list.index() >= last_index,
            "{} < {last_index}",
            list.index()
        );
        for writer in &mut known {
            writer.check(&catalog);
        }
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in &mut known {
                let client = catalog.client();
                let stop = &stop;
                scope.spawn(move || writer.write(&client, stop));
            }
            // A different moment each time.
            thread::sleep(Duration::from_millis(30 + round * 7 % 100));
            last_index = catalog.get("/v1/kv/?keys").index();
            catalog.kill();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let catalog = Catalog::in_folder(folder.path());
    for writer in &mut known {
        assert!(
            writer.acknowledged > 0,
            "writer {} has written nothing",
            writer.number
        );
        writer.check(&catalog);
    }
}

struct Writer {
    number: usize,
    next: u64,
    acknowledged: u64,
    /// By key; none: deleted.
    values: BTreeMap<String, Option<String>>,
    /// Sent, but not acknowledged: either outcome is right.
    in_doubt: Option<(String, Option<String>)>,
}

impl Writer {
    fn new(number: usize) -> Self {
        let values = BTreeMap::new();
        Writer {
            number,
            next: 0,
            acknowledged: 0,
            values,
            in_doubt: None,
        }
    }

    fn write(&mut self, client: &support::Client, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.next += 1;
            let key = format!("/v1/kv/w{}/{}", self.number, self.next % 16);
            let value = (!self.next.is_multiple_of(5)).then(|| format!("value {}", self.next));
            let outcome = match &value {
                Some(value) => client.request("PUT", &key, value.as_bytes()),
                None => client.request("DELETE", &key, &[]),
            };
            match outcome {
                Ok(reply) if reply.status == 200 => {
                    self.acknowledged += 1;
                    self.values.insert(key, value);
                }
                _ => {
                    self.in_doubt = Some((key, value));
                    return;
                }
            }
        }
    }

    fn check(&mut self, catalog: &Catalog) {
        let in_doubt = self.in_doubt.take();
        if let Some((key, value)) = in_doubt {
            let found = stored(catalog, &key);
            let before = self.values.get(&key).cloned().flatten();
            assert!(
                found == before || found == value,
                "{key}: {found:?}, not {before:?} or {value:?}"
            );
            self.values.insert(key, found);
        }
        for (key, value) in &self.values {
            assert_eq!(&stored(catalog, key), value, "{key}");
        }
    }
}

fn stored(catalog: &Catalog, key: &str) -> Option<String> {
    let reply = catalog.get(&format!("{key}?raw"));
    match reply.status {
        200 => Some(reply.text),
        404 => None,
        _ => panic!("{reply:?}"),
    }
}

#[test]
fn everything_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [
        "/v1/kv/?recurse",
        "/v1/kv/none",
        "/v1/catalog/nodes",
        "/v1/catalog/services",
        "/v1/health/service/web",
        "/v1/health/state/any",
        "/v1/agent/services",
    ];
    let mut catalog = Catalog::in_folder(folder.path());
    catalog.put("/v1/kv/a?flags=7", "1").ok();
    catalog.put("/v1/kv/b", vec![0, 255, 7]).ok();
    catalog.put("/v1/kv/c", "gone").ok();
    catalog.delete("/v1/kv/c").ok();
    let service = json!({
        "Name": "web", "Tags": ["x"], "Meta": { "k": "v" },
        "Check": { "TTL": "1h", "DeregisterCriticalServiceAfter": "90m" },
    });
    catalog
        .put_json("/v1/agent/service/register", &service)
        .ok();
    catalog
        .put("/v1/agent/check/pass/service:web?note=up", "")
        .ok();
    let node = json!({ "Node": "n1", "Address": "10.0.0.9" });
    catalog.put_json("/v1/catalog/register", &node).ok();
    let answers = |catalog: &Catalog| {
        paths.map(|path| {
            let reply = catalog.get(path);
            let index = reply.header("x-consul-index").map(str::to_owned);
            (path, reply.status, index, reply.text)
        })
    };
    let before = answers(&catalog);
    for _ in 0..2 {
        catalog.kill();
        catalog = Catalog::in_folder(folder.path());
        assert_eq!(answers(&catalog), before);
    }
}

#[test]
fn asked_to_end_it_answers_held_queries_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::in_folder(folder.path());
    catalog.put("/v1/kv/a", "1").ok();
    let index = catalog.get("/v1/kv/a").index();
    let client = catalog.client();
    let held = thread::spawn(move || client.get(&format!("/v1/kv/a?index={index}&wait=600s")));
    thread::sleep(Duration::from_millis(200));
    let status = catalog.terminate();
    assert!(status.success(), "{status}");
    held.join().unwrap().refused(503, "closed");
    let catalog = Catalog::in_folder(folder.path());
    assert_eq!(catalog.get("/v1/kv/a?raw").ok().text, "1");
}

#[test]
fn asked_to_end_under_load_it_keeps_what_it_answers_and_refuses_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::in_folder(folder.path());
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let client = catalog.client();
            thread::spawn(move || {
                let mut answers = Vec::new();
                for number in 0.. {
                    let key = format!("/v1/kv/{writer}/{number}");
                    match client.request("PUT", &key, b"x") {
                        Ok(reply) => {
                            answers.push((key, reply.status));
                            if reply.status != 200 {
                                break;
                            }
                        }
                        // It has ended.
                        Err(_) => break,
                    }
                }
                answers
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    let status = catalog.terminate();
    assert!(status.success(), "{status}");
    let catalog = Catalog::in_folder(folder.path());
    for writer in writers {
        for (key, status) in writer.join().unwrap() {
            assert_eq!(
                catalog.get(&key).status,
                if status == 200 { 200 } else { 404 },
                "{key}"
            );
        }
    }
}

#[test]
fn a_check_that_others_make_is_not_made_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::in_folder(folder.path());
    let me = catalog.get("/v1/agent/self").json()["Config"]["NodeName"].clone();
    let target = Catalog::in_memory();
    let check = |name: &str, kind: &str| {
        json!({
            "Name": name, "Status": "passing", "Type": kind,
            "Definition": { "TCP": target.address, "Interval": "1s", "TTL": "1s" },
        })
    };
    let theirs = json!({
        "Node": me, "Address": "127.0.0.1", "SkipNodeUpdate": true,
        // The second is of a kind that the node makes.
        "Checks": [check("far", ""), check("near", "tcp")],
    });
    catalog.put_json("/v1/catalog/register", &theirs).ok();
    let own =
        json!({ "Name": "own", "TCP": target.address, "Interval": "1s", "Status": "passing" });
    catalog.put_json("/v1/agent/check/register", &own).ok();
    drop(target);
    catalog.kill();
    let catalog = Catalog::in_folder(folder.path());
    let known = || catalog.get("/v1/agent/checks").json();
    while known()["own"]["Status"] == "passing" {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(1500));
    let known = known();
    assert_eq!(known["far"]["Status"], "passing", "{known}");
    assert_eq!(known["near"]["Status"], "passing", "{known}");
    catalog
        .put("/v1/agent/check/pass/near", "")
        .refused(500, "associated TTL");
}

#[test]
fn sessions_and_locks_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::in_folder(folder.path());
    let body = json!({ "TTL": "24h", "LockDelay": "24h", "Behavior": "delete" });
    let created = catalog.put_json("/v1/session/create", &body).ok().json();
    let id = created["ID"].as_str().unwrap();
    let acquire = format!("/v1/kv/lock?acquire={id}");
    assert_eq!(catalog.put(&acquire, "mine").ok().text, "true");
    catalog.put("/v1/event/fire/deploy", "1.2").ok();
    let seen = |catalog: &Catalog| {
        ["/v1/session/list", "/v1/kv/lock", "/v1/event/list"].map(|path| {
            let reply = catalog.get(path).ok();
            (reply.index(), reply.json())
        })
    };
    let before = seen(&catalog);
    catalog.kill();
    let mut catalog = Catalog::in_folder(folder.path());
    assert_eq!(seen(&catalog), before);
    let destroy = format!("/v1/session/destroy/{id}");
    catalog.put(&destroy, "").ok();
    assert_eq!(catalog.get("/v1/kv/lock").status, 404);
    catalog.kill();
    // So does the time in which nobody else can lock what it had locked.
    let catalog = Catalog::in_folder(folder.path());
    let other = catalog.put_json("/v1/session/create", &body).ok().json();
    let acquire = format!("/v1/kv/lock?acquire={}", other["ID"].as_str().unwrap());
    assert_eq!(catalog.put(&acquire, "x").ok().text, "false");
}
