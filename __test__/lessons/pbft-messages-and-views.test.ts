/** Where public implementations of PBFT went wrong, one test or more for each number: quorums, messages and view changes (pbft-01 … pbft-16). */
import test from "ava";
import type { BodyName } from "../../dist/codec/messages.js";
import { digestAt } from "../../dist/codec/digest.js";
import { MessageCrypto } from "../../dist/index.js";
import type { Checkpoint } from "../../dist/protocol/messages.js";
import { carriedOver, NULL_BATCH } from "../../dist/protocol/new-view.js";
import { quorumsOf } from "../../dist/protocol/quorum.js";
import type { ReplicaId, View } from "../../dist/protocol/types.js";
import { batchDigest } from "../../dist/testing/hashing.js";
import { StubKeyring } from "../../dist/testing/keyring.js";
import { Prng } from "../../dist/testing/prng.js";
import { isAuthentic, open, proposalBytes, sealBody } from "../../dist/testing/wire.js";
import { MessageType } from "../../dist/codec/messages.js";
import { batchOf, Cluster, crossing, ofType } from "../protocol/cluster-of-cores.ts";
import {
  at,
  backup,
  bundle,
  certificate,
  digestOf,
  newView,
  stable,
  viewChange,
  type Scripted,
} from "../protocol/scripted.ts";

const TIMEOUT_MS = 5_000;
const waiting = bundle("waiting", { client: "impatient" });
const keyring = new StubKeyring(new Prng(1n), 6);
const signer = (node: number) => (type: number, payload: Uint8Array) => keyring.sign(node, type, payload);
const checkpointOf = (sequence: number): Checkpoint => ({
  type: "checkpoint",
  sequence: at(sequence),
  digest: digestOf("root"),
});

/** A frame, decoded; only for frames that decode. */
function opened(frame: Uint8Array) {
  const result = open(frame);
  if (!result.ok) throw new Error(result.error);
  return result;
}

/** A backup that has left view 0, with its VIEW-CHANGE "ours". */
function left(): Scripted {
  const core = backup();
  core.request(waiting);
  core.timesOut();
  core.sealed(1, "ours");
  return core;
}

test("pbft-01: the quorum is ⌈(n+f+1)/2⌉, not (n+f+1)/2 rounded down, and not 2f+1 where n is larger than 3f+1", (t) => {
  const sizes = [
    [4, 1, 3],
    [5, 1, 4],
    [6, 1, 4],
    [7, 1, 5],
    [7, 2, 5],
    [8, 2, 6],
    [31, 10, 21],
  ] as const;
  for (const [n, f, quorum] of sizes) t.is(quorumsOf(n, f).quorum, quorum, `n ${n} f ${f}`);
  const five = backup({ n: 5, f: 1, me: 4 as ReplicaId });
  five.propose(1, "batch");
  five.votes("prepare", 1, "batch", 1);
  t.is(five.sent("commit").length, 0, "three of five may meet another three in one replica, the liar");
  five.votes("prepare", 1, "batch", 2);
  t.is(five.sent("commit").length, 1);
});

test("pbft-02: the primary's PRE-PREPARE is its PREPARE: it counts once, and with one dead backup n = 4 goes on", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "batch", 0);
  t.is(core.sent("commit").length, 0);
  const cluster = new Cluster();
  cluster.drop(crossing(3));
  cluster.run("a");
  t.deepEqual(cluster.executed(1), ["a"]);
});

test("pbft-03: a signature binds its signer, whoever passes the message on, and its type", (t) => {
  const frame = sealBody("checkpoint", checkpointOf(4), signer(1));
  t.true(isAuthentic(opened(frame), 1, keyring));
  t.false(isAuthentic(opened(frame.slice()), 2, keyring), "not the relayer's");
  t.throws(() => keyring.sign(6, MessageType.checkpoint, frame), { instanceOf: RangeError }, "nobody else has a key");
  t.deepEqual(open(Uint8Array.of(MessageType.newView, ...frame.subarray(1))), { ok: false, error: "truncated" });
  t.deepEqual(open(Uint8Array.of(0xee, ...frame.subarray(1))), { ok: false, error: "unknownType" });
  t.deepEqual(open(new Uint8Array(0)), { ok: false, error: "unknownType" });
});

