import test from "ava";
import type { Digest, ReplicaId, Run, SessionId, View } from "../../dist/protocol/types.js";
import { at, backup, bundle, digestOf, primary, replicas, status, WALL_CLOCK } from "./scripted.js";

test("a checkpoint is asked for right behind the batch that ends its interval", (t) => {
  const core = backup();
  for (const sequence of [1, 2, 3]) core.commitBatch(sequence, `batch ${sequence}`);
  core.propose(4, "batch 4");
  core.votes("prepare", 4, "batch 4", 1, 2);
  core.votes("commit", 4, "batch 4", 1, 2);
  t.deepEqual(
    core.actions.filter(({ kind }) => kind === "execute" || kind === "checkpoint").map(({ kind }) => kind),
    ["execute", "checkpoint"],
  );
});

test("a checkpoint is stable when Q replicas signed the same root, and frees what lies below", (t) => {
  const core = backup();
  for (const sequence of [1, 2, 3, 4]) core.commitBatch(sequence, `batch ${sequence}`);
  core.checkpointed(4, "root");
  t.is(core.sent("checkpoint").length, 1);
  core.control(0, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  core.control(0, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  core.control(1, { type: "checkpoint", sequence: at(4), digest: digestOf("lie") });
  t.is(core.of("stable").length, 0);
  core.control(2, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  t.is(core.of("stable")[0]?.sequence, at(4));
  t.is(core.of("window")[0]?.low, at(4));
  t.is(core.core.inspect().slots.size, 0);
});

test("f+1 equal checkpoints are not a quorum", (t) => {
  const core = backup();
  for (const sequence of [1, 2, 3, 4]) core.commitBatch(sequence, `batch ${sequence}`);
  core.checkpointed(4, "root");
  core.control(0, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  t.is(core.of("stable").length, 0);
});

test("a replica that has stopped takes nothing more", (t) => {
  const core = backup();
  core.step({ kind: "diskFailed", reason: "full" });
  core.propose(1, "batch");
  t.deepEqual(core.actions, [{ kind: "ignored", reason: "halted", from: undefined }]);
  t.is(core.core.deadline(), undefined);
});

test("the first message on a connection is STATUS", (t) => {
  const core = backup();
  core.step({ kind: "link", peer: 1 as ReplicaId, up: true });
  t.is(core.sent("status")[0]?.to, replicas(1));
});

test("work that waits without progress repeats STATUS ever more slowly, and progress ends it", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.tickAfter(100);
  t.is(core.sent("status").length, 1);
  core.tickAfter(100);
  t.is(core.sent("status").length, 0);
  core.tickAfter(100);
  t.is(core.sent("status").length, 1);
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 1, 2);
  core.executed(1);
  core.tickAfter(1_900);
  t.is(core.sent("status").length, 0);
  core.tickAfter(100);
  t.is(core.sent("status").length, 1, "everybody is told once how far it went");
  core.tickAfter(10_000);
  t.is(core.sent("status").length, 0);
});

test("a peer's STATUS is answered with what it lacks: the proposal, our votes, or DECIDED for what is executed", (t) => {
  const core = primary();
  core.request(bundle("a"));
  core.step({ kind: "assembled", view: 0 as View, sequence: at(1), digest: digestOf("batch") });
  core.control(2, status({}));
  t.deepEqual(
    core.of("send").map(({ message }) => message.type),
    ["prePrepare"],
  );
  core.now = (core.now + 60) as typeof core.now;
  core.control(2, status({ proposed: [true] }));
  t.is(core.of("send").length, 0);
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 1, 2);
  core.executed(1);
  core.now = (core.now + 60) as typeof core.now;
  core.control(2, status({ missing: [digestOf("a")] }));
  t.deepEqual(
    core.of("send").map(({ message }) => message.type),
    ["decided", "prePrepare", "commit"],
  );
  t.is(core.of("forward")[0]?.bundle, digestOf("a"));
});

test("who executed what we wait for is shown our votes of this view with each STATUS, since it does not ask for them", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.control(1, status({ lastExecuted: at(1) }));
  core.control(2, status({ lastExecuted: at(0) }));
  core.pass(1_000);
  const shown = core.sent("prepare").map(({ to, message }) => [to, message.sequence]);
  t.true(shown.length > 1, "it may be lost");
  t.deepEqual(
    shown,
    shown.map(() => [replicas(1), at(1)]),
  );
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 1, 2);
  core.executed(1);
  core.pass(1_000);
  t.deepEqual(core.sent("prepare"), []);
});

