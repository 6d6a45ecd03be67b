import test from "ava";
import { createHash } from "node:crypto";
import { helloFields, resolveCluster } from "../../dist/codec/cluster.js";
import type { ClusterConfig } from "../../dist/codec/cluster.js";
import { hex, members, node, options } from "./configurations.ts";

const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

function differing(a: ClusterConfig, b: ClusterConfig): string[] {
  const before = helloFields(a, sha256);
  const after = helloFields(b, sha256);
  return before.filter((field, i) => !Buffer.from(field.digest).equals(after[i]!.digest)).map(({ name }) => name);
}

test("HELLO has a digest per field, names ascending; clients send the four that concern them", (t) => {
  const cluster = resolveCluster(options());
  const names = helloFields(cluster, sha256).map(({ name }) => name);
  t.deepEqual(names, [
    "checkpointInterval",
    "clients",
    "cluster",
    "epoch",
    "limits",
    "maxFaults",
    "members",
    "reads",
    "sessions",
    "window",
  ]);
  t.deepEqual(names, [...names].sort());
  for (const { digest } of helloFields(cluster, sha256)) t.is(digest.length, 32);
  const client = helloFields(cluster, sha256, "client");
  t.deepEqual(
    client.map(({ name }) => name),
    ["cluster", "epoch", "maxFaults", "members"],
  );
  for (const field of client)
    t.true(
      helloFields(cluster, sha256).some(
        ({ name, digest }) => name === field.name && Buffer.from(digest).equals(field.digest),
      ),
    );
});

const swapped = members(4).map((member, i, all) => ({ ...member, publicKey: all[(i + 1) % 4]!.publicKey }));
const listed = [
  { name: "a", publicKey: hex(7) },
  { name: "b", publicKey: hex(8) },
];
const differences: readonly { name: string; changes: Record<string, unknown>; fields: string[] }[] = [
  { name: "another cluster id", changes: { clusterId: hex(1) }, fields: ["cluster"] },
  { name: "another epoch", changes: { epoch: 1 }, fields: ["epoch"] },
  { name: "keys in another order", changes: { nodes: swapped }, fields: ["members"] },
  { name: "another key", changes: node(1, { publicKey: hex(50) }), fields: ["members"] },
  { name: "fewer faults", changes: { maxFaults: 0 }, fields: ["maxFaults"] },
  {
    name: "another interval and window",
    changes: { checkpointInterval: 101 },
    fields: ["checkpointInterval", "window"],
  },
  {
    name: "another interval in an equal window",
    changes: { checkpointInterval: 50, windowIntervals: 4 },
    fields: ["checkpointInterval"],
  },
  { name: "another window", changes: { windowIntervals: 3 }, fields: ["window"] },
  { name: "listed clients", changes: { clients: listed }, fields: ["clients"] },
  { name: "no clients", changes: { clients: [] }, fields: ["clients"] },
  { name: "fast reads", changes: { reads: { fast: true } }, fields: ["reads"] },
  { name: "another operationBytesMax", changes: { limits: { operationBytesMax: 200 } }, fields: ["limits"] },
  { name: "another batchBundlesMax", changes: { limits: { batchBundlesMax: 200 } }, fields: ["limits"] },
  { name: "another batchBytesMax", changes: { limits: { batchBytesMax: 8192 } }, fields: ["limits"] },
  { name: "another inFlightMax", changes: { limits: { inFlightMax: 63 } }, fields: ["limits"] },
  { name: "another poolBundlesMax", changes: { limits: { poolBundlesMax: 17 } }, fields: ["limits"] },
  { name: "another poolBytesMax", changes: { limits: { poolBytesMax: 2_000_000 } }, fields: ["limits"] },
  { name: "another perKeyMax", changes: { sessions: { perKeyMax: 3 } }, fields: ["sessions"] },
  { name: "another totalMax", changes: { sessions: { totalMax: 33 } }, fields: ["sessions"] },
  { name: "another windowOperations", changes: { sessions: { windowOperations: 2000 } }, fields: ["sessions"] },
  { name: "another resultBytesMax", changes: { sessions: { resultBytesMax: 70_000 } }, fields: ["sessions"] },
  { name: "another openExpiryMaxMs", changes: { sessions: { openExpiryMaxMs: 2000 } }, fields: ["sessions"] },
  {
    name: "other addresses",
    changes: { nodes: members(4).map((m) => ({ ...m, host: "::1", port: m.port + 9 })) },
    fields: [],
  },
  { name: "another order in the file", changes: { nodes: members(4).toReversed() }, fields: [] },
  { name: "another timeout", changes: { viewChangeTimeoutMs: 100 }, fields: [] },
];

for (const { name, changes, fields } of differences) {
  test(`${name}: HELLO differs in ${fields.join(" and ") || "nothing"}`, (t) => {
    t.deepEqual(differing(resolveCluster(options()), resolveCluster(options(changes))), fields);
  });
}

test("names and order of listed clients do not matter to HELLO", (t) => {
  const renamed = [
    { name: "z", publicKey: hex(8) },
    { name: "y", publicKey: hex(7) },
  ];
  t.deepEqual(
    differing(resolveCluster(options({ clients: listed })), resolveCluster(options({ clients: renamed }))),
    [],
  );
});