test("pbft-04: who gets a proposal computes the digest of what it names, and a vote of one sender counts once", (t) => {
  const bundles = [digestOf("a"), digestOf("b")];
  const place = { type: "prePrepare", view: 0 as View, sequence: at(1) } as const;
  const time = 7 as never;
  const frame = sealBody("prePrepare", { ...place, time, bundles, digest: batchDigest({ time, bundles }) }, signer(0));
  t.is(opened(frame).digest, batchDigest({ time, bundles }));
  t.true(isAuthentic(opened(frame), 0, keyring));
  const swapped = sealBody("prePrepare", { ...place, time, bundles: bundles.toReversed(), digest: digestOf("") }, () =>
    frame.slice(-64),
  );
  t.not(opened(swapped).digest, opened(frame).digest);
  t.false(isAuthentic(opened(swapped), 0, keyring), "the signature covers the digest that the receiver computes");
  const core = backup({ n: 7, f: 2, me: 6 as ReplicaId });
  core.propose(1, "batch");
  for (let times = 0; times < 4; times++) core.votes("prepare", 1, "batch", 1);
  t.is(core.sent("commit").length, 0);
});

test("pbft-05: what comes too early waits: votes before their proposal, proposals before their window, both before their view", (t) => {
  const votes = backup();
  votes.votes("commit", 1, "batch", 0, 1, 2);
  votes.votes("prepare", 1, "batch", 1, 2);
  votes.propose(1, "batch");
  t.is(votes.of("execute").length, 1);

  const cluster = new Cluster();
  cluster.drop(ofType("status"));
  cluster.drop(crossing(0));
  const late = cluster.hold(({ to, message }) => to === 3 && message.type === "newView");
  cluster.request("a", [1, 2, 3]);
  cluster.passTimeout();
  t.is(cluster.core(1).view().view, 1 as View);
  t.is(cluster.core(3).view().view, 0 as View);
  late();
  cluster.deliver();
  t.deepEqual(cluster.executed(3), ["a"], "proposal and votes of view 1 were here before its NEW-VIEW");
});

test("pbft-06: signatures hold for one cluster, epoch and type, and proposals for one view and sequence", (t) => {
  const pair = MessageCrypto.generateKeyPair();
  const domain = { clusterId: new Uint8Array(32).fill(1), epoch: 5 };
  const crypto = new MessageCrypto(domain, pair.privateKey);
  const payload = proposalBytes({ view: 1, sequence: 2, digest: digestOf("batch") });
  const signed = { key: Buffer.from(pair.publicKey, "hex"), type: MessageType.prepare, payload };
  const message = { ...signed, signature: crypto.sign(MessageType.prepare, payload) };
  t.true(crypto.verify(message));
  t.false(new MessageCrypto({ ...domain, epoch: 4 }).verify(message));
  t.false(new MessageCrypto({ ...domain, clusterId: new Uint8Array(32) }).verify(message));
  t.false(crypto.verify({ ...message, type: MessageType.prePrepare }));
  for (const other of [
    { view: 2, sequence: 2 },
    { view: 1, sequence: 3 },
  ])
    t.false(crypto.verify({ ...message, payload: proposalBytes({ ...other, digest: digestOf("batch") }) }));
});

test("pbft-07: what one correct replica executed is not replaced by the next primary, whoever is away", (t) => {
  for (const away of [0, 2]) {
    const cluster = new Cluster();
    cluster.drop(({ to, message }) => message.type === "commit" && to !== 3);
    cluster.run("a");
    t.deepEqual(cluster.executed(3), ["a"]);
    cluster.drop(crossing(3));
    if (away === 0) cluster.say(0, [1, 2], viewChange(1, "of 0, which hides what it prepared"));
    else cluster.say(0, [1, 2], viewChange(1, "of 0", { prepared: [certificate(1, "made up", { signers: [0] })] }));
    cluster.request("b", [0, 1, 2]);
    cluster.pass(3 * TIMEOUT_MS);
    t.true(cluster.core(1).view().view >= 1);
    t.is(cluster.decisions.get(at(1)), batchOf(["a"]).digest);
    t.is(cluster.sentBy(1, "newView")[0]?.batches[0], batchOf(["a"]).digest);
  }
});

test("pbft-08: every VIEW-CHANGE that a NEW-VIEW names is checked: an invented one never hides what was prepared", (t) => {
  const core = left();
  core.propose(1, "a");
  core.control(0, viewChange(1, "of 0"));
  core.control(2, viewChange(1, "of 2", { prepared: [certificate(1, "a")] }));
  core.control(1, newView(1, { 0: "of 0", 1: "of 1", 2: "invented for 2" }, []));
  core.control(1, viewChange(1, "of 1"));
  core.pass(4_000);
  t.is(core.core.inspect().view, 0 as View);
  t.true(core.of("fetch").some(({ digest }) => digest === digestOf("invented for 2")));
});

