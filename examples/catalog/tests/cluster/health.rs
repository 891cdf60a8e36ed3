//! Checks, and the health of the nodes themselves.

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

/// Waits until a node's check has a state, as another knows it.
fn becomes(client: &Client, node: &str, id: &str, status: &str) {
    until(&format!("{id} of {node} is {status}"), || {
        check(client, node, id).filter(|check| check["Status"] == status)
    });
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
