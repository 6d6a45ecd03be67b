import { Worker } from "node:worker_threads";
import test from "ava";
import { bundleDigest, OUTPUT_BYTES_MIN, Reactor, Transport, wakeReactor } from "../../dist/native/native.js";
import { Cluster, configOf, identity, OPEN, record, signedBundle, u32, u53, u8 } from "./rig.ts";

const COMMIT = 0x22;
const PREPARE = 0x21;
const BUNDLE = 0x10;
const CLIENT_LANE = 2;
const digest = new Uint8Array(32).fill(5);
const NONE = new Uint8Array(0);

function send(to: number, type: number, payload: Uint8Array): Buffer {
  return record(1, u32(to), u8(type), payload);
}

/** The body of a VOTES record for view 0, sequence 1, up to its set. */
function votes(phase: number, signers: number): Buffer {
  return Buffer.concat([u8(phase), u53(0), u53(1), digest, u32(signers)]);
}

const vote = Buffer.concat([u53(0), u53(1), digest]);

test("votes of replicas in one process arrive as sets of verified signers", (t) => {
  const cluster = new Cluster(4);
  t.teardown(() => cluster.close());
  cluster.connect();
  for (const replica of cluster.reactors.keys()) cluster.turn(replica, OPEN);
  for (const replica of [1, 2, 3])
    cluster.turn(replica, Buffer.concat([send(15, PREPARE, vote), send(15, COMMIT, vote)]));
  cluster.run([
    { at: 0, kind: 2, body: votes(1, 0b1110) },
    { at: 1, kind: 2, body: votes(1, 0b1100) },
  ]);
  const counted = cluster.reactors[0]!.statistics().reactor!;
  t.true(counted.signaturesVerified >= 1);
  t.deepEqual(
    counted.received.map(({ type, messages }) => [type, messages]),
    [
      [PREPARE, 3],
      [COMMIT, 3],
    ],
  );
});

test("what is flipped after a turn or a send has no effect", async (t) => {
  const cluster = new Cluster(4);
  const client = identity();
  const events: Uint8Array[] = [];
  const transport = new Transport(
    {
      ...configOf(cluster.members, client, undefined),
      members: cluster.members.map(({ key }, replica) => ({ key, address: cluster.addresses[replica]! })),
    },
    (bytes) => events.push(bytes.slice()),
  );
  t.teardown(() => cluster.close());
  cluster.connect();
  cluster.turn(0, OPEN);
  const actions = new Uint8Array(send(1, COMMIT, vote));
  cluster.turn(1, actions);
  actions.fill(0);
  cluster.turn(2, send(1, COMMIT, vote));
  cluster.run([{ at: 0, kind: 2, body: votes(1, 0b0110) }]);

  while (!transport.statistics().peers.some(({ peer, connected }) => peer === 0 && connected)) cluster.turn(0, NONE, 1);
  const bundle = signedBundle(client.pem, 1, Buffer.from("add 1"));
  const frame = new Uint8Array(Buffer.concat([u32(1), u8(CLIENT_LANE), u8(BUNDLE), u32(bundle.length), bundle]));
  transport.send(frame);
  frame.fill(0xff);
  cluster.run([{ at: 0, kind: 4, body: Buffer.concat([u8(255), bundleDigest(bundle), client.key]) }]);
  await transport.close();
  t.throws(() => transport.send(NONE), { code: "CLOSED" });
});

test("a transport hears replies, links and refusals in packed records", async (t) => {
  const cluster = new Cluster(4);
  t.teardown(() => cluster.close());
  const client = identity();
  const kinds = new Set<number>();
  let replies = 0;
  const transport = new Transport(
    {
      ...configOf(cluster.members, client, undefined),
      members: cluster.members.map(({ key }, replica) => ({ key, address: cluster.addresses[replica]! })),
    },
    (bytes) => {
      const buffer = Buffer.from(bytes);
      for (let at = 0; at < buffer.length; at += 5 + buffer.readUInt32LE(at + 1)) {
        kinds.add(buffer[at]!);
        if (buffer[at] === 1 && buffer[at + 11] === 0x12) replies += 1;
      }
    },
  );
  cluster.turn(0, OPEN);
  const bundle = signedBundle(client.pem, 1, Buffer.from("add 1"));
  const frame = Buffer.concat([u32(1), u8(CLIENT_LANE), u8(BUNDLE), u32(bundle.length), bundle]);
  let sent = false;
  for (let turns = 0; turns < 5000; turns += 1) {
    if (replies > 0) break;
    if (!sent && transport.statistics().peers[0]!.connected) {
      transport.send(frame);
      sent = true;
    }
    for (const { kind, body } of cluster.turn(0, NONE, 1)) {
      if (kind === 4) cluster.turn(0, record(7, body.subarray(1, 33)));
    }
    await new Promise(setImmediate);
  }
  t.is(replies, 1, "BUSY arrived");
  t.true(kinds.has(2));
  await transport.close();
  await transport.close();
});

