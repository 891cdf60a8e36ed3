//! `/v1/event/`.

use std::thread;

use serde_json::{Value, json};

use super::support::{Catalog, Client};

fn fire(client: &Client, path: &str, payload: &str) -> Value {
    let fired = client.put(&format!("/v1/event/fire/{path}"), payload);
    fired.ok().json()
}

/// As Consul's clients make an index of the ID of an event.
fn id_to_index(id: &str) -> u64 {
    let digits = |ranges: &[std::ops::Range<usize>]| -> u64 {
        let digits: String = ranges.iter().map(|range| &id[range.clone()]).collect();
        u64::from_str_radix(&digits, 16).unwrap()
    };
    digits(&[0..8, 9..13, 14..18]) ^ digits(&[19..23, 24..36])
}

fn names(list: &Value) -> Vec<&str> {
    let events = list.as_array().unwrap().iter();
    events
        .map(|event| event["Name"].as_str().unwrap())
        .collect()
}

#[test]
fn what_an_event_is() {
    let catalog = Catalog::in_memory();
    let client = catalog.client();
    let none = catalog.get("/v1/event/list").ok();
    assert_eq!((none.json(), none.index()), (json!([]), 1));
    let fired = fire(&client, "deploy?node=n.*&service=web&tag=v1", "1.2");
    let id = fired["ID"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(
        fired,
        json!({
            "ID": id, "Name": "deploy", "Payload": "MS4y", "NodeFilter": "n.*",
            "ServiceFilter": "web", "TagFilter": "v1", "Version": 1, "LTime": 1,
        })
    );
    let other = fire(&client, "restart", "");
    assert_eq!(
        (&other["Payload"], &other["LTime"]),
        (&Value::Null, &json!(2))
    );
    let all = catalog.get("/v1/event/list").ok().json();
    assert_eq!(all, json!([fired, other]));
    let long = |bytes| catalog.put("/v1/event/fire/long", "x".repeat(bytes));
    long(512).ok();
    long(513).refused(413, "max size: 512 bytes");
    let of_name = catalog.get("/v1/event/list?name=restart").ok().json();
    assert_eq!(of_name, json!([other]));
}

#[test]
fn who_waits_for_a_name_hears_of_that_name_alone() {
    let catalog = Catalog::in_memory();
    let client = catalog.client();
    let first = fire(&client, "a", "");
    let before = catalog.get("/v1/event/list?name=a").ok().index();
    assert_eq!(before, id_to_index(first["ID"].as_str().unwrap()));
    let path = format!("/v1/event/list?name=a&index={before}&wait=60s");
    let waiting = {
        let client = catalog.client();
        thread::spawn(move || client.get(&path).ok())
    };
    for _ in 0..5 {
        fire(&client, "b", "");
    }
    let last = fire(&client, "a", "now");
    let heard = waiting.join().unwrap();
    assert_eq!(names(&heard.json()), ["a", "a"]);
    assert_eq!(heard.index(), id_to_index(last["ID"].as_str().unwrap()));
    // Any other index than the last one's is answered at once.
    let path = format!("/v1/event/list?name=a&index={before}&wait=60s");
    assert_eq!(names(&catalog.get(&path).ok().json()), ["a", "a"]);
    let path = format!("/v1/event/list?name=a&index={}&wait=10ms", heard.index());
    assert_eq!(catalog.get(&path).ok().index(), heard.index());
}

#[test]
fn the_latest_are_kept() {
    let catalog = Catalog::in_memory();
    let client = catalog.client();
    fire(&client, "first", "");
    for _ in 0..256 {
        fire(&client, "more", "");
    }
    let all = catalog.get("/v1/event/list").ok().json();
    assert_eq!(names(&all), ["more"; 256]);
    assert_eq!(all[0]["LTime"], 2);
}
