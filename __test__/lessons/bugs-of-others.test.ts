/**
 * Bugs of other projects as tests, named by project and bug.
 *
 * Not built yet, and so without a test: what CometBFT v0.40.0 got wrong after a restart (`double_sign_check_height`).
 */
import test from "ava";
import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import { Writer } from "../../dist/codec/bytes.js";
import { decodeBody, decodePayload, encodeBody, encodePayload, MessageType } from "../../dist/codec/messages.js";
import type { ReplicaId, View } from "../../dist/protocol/types.js";
import { batchDigest } from "../../dist/testing/hashing.js";
import { Prng } from "../../dist/testing/prng.js";
import { Rig } from "../client/rig.ts";
import { bodyNames, mutate, mutation, payload } from "../codec/arbitraries.ts";
import { batchOf, Cluster, crossing } from "../protocol/cluster-of-cores.ts";
import { Flood } from "../protocol/flood.ts";
import { at, backup, bundle, certificate, digestOf, newView, status, viewChange } from "../protocol/scripted.ts";
import { bytes, Driver } from "../state/driver.ts";

const TIMEOUT_MS = 5_000;

test("BFT-SMaRt #62: a quorum of messages that name different leaders is no quorum", (t) => {
  const core = backup({ me: 1 as ReplicaId });
  for (const [from, target] of [
    [0, 1],
    [2, 5],
    [3, 9],
  ] as const)
    core.control(from, viewChange(target, `${from} for ${target}`));
  core.sealed(core.core.inspect().pending ?? 0, "ours");
  t.is(core.sent("newView").length, 0);
  const claims = backup();
  for (const from of [0, 1, 2]) claims.decided(from, 1, `what ${from} says`);
  for (const from of [0, 1, 2]) claims.checkpoint(from, 4, `what ${from} says`);
  t.deepEqual([claims.core.inspect().executing, claims.core.inspect().low], [at(0), at(0)]);
});

test("BFT-SMaRt #19, #27: a replica that was isolated for long comes back, however often, and stays small", (t) => {
  const cluster = new Cluster({ historyBytesMax: 1_000 });
  let requests = 0;
  for (let absence = 0; absence < 4; absence++) {
    const away = cluster.drop(crossing(3));
    for (let i = 0; i < 30; i++) cluster.run(`request ${++requests}`);
    away();
    for (const id of [0, 1, 2]) cluster.connect(id, 3);
    cluster.pass(2_000);
    cluster.run(`request ${++requests}`);
    const { slots, history, decidedClaims, lastExecuted } = cluster.core(3).inspect();
    t.is(cluster.executed(3).length, requests);
    t.is(lastExecuted, at(requests));
    t.true(
      slots.size <= 8 && history.size <= 16 && decidedClaims.size <= 8,
      `${slots.size} ${history.size} ${decidedClaims.size}`,
    );
    t.true(cluster.members.every(({ core }) => core.view().view === 0));
  }
});

test("BFT-SMaRt 435333bb, 9d484851: a forwarded request that is dropped or late makes nobody change the leader", (t) => {
  const cluster = new Cluster();
  const lost = cluster.drop(({ to, message }) => to === 0 && message.type === "bundle");
  cluster.request("late", [1, 2]);
  cluster.pass(350);
  lost();
  cluster.pass(3 * TIMEOUT_MS);
  for (const { id, core } of cluster.members) {
    t.deepEqual(cluster.executed(id), ["late"]);
    t.is(core.view().view, 0 as View);
  }
});

test("BFT-SMaRt 8282b45f, ae06f929: malformed frames are refused as values, whichever byte is wrong", (t) => {
  for (const name of bodyNames) {
    fc.assert(
      fc.property(payload(name), fc.array(mutation, { minLength: 1, maxLength: 4 }), (message, changes) => {
        const writer = new Writer();
        encodePayload(writer, message);
        const decoded = decodePayload(MessageType[name], changes.reduce(mutate, writer.copy()));
        t.is(typeof decoded.ok, "boolean");
      }),
      { numRuns: 60 },
    );
  }
});

test("BFT-SMaRt 8282b45f, ae06f929: no sequence of well-formed messages, from whomever, stops or bloats a replica", (t) => {
  const entered = new Set<number>();
  for (let seed = 1; seed <= 60; seed++) {
    const flood = new Flood(new Prng(BigInt(seed)));
    for (let i = 0; i < 400; i++) flood.next();
    const state = flood.core.inspect();
    entered.add(state.view);
    const sizes = Object.entries(state as unknown as Record<string, unknown>).map(([name, held]) => {
      const size = held instanceof Map || held instanceof Set ? held.size : Array.isArray(held) ? held.length : 0;
      return [name, size] as const;
    });
    for (const [name, size] of sizes) t.true(size <= 80, `seed ${seed}: ${name} holds ${size}`);
  }
  t.true(entered.size > 3, "the messages were good enough to change views");
});

