//! Blocking queries: what they wake for, what they do not wake for, and what they cost.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Catalog, Reply};

/// Long enough that a query that could end has ended.
const QUIET: Duration = Duration::from_millis(400);
/// Far more than a wake-up takes: measuring is for benches.
const SOON: Duration = Duration::from_secs(20);

/// A query that is under way, and how to have its answer.
struct Held(Receiver<Reply>);

impl Held {
    #[track_caller]
    fn get(catalog: &Catalog, path: String) -> Self {
        let client = catalog.client();
        let (sender, receiver) = channel();
        thread::spawn(move || sender.send(client.get(&path)));
        let held = Held(receiver);
        // What comes next comes after it has begun to wait.
        held.is_held();
        held
    }

    #[track_caller]
    fn is_held(&self) {
        match self.0.recv_timeout(QUIET) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("the query ended: {other:?}"),
        }
    }

    #[track_caller]
    fn answer(self) -> Reply {
        self.0.recv_timeout(SOON).expect("the query was not woken")
    }
}

#[test]
fn one_key() {
    let catalog = Catalog::in_memory();
    catalog.put("/v1/kv/a", "1").ok();
    let index = catalog.get("/v1/kv/a").index();
    let held = Held::get(&catalog, format!("/v1/kv/a?index={index}&wait=60s"));
    for other in ["b", "a/", "a/b", "aa", "%00"] {
        catalog.put(&format!("/v1/kv/{other}"), "x").ok();
    }
    catalog.put("/v1/kv/a", "1").ok();
    held.is_held();
    catalog.put("/v1/kv/a", "2").ok();
    let answer = held.answer().ok();
    assert!(answer.index() > index);
    assert_eq!(answer.json()[0]["Value"], "Mg==");

    // Past its index already: at once.
    let at_once = catalog
        .get(&format!("/v1/kv/a?index={index}&wait=60s"))
        .ok();
    assert_eq!(at_once.index(), answer.index());

    let held = Held::get(
        &catalog,
        format!("/v1/kv/a?index={}&wait=60s", answer.index()),
    );
    catalog.delete("/v1/kv/a").ok();
    let gone = held.answer();
    assert_eq!(gone.status, 404);
    assert!(gone.index() > answer.index());
}

#[test]
fn an_absent_key() {
    let catalog = Catalog::in_memory();
    let absent = catalog.get("/v1/kv/wanted/key");
    assert_eq!(absent.status, 404);
    let path = format!("/v1/kv/wanted/key?index={}&wait=60s", absent.index());
    let held = Held::get(&catalog, path);
    for other in ["wanted", "wanted/", "wanted/keys", "wanted/k", "w"] {
        catalog.put(&format!("/v1/kv/{other}"), "x").ok();
        catalog.delete(&format!("/v1/kv/{other}")).ok();
    }
    held.is_held();
    catalog.put("/v1/kv/wanted/key", "here").ok();
    let answer = held.answer().ok();
    assert!(answer.index() > absent.index());
    assert_eq!(answer.json()[0]["Value"], "aGVyZQ==");
}

#[test]
fn a_prefix() {
    let catalog = Catalog::in_memory();
    for path in ["recurse", "keys"] {
        catalog.put("/v1/kv/app/a", "1").ok();
        let index = catalog.get(&format!("/v1/kv/app/?{path}")).index();
        let list = |index| {
            Held::get(
                &catalog,
                format!("/v1/kv/app/?{path}&index={index}&wait=60s"),
            )
        };
        let held = list(index);
        catalog.put("/v1/kv/app", path).ok();
        catalog.put("/v1/kv/apple", path).ok();
        catalog.put("/v1/kv/b", path).ok();
        held.is_held();
        catalog.put("/v1/kv/app/b/c", "1").ok();
        let answer = held.answer().ok();
        assert_eq!(answer.json().as_array().unwrap().len(), 2);
        assert!(answer.index() > index);

        let held = list(answer.index());
        catalog.delete("/v1/kv/app/a").ok();
        let answer = held.answer().ok();
        assert_eq!(answer.json().as_array().unwrap().len(), 1);

        let held = list(answer.index());
        catalog.delete("/v1/kv/app/?recurse").ok();
        assert_eq!(held.answer().status, 404);
    }
}

#[test]
fn services_and_health() {
    let catalog = Catalog::in_memory();
    let register = |name: &str, id: &str| {
        let body = json!({
            "Name": name, "ID": id, "Check": { "TTL": "1h", "Status": "passing", "CheckID": id },
        });
        catalog.put_json("/v1/agent/service/register", &body).ok();
    };
    register("web", "web-1");
    let at = |path: &str| catalog.get(path).ok().index();
    let held_at = |path: &str| {
        let joint = if path.contains('?') { '&' } else { '?' };
        Held::get(
            &catalog,
            format!("{path}{joint}index={}&wait=60s", at(path)),
        )
    };
    let instances = held_at("/v1/catalog/service/web");
    let health = held_at("/v1/health/service/web?passing");
    let others = held_at("/v1/health/service/db");
    let names = held_at("/v1/catalog/services");
    let critical = held_at("/v1/health/state/critical");

    register("cache", "cache-1");
    assert_eq!(names.answer().ok().json().as_object().unwrap().len(), 2);
    instances.is_held();
    health.is_held();

    catalog.put("/v1/agent/check/fail/web-1?note=down", "").ok();
    assert_eq!(health.answer().ok().json(), json!([]));
    assert_eq!(critical.answer().ok().json()[0]["Output"], "down");
    instances.is_held();
    others.is_held();

    catalog.put("/v1/agent/service/deregister/web-1", "").ok();
    assert_eq!(instances.answer().ok().json(), json!([]));
    others.is_held();
    register("db", "db-1");
    assert_eq!(others.answer().ok().json().as_array().unwrap().len(), 1);
}

