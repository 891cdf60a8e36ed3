//! `/v1/agent/`, `/v1/catalog/`, `/v1/health/` and `/v1/status/`.

mod events;
#[path = "sessions/life.rs"]
mod life;
mod support;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Catalog;

fn web() -> Value {
    json!({
        "Name": "web", "ID": "web-1", "Tags": ["v1", "eu"], "Port": 8080, "Address": "10.0.0.1",
        "Meta": { "Owner_Team": "a" }, "Weights": { "Passing": 10, "Warning": 1 },
        "TaggedAddresses": { "lan_v4": { "Address": "10.0.0.1", "Port": 80 } },
        "Check": { "TTL": "1h", "Status": "passing" },
    })
}

/// Names at a path of each item of a list.
fn column(list: &Value, pointer: &str) -> Vec<String> {
    let items = list
        .as_array()
        .unwrap_or_else(|| panic!("no list: {list}"))
        .iter();
    items
        .map(|item| item.pointer(pointer).unwrap().as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn this_node() {
    let catalog = Catalog::in_memory();
    let this = catalog.get("/v1/agent/self").ok().json();
    let name = this["Config"]["NodeName"].as_str().unwrap();
    assert_eq!(this["Config"]["Datacenter"], "dc1");
    assert_eq!(this["Member"]["Name"], name);
    assert_eq!(
        column(&catalog.get("/v1/agent/members").ok().json(), "/Name"),
        [name]
    );
    let leader = catalog.get("/v1/status/leader").ok().json();
    assert_eq!(leader, catalog.address.as_str());
    assert_eq!(catalog.get("/v1/status/peers").ok().json(), json!([leader]));
    assert_eq!(
        catalog.get("/v1/catalog/datacenters").ok().json(),
        json!(["dc1"])
    );

    let nodes = catalog.get("/v1/catalog/nodes").ok();
    assert!(nodes.index() >= 1);
    assert_eq!(column(&nodes.json(), "/Node"), [name]);
    assert_eq!(nodes.json()[0]["ID"], this["Config"]["NodeID"]);
    let health = catalog.get(&format!("/v1/health/node/{name}")).ok().json();
    assert_eq!(column(&health, "/CheckID"), ["serfHealth"]);
    assert_eq!(catalog.get("/v1/catalog/services").ok().json(), json!({}));
    // It has no index, and is never held.
    let services = catalog.get("/v1/agent/services?index=1000&wait=10m").ok();
    assert_eq!(services.json(), json!({}));
}

#[test]
fn a_service_of_the_agent() {
    let catalog = Catalog::in_memory();
    assert_eq!(
        catalog
            .put_json("/v1/agent/service/register", &web())
            .ok()
            .text,
        ""
    );
    let this = catalog.get("/v1/agent/self").json();
    let node = &this["Config"]["NodeName"];

    let of_agent = catalog.get("/v1/agent/services").ok().json();
    let service = &of_agent["web-1"];
    for (field, value) in [
        ("ID", json!("web-1")),
        ("Service", json!("web")),
        ("Tags", json!(["v1", "eu"])),
        ("Port", json!(8080)),
        ("Address", json!("10.0.0.1")),
        ("Meta", json!({ "Owner_Team": "a" })),
        ("Weights", json!({ "Passing": 10, "Warning": 1 })),
        (
            "TaggedAddresses",
            json!({ "lan_v4": { "Address": "10.0.0.1", "Port": 80 } }),
        ),
        ("EnableTagOverride", json!(false)),
        ("Datacenter", json!("dc1")),
    ] {
        assert_eq!(service[field], value, "{field}");
    }
    let checks = catalog.get("/v1/agent/checks").ok().json();
    let check = &checks["service:web-1"];
    for (field, value) in [
        ("Node", node.clone()),
        ("CheckID", json!("service:web-1")),
        ("Name", json!("Service 'web' check")),
        ("Status", json!("passing")),
        ("ServiceID", json!("web-1")),
        ("ServiceName", json!("web")),
        ("ServiceTags", json!(["v1", "eu"])),
        ("Type", json!("ttl")),
        ("Definition", json!({ "TTL": "1h0m0s" })),
    ] {
        assert_eq!(check[field], value, "{field}");
    }

    assert_eq!(
        catalog.get("/v1/catalog/services").json(),
        json!({ "web": ["eu", "v1"] })
    );
    let instances = catalog.get("/v1/catalog/service/web").ok();
    let instance = &instances.json()[0];
    for (field, value) in [
        ("Node", node.clone()),
        ("Address", json!("127.0.0.1")),
        ("Datacenter", json!("dc1")),
        ("ServiceID", json!("web-1")),
        ("ServiceName", json!("web")),
        ("ServiceTags", json!(["v1", "eu"])),
        ("ServiceAddress", json!("10.0.0.1")),
        ("ServicePort", json!(8080)),
        ("ServiceMeta", json!({ "Owner_Team": "a" })),
    ] {
        assert_eq!(instance[field], value, "{field}");
    }
    assert_eq!(instance["ModifyIndex"], instances.index());
    assert_eq!(
        catalog.get("/v1/catalog/service/none").ok().json(),
        json!([])
    );

    let of_node = catalog
        .get(&format!("/v1/catalog/node/{}", node.as_str().unwrap()))
        .ok()
        .json();
    assert_eq!(of_node["Node"]["Node"], *node);
    assert_eq!(of_node["Services"]["web-1"]["Service"], "web");
    assert_eq!(
        catalog.get("/v1/catalog/node/none").ok().json(),
        Value::Null
    );

    // Registered once more as it is, nothing is written.
    catalog.put_json("/v1/agent/service/register", &web()).ok();
    assert_eq!(
        catalog.get("/v1/catalog/service/web").index(),
        instances.index()
    );

    assert_eq!(
        catalog
            .put("/v1/agent/service/deregister/web-1", "")
            .ok()
            .text,
        ""
    );
    assert!(catalog.get("/v1/catalog/service/web").index() > instances.index());
    assert_eq!(catalog.get("/v1/catalog/services").json(), json!({}));
    let left = catalog.get("/v1/agent/checks").json();
    assert_eq!(
        left.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["serfHealth"]
    );
    catalog
        .put("/v1/agent/service/deregister/web-1", "")
        .refused(404, "Unknown service ID");
}

#[test]
fn health_of_a_service() {
    let catalog = Catalog::in_memory();
    catalog.put_json("/v1/agent/service/register", &web()).ok();
    let second = json!({
        "name": "web", "id": "web-2", "tags": ["v2", "eu"], "port": 1, "check": null,
        "checks": [{ "ttl": "1h", "status": "warning" }, { "ttl": "1h", "checkid": "mine" }],
    });
    catalog.put_json("/v1/agent/service/register", &second).ok();

    let ids = |path: &str| column(&catalog.get(path).ok().json(), "/Service/ID");
    assert_eq!(ids("/v1/health/service/web"), ["web-1", "web-2"]);
    assert_eq!(ids("/v1/health/service/web?passing"), ["web-1"]);
    assert_eq!(
        ids("/v1/health/service/web?passing=true&near=_agent"),
        ["web-1"]
    );
    assert_eq!(ids("/v1/health/service/web?passing=0"), ["web-1", "web-2"]);
    assert_eq!(ids("/v1/health/service/web?tag=v2"), ["web-2"]);
    assert_eq!(ids("/v1/health/service/web?tag=EU&tag=v1"), ["web-1"]);
    assert_eq!(
        ids("/v1/health/service/web?tag=v1&tag=v2"),
        Vec::<String>::new()
    );
    assert_eq!(ids("/v1/health/service/none"), Vec::<String>::new());
    catalog
        .get("/v1/health/service/web?passing=x")
        .refused(400, "?passing");
    catalog
        .get("/v1/health/service/web?filter=x")
        .refused(400, "?filter");

    let all = catalog.get("/v1/health/service/web").json();
    let this = catalog.get("/v1/agent/self").json();
    assert_eq!(all[0]["Node"]["Node"], this["Config"]["NodeName"]);
    assert_eq!(all[0]["Service"]["Port"], 8080);
    assert_eq!(
        column(&all[0]["Checks"], "/CheckID"),
        ["serfHealth", "service:web-1"]
    );
    assert_eq!(
        column(&all[1]["Checks"], "/CheckID"),
        ["serfHealth", "mine", "service:web-2:1"]
    );

    let checks = |path: &str| column(&catalog.get(path).ok().json(), "/CheckID");
    assert_eq!(
        checks("/v1/health/checks/web"),
        ["service:web-1", "mine", "service:web-2:1"]
    );
    assert_eq!(
        checks("/v1/health/state/passing"),
        ["serfHealth", "service:web-1"]
    );
    assert_eq!(checks("/v1/health/state/warning"), ["service:web-2:1"]);
    assert_eq!(checks("/v1/health/state/critical"), ["mine"]);
    assert_eq!(checks("/v1/health/state/any").len(), 4);
    catalog.get("/v1/health/state/odd").refused(400, "odd");
}

#[test]
fn reports_on_checks() {
    let catalog = Catalog::in_memory();
    let web = |checks: Value| json!({ "Name": "web", "ID": "web-2", "Checks": checks });
    let mine = json!({ "TTL": "1h", "CheckID": "mine" });
    let second = web(json!([{ "TTL": "1h", "Status": "warning" }, mine]));
    catalog.put_json("/v1/agent/service/register", &second).ok();

    for (report, status, output) in [
        ("pass/mine?note=all%20well", "passing", "all well"),
        ("warn/mine?note=hm", "warning", "hm"),
        ("fail/mine", "critical", ""),
    ] {
        assert_eq!(
            catalog
                .put(&format!("/v1/agent/check/{report}"), "")
                .ok()
                .text,
            ""
        );
        let check = &catalog.get("/v1/agent/checks").json()["mine"];
        assert_eq!(
            (&check["Status"], &check["Output"]),
            (&json!(status), &json!(output))
        );
    }
    let update = json!({ "Status": "passing", "Output": "measured" });
    catalog
        .put_json("/v1/agent/check/update/mine", &update)
        .ok();
    assert_eq!(
        catalog.get("/v1/agent/checks").json()["mine"]["Output"],
        "measured"
    );
    catalog
        .put_json("/v1/agent/check/update/mine", &json!({ "Status": "odd" }))
        .refused(400, "odd");
    catalog
        .put("/v1/agent/check/pass/none", "")
        .refused(404, "Unknown check ID");
    catalog
        .put("/v1/agent/check/pass/serfHealth", "")
        .refused(500, "associated TTL");

    // A service that is registered again keeps what is known of its checks.
    catalog.put_json("/v1/agent/service/register", &second).ok();
    assert_eq!(
        catalog.get("/v1/agent/checks").json()["mine"]["Status"],
        "passing"
    );
    let fewer = web(json!([mine]));
    let checks = || {
        column(
            &catalog.get("/v1/health/checks/web").ok().json(),
            "/CheckID",
        )
    };
    catalog.put_json("/v1/agent/service/register", &fewer).ok();
    assert_eq!(checks(), ["mine", "service:web-2:1"]);
    catalog
        .put_json(
            "/v1/agent/service/register?replace-existing-checks=true",
            &fewer,
        )
        .ok();
    assert_eq!(checks(), ["mine"]);
}

#[test]
fn checks_of_the_agent() {
    let catalog = Catalog::in_memory();
    let check = json!({ "Name": "disk", "TTL": "1h", "Notes": "of the node" });
    catalog.put_json("/v1/agent/check/register", &check).ok();
    let known = catalog.get("/v1/agent/checks").json();
    assert_eq!(known["disk"]["Status"], "critical");
    assert_eq!(known["disk"]["ServiceID"], "");
    // Registered again, it is as it was: clients do so at every start.
    catalog.put("/v1/agent/check/pass/disk?note=full", "").ok();
    catalog.put_json("/v1/agent/check/register", &check).ok();
    let known = catalog.get("/v1/agent/checks").json();
    assert_eq!(known["disk"]["Status"], "passing");
    assert_eq!(known["disk"]["Output"], "full");
    // No check at all, as some clients say it.
    let service = json!({ "Name": "bare", "Check": {} });
    catalog
        .put_json("/v1/agent/service/register", &service)
        .ok();
    assert_eq!(catalog.get("/v1/health/checks/bare").json(), json!([]));
    let of_service = json!({ "Name": "x", "TTL": "1h", "ServiceID": "none" });
    catalog
        .put_json("/v1/agent/check/register", &of_service)
        .refused(404, "none");
    catalog
        .put_json("/v1/agent/check/register", &json!({ "TTL": "1h" }))
        .refused(400, "name");
    for refused in [
        json!({ "Name": "x" }),
        json!({ "Name": "x", "HTTP": "http://localhost" }),
        json!({ "Name": "x", "HTTP": "https://localhost", "Interval": "10s" }),
        json!({ "Name": "x", "GRPC": "localhost:1", "Interval": "10s" }),
        json!({ "Name": "x", "TCP": "localhost:1", "Interval": "10s", "TTL": "10s" }),
    ] {
        catalog
            .put_json("/v1/agent/check/register", &refused)
            .refused(400, "Invalid check");
    }
    let bad = json!({ "Name": "x", "TTL": "soon" });
    catalog
        .put_json("/v1/agent/check/register", &bad)
        .refused(400, "not a duration");
    catalog.put("/v1/agent/check/deregister/disk", "").ok();
    catalog
        .put("/v1/agent/check/deregister/disk", "")
        .refused(404, "Unknown check ID");
    catalog
        .put_json("/v1/agent/service/register", &json!({}))
        .refused(400, "service name");
    let mesh = json!({ "Name": "x", "Connect": { "SidecarService": {} } });
    catalog
        .put_json("/v1/agent/service/register", &mesh)
        .refused(400, "mesh");
}

/// Waits until an agent's check has a state, and returns the check.
#[track_caller]
fn becomes(catalog: &Catalog, check: &str, status: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let known = catalog.get("/v1/agent/checks").json();
        if known[check]["Status"] == status {
            return known[check].clone();
        }
        assert!(Instant::now() < deadline, "still {known}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_check_nobody_reports_on_becomes_critical() {
    let catalog = Catalog::in_memory();
    let check = json!({ "Name": "beat", "TTL": "300ms", "Status": "passing" });
    catalog.put_json("/v1/agent/check/register", &check).ok();
    assert_eq!(
        becomes(&catalog, "beat", "critical")["Output"],
        "TTL expired"
    );
    catalog.put("/v1/agent/check/pass/beat", "").ok();
    becomes(&catalog, "beat", "critical");
}

#[test]
fn checks_that_are_made() {
    let catalog = Catalog::in_memory();
    let peer = Catalog::in_memory();
    let address = peer.address.clone();
    for (name, how, what) in [
        ("tcp", "TCP", address.clone()),
        (
            "found",
            "HTTP",
            format!("http://{address}/v1/status/leader?pretty"),
        ),
        ("not-found", "HTTP", format!("http://{address}/v1/nothing")),
    ] {
        let check = json!({ "Name": name, how: what, "Interval": "1s", "Timeout": "10s" });
        catalog.put_json("/v1/agent/check/register", &check).ok();
    }
    assert_eq!(becomes(&catalog, "tcp", "passing")["Type"], "tcp");
    let found = becomes(&catalog, "found", "passing");
    assert_eq!(
        (&found["Type"], &found["Interval"]),
        (&json!("http"), &json!("1s"))
    );
    let output = found["Output"].as_str().unwrap();
    assert!(
        output.contains("200 OK") && output.contains(&address),
        "{output}"
    );
    assert_eq!(
        catalog.get("/v1/agent/checks").json()["not-found"]["Status"],
        "critical"
    );
    catalog
        .put("/v1/agent/check/pass/tcp", "")
        .refused(500, "associated TTL");
    drop(peer);
    becomes(&catalog, "tcp", "critical");
    becomes(&catalog, "found", "critical");
}

#[test]
fn a_report_that_changes_nothing_wakes_nobody() {
    let catalog = Catalog::in_memory();
    let check = json!({ "Name": "beat", "TTL": "1h", "Status": "passing" });
    catalog.put_json("/v1/agent/check/register", &check).ok();
    let before = catalog.get("/v1/health/state/any").index();
    for _ in 0..3 {
        catalog.put("/v1/agent/check/pass/beat", "").ok();
    }
    assert_eq!(catalog.get("/v1/health/state/any").index(), before);
}

#[test]
fn registered_from_elsewhere() {
    let catalog = Catalog::in_memory();
    let registration = json!({
        "Datacenter": "dc1", "Node": "n1", "Address": "10.0.0.9", "ID": "",
        "TaggedAddresses": { "lan": "10.0.0.9" }, "NodeMeta": { "rack": "7" },
        "Service": { "Service": "db", "ID": "db-1", "Tags": ["primary"], "Port": 5432 },
        "Check": { "CheckID": "alive", "Name": "alive", "Status": "passing" },
        "Checks": [{
            "Name": "db answers", "ServiceID": "db-1", "Status": "warning",
            "Definition": { "HTTP": "http://10.0.0.9/health", "Interval": "10s", "Timeout": "1s" },
        }],
    });
    assert_eq!(
        catalog
            .put_json("/v1/catalog/register", &registration)
            .ok()
            .text,
        "true"
    );
    let db = catalog.get("/v1/health/service/db").ok().json();
    assert_eq!(db[0]["Node"]["Meta"], json!({ "rack": "7" }));
    assert_eq!(
        db[0]["Node"]["TaggedAddresses"],
        json!({ "lan": "10.0.0.9" })
    );
    assert_eq!(column(&db[0]["Checks"], "/Name"), ["alive", "db answers"]);
    assert_eq!(
        db[0]["Checks"][1]["Definition"],
        json!({ "HTTP": "http://10.0.0.9/health", "Interval": "10s", "Timeout": "1s" })
    );
    assert_eq!(
        catalog.get("/v1/catalog/nodes?node-meta=rack:7").json()[0]["Node"],
        "n1"
    );
    assert_eq!(
        catalog.get("/v1/catalog/nodes?node-meta=rack:8").json(),
        json!([])
    );
    assert_eq!(
        catalog.get("/v1/catalog/services?node-meta=rack:8").json(),
        json!({})
    );
    // It is not the agent's.
    assert_eq!(catalog.get("/v1/agent/services").json(), json!({}));

    // Only the service; the node is left as it is.
    let more = json!({
        "Node": "n1", "SkipNodeUpdate": true, "Service": { "Service": "cache", "Port": 1 },
    });
    catalog.put_json("/v1/catalog/register", &more).ok();
    let node = catalog.get("/v1/catalog/node/n1").json();
    assert_eq!(node["Node"]["Address"], "10.0.0.9");
    let ids: Vec<_> = node["Services"].as_object().unwrap().keys().collect();
    assert_eq!(ids, ["cache", "db-1"]);

    let deregister = |body: Value| catalog.put_json("/v1/catalog/deregister", &body);
    assert_eq!(
        deregister(json!({ "Node": "n1", "CheckID": "alive" }))
            .ok()
            .text,
        "true"
    );
    let names = |path: &str| column(&catalog.get(path).ok().json(), "/Name");
    assert_eq!(names("/v1/health/node/n1"), ["db answers"]);
    deregister(json!({ "Node": "n1", "ServiceID": "db-1" })).ok();
    assert_eq!(names("/v1/health/node/n1"), Vec::<String>::new());
    assert_eq!(catalog.get("/v1/catalog/service/db").json(), json!([]));
    // The node takes with it what is left on it.
    deregister(json!({ "Node": "n1" })).ok();
    assert_eq!(catalog.get("/v1/catalog/node/n1").json(), Value::Null);
    assert_eq!(catalog.get("/v1/catalog/services").json(), json!({}));
    deregister(json!({ "Node": "n1" })).ok();

    let register = |body: Value| catalog.put_json("/v1/catalog/register", &body);
    register(json!({ "Address": "x" })).refused(400, "Must provide node");
    register(json!({ "Node": "n" })).refused(400, "Must provide address");
    register(json!({ "Node": "n", "Address": "x", "Service": { "ID": "s" } }))
        .refused(400, "Must provide service name");
    register(json!({ "Node": "n", "Address": "x", "Datacenter": "dc9" }))
        .refused(500, "No path to datacenter");
    register(json!({ "Node": "n", "Address": "x", "Check": { "Name": "c", "ServiceID": "none" } }))
        .refused(404, "none");
    register(json!({ "Node": "n", "Address": "x", "Check": { "Name": "c", "Node": "m" } }))
        .refused(400, "does not match");
    register(json!(7)).refused(400, "decode failed");
    deregister(json!({})).refused(400, "Must provide node");
    // What was refused half-way has left nothing.
    assert_eq!(catalog.get("/v1/catalog/node/n").json(), Value::Null);
}