test("pbft-08: a certificate that nobody signed makes its VIEW-CHANGE nothing, also inside a NEW-VIEW", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  cluster.corrupt(1);
  const forged = viewChange(1, "forged by 1", { prepared: [certificate(2, "never proposed", { signers: [0, 1, 2] })] });
  cluster.say(1, [0, 2, 3], forged);
  cluster.drop(crossing(0));
  cluster.request("b", [2, 3]);
  cluster.passTimeout();
  const named = Object.fromEntries(
    [2, 3].map((from) => [from, cluster.sentBy(from, "viewChange")[0]!.digest as string]),
  );
  cluster.say(1, [2, 3], newView(1, { ...named, 1: "forged by 1" }, [batchOf(["a"]), "never proposed"]));
  cluster.deliver();
  for (const id of [2, 3]) {
    t.true(cluster.member(id).refused > 0);
    t.is(cluster.core(id).view().view, 0 as View);
  }
});

test("pbft-09: O counts all VIEW-CHANGEs: replicas with different stable checkpoints find a view", (t) => {
  const carried = carriedOver([
    viewChange(3, "of 0", { prepared: [certificate(1, "a"), certificate(6, "f")] }),
    viewChange(3, "of 1", { stable: stable(4, "root 4"), prepared: [certificate(7, "g", { view: 1 })] }),
    viewChange(3, "of 2", { stable: stable(8, "root 8"), prepared: [certificate(9, "i")] }),
  ]);
  t.deepEqual(carried, { stable: stable(8, "root 8"), first: at(9), batches: [digestOf("i")], nulls: 0 });

  const cluster = new Cluster({ batchBundlesMax: 1 });
  cluster.drop(({ from, to, message }) => message.type === "checkpoint" && (from === 2 || to === 3));
  for (let i = 1; i <= 6; i++) cluster.run(`request ${i}`);
  t.deepEqual(
    cluster.members.map(({ core }) => core.inspect().low as number),
    [4, 4, 4, 0],
  );
  cluster.drop(crossing(0));
  cluster.request("last", [1, 2, 3]);
  cluster.pass(3 * TIMEOUT_MS);
  for (const id of [1, 2, 3]) t.is(cluster.executed(id).length, 7);
});

test("pbft-10: a view change moves the window by the checkpoint and execution by nothing: no sequence is executed twice or skipped", (t) => {
  const core = backup();
  for (const sequence of [1, 2, 3]) core.commitBatch(sequence, `batch ${sequence}`);
  core.control(2, viewChange(1, "of 2", { stable: stable(8, "root") }));
  t.is(core.core.inspect().lastExecuted, at(3));
  t.is(core.core.inspect().low, at(8));
  core.enterView(1);
  t.is(core.of("execute").length, 0);
  for (let sequence = 4; sequence <= 8; sequence++)
    for (const from of [0, 1]) core.decided(from, sequence, `batch ${sequence}`);
  t.is(core.core.inspect().executing, at(8), "execution goes on from 4");
});

test("pbft-10: the new primary goes on above O, and not while it lacks the state", (t) => {
  const next = (prepared: readonly number[], checkpoint: number): Scripted => {
    const core = backup({ me: 1 as ReplicaId, pipelineDepth: 8, batchBundlesMax: 1 });
    core.request(waiting);
    for (const from of [0, 2]) {
      const fields = { prepared: prepared.map((sequence) => certificate(sequence, `batch ${sequence}`)) };
      core.control(
        from,
        viewChange(1, `of ${from}`, checkpoint === 0 ? fields : { ...fields, stable: stable(checkpoint, "root") }),
      );
    }
    core.sealed(1, "ours");
    return core;
  };
  t.is(next([2, 5], 0).of("assemble")[0]?.sequence, at(6));
  t.is(next([6], 4).of("assemble").length, 0);
});

test("pbft-11: a null request is executed, counted and made stable like any other; none trails behind the last prepared one", (t) => {
  t.is(batchDigest({ time: 0 as never, bundles: [] }), NULL_BATCH.digest);
  t.is(digestAt(MessageCrypto.batchDigest(0, new Uint8Array(0)), 0), NULL_BATCH.digest);
  const cluster = new Cluster({ batchBundlesMax: 1, pipelineDepth: 4, checkpointInterval: 2, window: 4 });
  // Sequence 1 is proposed to nobody, 2 to all.
  cluster.drop(({ message }) => message.type === "prePrepare" && message.view === 0 && message.sequence === 1);
  cluster.drop(({ message }) => message.type === "status" && message.view === 0);
  cluster.request("lost");
  cluster.request("prepared");
  cluster.deliver();
  cluster.passTimeout();
  cluster.pass(2 * TIMEOUT_MS);
  const { batches } = cluster.sentBy(1, "newView")[0]!;
  t.deepEqual(batches, [NULL_BATCH.digest, batchOf(["prepared"]).digest]);
  for (const { core, id } of cluster.members) {
    t.deepEqual(cluster.executed(id), ["prepared", "lost"], "the lost one is proposed again");
    t.deepEqual([core.inspect().lastExecuted, core.inspect().low], [at(3), at(2)]);
  }
});

