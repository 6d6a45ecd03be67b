import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { resolveClient } from "../../dist/client/options.js";
import { ByzantineError } from "../../dist/errors.js";

const cluster = {
  clusterId: "ab".repeat(32),
  nodes: [1, 2, 3, 4].map((i) => ({
    nodeId: `n${i}`,
    host: "127.0.0.1",
    port: 4000 + i,
    publicKey: `${i}`.repeat(64),
  })),
};
const key = "a private key";

const refusals: readonly { readonly name: string; readonly given: unknown; readonly field: string }[] = [
  { name: "no cluster", given: { key }, field: "cluster" },
  { name: "three members", given: { cluster: { ...cluster, nodes: cluster.nodes.slice(1) }, key }, field: "nodes" },
  { name: "no key", given: { cluster }, field: "key" },
  { name: "two keys", given: { cluster, key, keyFile: "key.pem" }, field: "key" },
  { name: "an empty key", given: { cluster, key: "" }, field: "key" },
  { name: "a key file that is not there", given: { cluster, keyFile: "/nowhere/key.pem" }, field: "keyFile" },
  { name: "a cluster file that is not there", given: { cluster: "/nowhere/cluster.json", key }, field: "cluster" },
  { name: "a timeout of 0", given: { cluster, key, timeoutMs: 0 }, field: "timeoutMs" },
  { name: "a timeout beyond a timer's", given: { cluster, key, timeoutMs: 2 ** 31 }, field: "timeoutMs" },
  { name: "a fractional timeout", given: { cluster, key, connectTimeoutMs: 1.5 }, field: "connectTimeoutMs" },
  { name: "no bundle in flight", given: { cluster, key, bundlesInFlightMax: 0 }, field: "bundlesInFlightMax" },
  { name: "something else for a signal", given: { cluster, key, signal: {} }, field: "signal" },
  { name: "an unknown option", given: { cluster, key, retries: 3 }, field: "retries" },
];

for (const { name, given, field } of refusals) {
  test(`options: ${name} is refused by the name of the field`, async (t) => {
    const error = await t.throwsAsync(resolveClient(given as never), { instanceOf: ByzantineError });
    t.is(error?.code, "INVALID_CONFIG");
    t.is(error?.data["field"], field);
  });
}

test("limits come from the cluster: window, longest operation, half of the accepted expiry", async (t) => {
  const sessions = { windowOperations: 2048, openExpiryMaxMs: 10_001 };
  const resolved = await resolveClient({ cluster: { ...cluster, sessions, limits: { operationBytesMax: 1000 } }, key });
  t.like(resolved.limits, { windowOperations: 2048, operationBytesMax: 1000, openExpiryMs: 5000 });
  t.like(resolved, { timeoutMs: 30_000, connectTimeoutMs: 10_000, key });
});

test("a client.json names its files relative to itself", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "byzantine-quic-client-"));
  t.teardown(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "cluster.json"), JSON.stringify({ formatVersion: 1, ...cluster }));
  await writeFile(join(folder, "client.pem"), key);
  const file = join(folder, "client.json");
  await writeFile(file, JSON.stringify({ formatVersion: 1, cluster: "cluster.json", keyFile: "client.pem" }));
  const resolved = await resolveClient(file);
  t.is(resolved.cluster.clusterId, cluster.clusterId);
  t.is(resolved.key, key);
  await writeFile(file, "{");
  const error = await t.throwsAsync(resolveClient(file), { instanceOf: ByzantineError });
  t.is(error?.data["field"], file);
});
