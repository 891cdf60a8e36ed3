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
  assert.equal((await consul.catalog.node.list()).length, 1);
  await consul.agent.service.deregister("js-1");
  await consul.kv.del({ key: "js/", recurse: true });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