test("pbft-12: VIEW-CHANGEs are sent again, so that a partition that heals is over", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  const parted = cluster.drop(({ from, to }) => from >= 0 && from < 2 !== to < 2);
  cluster.request("b");
  cluster.pass(10 * TIMEOUT_MS);
  t.true(cluster.members.every(({ id }) => cluster.executed(id).length === 1));
  parted();
  cluster.pass(3 * TIMEOUT_MS);
  for (const { id } of cluster.members) t.deepEqual(cluster.executed(id), ["a", "b"]);
  t.is(new Set(cluster.members.map(({ core }) => core.view().view)).size, 1);
});

test("pbft-13: views go forward only, also under replayed messages, and one huge view number moves nobody", (t) => {
  const core = backup();
  core.enterView(1);
  core.enterView(2);
  core.control(1, newView(1, { 0: "0 to 1", 1: "1 to 1", 2: "2 to 1" }));
  for (const from of [0, 1, 2]) core.control(from, viewChange(1, `${from} to 1`));
  t.is(core.core.inspect().view, 2 as View);
  core.control(0, viewChange(2 ** 40, "huge"));
  core.control(0, viewChange(2 ** 53 - 1, "larger"));
  t.is(core.core.inspect().pending, undefined);
  core.control(1, viewChange(3, "next"));
  t.is(core.core.inspect().pending, 3 as View, "of two that ask for more, one may be a liar: the lower view is joined");
});

test("pbft-14: timers: none for slow execution, none of the old view in the new one, none inside a view change", (t) => {
  const executing = backup();
  executing.request(waiting);
  executing.propose(1, "batch", ["waiting"]);
  for (const phase of ["prepare", "commit"] as const) executing.votes(phase, 1, "batch", 1, 2);
  t.is(executing.pass(4 * TIMEOUT_MS).filter(({ kind }) => kind === "viewLeft").length, 0);
  const changed = backup();
  changed.request(waiting);
  changed.pass(4_500);
  changed.enterView(1);
  t.is(changed.pass(4_500).filter(({ kind }) => kind === "viewLeft").length, 0, "the new primary has the whole time");
  const changing = left();
  t.is(changing.pass(10 * TIMEOUT_MS).filter(({ kind }) => kind === "viewLeft").length, 0);
});

test("pbft-15: a value that a new view proposes again is not checked against the clock again", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "batch", 1, 2);
  core.now = (core.now + 600_000) as typeof core.now;
  core.enterView(1, [certificate(1, "batch")]);
  t.deepEqual([core.ignored(), core.sent("prepare").length], [[], 1]);
});

test("pbft-16: of several certificates for one sequence the highest view wins, for each sequence apart", (t) => {
  const views = [4, 0, 9, 2];
  const messages = views.map((view, index) =>
    viewChange(10, `of ${index}`, {
      prepared: [certificate(1, `x${view}`, { view }), certificate(2, `y${9 - view}`, { view: 9 - view })],
    }),
  );
  for (let turn = 0; turn < messages.length; turn++) {
    const order = [...messages.slice(turn), ...messages.slice(0, turn)];
    t.deepEqual(carriedOver(order).batches, ["x9", "y9"].map(digestOf));
  }
});

test("pbft-16: a certificate of a later view replaces the earlier one in what a replica carries", (t) => {
  const core = backup();
  core.propose(1, "a");
  core.votes("prepare", 1, "a", 1, 2);
  core.enterView(1, [certificate(1, "b", { view: 0 })]);
  core.control(1, { type: "fetchedBatch", digest: digestOf("b"), time: 0 as never, bundles: [] });
  t.is(core.core.inspect().slots.get(at(1))?.prepared?.digest, digestOf("a"), "until b is prepared");
  core.votesIn(1, "prepare", 1, "b", 2);
  for (const from of [0, 2]) core.control(from, viewChange(2, `of ${from}`));
  const carried = core.of("seal")[0]?.message.prepared;
  t.deepEqual(carried, [certificate(1, "b", { view: 1, signers: [1, 2, 3] })]);
});

test("pbft-03: no frame of random bytes is taken for a message of somebody, or throws", (t) => {
  const prng = new Prng(3n);
  const names = [
    "prePrepare",
    "prepare",
    "checkpoint",
    "viewChange",
    "newView",
    "status",
    "decided",
  ] as const satisfies BodyName[];
  let decoded = 0;
  for (let i = 0; i < 2_000; i++) {
    const body = prng.bytes(prng.below(200));
    const frame = Uint8Array.of(MessageType[names[i % names.length]!], ...body);
    const result = open(frame);
    if (!result.ok) continue;
    decoded++;
    if (result.payload.signature !== undefined) t.false(isAuthentic(result, 1, keyring));
  }
  t.true(decoded < 2_000);
});
