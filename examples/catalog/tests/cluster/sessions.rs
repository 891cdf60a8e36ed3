//! Sessions, locks and events, whoever leads.

use serde_json::{Value, json};

use super::nodes::{Cluster, until};
use super::support::Client;

/// When its node, which a session belongs to, has registered itself.
fn create(client: &Client, body: &Value) -> String {
    until("there is a session", || {
        let create = client.request("PUT", "/v1/session/create", body.to_string().as_bytes());
        let created = create.ok().filter(|reply| reply.status == 200)?;
        Some(created.json()["ID"].as_str().unwrap().to_owned())
    })
}

fn acquire(client: &Client, session: &str) -> Option<bool> {
    let path = format!("/v1/kv/leader?acquire={session}");
    let reply = client.request("PUT", &path, session.as_bytes()).ok()?;
    (reply.status == 200).then(|| reply.text == "true")
}

/// Sessions without checks: what ends them is that they are not renewed.
fn body(ttl: &str) -> Value {
    json!({ "TTL": ttl, "LockDelay": "1s", "Checks": [] })
}

#[test]
fn a_lock_passes_on_after_the_leader_has_died() {
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let others = cluster.others(leader);
    let (one, two) = (
        cluster.client(others[0]).clone(),
        cluster.client(others[1]).clone(),
    );
    let (mine, theirs) = (create(&one, &body("1s")), create(&two, &body("24h")));
    assert_eq!(acquire(&one, &mine), Some(true));
    assert_eq!(acquire(&two, &theirs), Some(false));
    let held = two.get("/v1/kv/leader?consistent").ok();
    cluster.kill(leader);
    cluster.leader_of(&others);
    // Nobody renews it: it ends, and whoever waits for the key is told.
    let path = format!("/v1/kv/leader?index={}&wait=60s", held.index());
    let released = two.get(&path).ok();
    assert_eq!(released.json()[0].get("Session"), None);
    let free = released.index();
    until("the lock is taken", || {
        acquire(&two, &theirs).filter(|won| *won)
    });
    let taken = two.get("/v1/kv/leader?consistent").ok().json();
    assert_eq!(
        (&taken[0]["Session"], &taken[0]["LockIndex"]),
        (&json!(theirs), &json!(2))
    );
    // It has ended once: the other one goes on, and the one that ended cannot be renewed.
    let sessions = two.get("/v1/session/list?consistent").ok().json();
    assert_eq!(sessions.as_array().unwrap().len(), 1);
    assert_eq!(sessions[0]["ID"], json!(theirs));
    one.put(&format!("/v1/session/renew/{mine}"), "")
        .refused(404, "not found");
    assert!(free > held.index());
    cluster.start(leader);
    cluster.all_same();
    let known = |number| cluster.client(number).get("/v1/session/list").ok().json();
    for number in cluster.numbers() {
        assert_eq!(known(number), sessions);
    }
}

#[test]
fn a_session_that_is_renewed_outlives_its_leader() {
    let mut cluster = Cluster::of(3, 1000);
    let leader = cluster.leader_of(&cluster.numbers());
    let client = cluster.client(cluster.others(leader)[0]).clone();
    let mine = create(&client, &body("4s"));
    assert_eq!(acquire(&client, &mine), Some(true));
    cluster.kill(leader);
    // Whoever leads next gives it its whole time again, however long the election took.
    let renew = format!("/v1/session/renew/{mine}");
    for _ in 0..12 {
        until("it is renewed", || {
            let reply = client.request("PUT", &renew, &[]).ok()?;
            assert_ne!(reply.status, 404, "{reply:?}");
            (reply.status == 200).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let held = client.get("/v1/kv/leader?consistent").ok().json();
    assert_eq!(held[0]["Session"], json!(mine));
}

#[test]
fn an_event_is_heard_of_everywhere() {
    let cluster = Cluster::of(3, 1000);
    let before = cluster
        .client(1)
        .get("/v1/event/list?name=deploy")
        .ok()
        .index();
    let path = format!("/v1/event/list?name=deploy&index={before}&wait=60s");
    let waiting: Vec<_> = cluster
        .numbers()
        .into_iter()
        .map(|number| {
            let (client, path) = (cluster.client(number).clone(), path.clone());
            std::thread::spawn(move || client.get(&path).ok().json())
        })
        .collect();
    let fired = cluster
        .client(2)
        .put("/v1/event/fire/deploy", "1.2")
        .ok()
        .json();
    for heard in waiting {
        assert_eq!(heard.join().unwrap(), json!([fired]));
    }
}
