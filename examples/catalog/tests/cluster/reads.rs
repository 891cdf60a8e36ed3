//! What reads see, and how long they wait: on followers, and on nodes that are cut off.

use std::thread;
use std::time::{Duration, Instant};

use super::nodes::{Cluster, PATIENCE, until};
use super::support::{Client, Reply};
use super::wire::State;

/// What is refused is refused within 15 seconds, on a machine that does nothing else.
const REFUSED: Duration = Duration::from_secs(30);

fn timed(client: &Client, method: &str, path: &str) -> (Reply, Duration) {
    let asked = Instant::now();
    let reply = client.request(method, path, b"2").unwrap();
    (reply, asked.elapsed())
}

#[test]
fn held_queries_on_a_follower_wake() {
    const WRITES: u64 = 20;
    const HELD: usize = 8;
    let cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let [follower, other] = cluster.others(leader)[..] else {
        panic!("three nodes");
    };
    let mut after = cluster.client(leader).put("/v1/kv/w", "0").ok().index();
    let mut wakes = Vec::new();
    for value in 1..=WRITES {
        thread::scope(|scope| {
            let held: Vec<_> = (0..HELD)
                .map(|_| {
                    let path = format!("/v1/kv/w?raw&index={after}&wait=60s");
                    let client = cluster.client(follower);
                    scope.spawn(move || {
                        let reply = client.get(&path).ok();
                        (reply, Instant::now())
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(20));
            let through = if value % 2 == 0 { leader } else { other };
            let asked = Instant::now();
            let put = cluster.client(through).put("/v1/kv/w", value.to_string());
            let index = put.ok().index();
            for held in held {
                let (reply, woken) = held.join().unwrap();
                assert_eq!(
                    (reply.text.as_str(), reply.index()),
                    (&*value.to_string(), index)
                );
                assert_eq!(reply.header("x-consul-knownleader"), Some("true"));
                let took = woken - asked;
                assert!(took < PATIENCE / 2, "{took:?}");
                wakes.push(took);
            }
            after = index;
        });
    }
    wakes.sort();
    println!(
        "a query held by a follower is answered {:?} after a write is asked for, {:?} at most",
        wakes[wakes.len() / 2],
        wakes[wakes.len() - 1]
    );
    // Its own writes, anywhere; and what is not there yet is waited for, but not for ever.
    for number in cluster.numbers() {
        let index = cluster
            .client(leader)
            .put("/v1/kv/own", number.to_string())
            .ok()
            .index();
        let path = format!("/v1/kv/own?raw&at-least={index}");
        assert_eq!(
            cluster.client(number).get(&path).ok().text,
            number.to_string()
        );
        let path = format!("/v1/kv/own?at-least={}&wait=1s", index + 1000);
        let (late, took) = timed(cluster.client(number), "GET", &path);
        late.refused(503, "");
        assert!(took < REFUSED, "{took:?}");
    }
}

#[test]
fn held_queries_end_though_the_leader_is_gone() {
    const HELD: u32 = 32;
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let index = cluster.client(leader).put("/v1/kv/w", "1").ok().index();
    for number in cluster.others(leader) {
        cluster.level(number, index);
    }
    let clients = cluster
        .others(leader)
        .into_iter()
        .map(|n| cluster.client(n).clone());
    let held: Vec<_> = clients
        .cycle()
        .take(HELD as usize)
        .map(|client| {
            thread::spawn(move || {
                timed(
                    &client,
                    "GET",
                    &format!("/v1/kv/w?raw&index={index}&wait=3s"),
                )
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    cluster.stop(leader);
    for held in held {
        let (reply, took) = held.join().unwrap();
        assert_eq!((reply.status, reply.index()), (200, index), "{reply:?}");
        assert!(took >= Duration::from_secs(3) && took < REFUSED, "{took:?}");
    }
}

#[test]
fn held_queries_wake_by_an_image() {
    let cluster = Cluster::of(3, 16);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    let client = cluster.client(leader);
    let index = client.put("/v1/kv/changes", "1").ok().index();
    let other = client.put("/v1/kv/stays", "1").ok().index();
    cluster.level(node, other);
    let held = [("changes", index, "60s"), ("stays", other, "5s")].map(|(key, index, wait)| {
        let client = cluster.client(node).clone();
        let path = format!("/v1/kv/{key}?raw&index={index}&wait={wait}");
        thread::spawn(move || timed(&client, "GET", &path))
    });
    thread::sleep(Duration::from_millis(200));
    cluster.set_wires(node, State::Held);
    let index = client.put("/v1/kv/changes", "2").ok().index();
    for i in 0..100 {
        client.put(&format!("/v1/kv/more/{i}"), "x").ok();
    }
    cluster.set_wires(node, State::Open);
    let [(changed, took), (stayed, _)] = held.map(|held| held.join().unwrap());
    assert_eq!((changed.text.as_str(), changed.index()), ("2", index));
    assert!(took < PATIENCE / 2, "{took:?}");
    assert_eq!((stayed.text.as_str(), stayed.index()), ("1", other));
}

/// Of a node that is cut off all at once: consistent reads and writes are refused in time, and no
/// read is older than it may be.
fn cut_off(cluster: &Cluster, node: u64, state: State) {
    const EACH: usize = 8;
    let others = cluster.others(node);
    let first = cluster.client(others[0]).put("/v1/kv/c", "1").ok().index();
    cluster.level(node, first);
    cluster.set_wires(node, state);
    let began = Instant::now();
    let (second, _) = cluster.write(others[0]);
    let second = second.max(cluster.client(others[1]).put("/v1/kv/c", "2").ok().index());
    let ask = |method: &'static str, path: String| {
        let client = cluster.client(node).clone();
        thread::spawn(move || timed(&client, method, &path))
    };
    let asked: Vec<_> = (0..EACH)
        .flat_map(|i| {
            [
                ask("GET", "/v1/kv/c?raw&consistent".into()),
                ask("GET", format!("/v1/kv/c?raw&at-least={second}")),
                ask("PUT", format!("/v1/kv/never-{i}")),
            ]
        })
        .collect();
    // It says how old it is: so old, at least, as it is cut off.
    until("the last contact was long ago", || {
        let reply = cluster.client(node).get("/v1/kv/c?raw&stale").ok();
        assert_eq!(reply.text, "1");
        let contact: u64 = reply.header("x-consul-lastcontact")?.parse().unwrap();
        (contact > 3000).then_some(())
    });
    for asked in asked {
        let (reply, took) = asked.join().unwrap();
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(took < REFUSED, "{took:?}: {reply:?}");
    }
    println!("cut off for {:?}", began.elapsed());
    cluster.set_wires(node, State::Open);
    assert_eq!(
        cluster
            .client(node)
            .get(&format!("/v1/kv/c?raw&at-least={second}&wait=60s"))
            .ok()
            .text,
        "2"
    );
    until("a consistent read", || {
        let reply = cluster.client(node).get("/v1/kv/c?raw&consistent");
        (reply.status == 200).then(|| assert_eq!(reply.text, "2"))
    });
}

#[test]
fn who_is_cut_off_refuses() {
    let cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    cut_off(&cluster, leader, State::Held);
    let leader = cluster.leader_of(&cluster.numbers());
    cut_off(&cluster, cluster.others(leader)[0], State::Cut);
}

/// It hears the leader, but cannot ask it: and has not asked before, so that it has no session.
#[test]
fn first_writes_that_do_not_get_to_the_leader_are_refused() {
    const EACH: usize = 8;
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    cluster.wire(node, leader).set(State::Held);
    cluster.kill(node);
    cluster.start(node);
    cluster.leader_of(&[leader, node]);
    let asked: Vec<_> = (0..EACH)
        .map(|i| {
            let client = cluster.client(node).clone();
            thread::spawn(move || timed(&client, "PUT", &format!("/v1/kv/{i}")))
        })
        .collect();
    for asked in asked {
        let (reply, took) = asked.join().unwrap();
        assert_eq!(reply.status, 503, "{reply:?}");
        assert!(took < REFUSED, "{took:?}: {reply:?}");
    }
}
