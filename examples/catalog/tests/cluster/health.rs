//! Checks, and the health of the nodes themselves.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::nodes::{Cluster, until};
use super::support::Client;
use super::wire::State;

/// A check, as a node knows it.
fn check(client: &Client, node: &str, id: &str) -> Option<Value> {
    let path = format!("/v1/health/node/{node}");
    let reply = client.request("GET", &path, &[]).ok()?;
    let checks = reply.ok().json();
    let mut checks = checks.as_array()?.iter();
    checks.find(|check| check["CheckID"] == id).cloned()
}

fn name(client: &Client) -> String {
    let this = client.get("/v1/agent/self").ok().json();
    this["Config"]["NodeName"].as_str().unwrap().to_owned()
}

/// Waits until a node's check has a state, as another knows it, and returns the check.
fn becomes(client: &Client, node: &str, id: &str, status: &str) -> Value {
    until(&format!("{id} of {node} is {status}"), || {
        check(client, node, id).filter(|check| check["Status"] == status)
    })
}

#[test]
fn a_check_is_made_by_a_node_that_comes_to_know_of_it_later() {
    let cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    let client = cluster.client(node);
    let me = name(client);
    becomes(client, &me, "serfHealth", "passing");
    cluster.write(node);
    // What it asks is answered, and what is in the log does not come to it.
    cluster.wire(leader, node).set(State::Held);
    let address = &cluster.client(leader).address;
    let body = json!({ "Name": "leader", "TCP": address, "Interval": "1s" });
    client
        .put("/v1/agent/check/register", body.to_string())
        .ok();
    assert_eq!(check(client, &me, "leader"), None);
    cluster.wire(leader, node).set(State::Open);
    becomes(client, &me, "leader", "passing");
}

/// It is sent an image, and the check is in that.
#[test]
fn a_node_that_lost_its_data_makes_its_checks_again() {
    let mut cluster = Cluster::of(3, 10);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    let client = cluster.client(leader).clone();
    let there = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = there.local_addr().unwrap().to_string();
    let body = json!({ "Name": "there", "TCP": address, "Interval": "1s" });
    let of_node = cluster.client(node);
    let me = name(of_node);
    let path = "/v1/agent/check/register";
    of_node.put(path, body.to_string()).ok();
    becomes(&client, &me, "there", "passing");
    cluster.kill(node);
    for _ in 0..100 {
        cluster.write(leader);
    }
    cluster.wipe(node);
    cluster.start(node);
    drop(there);
    becomes(&client, &me, "there", "critical");
}

#[test]
fn a_node_that_dies_is_ill_and_its_sessions_end() {
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    let other = cluster.client(cluster.others(leader)[1]).clone();
    let me = name(cluster.client(node));
    for number in cluster.numbers() {
        becomes(
            &other,
            &name(cluster.client(number)),
            "serfHealth",
            "passing",
        );
    }
    // It has no TTL: it lives while its node does.
    let create = cluster.client(node).put("/v1/session/create", "");
    let session = create.ok().json()["ID"].as_str().unwrap().to_owned();
    let acquire = format!("/v1/kv/lock?acquire={session}");
    let locked = other.put(&acquire, "x").ok();
    assert_eq!(locked.text, "true");
    let path = format!(
        "/v1/kv/lock?at-least={0}&index={0}&wait=60s",
        locked.index()
    );
    cluster.kill(node);
    let free = other.get(&path).ok().json();
    assert_eq!(free[0].get("Session"), None);
    becomes(&other, &me, "serfHealth", "critical");
    // The others are well, and so is it when it is back; whoever leads by then.
    for number in cluster.others(node) {
        becomes(
            &other,
            &name(cluster.client(number)),
            "serfHealth",
            "passing",
        );
    }
    cluster.start(node);
    becomes(&other, &me, "serfHealth", "passing");
}

#[test]
fn a_node_that_is_removed_is_deregistered() {
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let [one, two] = cluster.others(leader)[..] else {
        panic!("three nodes");
    };
    let client = cluster.client(leader).clone();
    let names = [one, two].map(|number| name(cluster.client(number)));
    let known = |node: &str| {
        let nodes = client.get("/v1/catalog/nodes").ok().json();
        let mut nodes = nodes.as_array().unwrap().iter();
        nodes.any(|known| known["Node"] == node)
    };
    let gone = |node: &str| until("it is gone", || (!known(node)).then_some(()));
    for name in &names {
        becomes(&client, name, "serfHealth", "passing");
    }
    cluster.client(one).put("/v1/agent/leave", "").ok();
    assert!(cluster.wait(one).success());
    gone(&names[0]);
    assert!(known(&names[1]));
    let path = format!("/v1/operator/raft/peer?id={two}");
    client.request("DELETE", &path, &[]).unwrap().ok();
    gone(&names[1]);
    cluster.kill(two);
}

#[test]
fn a_node_that_is_silent_for_some_time_is_ill_until_it_answers() {
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let node = cluster.others(leader)[0];
    let client = &cluster.client(leader).clone();
    let silent = name(cluster.client(node));
    becomes(client, &silent, "serfHealth", "passing");
    let statuses = || {
        let members = client.get("/v1/agent/members").ok().json();
        let members = members.as_array().unwrap().iter();
        let status = |member: &Value| (member["Name"] == *silent, member["Status"].clone());
        let mut statuses: Vec<_> = members.map(status).collect();
        statuses.sort_by_key(|(silent, _)| *silent);
        statuses
    };
    let all = |status: u64| [(false, json!(1)), (false, json!(1)), (true, json!(status))];
    assert_eq!(statuses(), all(1));
    let began = Instant::now();
    cluster.stop(node);
    becomes(client, &silent, "serfHealth", "critical");
    // Not at once: it has five seconds, of which a heartbeat and a look can be missing.
    let took = began.elapsed();
    assert!(took > Duration::from_secs(4), "{took:?}");
    assert_eq!(statuses(), all(4));
    cluster.go_on(node);
    becomes(client, &silent, "serfHealth", "passing");
    assert_eq!(statuses(), all(1));
}

#[test]
fn a_member_that_somebody_deregisters_is_registered_again() {
    let cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let client = cluster.client(leader);
    for number in cluster.numbers() {
        let node = name(cluster.client(number));
        becomes(client, &node, "serfHealth", "passing");
        for body in [
            json!({ "Node": node }),
            json!({ "Node": node, "CheckID": "serfHealth" }),
        ] {
            client.put("/v1/catalog/deregister", body.to_string()).ok();
            assert_eq!(check(client, &node, "serfHealth"), None);
            becomes(client, &node, "serfHealth", "passing");
        }
        let known = client.get(&format!("/v1/catalog/node/{node}")).ok().json();
        let this = cluster.client(number).get("/v1/agent/self").ok().json();
        assert_eq!(known["Node"]["ID"], this["Config"]["NodeID"]);
        assert_eq!(known["Node"]["Address"], "127.0.0.1");
    }
}
