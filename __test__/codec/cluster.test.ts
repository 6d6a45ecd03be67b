import test from "ava";
import { CLUSTER_FIELDS, resolveCluster } from "../../dist/codec/cluster.js";
import { hex, members, node, options, refusal } from "./configurations.ts";

test("what is left out has its documented default", (t) => {
  t.deepEqual(resolveCluster(options()), {
    formatVersion: 1,
    clusterId: hex(0xabc),
    epoch: 0,
    nodes: members(4),
    maxFaults: 1,
    viewChangeTimeoutMs: 5000,
    checkpointInterval: 100,
    windowIntervals: 2,
    limits: {
      operationBytesMax: 262_144,
      batchBundlesMax: 256,
      batchBytesMax: 1_048_576,
      poolBundlesMax: 4096,
      poolBytesMax: 67_108_864,
      inFlightMax: 64,
    },
    sessions: {
      perKeyMax: 32,
      totalMax: 4096,
      windowOperations: 4096,
      resultBytesMax: 263_168,
      openExpiryMaxMs: 300_000,
    },
    clients: "any",
    reads: { fast: false },
  });
});

test("a checked configuration is accepted again as it is, also through JSON", (t) => {
  const cluster = resolveCluster(options({ clients: [{ name: "a", publicKey: hex(99) }] }, 7));
  t.deepEqual(resolveCluster(cluster), cluster);
  t.deepEqual(resolveCluster(JSON.parse(JSON.stringify(cluster))), cluster);
  t.deepEqual(Object.keys(cluster), [...CLUSTER_FIELDS]);
});

test("replicas are numbered in the order of their ids, whatever the order of the file", (t) => {
  const nodes = members(7);
  const shuffled = [3, 6, 0, 5, 1, 4, 2].map((i) => nodes[i]);
  t.deepEqual(resolveCluster(options({ nodes: shuffled })).nodes, nodes);
  t.is(shuffled[0]?.nodeId, "node-03", "the caller's list stays as it was");
  const ids = ["b", "a.b", "B", "a", "a-b"];
  const named = members(5).map((node, i) => ({ ...node, nodeId: ids[i]! }));
  t.deepEqual(
    resolveCluster(options({ nodes: named })).nodes.map(({ nodeId }) => nodeId),
    ["B", "a", "a-b", "a.b", "b"],
  );
});

test("faults tolerated are a third of the others by default", (t) => {
  for (const [n, f] of [
    [4, 1],
    [6, 1],
    [7, 2],
    [10, 3],
    [31, 10],
  ] as const) {
    t.is(resolveCluster(options({}, n)).maxFaults, f);
    t.is(refusal(() => resolveCluster(options({ maxFaults: f + 1 }, n))).field, "maxFaults");
    t.is(resolveCluster(options({ maxFaults: 0 }, n)).maxFaults, 0);
  }
});

test("instances in flight never exceed the window", (t) => {
  const small = resolveCluster(options({ checkpointInterval: 5, windowIntervals: 3 }));
  t.is(small.limits.inFlightMax, 15);
  const { field, accepted } = refusal(() =>
    resolveCluster({ ...options(), checkpointInterval: 5, limits: { inFlightMax: 11 } }),
  );
  t.deepEqual([field, accepted], ["limits.inFlightMax", "an integer, 1 … 10"]);
});

test("a window has at most 4,096 sequences", (t) => {
  t.is(resolveCluster(options({ checkpointInterval: 512, windowIntervals: 8 })).windowIntervals, 8);
  const { field, accepted } = refusal(() => resolveCluster(options({ checkpointInterval: 1024, windowIntervals: 5 })));
  t.deepEqual([field, accepted], ["windowIntervals", "an integer, 2 … 4"]);
});

const KEY = "an Ed25519 public key as 64 lower-case hexadecimal digits";
const NAME = "1 … 64 characters of A–Z a–z 0–9 . _ -, the first a letter or digit";

interface Range {
  readonly field: string;
  readonly min: number;
  readonly max: number;
  readonly options: (value: unknown) => Record<string, unknown>;
}