#[test]
fn a_wait_ends() {
    let catalog = Catalog::in_memory();
    catalog.put("/v1/kv/a", "1").ok();
    for path in [
        "/v1/kv/a",
        "/v1/kv/none",
        "/v1/kv/?recurse=1",
        "/v1/catalog/nodes?stale=1",
    ] {
        let index = catalog.get(path).index();
        let joint = if path.contains('?') { '&' } else { '?' };
        let waited = catalog.get(&format!("{path}{joint}index={index}&wait=50ms"));
        assert_eq!(waited.index(), index, "{path}");
        // An index of the future is waited for too.
        let ahead = catalog.get(&format!("{path}{joint}index={}&wait=50ms", index + 1000));
        assert_eq!(ahead.index(), index, "{path}");
    }
}

/// Everybody who follows a key, a prefix, or a service sees the last change, whatever came before.
#[test]
fn no_wake_up_is_lost() {
    const KEYS: usize = 8;
    let catalog = Catalog::in_memory();
    let paths =
        (0..KEYS).flat_map(|i| [format!("/v1/kv/f/{i}"), format!("/v1/kv/f/{i}?recurse=1")]);
    let paths: Vec<String> = paths.chain(["/v1/kv/f/?recurse=1".to_owned()]).collect();
    thread::scope(|scope| {
        for path in &paths {
            let client = catalog.client();
            scope.spawn(move || {
                let joint = if path.contains('?') { '&' } else { '?' };
                let mut index = 0;
                loop {
                    let reply = client.get(&format!("{path}{joint}index={index}&wait=50s"));
                    assert!(
                        reply.index() > index,
                        "{path}: not woken after {index}: {reply:?}"
                    );
                    index = reply.index();
                    // Base64 of "end", in all of them.
                    let entries = if reply.status == 200 {
                        reply.json()
                    } else {
                        json!([])
                    };
                    let entries = entries.as_array().unwrap();
                    let ended = entries
                        .iter()
                        .filter(|entry| entry["Value"] == "ZW5k")
                        .count();
                    let all = if path.starts_with("/v1/kv/f/?") {
                        KEYS
                    } else {
                        1
                    };
                    if ended == all {
                        break;
                    }
                }
            });
        }
        let client = catalog.client();
        for round in 0..100 {
            let key = format!("/v1/kv/f/{}", round * 5 % KEYS);
            if round % 7 == 3 {
                client.request("DELETE", &key, &[]).unwrap().ok();
            } else {
                client.put(&key, round.to_string()).ok();
            }
        }
        for i in 0..KEYS {
            client.put(&format!("/v1/kv/f/{i}"), "end").ok();
        }
    });
}

#[test]
fn two_thousand_held_queries_need_no_thread_each() {
    const QUERIES: usize = 2000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let catalog = Catalog::in_memory();
    catalog.put("/v1/kv/a", "1").ok();
    let index = catalog.get("/v1/kv/a").index();
    let threads = || {
        std::fs::read_dir(format!("/proc/{}/task", catalog.pid()))
            .unwrap()
            .count()
    };
    let before = threads();
    let mut sockets: Vec<TcpStream> = (0..QUERIES)
        .map(|i| {
            let mut socket = TcpStream::connect(&catalog.address).unwrap();
            // Half of them wait for one key, half for a key each.
            let key = if i % 2 == 0 {
                "a".to_owned()
            } else {
                format!("wanted/{i}")
            };
            let request = format!(
                "GET /v1/kv/{key}?index={index}&wait=600s HTTP/1.1\r\nHost: catalog\r\n\r\n"
            );
            socket.write_all(request.as_bytes()).unwrap();
            socket.set_read_timeout(Some(SOON)).unwrap();
            socket
        })
        .collect();
    let open = || {
        std::fs::read_dir(format!("/proc/{}/fd", catalog.pid()))
            .unwrap()
            .count()
    };
    let deadline = Instant::now() + SOON;
    while open() < QUERIES {
        assert!(
            Instant::now() < deadline,
            "only {} sockets are open",
            open()
        );
        thread::sleep(QUIET / 10);
    }
    thread::sleep(QUIET);
    let held = threads();
    assert!(
        held <= before + 2,
        "{before} threads before, {held} with {QUERIES} queries held"
    );

    catalog.put("/v1/kv/a", "2").ok();
    for socket in sockets.iter_mut().step_by(2) {
        let mut begin = [0; 15];
        socket.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 OK");
    }
    let woken = threads();
    assert!(
        woken <= before + 2,
        "{before} threads before, {woken} after waking"
    );
    for socket in sockets.iter_mut().skip(1).step_by(2) {
        socket.set_nonblocking(true).unwrap();
        let error = socket.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}
