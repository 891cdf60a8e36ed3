//! What nodes keep on the disk.

use std::fs;
use std::thread;

use super::nodes::Cluster;

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