test("a peer's STATUS that shows a proposal which never came here is answered by our own STATUS", (t) => {
  const core = backup();
  core.control(1, status({ proposed: [true] }));
  t.is(core.sent("status")[0]?.to, replicas(1));
  core.tickAfter(100);
  t.is(core.sent("status")[0]?.to, replicas(0, 1, 2), "the primary hears it too, and can send the proposal");
  core.commitBatch(1, "batch");
  core.tickAfter(10_000);
  core.tickAfter(10_000);
  t.is(core.of("send").length, 0);
});

test("a peer that asks too often is not answered", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.control(2, status({}));
  core.control(2, status({}));
  t.deepEqual(core.ignored(), ["statusTooSoon"]);
});

test("DECIDED from f+1 replicas decides what this one has missed; from f it does not", (t) => {
  const core = backup();
  const decided = {
    type: "decided",
    sequence: at(1),
    digest: digestOf("batch"),
    time: WALL_CLOCK,
    bundles: [],
  } as never;
  core.control(1, decided);
  core.control(1, decided);
  t.is(core.of("execute").length, 0);
  core.control(2, decided);
  t.is(core.of("execute")[0]?.digest, digestOf("batch"));
});

test("DECIDED claims that differ do not add up", (t) => {
  const core = backup();
  for (const from of [0, 1, 2]) {
    core.control(from, {
      type: "decided",
      sequence: at(1),
      digest: digestOf(`batch of ${from}`),
      time: WALL_CLOCK as never,
      bundles: [],
    });
  }
  t.is(core.of("execute").length, 0);
});

test("a backup hands a client's bundle to the primary when it is not proposed in time", (t) => {
  const core = backup();
  core.request(bundle("a"));
  core.tickAfter(100);
  t.deepEqual(core.of("forward")[0], { kind: "forward", bundle: digestOf("a"), to: replicas(0) });
  core.propose(1, "batch", ["a"]);
  core.tickAfter(100);
  t.is(core.of("forward").length, 0);
});

test("a full pool answers BUSY and keeps nothing", (t) => {
  const core = backup({ poolBundlesMax: 8 });
  const clients = Array.from({ length: 9 }, (_, i) => digestOf(`client ${i}`));
  for (const [i, client] of clients.entries()) core.request(bundle(`a${i}`, { client: client as string }));
  t.deepEqual(core.of("busy")[0]?.bundle, digestOf("a8"));
  t.deepEqual(core.core.room(), { bundles: 0, bytes: 100_000 - 8 * 200 });
});

test("a bundle that a proposal brought when the pool had no room is waited for once its client asks again", (t) => {
  const core = backup({ poolBundlesMax: 1 });
  const watched = (): unknown =>
    [...core.core.inspect().suspicion.clients.values()].flatMap(({ waiting }) => [...waiting]);
  for (const [index, name] of ["first", "second", "third"].entries()) {
    core.propose(index + 1, `batch of ${name}`, [name]);
    core.request(bundle(name, { firstSequence: index + 1 }), 0);
    t.is(core.sent("prepare").length, 1, "the body is kept, as the proposal names it");
  }
  const third = bundle("third", { firstSequence: 3 });
  core.request(third, undefined, true);
  t.deepEqual(watched(), [digestOf("first"), digestOf("second")], "there is no room yet");
  for (const [index, name] of ["first", "second"].entries()) {
    core.votes("prepare", index + 1, `batch of ${name}`, 1, 2);
    core.votes("commit", index + 1, `batch of ${name}`, 1, 2);
  }
  core.executed(2);
  core.request(third, undefined, true);
  t.deepEqual(watched(), [digestOf("third")]);
  t.is(core.core.inspect().queues.size, 0, "it needs no proposal");
});

test("what a proposal names takes no place among the bundles of its client that wait for one", (t) => {
  const core = backup({ poolBundlesMax: 8 });
  const named = bundle("named", { firstSequence: 2 });
  core.request(bundle("waiting"));
  core.propose(1, "batch", ["named"]);
  core.request(named, 0);
  const held = core.core.inspect();
  t.deepEqual([held.pooledBundles, held.bundles.get(named.digest)?.crowded], [2, false]);
});

test("one client cannot fill the pool", (t) => {
  const core = backup({ poolBundlesMax: 64 });
  for (let i = 0; i < 9; i++) core.request(bundle(`flood ${i}`, { firstSequence: i + 1 }));
  t.is(core.of("busy").length, 1);
  core.request(bundle("other", { client: digestOf("other") as string }));
  t.is(core.of("busy").length, 0);
});

