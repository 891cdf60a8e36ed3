"""Talks to a running catalog with the published client py-consul, unchanged.

    python3 -m venv venv && venv/bin/pip install py-consul==1.8.0
    cargo run --release -p catalog -- --memory
    venv/bin/python examples/catalog/tests/clients/py_consul.py [HOST:PORT]

Ends quietly with status 0, or with the assertion that failed.
"""

import base64
import sys
import threading
import time

import consul

host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8500").partition(":")


def client():
    return consul.Consul(host=host, port=int(port))


c = client()

# The node itself.
me = c.agent.self()["Config"]["NodeName"]
assert c.status.leader() in c.status.peers()
assert me in [m["Name"] for m in c.agent.members()]
assert c.catalog.datacenters() == ["dc1"]

# Keys and values.
c.kv.delete("py/", recurse=True)
index, absent = c.kv.get("py/a")
assert absent is None
assert c.kv.put("py/a", "1", flags=7) is True
assert c.kv.put("py/b/c", b"\x00\xff") is True
assert c.kv.put("py/empty", "") is True
index, pair = c.kv.get("py/a")
assert (pair["Value"], pair["Flags"], pair["Key"]) == (b"1", 7, "py/a")
assert pair["ModifyIndex"] == int(index)
assert c.kv.get("py/b/c")[1]["Value"] == b"\x00\xff"
assert c.kv.get("py/empty")[1]["Value"] is None
assert [p["Key"] for p in c.kv.get("py/", recurse=True)[1]] == ["py/a", "py/b/c", "py/empty"]
assert c.kv.get("py/", keys=True, separator="/")[1] == ["py/a", "py/b/", "py/empty"]
assert c.kv.put("py/a", "2", cas=0) is False
assert c.kv.put("py/a", "2", cas=pair["ModifyIndex"]) is True
assert c.kv.delete("py/a", cas=pair["ModifyIndex"]) is False
assert c.kv.delete("py/b/c") is True
assert c.kv.get("py/none/", recurse=True)[1] is None


# A blocking query, woken by a write of another client.
def later():
    time.sleep(0.3)
    client().kv.put("py/wanted", "here")


index, absent = c.kv.get("py/wanted")
assert absent is None
threading.Thread(target=later).start()
woken, pair = c.kv.get("py/wanted", index=index, wait="30s")
assert pair["Value"] == b"here" and int(woken) > int(index)
began = time.monotonic()
same, pair = c.kv.get("py/wanted", index=woken, wait="200ms")
assert same == woken and time.monotonic() - began >= 0.2

# A transaction; and one that is refused.
done = c.txn.put(
    [
        {"KV": {"Verb": "set", "Key": "py/t", "Value": base64.b64encode(b"x").decode()}},
        {"KV": {"Verb": "get", "Key": "py/t"}},
    ]
)
assert done["Errors"] is None
assert base64.b64decode(done["Results"][1]["KV"]["Value"]) == b"x"
try:
    c.txn.put([{"KV": {"Verb": "check-not-exists", "Key": "py/t"}}])
    raise AssertionError("the transaction should have been refused")
except consul.ConsulException as refused:
    assert "409" in str(refused), refused

# A service with a check of its own, found by its health.
assert c.agent.service.register(
    "web",
    service_id="web-1",
    address="10.0.0.1",
    port=8080,
    tags=["v1"],
    meta={"Team": "a"},
    check=consul.Check.ttl("1h"),
)
assert c.agent.services()["web-1"]["Port"] == 8080
assert c.catalog.services()[1]["web"] == ["v1"]
assert c.catalog.service("web", tag="v1")[1][0]["ServiceAddress"] == "10.0.0.1"
index, healthy = c.health.service("web", passing=True)
assert healthy == []
threading.Thread(target=lambda: (time.sleep(0.3), client().agent.check.ttl_pass("service:web-1", "up"))).start()
woken, healthy = c.health.service("web", passing=True, index=index, wait="30s")
assert [s["Service"]["ID"] for s in healthy] == ["web-1"]
assert [x["Output"] for x in c.health.checks("web")[1]] == ["up"]
assert c.agent.check.ttl_warn("service:web-1")
assert [x["CheckID"] for x in c.health.state("warning")[1]] == ["service:web-1"]
assert c.agent.check.ttl_fail("service:web-1")
assert c.agent.check.register("disk", consul.Check.ttl("1h"), notes="n")
assert set(c.agent.checks()) == {"serfHealth", "service:web-1", "disk"}
assert c.agent.check.deregister("disk")
assert c.agent.check.register("self", consul.Check.tcp(host, int(port), "1s"))
assert c.agent.check.register("http", consul.Check.http(f"http://{host}:{port}/v1/status/leader", "1s"))
index, made = c.health.node(me)
while {x["Status"] for x in made if x["CheckID"] in ("self", "http")} != {"passing"}:
    index, made = c.health.node(me, index=index, wait="10s")
assert c.agent.check.deregister("self") and c.agent.check.deregister("http")
assert c.agent.service.deregister("web-1")
assert c.catalog.service("web")[1] == []

# A node registered from elsewhere.
assert c.catalog.register(
    "py-node",
    "10.0.0.9",
    service={"service": "db", "id": "db-1", "port": 5432, "tags": ["primary"]},
    check={"name": "alive", "status": "passing"},
)
assert "py-node" in [n["Node"] for n in c.catalog.nodes()[1]]
assert list(c.catalog.node("py-node")[1]["Services"]) == ["db-1"]
assert [x["Name"] for x in c.health.node("py-node")[1]] == ["alive"]
assert c.health.service("db", passing=True)[1][0]["Node"]["Address"] == "10.0.0.9"
assert c.health.service("db", node_meta={"rack": "7"})[1] == []
assert c.catalog.deregister("py-node", service_id="db-1")
assert c.catalog.deregister("py-node")
assert c.catalog.node("py-node")[1] is None
c.kv.delete("py/", recurse=True)

# Leader election: of two, one leads; when its session ends, the other does.
c.kv.delete("py/leader")
mine = c.session.create(name="one", lock_delay=1, ttl=10, behavior="release")
theirs = client().session.create(name="two", lock_delay=1, ttl=10, behavior="release")
assert {mine, theirs} <= {session["ID"] for session in c.session.list()[1]}
assert c.kv.put("py/leader", "one", acquire=mine) is True
assert c.kv.put("py/leader", "two", acquire=theirs) is False
index, pair = c.kv.get("py/leader")
assert (pair["Session"], pair["LockIndex"], pair["Value"]) == (mine, 1, b"one")
assert c.session.renew(mine)["ID"] == mine


def resign():
    time.sleep(0.3)
    assert client().session.destroy(mine) is True


threading.Thread(target=resign).start()
index, pair = c.kv.get("py/leader", index=index, wait="30s")
assert "Session" not in pair
deadline = time.time() + 30
while not c.kv.put("py/leader", "two", acquire=theirs):
    assert time.time() < deadline
    time.sleep(0.1)
assert c.kv.get("py/leader")[1]["Session"] == theirs
assert c.kv.put("py/leader", "", release=theirs) is True
assert c.session.destroy(theirs) is True
assert c.session.info(mine)[1] is None

# Events.
fired = c.event.fire("py-deploy", "1.2")
index, events = c.event.list("py-deploy")
assert events[-1]["ID"] == fired["ID"]
threading.Thread(target=lambda: (time.sleep(0.3), client().event.fire("py-deploy", "1.3"))).start()
assert c.event.list("py-deploy", index=index, wait="30s")[1][-1]["Payload"] == b"1.3"
