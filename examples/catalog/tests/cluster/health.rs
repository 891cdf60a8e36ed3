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