test("a retry of an executed bundle is answered without ordering it again", (t) => {
  const core = backup();
  core.request(bundle("a"), 0);
  core.propose(1, "batch", ["a"]);
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 1, 2);
  core.step({
    kind: "executed",
    run: 0 as Run,
    through: at(1),
    sessions: {
      opened: [{ session: 1 as SessionId, client: bundle("a").client }],
      executed: [{ session: 1 as SessionId, first: 1, last: 1 }],
      acknowledged: [],
      expired: [],
      recovered: [],
    },
  });
  core.request(bundle("a"));
  t.is(core.of("answer")[0]?.bundle.digest, digestOf("a"));
  t.is(core.core.inspect().pooledBundles, 0);
});

test("conflicting bundles of one client are done when their operations are executed, whichever was ordered", (t) => {
  const core = backup();
  core.request(bundle("ours", { count: 3 }));
  core.request(bundle("theirs", { count: 3 }), 0);
  core.propose(1, "batch", ["theirs"]);
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 1, 2);
  core.step({
    kind: "executed",
    run: 0 as Run,
    through: at(1),
    sessions: {
      opened: [{ session: 1 as SessionId, client: bundle("a").client }],
      executed: [{ session: 1 as SessionId, first: 1, last: 3 }],
      acknowledged: [],
      expired: [],
      recovered: [],
    },
  });
  t.is(core.core.inspect().pooledBundles, 0);
  t.deepEqual(core.of("release")[0]?.bundles, [digestOf("ours")]);
});

test("bodies are released when the history lets go of their batch, not before", (t) => {
  const core = backup({ historyBytesMax: 0 });
  core.request(bundle("a"), 0);
  core.propose(1, "batch 1", ["a"]);
  core.votes("prepare", 1, "batch 1", 1, 2);
  core.votes("commit", 1, "batch 1", 1, 2);
  core.executed(1);
  t.is(core.of("release").length, 0);
  for (const sequence of [2, 3, 4]) core.commitBatch(sequence, `batch ${sequence}`);
  for (const from of [0, 1, 2]) core.control(from, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  t.deepEqual(
    core.of("release").flatMap(({ bundles }) => bundles),
    [digestOf("a")] as Digest[],
  );
});

test("a saved core goes on like the one it was saved from", (t) => {
  const first = backup();
  first.request(bundle("a"));
  first.propose(1, "batch", ["a"]);
  const second = backup();
  second.core.restore(first.core.save());
  const actions = first.votes("prepare", 1, "batch", 1, 2);
  t.deepEqual(second.votes("prepare", 1, "batch", 1, 2), actions);
  t.deepEqual(second.core.save(), first.core.save());
});

test("a failing disk and a failing state machine stop the replica with a reason", (t) => {
  const disk = backup();
  disk.step({ kind: "diskFailed", reason: "full" });
  t.deepEqual(disk.of("halt")[0]?.reason, { code: "DISK_FAILED", reason: "full" });
  const machine = backup();
  machine.step({ kind: "executionFailed", run: 0 as Run, sequence: at(1), reason: "stack" });
  t.deepEqual(machine.of("halt")[0]?.reason, { code: "EXECUTION_FAILED", sequence: at(1), message: "stack" });
});

test("a replica that reaches a checkpoint after it became stable still signs it, and repeats it to a peer below", (t) => {
  const core = backup();
  for (const from of [0, 1, 2]) core.control(from, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  t.is(core.of("stable").length, 1);
  core.checkpointed(4, "root");
  t.is(core.sent("checkpoint").length, 1);
  core.control(2, status({}));
  t.deepEqual(
    core.sent("checkpoint").map(({ to }) => to),
    [replicas(2)],
  );
});

test("a retry whose body was released in the same turn is not taken for held", (t) => {
  const core = backup();
  core.request(bundle("a"), undefined, true);
  t.deepEqual(core.ignored(), ["duplicateRequest"]);
  t.is(core.core.inspect().bundles.size, 0);
});

test("a replica that executes by DECIDED far above its window keeps no more than two windows of it", (t) => {
  const core = backup({ checkpointInterval: 2, window: 4 });
  for (let sequence = 1; sequence <= 40; sequence++) {
    const decided = {
      type: "decided",
      sequence: at(sequence),
      digest: digestOf(`b${sequence}`),
      time: WALL_CLOCK,
      bundles: [],
    };
    for (const from of [0, 1]) core.control(from, decided as never);
    core.executed(sequence);
    if (sequence % 2 === 0) core.checkpointed(sequence, `root ${sequence}`);
  }
  const { slots, history, low } = core.core.inspect();
  t.is(low, at(0));
  t.true(slots.size <= 10, String(slots.size));
  t.true(history.size <= 14, String(history.size));
});
