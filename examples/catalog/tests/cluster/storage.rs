//! What nodes keep on the disk.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::nodes::{Cluster, until};

/// The bytes of all files of a node, and their names.
fn kept(cluster: &Cluster, number: u64) -> (u64, Vec<String>) {
    let files = fs::read_dir(cluster.folder(number))
        .unwrap()
        .map(Result::unwrap);
    let mut names = Vec::new();
    let mut bytes = 0;
    for file in files {
        // An image may have given way to the next.
        bytes += file.metadata().map_or(0, |metadata| metadata.len());
        names.push(file.file_name().into_string().unwrap());
    }
    (bytes, names)
}

fn write(cluster: &Cluster, writes: u64) {
    const CLIENTS: u64 = 8;
    let value = vec![b'x'; 4 << 10];
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (client, value) = (cluster.client(1 + number % 3), &value);
            scope.spawn(move || {
                for i in 0..writes / CLIENTS {
                    client
                        .put(&format!("/v1/kv/{number}-{}", i % 4), value)
                        .ok();
                }
            });
        }
    });
}

#[test]
fn log_and_images_are_bounded() {
    let cluster = Cluster::of(3, 64);
    write(&cluster, 400);
    let before: Vec<u64> = cluster
        .numbers()
        .iter()
        .map(|n| kept(&cluster, *n).0)
        .collect();
    // Ten times as much as was kept, and as it is.
    write(&cluster, 2000);
    cluster.all_level();
    for (number, before) in cluster.numbers().into_iter().zip(before) {
        let (after, names) = kept(&cluster, number);
        println!("node {number}: {before} bytes, then {after}: {names:?}");
        assert!(
            after < 2 * before.max(4 << 20),
            "node {number}: {before}, {after}: {names:?}"
        );
        let images = names
            .iter()
            .filter(|name| name.starts_with("image-"))
            .count();
        assert!((1..=2).contains(&images), "{names:?}");
    }
}

/// As large as they can be, and as many as are sent at once.
#[test]
fn large_values_reach_who_was_away() {
    const LARGEST: usize = 512 << 10;
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    cluster.kill(node);
    thread::scope(|scope| {
        for client in 0..4 {
            let through = cluster.client(leader);
            scope.spawn(move || {
                let value = vec![b'0' + client; LARGEST];
                for i in 0..16 {
                    through.put(&format!("/v1/kv/{client}-{i}"), &value).ok();
                }
            });
        }
    });
    // As a network of 50 Mbit/s.
    let mib = Duration::from_millis(160);
    cluster.wire(leader, node).slow(mib);
    let (index, _) = cluster.write(leader);
    cluster.start(node);
    let began = Instant::now();
    until("the node is level", || {
        let path = format!("/v1/kv/progress?at-least={index}&wait=2s");
        let reply = cluster.client(node).get(&path);
        (reply.status == 200).then_some(())
    });
    println!(
        "level with 64 values of 512 KiB after {:?}",
        began.elapsed()
    );
    let path = "/v1/kv/3-15?raw";
    let of_leader = cluster.client(leader).get(path).ok();
    let of_node = cluster.client(node).get(path).ok();
    assert!(of_node.text == of_leader.text && of_node.index() == of_leader.index());
}

/// The leader has sent the image, and nobody will answer.
#[test]
fn who_lost_power_while_it_took_an_image_is_sent_another() {
    let mut cluster = Cluster::of(3, 16);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    cluster.stop(node);
    for i in 0..100 {
        cluster.client(leader).put(&format!("/v1/kv/{i}"), "x").ok();
    }
    thread::sleep(Duration::from_secs(2));
    cluster.wire(leader, node).lose();
    cluster.kill(node);
    cluster.start(node);
    let (index, _) = cluster.write(leader);
    cluster.level(node, index);
    cluster.all_same();
}