const limit = (name: string, min: number, max: number): Range => ({
  field: `limits.${name}`,
  min,
  max,
  options: (value) => ({ limits: { [name]: value } }),
});
const session = (name: string, min: number, max: number): Range => ({
  field: `sessions.${name}`,
  min,
  max,
  options: (value) => ({ sessions: { [name]: value } }),
});
const top = (field: string, min: number, max: number): Range => ({
  field,
  min,
  max,
  options: (value) => ({ [field]: value }),
});

const ranges: readonly Range[] = [
  top("epoch", 0, Number.MAX_SAFE_INTEGER),
  top("maxFaults", 0, 1),
  top("viewChangeTimeoutMs", 100, 600_000),
  top("checkpointInterval", 1, 1024),
  top("windowIntervals", 2, 8),
  { field: "nodes[2].port", min: 1, max: 65_535, options: (port) => node(2, { port }) },
  limit("operationBytesMax", 128, 262_144),
  limit("batchBundlesMax", 1, 4096),
  limit("batchBytesMax", 4096, 4_194_304),
  limit("poolBundlesMax", 16, 65_536),
  limit("poolBytesMax", 1_048_576, 1_073_741_824),
  limit("inFlightMax", 1, 200),
  session("perKeyMax", 1, 1024),
  session("totalMax", 32, 1_000_000),
  session("windowOperations", 1024, 65_535),
  session("resultBytesMax", 65_536, 67_108_864),
  session("openExpiryMaxMs", 1000, 3_600_000),
];

for (const { field, min, max, options: made } of ranges) {
  test(`${field} accepts ${min} … ${max} and names itself and that range otherwise`, (t) => {
    for (const value of [min, max]) t.notThrows(() => resolveCluster(options(made(value))));
    for (const value of [min - 1, max + 1, min + 0.5, NaN, Infinity, `${min}`, null, true, {}, [min], 1n]) {
      const refused = refusal(() => resolveCluster(options(made(value))));
      t.is(refused.field, field);
      t.regex(String(refused.accepted), new RegExp(`^an integer, ${min} … ${max}`));
      t.true(refused.message.startsWith(`${field} must be an integer, ${min} … ${max}`), refused.message);
    }
  });
}

