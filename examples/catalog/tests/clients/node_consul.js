// Talks to a running catalog with the published client `consul` for Node.js, unchanged.
//
//     npm install consul@2.0.1
//     cargo run --release -p catalog -- --memory
//     node examples/catalog/tests/clients/node_consul.js [HOST:PORT]
//
// Ends quietly with status 0, or with the assertion that failed.

const assert = require("assert");
const Consul = require("consul");

const [host, port] = (process.argv[2] || "127.0.0.1:8500").split(":");
const consul = new Consul({ host, port: Number(port) });

async function main() {
  assert.ok((await consul.status.peers()).includes(await consul.status.leader()));

  await consul.kv.del({ key: "js/", recurse: true });
  await consul.kv.set("js/a", "hello");
  assert.equal((await consul.kv.get("js/a")).Value, "hello");
  assert.deepEqual(await consul.kv.keys("js/"), ["js/a"]);
  assert.equal(await consul.kv.get("js/none"), undefined);

  // The client's own watch: blocking queries in a loop.
  const watch = consul.watch({ method: consul.kv.get, options: { key: "js/wanted" } });
  const woken = new Promise((resolve, reject) => {
    watch.on("change", (pair) => pair && resolve(pair.Value));
    watch.on("error", reject);
  });
  setTimeout(() => consul.kv.set("js/wanted", "here"), 300);
  assert.equal(await woken, "here");
  watch.end();

  const value = Buffer.from("x").toString("base64");
  await consul.transaction.create([{ KV: { Verb: "set", Key: "js/t", Value: value } }]);
  assert.equal((await consul.kv.get("js/t")).Value, "x");

  const check = { ttl: "1h", status: "passing" };
  await consul.agent.service.register({ name: "jsweb", id: "js-1", port: 80, tags: ["x"], check });
  assert.equal((await consul.agent.service.list())["js-1"].Port, 80);
  const health = () => consul.health.service({ service: "jsweb", passing: true });
  assert.equal((await health()).length, 1);
  await consul.agent.check.fail("service:js-1");
  assert.equal((await health()).length, 0);
  assert.deepEqual((await consul.catalog.service.list()).jsweb, ["x"]);
  const me = (await consul.agent.self()).Config.NodeName;
  assert.ok((await consul.catalog.node.list()).some((node) => node.Node === me));
  await consul.agent.service.deregister("js-1");

  // Leader election: of two, one leads; when its session ends, the other does.
  const session = async (name) =>
    (await consul.session.create({ name, ttl: "10s", lockdelay: "1s", behavior: "release" })).ID;
  const [mine, theirs] = [await session("one"), await session("two")];
  assert.equal((await consul.session.get(mine)).Name, "one");
  const ids = (await consul.session.list()).map((session) => session.ID);
  assert.ok(ids.includes(mine) && ids.includes(theirs));
  const acquire = (id, value) => consul.kv.set({ key: "js/leader", value, acquire: id });
  assert.equal(await acquire(mine, "one"), true);
  // The client makes `undefined` of `false`.
  assert.ok(!(await acquire(theirs, "two")));
  assert.equal((await consul.kv.get("js/leader")).Session, mine);
  await consul.session.renew(mine);
  const vacancy = consul.watch({ method: consul.kv.get, options: { key: "js/leader" } });
  const free = new Promise((resolve, reject) => {
    vacancy.on("change", (pair) => pair && !pair.Session && resolve());
    vacancy.on("error", reject);
  });
  setTimeout(() => consul.session.destroy(mine), 300);
  await free;
  vacancy.end();
  const deadline = Date.now() + 30000;
  while (!(await acquire(theirs, "two"))) {
    assert.ok(Date.now() < deadline);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(await consul.kv.set({ key: "js/leader", value: "", release: theirs }), true);
  await consul.session.destroy(theirs);
  assert.ok(!(await consul.session.get(theirs)));

  // Events, and a query that waits for the next one.
  const fired = await consul.event.fire("js-deploy", "1.2");
  const events = await consul.event.list("js-deploy");
  assert.equal(events[events.length - 1].ID, fired.ID);
  const half = (digits) => BigInt("0x" + digits.replace(/-/g, ""));
  const index = half(fired.ID.slice(0, 18)) ^ half(fired.ID.slice(19));
  const waits = consul.event.list({ name: "js-deploy", index: index.toString(), wait: "30s" });
  setTimeout(() => consul.event.fire("js-deploy", "1.3"), 300);
  assert.equal((await waits).pop().Payload, "1.3");

  await consul.kv.del({ key: "js/", recurse: true });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