test("BFT-SMaRt 20ca78f0: connections that come and go leave nothing behind, and do not make us talk", (t) => {
  const core = backup();
  core.propose(1, "batch");
  const before = JSON.stringify(core.core.save());
  for (let i = 0; i < 1_000; i++) {
    core.step({ kind: "link", peer: 1 as ReplicaId, up: true });
    t.is(core.of("send").length, 1);
    core.step({ kind: "link", peer: 1 as ReplicaId, up: false });
  }
  t.is(JSON.stringify(core.core.save()), before);
});

test("BFT-SMaRt 7326d316: a quorum of COMMITs before our own proposal is no deadlock", (t) => {
  const cluster = new Cluster();
  const late = cluster.hold(({ to, message }) => to === 3 && message.type === "prePrepare");
  cluster.run("a");
  t.deepEqual(cluster.executed(3), []);
  late();
  cluster.deliver();
  t.deepEqual(cluster.executed(3), ["a"]);
});

test("BFT-SMaRt README tip 8: replicas that wrote the same entries in different orders have the same root", (t) => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), { maxLength: 12 }),
      fc.nat(),
      (keys, rotation) => {
        const write = (order: readonly string[]): string => {
          const driver = new Driver({
            stateMachine: {
              execute(state) {
                for (const key of order) state.set(bytes(key), bytes(`value of ${key}`));
                return new Uint8Array(0);
              },
            },
          });
          driver.run({ session: driver.open(), first: 1, operations: ["write"] });
          return driver.root();
        };
        const turn = keys.length === 0 ? 0 : rotation % keys.length;
        t.is(write(keys), write([...keys.slice(turn), ...keys.slice(0, turn)].toReversed()));
      },
    ),
    { numRuns: 40 },
  );
});

test("concord #50: an invalid certificate in one VIEW-CHANGE does not make anybody ignore the valid ones of others", (t) => {
  const core = backup({ me: 1 as ReplicaId });
  core.propose(1, "batch");
  core.control(0, viewChange(1, "bad", { prepared: [certificate(1, "bad", { signers: [0] })] }));
  core.control(2, viewChange(1, "of 2", { prepared: [certificate(1, "batch")] }));
  core.control(3, viewChange(1, "of 3"));
  core.sealed(1, "ours");
  t.deepEqual(core.sent("newView")[0]?.message, newView(1, { 1: "ours", 2: "of 2", 3: "of 3" }, ["batch"]));
});

test("FISCO-BCOS #5167: a storm of view changes is neither recursion nor memory, and moves nobody", (t) => {
  const core = backup();
  for (let i = 1; i <= 20_000; i++) core.control(1, viewChange(2 ** 40 + i, `storm ${i}`));
  t.is(core.core.inspect().pending, undefined);
  t.is(core.core.inspect().viewChanges.size, 1);
});

test("FISCO-BCOS #5167: votes count for their own place alone, and proposals of a higher view not under the local one", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.propose(2, "batch");
  core.votes("prepare", 2, "batch", 1);
  core.votes("commit", 2, "batch", 0, 1);
  t.is(core.of("execute").length, 0);
  t.is(core.core.inspect().slots.get(at(1))?.decision, undefined);
  core.propose(3, "of view 1", [], { view: 1 });
  t.deepEqual([core.sent("prepare").length, core.core.inspect().slots.has(at(3))], [0, false]);
});

test("FISCO-BCOS #310: votes of one view do not count in the next", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 0);
  core.enterView(1, [certificate(1, "batch")]);
  core.votesIn(1, "prepare", 1, "batch", 0);
  core.votesIn(1, "commit", 1, "batch", 1);
  t.is(core.of("execute").length, 0, "one COMMIT of view 0, one of view 1 and ours are no quorum");
  core.votesIn(1, "commit", 1, "batch", 2);
  t.is(core.of("execute").length, 1);
});

test("neo dBFT 2.0: four honest replicas that ask for different views meet", (t) => {
  for (const spread of [
    [1, 1, 2, 2],
    [1, 2, 3, 4],
    [2, 1, 1, 5],
    [3, 3, 1, 1],
  ]) {
    const cluster = new Cluster();
    const apart = cluster.drop(() => false);
    const parted = cluster.drop(({ from, to }) => from >= 0 && from !== to);
    for (const [id, views] of spread.entries()) {
      // Each alone is talked into its view by VIEW-CHANGEs that the others never sent again.
      for (const from of [0, 1, 2, 3].filter((other) => other !== id).slice(0, 2))
        cluster.step(id, {
          kind: "control",
          from: from as ReplicaId,
          message: viewChange(views, `lost ${from} ${views}`) as never,
        });
    }
    cluster.deliver();
    apart();
    parted();
    cluster.request("a");
    cluster.pass(20 * TIMEOUT_MS);
    t.deepEqual(
      cluster.members.map(({ id }) => cluster.executed(id)),
      Array.from({ length: 4 }, () => ["a"]),
      spread.join(),
    );
  }
});