const wrong: readonly { name: string; options: unknown; field: string; accepted: string | RegExp }[] = [
  { name: "no object", options: "cluster", field: "configuration", accepted: "an object" },
  { name: "a list", options: [], field: "configuration", accepted: "an object" },
  { name: "nothing", options: undefined, field: "configuration", accepted: "an object" },
  { name: "another version", options: options({ formatVersion: 2 }), field: "formatVersion", accepted: /^1,/ },
  { name: "a short cluster id", options: options({ clusterId: "ab" }), field: "clusterId", accepted: /64 lower-case/ },
  {
    name: "an upper-case cluster id",
    options: options({ clusterId: "A".repeat(64) }),
    field: "clusterId",
    accepted: /64 lower-case/,
  },
  { name: "no cluster id", options: options({ clusterId: undefined }), field: "clusterId", accepted: /64 lower-case/ },
  { name: "no nodes", options: options({ nodes: undefined }), field: "nodes", accepted: /^a list of 4 … 31 members/ },
  { name: "three nodes", options: options({}, 3), field: "nodes", accepted: /fewer than 4 tolerate no fault/ },
  { name: "thirty-two nodes", options: options({}, 32), field: "nodes", accepted: /^a list of 4 … 31 members/ },
  {
    name: "a node that is text",
    options: options({ nodes: ["a", "b", "c", "d"] }),
    field: "nodes[0]",
    accepted: "an object",
  },
  {
    name: "a node without id",
    options: options(node(1, { nodeId: undefined })),
    field: "nodes[1].nodeId",
    accepted: NAME,
  },
  {
    name: "an id that is a path",
    options: options(node(1, { nodeId: "../x" })),
    field: "nodes[1].nodeId",
    accepted: NAME,
  },
  {
    name: "an id of 65 characters",
    options: options(node(1, { nodeId: "a".repeat(65) })),
    field: "nodes[1].nodeId",
    accepted: NAME,
  },
  {
    name: "an id with a line break",
    options: options(node(1, { nodeId: "a\n" })),
    field: "nodes[1].nodeId",
    accepted: NAME,
  },
  {
    name: "a host with a blank",
    options: options(node(3, { host: "a b" })),
    field: "nodes[3].host",
    accepted: /host name/,
  },
  { name: "an empty host", options: options(node(3, { host: "" })), field: "nodes[3].host", accepted: /host name/ },
  {
    name: "a key that is no key",
    options: options(node(0, { publicKey: "xyz" })),
    field: "nodes[0].publicKey",
    accepted: KEY,
  },
  {
    name: "an unknown field",
    options: options({ maxFault: 1 }),
    field: "maxFault",
    accepted: /^absent: known here are .*maxFaults/,
  },
  {
    name: "an unknown field of a node",
    options: options(node(2, { prot: 1 })),
    field: "nodes[2].prot",
    accepted: /nodeId, host, port, publicKey/,
  },
  {
    name: "an unknown limit",
    options: options({ limits: { batchBytes: 1 } }),
    field: "limits.batchBytes",
    accepted: /batchBytesMax/,
  },
  { name: "limits that are none", options: options({ limits: null }), field: "limits", accepted: "an object" },
  {
    name: "a key called __proto__",
    options: JSON.parse(`{"__proto__": {"epoch": 1}}`),
    field: "__proto__",
    accepted: /^absent/,
  },
  {
    name: "two nodes with one id",
    options: options(node(2, { nodeId: "node-00" })),
    field: "nodes[2].nodeId",
    accepted: /nodes\[0\]\.nodeId has the same/,
  },
  {
    name: "two nodes with one key",
    options: options(node(3, { publicKey: hex(2) })),
    field: "nodes[3].publicKey",
    accepted: /nodes\[1\]\.publicKey has the same/,
  },
  {
    name: "two nodes with one address",
    options: options(node(3, { port: 7401 })),
    field: "nodes[3].port",
    accepted: /nodes\[1\]\.port has the same/,
  },
  {
    name: "clients that are some word",
    options: options({ clients: "all" }),
    field: "clients",
    accepted: /^"any" or a list/,
  },
  {
    name: "a client without key",
    options: options({ clients: [{ name: "a" }] }),
    field: "clients[0].publicKey",
    accepted: KEY,
  },
  {
    name: "two clients with one key",
    options: options({
      clients: [
        { name: "a", publicKey: hex(7) },
        { name: "b", publicKey: hex(7) },
      ],
    }),
    field: "clients[1].publicKey",
    accepted: /clients\[0\]\.publicKey has the same/,
  },
  {
    name: "two clients with one name",
    options: options({
      clients: [
        { name: "a", publicKey: hex(7) },
        { name: "a", publicKey: hex(8) },
      ],
    }),
    field: "clients[1].name",
    accepted: /clients\[0\]\.name has the same/,
  },
  {
    name: "reads that are half fast",
    options: options({ reads: { fast: 1 } }),
    field: "reads.fast",
    accepted: "true or false",
  },
  {
    name: "fewer sessions in all than of one key",
    options: options({ sessions: { perKeyMax: 20, totalMax: 19 } }),
    field: "sessions.totalMax",
    accepted: "an integer, 20 … 1000000",
  },
];

for (const { name, options: given, field, accepted } of wrong) {
  test(`a configuration with ${name} is refused at ${field}`, (t) => {
    const refused = refusal(() => resolveCluster(given));
    t.is(refused.field, field);
    if (typeof accepted === "string") t.is(refused.accepted, accepted);
    else t.regex(String(refused.accepted), accepted);
    t.true(refused.message.startsWith(`${field} must be ${String(refused.accepted)}; got `), refused.message);
  });
}

test("a refused value is printed, but not all of it", (t) => {
  const { message, got } = refusal(() => resolveCluster(options({ clusterId: "x".repeat(100_000) })));
  t.true(message.length < 300);
  t.true(String(got).startsWith('"xxx'));
});

test("a polluted prototype gives no configuration its fields", (t) => {
  const polluted = Object.create({ epoch: 77, limits: { inFlightMax: 1 } }) as Record<string, unknown>;
  Object.assign(polluted, options());
  t.is(resolveCluster(polluted).epoch, 0);
  t.is(resolveCluster(polluted).limits.inFlightMax, 64);
});
