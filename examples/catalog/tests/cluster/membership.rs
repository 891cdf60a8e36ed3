//! Nodes join, leave, end, and are removed.

use std::thread;
use std::time::Duration;

use super::nodes::{Cluster, until};
use super::support::{Catalog, Client};

fn voters(cluster: &Cluster, as_seen_by: u64, expected: &[u64]) {
    until(&format!("{expected:?} vote"), || {
        (cluster.voters(as_seen_by)? == expected).then_some(())
    });
}

#[test]
fn nodes_join_and_leave() {
    let mut cluster = Cluster::of(3, 64);
    for i in 0..100 {
        let key = format!("/v1/kv/{i}");
        cluster.client(1 + i % 3).put(&key, i.to_string()).ok();
    }
    // A fourth comes, by an image, for the log is not long enough.
    cluster.add(4);
    voters(&cluster, 1, &[1, 2, 3, 4]);
    let (index, _) = cluster.write(4);
    cluster.all_same();
    assert!(index > 100);
    // It counts: three of four are a majority, two are not.
    let leader = cluster.leader_of(&[1, 2, 3, 4]);
    let gone = cluster.others(leader)[0];
    cluster.kill(gone);
    cluster.write(leader);
    // Who is gone for good is removed, and does no harm when he comes back.
    let client = cluster.client(leader).clone();
    let path = format!("/v1/operator/raft/peer?id={gone}");
    let removed = client.request("DELETE", &path, &[]).unwrap();
    removed.ok();
    let left = cluster.others(gone);
    voters(&cluster, leader, &left);
    client
        .request("DELETE", &path, &[])
        .unwrap()
        .refused(404, "no such node");
    cluster.start(gone);
    let before = cluster.write(leader).0;
    thread::sleep(Duration::from_secs(2));
    assert!(cluster.write(leader).0 > before);
    assert_eq!(cluster.voters(leader).unwrap(), left);
    cluster.kill(gone);
    // The leader leaves.
    let leader = cluster.leader_of(&left);
    cluster.client(leader).put("/v1/agent/leave", "").ok();
    assert!(cluster.wait(leader).success());
    let left: Vec<u64> = left
        .into_iter()
        .filter(|number| *number != leader)
        .collect();
    let (index, took) = cluster.write(left[0]);
    println!("the leader left; a write after {took:?}");
    voters(&cluster, left[0], &left);
    cluster.level(left[1], index);
    // Who has left comes again as somebody new.
    cluster.wipe(leader);
    cluster.start(leader);
    let mut all = [left, vec![leader]].concat();
    all.sort_unstable();
    voters(&cluster, all[0], &all);
    let (index, _) = cluster.write(leader);
    cluster.level(all[0], index);
}

/// Writes through a node until it takes no more; with how often that was done. None is left in
/// doubt by the node.
fn write_until_gone(client: &Client, number: u64) -> u64 {
    let mut done = 0;
    loop {
        let put = client.request("PUT", &format!("/v1/kv/g{number}"), b"x");
        match put {
            Ok(reply) if reply.status == 200 => done += 1,
            Ok(reply) => {
                reply.refused(503, "this node is ending");
                return done;
            }
            Err(_) => return done,
        }
    }
}

#[test]
fn who_ends_hands_over() {
    let mut cluster = Cluster::of(3, 1000);
    for _ in 0..3 {
        let leader = cluster.leader_of(&cluster.numbers());
        let index = cluster.client(leader).put("/v1/kv/e", "1").ok().index();
        let client = cluster.client(leader).clone();
        let held = thread::spawn(move || {
            client.request("GET", &format!("/v1/kv/e?index={index}&wait=600s"), &[])
        });
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let client = cluster.client(leader).clone();
                thread::spawn(move || write_until_gone(&client, number))
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        assert!(cluster.terminate(leader).success());
        for writer in writers {
            assert!(writer.join().unwrap() > 0);
        }
        let others = cluster.others(leader);
        let (_, took) = cluster.write(others[0]);
        println!("the leader has ended; a write after {took:?}");
        held.join().unwrap().unwrap().refused(503, "closed");
        // What was written is there when it comes back.
        cluster.start(leader);
        cluster.level(leader, index);
    }
    for number in cluster.numbers() {
        assert!(cluster.terminate(number).success(), "{number}");
    }
    for number in cluster.numbers() {
        cluster.start(number);
    }
    cluster.all_same();
    assert_eq!(
        cluster.client(1).get("/v1/kv/e?raw&consistent").ok().text,
        "1"
    );
}

/// It harms nobody.
#[test]
fn what_is_no_question_is_refused() {
    let cluster = Cluster::of(3, 1000);
    for number in cluster.numbers() {
        let peer = cluster.peer(number);
        let of_node = ("content-type", "application/msgpack");
        let ask = |path: &str, body: &[u8]| peer.request_with(&[of_node], "POST", path, body);
        for body in [&b""[..], b"\xc1", &[0xff; 100]] {
            ask("/", body).unwrap().refused(503, "");
            ask("/image", body).unwrap().refused(503, "");
        }
        let get = peer.request_with(&[of_node], "GET", "/", b"");
        get.unwrap().refused(405, "");
        // Nor can a page that somebody looks at ask anything, not even this.
        let hello = b"\x82\xa2to\xc0\xa4what\xa5Hello";
        for path in ["/", "/image"] {
            for form in [&[][..], &[("content-type", "text/plain")]] {
                let simple = peer.request_with(form, "POST", path, hello).unwrap();
                simple.refused(415, "expected the content-type application/msgpack");
            }
            let of_page = [of_node, ("origin", "http://example.com")];
            let of_page = peer.request_with(&of_page, "POST", path, hello);
            of_page.unwrap().refused(403, "");
        }
        // It may be refused before all of it was sent.
        if let Ok(large) = ask("/", &vec![0; (64 << 20) + 1]) {
            large.refused(413, "");
        }
        cluster.write(number);
    }
}

#[test]
fn nodes_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let mut program = Catalog::program();
        program.args(["--cluster", "3", "--listen", "127.0.0.1:0", "--data"]);
        let (mut catalog, nodes) = Catalog::run_nodes(program.arg(folder.path()), 3);
        let [one, two, three] = &nodes[..] else {
            panic!("three nodes: {nodes:?}");
        };
        let old = one.get("/v1/kv/n?raw&consistent").index();
        let held = three.clone();
        let held = thread::spawn(move || held.get(&format!("/v1/kv/n?raw&index={old}&wait=60s")));
        let value = round.to_string();
        let index = two.put("/v1/kv/n", &value).ok().index();
        let woken = held.join().unwrap().ok();
        assert_eq!((woken.text.as_str(), woken.index()), (&*value, index));
        let path = "/v1/operator/raft/configuration";
        let servers = one.get(path).ok().json()["Servers"].clone();
        assert_eq!(servers.as_array().unwrap().len(), 3, "{servers}");
        assert!(catalog.terminate().success());
    }
}

#[test]
fn a_node_is_one_of_those_that_are_named() {
    let mut program = Catalog::program();
    let ended = program.args(["--node", "3", "--peers", "1=127.0.0.1:9501"]);
    let ended = ended.output().unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains("node 3 itself is missing"), "{said}");
}