test("raijin #8: a view change keeps what was prepared", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "batch", 1, 2);
  for (const view of [1, 2, 3, 4]) core.enterView(view, [certificate(1, "batch")]);
  for (const from of [0, 1]) core.control(from, viewChange(9, `of ${from}`));
  t.deepEqual(core.of("seal")[0]?.message.prepared, [certificate(1, "batch", { signers: [0, 1, 2, 3] })]);
});

test("CometBFT ASA-2025-001: a peer that shows now much, now little, makes nobody catch up for ever", (t) => {
  const core = backup();
  let sent = 0;
  for (let i = 0; i < 200; i++) {
    core.control(1, status({ lastExecuted: i % 2 === 0 ? 1_000_000 : 0, lowWatermark: 0 }));
    core.pass(1_000);
    sent += core.of("send").length;
    t.is(core.of("install").length, 0);
  }
  t.true(sent <= 400, `${sent} messages in 200 seconds`);
  core.commitBatch(1, "batch");
  t.is(core.core.inspect().lastExecuted, at(1), "and it works meanwhile");
});

test("CometBFT ASA-2025-002, ASA-2025-003: fields that say the same twice are compared, or said once", (t) => {
  const writer = new Writer();
  const bits = [true, true];
  encodeBody(writer, "status", status({ proposed: bits, prepared: bits, committed: bits }));
  const bytesOfStatus = writer.copy();
  const count = 1 + 8 + 8 + 8;
  for (const lie of [1, 9, 17, 4096, 65_535]) {
    const lying = bytesOfStatus.slice();
    new DataView(lying.buffer).setUint16(count, lie, true);
    t.false(decodeBody("status", lying).ok, `${lie} bits`);
  }
  t.throws(() => encodeBody(new Writer(), "status", status({ proposed: [true] })), { instanceOf: RangeError });
});

test("CometBFT ASA-2024-011, Tachyon CSA-2026-001: the time of a batch is what its digest covers, whoever passes it on", (t) => {
  const [honest, later] = [batchOf(["a"]), batchOf(["a"], 2_000_000)];
  const bundles = [digestOf("a")];
  t.not(batchDigest({ time: honest.time, bundles }), batchDigest({ time: later.time, bundles }));
  const core = backup();
  core.request(bundle("a"), 0);
  core.propose(1, "batch", ["a"]);
  core.votes("prepare", 1, "batch", 1, 2);
  // Two who lie about the time name another digest with it; they are no two for one digest.
  core.decided(0, 1, "later batch", ["a"]);
  core.votes("commit", 1, "batch", 1, 2);
  t.deepEqual([core.of("execute")[0]?.time, core.of("execute")[0]?.digest], [1_000_000 as never, digestOf("batch")]);
});

test("CometBFT v0.40.0: decoding costs no more than the bytes that came", (t) => {
  const hungry = Uint8Array.of(...new Uint8Array(8), 0xff, 0xff, 0xff, 0xff);
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 10_000; i++) t.false(decodeBody("fetchedBatch", hungry).ok);
  t.true(process.memoryUsage().arrayBuffers - before < 16 * 1024 * 1024);
});

test("CometBFT v0.40.0: a state machine that is not deterministic stops its own replica from answering, not the others", (t) => {
  const cluster = new Cluster({ checkpointInterval: 2, window: 4 });
  cluster.run("a");
  cluster.member(3).executed = [];
  cluster.run("b", "c", "d");
  t.is(cluster.member(3).of("diverged").length, 1);
  for (const id of [0, 1, 2]) t.deepEqual(cluster.executed(id), ["a", "b", "c", "d"]);
  t.true(cluster.members.every(({ core }) => core.inspect().status === "running" && core.view().view === 0));
});

test("quinn-proto: RUSTSEC-2023-0063 … 2026-0341 are fixed in what is locked: at least 0.11.18", (t) => {
  const lock = readFileSync(new URL("../../Cargo.lock", import.meta.url), "utf8");
  const locked = [...lock.matchAll(/name = "quinn-proto"\nversion = "(\d+)\.(\d+)\.(\d+)"/g)].map((match) =>
    match.slice(1, 4).map(Number),
  );
  t.is(locked.length, 1);
  const [major = 0, minor = 0, patch = 0] = locked[0]!;
  t.true(major > 0 || minor > 11 || (minor === 11 && patch >= 18), locked[0]!.join("."));
});

test("BFT-SMaRt README: a client believes no single replica, however often and in however many forms it answers", (t) => {
  const rig = new Rig();
  rig.open();
  rig.submit("operation");
  rig.pass(0);
  for (let i = 0; i < 50; i++)
    rig.reply(3, 7, [{ sequence: 2, status: "ok", result: bytes(`lie ${i % 3}`) }], { view: i, batch: i + 1 });
  t.is(rig.settled.size, 0);
});