test("a malformed action throws a typed error, and the reactor and the process live", (t) => {
  const cluster = new Cluster(2);
  t.teardown(() => cluster.close());
  for (const bad of [u8(1), record(99), record(1, u32(1), u8(PREPARE), u8(0)), record(12, u8(1)), record(6, digest)]) {
    t.throws(() => cluster.turn(0, bad), { name: "ByzantineError", code: "INVALID_ARGUMENT" });
  }
  cluster.turn(0, send(2, PREPARE, vote));
  const contradiction = Buffer.concat([u53(0), u53(1), Buffer.alloc(32, 6)]);
  cluster.turn(0, OPEN);
  cluster.turn(0, send(2, PREPARE, vote));
  t.throws(() => cluster.turn(0, send(2, PREPARE, contradiction)), { message: /contradicts/ });
  cluster.connect();
});

test("buffers that are too small, shared or the same are refused", (t) => {
  const cluster = new Cluster(1);
  t.teardown(() => cluster.close());
  const [reactor] = cluster.reactors as [Reactor];
  const output = new Uint8Array(OUTPUT_BYTES_MIN);
  const shared = new Uint8Array(new SharedArrayBuffer(OUTPUT_BYTES_MIN));
  const expected = { name: "ByzantineError", code: "INVALID_ARGUMENT" };
  t.throws(() => reactor.turn(NONE, 1, output, 0), expected);
  t.throws(() => reactor.turn(NONE, 0, output.subarray(1), 0), expected);
  t.throws(() => reactor.turn(output.subarray(0, 10), 10, output, 0), expected);
  t.throws(() => reactor.turn(NONE, 0, shared, 0), expected);
  t.throws(() => reactor.turn(shared, 0, output, 0), expected);
  t.throws(() => reactor.turn(NONE, 0, new Uint16Array(OUTPUT_BYTES_MIN) as never, 0), expected);
  t.is(reactor.turn(NONE, 0, output, Number.NaN), 0);
});

test("a turn makes one crossing and no object", (t) => {
  const cluster = new Cluster(2);
  t.teardown(() => cluster.close());
  const before = cluster.reactors[0]!.statistics().reactor!;
  for (let turns = 0; turns < 50; turns += 1) cluster.turn(0, OPEN);
  const after = cluster.reactors[0]!.statistics().reactor!;
  t.is(after.crossings - before.crossings, 50);
  t.is(after.objectsMade - before.objectsMade, 1, "the statistics themselves");
});

test("another thread wakes a sleeping turn", async (t) => {
  const cluster = new Cluster(1);
  t.teardown(() => cluster.close());
  const [reactor] = cluster.reactors as [Reactor];
  const module = JSON.stringify(new URL("../../dist/native/native.js", import.meta.url).href);
  const waker = new Worker(
    `const { workerData, parentPort } = require("node:worker_threads");
     import(${module}).then(({ wakeReactor }) => { wakeReactor(workerData); parentPort.postMessage("woken"); });`,
    { eval: true, workerData: reactor.wakeHandle },
  );
  await new Promise((resolve) => waker.once("message", resolve));
  cluster.turn(0, NONE, 50);
  t.is(reactor.statistics().reactor!.turnsWoken, 1);
  await waker.terminate();
  wakeReactor(0xffffffff);
});

test("a reactor that was shut down says CLOSED, and shutting it down again does nothing", (t) => {
  const cluster = new Cluster(1);
  const [reactor] = cluster.reactors as [Reactor];
  reactor.shutdown(100);
  reactor.shutdown(100);
  t.throws(() => cluster.turn(0), { code: "CLOSED" });
  t.throws(() => reactor.statistics(), { code: "CLOSED" });
});

test("a configuration that cannot be used is refused with its field or its reason", (t) => {
  const members = [identity(), identity()];
  const good = configOf(members, members[0]!, 0);
  const taken = new Reactor(good);
  t.teardown(() => taken.shutdown(100));
  for (const [change, expected] of [
    [{ me: 2 }, { code: "INVALID_CONFIG", message: /^me:/ }],
    [{ me: undefined }, { code: "INVALID_CONFIG" }],
    [{ listenHost: undefined }, { code: "INVALID_CONFIG", message: /^listenHost/ }],
    [{ listenPort: 70000 }, { code: "INVALID_CONFIG", message: /^listenPort/ }],
    [{ listenPort: taken.localPort }, { code: "LISTEN_FAILED" }],
    [{ maxFaults: 1 }, { code: "INVALID_CONFIG", message: /^maxFaults/ }],
    [{ mtu: 100 }, { code: "INVALID_CONFIG" }],
    [{ secretKeyPem: "none" }, { code: "INVALID_KEY" }],
    [{ secretKeyPem: members[1]!.pem }, { code: "INVALID_CONFIG" }],
    [{ clusterId: new Uint8Array(31) }, { code: "INVALID_ARGUMENT" }],
    [{ members: [] }, { code: "INVALID_CONFIG" }],
    [{ epoch: -1 }, { code: "INVALID_ARGUMENT" }],
    [{ limits: { ...good.limits, batchBytesMax: 5 << 20 } }, { code: "INVALID_CONFIG" }],
    [{ hello: undefined }, { code: "INVALID_ARGUMENT" }],
  ] as const) {
    t.throws(
      () => new Reactor({ ...good, ...change } as never),
      { name: "ByzantineError", ...expected },
      JSON.stringify(change),
    );
  }
  const error = t.throws(() => new Reactor({ ...good, maxFaults: 1 })) as unknown as { data: { field: string } };
  t.is(error.data.field, "maxFaults");
});
