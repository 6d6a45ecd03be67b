import test from "ava";
import type { Run, View } from "../../dist/protocol/types.js";
import {
  at,
  backup,
  bundle,
  certificate,
  digestOf,
  executedTo,
  primary,
  replicas,
  stable,
  stableByOthers,
  status,
  viewChange,
} from "./scripted.ts";

test("a CHECKPOINT of ours rests on its record", (t) => {
  const core = executedTo(4);
  core.checkpointed(4, "root");
  const [record] = core.of("persist");
  const batches = [1, 2, 3, 4].map((sequence) => digestOf(`batch ${sequence}`));
  const named = { first: at(1), batches };
  t.deepEqual(record?.record, { type: "checkpoint", sequence: at(4), digest: digestOf("root"), ...named });
  t.is(core.sent("checkpoint")[0]?.after, record!.lsn);
});

test("a stable checkpoint is recorded with its certificate, and moves window and lease", (t) => {
  const core = executedTo(4);
  core.checkpointed(4, "root");
  for (const from of [0, 1]) core.checkpoint(from, 4, "root");
  t.deepEqual(core.of("persist").map(({ record }) => record)[0], {
    type: "stable",
    certificate: stable(4, "root", [0, 1, 3]),
  });
  t.deepEqual(core.of("window"), [{ kind: "window", low: at(4), high: at(16), view: 0 as View, pending: undefined }]);
  core.executed(4);
  for (let sequence = 5; sequence <= 12; sequence++) {
    core.propose(sequence, `batch ${sequence}`);
    t.is(core.sent("prepare").length, 1, "a lease covers every sequence up to the new high watermark");
  }
});

const refused: readonly { name: string; sequence: number; reason: string }[] = [
  { name: "at the stable one", sequence: 4, reason: "staleCheckpoint" },
  { name: "below the stable one", sequence: 0, reason: "staleCheckpoint" },
  { name: "between two intervals", sequence: 7, reason: "staleCheckpoint" },
];
for (const { name, sequence, reason } of refused) {
  test(`a CHECKPOINT ${name} is ignored`, (t) => {
    const core = executedTo(4);
    stableByOthers(core, 4, "root");
    core.checkpoint(0, sequence, "root");
    t.deepEqual(core.ignored(), [reason]);
  });
}

test("a replica's first word about a checkpoint stays", (t) => {
  const core = executedTo(4);
  core.checkpoint(0, 4, "lie");
  core.checkpoint(0, 4, "root");
  t.deepEqual(core.ignored(), ["conflictingCheckpoint"]);
  core.checkpoint(1, 4, "root");
  core.checkpointed(4, "root");
  t.is(core.of("stable").length, 0);
  core.checkpoint(2, 4, "root");
  t.is(core.of("stable").length, 1);
});

test("a liar's CHECKPOINTs for the far future are bounded, and cost the others nothing", (t) => {
  const core = executedTo(4);
  for (let i = 1; i <= 1_000; i++) core.checkpoint(0, 4 * i, `lie ${i}`);
  t.true((core.core.inspect().checkpointClaims.get(0 as never)?.size ?? 0) <= 16);
  core.checkpointed(4, "root");
  for (const from of [1, 2]) core.checkpoint(from, 4, "root");
  t.is(core.core.inspect().low, at(4));
});

test("the certificate of a checkpoint in a VIEW-CHANGE makes it stable here", (t) => {
  const core = executedTo(4);
  core.control(1, viewChange(1, "of 1", { stable: stable(8, "root") }));
  t.is(core.core.inspect().low, at(8));
  t.deepEqual(core.of("stable")[0]?.signers, replicas(0, 1, 2));
});

test("a checkpoint that others made stable moves the window of a replica that has not executed so far; it votes, and executes nothing", (t) => {
  const core = executedTo(2);
  stableByOthers(core, 4, "root");
  core.propose(5, "batch 5");
  t.is(core.sent("prepare").length, 1);
  core.votes("prepare", 5, "batch 5", 1, 2);
  core.votes("commit", 5, "batch 5", 1, 2);
  t.is(core.of("execute").length, 0);
  t.is(core.core.inspect().lastExecuted, at(2));
});

test("who gets to a checkpoint after it became stable says so all the same: somebody below may need that one", (t) => {
  const core = executedTo(4);
  stableByOthers(core, 4, "root");
  core.checkpointed(4, "root");
  const said = core.sent("checkpoint").map(({ message }) => [message.sequence, message.digest]);
  t.deepEqual(said, [[at(4), digestOf("root")]]);
});

test("a replica below a stable checkpoint replays what others decided, and fetches the state when that brings nothing", (t) => {
  const replaying = executedTo(2);
  stableByOthers(replaying, 4, "root");
  for (const sequence of [3, 4]) for (const from of [0, 1]) replaying.decided(from, sequence, `batch ${sequence}`);
  t.deepEqual(
    replaying.of("execute").map(({ sequence }) => sequence),
    [at(4)],
  );
  replaying.executed(4);
  replaying.pass(2_000);
  t.is(replaying.of("install").length, 0);

  const stuck = executedTo(2);
  stableByOthers(stuck, 4, "root");
  t.is(stuck.of("install").length, 0, "not at once");
  stuck.pass(1_000);
  t.deepEqual(stuck.of("install"), [{ kind: "install", run: 1 as Run, certificate: stable(4, "root") }]);
});

test("with the state of the checkpoint a replica goes on from there", (t) => {
  const core = executedTo(2);
  stableByOthers(core, 4, "root");
  core.propose(5, "batch 5");
  core.votes("prepare", 5, "batch 5", 1, 2);
  core.votes("commit", 5, "batch 5", 1, 2);
  core.pass(1_000);
  core.installed(4, "root");
  t.deepEqual(
    core.of("execute").map(({ sequence, run }) => [sequence, run]),
    [[at(5), 1 as Run]],
  );
  core.executed(5);
  t.is(core.of("reply").length, 1);
});

test("the state of a checkpoint that f+1 others signed is fetched too, since liars may keep the Q-th CHECKPOINT from us", (t) => {
  const core = executedTo(2);
  core.checkpoint(1, 4, "root");
  core.pass(10_000);
  t.is(core.of("install").length, 0, "one alone may lie");
  core.checkpoint(2, 4, "root");
  t.is(core.of("install").length, 0, "most become stable in a moment");
  core.pass(1_000);
  t.deepEqual(core.of("install"), [{ kind: "install", run: 1 as Run, certificate: stable(4, "root", [1, 2]) }]);
  core.installed(4, "root");
  t.deepEqual([core.core.inspect().lastExecuted, core.core.inspect().low], [at(4), at(0)]);
  t.is(core.sent("checkpoint").length, 0, "not before it is durable here");
  core.step({ kind: "snapshotted", sequence: at(4) });
  t.deepEqual(
    core.sent("checkpoint").map(({ message }) => [message.sequence, message.digest]),
    [[at(4), digestOf("root")]],
  );
  t.is(core.core.inspect().low, at(4), "ours makes it stable");
});

test("a CHECKPOINT of f+1 others that replay reaches costs no transfer", (t) => {
  const core = executedTo(2);
  for (const from of [1, 2]) core.checkpoint(from, 4, "root");
  for (const sequence of [3, 4]) for (const from of [0, 1]) core.decided(from, sequence, `batch ${sequence}`);
  core.executed(4);
  core.pass(10_000);
  t.is(core.of("install").length, 0);
});

test("who has installed a state and knows that f+1 others are further asks them again; a liar alone keeps nobody asking", (t) => {
  for (const further of [[1], [1, 2]]) {
    const core = executedTo(2);
    for (const from of further) core.control(from, status({ lastExecuted: at(6), lowWatermark: at(4) }));
    stableByOthers(core, 4, "root");
    core.pass(1_000);
    core.installed(4, "root");
    core.pass(1_000);
    t.is(core.sent("status").length > 0, further.length > 1);
  }
});

test("a signer's claims push each other out as in the vote table, also where no checkpoint is due", (t) => {
  const core = executedTo(4);
  core.checkpointed(4, "root");
  core.checkpoint(1, 4, "root");
  for (let i = 0; i < 16; i++) core.checkpoint(1, 101 + 4 * i, "nothing");
  core.checkpoint(0, 4, "root");
  t.is(core.core.inspect().low, at(0), "the signature of 1 under it is not held any more");
  core.checkpoint(2, 4, "root");
  t.is(core.core.inspect().low, at(4));
});

test("nothing is executed on the old state while another one is fetched, unless replay gets all the way", (t) => {
  const core = executedTo(2);
  stableByOthers(core, 4, "root");
  core.pass(1_000);
  t.is(core.of("install").length, 1);
  for (const from of [0, 1]) core.decided(from, 3, "batch 3");
  t.is(core.of("execute").length, 0, "3 alone does not lead to 4");
  for (const from of [0, 1]) core.decided(from, 4, "batch 4");
  t.deepEqual(
    core.of("execute").map(({ sequence, run }) => [sequence, run]),
    [3, 4].map((sequence) => [at(sequence), 2 as Run]),
  );
});

test("results of execution from before the state was fetched are ignored", (t) => {
  const core = executedTo(4);
  core.propose(5, "batch 5");
  core.votes("prepare", 5, "batch 5", 1, 2);
  core.votes("commit", 5, "batch 5", 1, 2);
  t.is(core.of("execute").length, 1);
  core.checkpointed(4, "mine");
  stableByOthers(core, 4, "theirs");
  const sessions = { opened: [], executed: [], acknowledged: [], expired: [], recovered: [] };
  core.step({ kind: "executed", run: 0 as Run, through: at(5), sessions });
  t.deepEqual(core.ignored(), ["staleRun"]);
  t.is(core.of("reply").length, 0);
  core.installed(4, "theirs");
  t.deepEqual(
    core.of("execute").map(({ sequence, run }) => [sequence, run]),
    [[at(5), 1 as Run]],
  );
});

test("a transfer that fails is tried again; a disk that fails stops the replica", (t) => {
  const core = executedTo(2);
  stableByOthers(core, 4, "root");
  core.pass(1_000);
  core.step({ kind: "installFailed", run: 1 as Run, reason: "unavailable" });
  t.is(core.of("install").length, 0);
  core.pass(1_000);
  t.deepEqual(
    core.of("install").map(({ run }) => run),
    [2 as Run],
  );
  core.step({ kind: "installFailed", run: 1 as Run, reason: "diskFailed" });
  t.deepEqual(core.ignored(), ["staleRun"]);
  core.step({ kind: "installFailed", run: 2 as Run, reason: "diskFailed" });
  t.is(core.of("halt")[0]?.reason.code, "DISK_FAILED");
});

for (const order of ["after", "before"] as const) {
  test(`a replica whose root differs from the stable one, known ${order} its own, says so and fetches the state`, (t) => {
    const core = executedTo(4);
    if (order === "before") stableByOthers(core, 4, "theirs");
    core.checkpointed(4, "mine");
    if (order === "after") stableByOthers(core, 4, "theirs");
    const divergence = {
      kind: "diverged",
      sequence: at(4),
      own: digestOf("mine"),
      theirs: digestOf("theirs"),
    } as const;
    t.deepEqual(core.of("diverged"), [divergence]);
    t.deepEqual(core.of("install"), [{ kind: "install", run: 1 as Run, certificate: stable(4, "theirs") }]);
    t.is(core.of("halt").length, 0);
    core.commitBatch(5, "batch 5");
    t.is(core.core.inspect().lastExecuted, at(4), "nothing is executed on a false state");
    core.installed(4, "theirs");
    t.deepEqual(
      core.of("execute").map(({ sequence }) => sequence),
      [at(5)],
    );
  });
}

test("a replica whose root is one of a minority signs no further checkpoint before it has the true state", (t) => {
  const core = executedTo(4);
  core.checkpointed(4, "mine");
  stableByOthers(core, 4, "theirs");
  core.step({ kind: "checkpointed", run: 0 as Run, sequence: at(8), digest: digestOf("built on mine") });
  t.deepEqual(core.ignored(), ["staleRun"]);
  t.is(core.sent("checkpoint").length, 0);
});

test("when no root can reach a quorum by the high watermark the replica stops and names who signed what", (t) => {
  const core = executedTo(8);
  core.checkpointed(4, "a4");
  core.checkpointed(8, "a");
  core.checkpoint(0, 8, "a");
  core.checkpoint(1, 8, "b");
  t.is(core.of("halt").length, 0, "the silent one may still make a quorum");
  core.checkpoint(2, 8, "b");
  t.deepEqual(core.of("halt")[0]?.reason, {
    code: "CHECKPOINT_DIVERGENCE",
    sequence: at(8),
    claims: [
      { by: 0, digest: digestOf("a") },
      { by: 3, digest: digestOf("a") },
      { by: 1, digest: digestOf("b") },
      { by: 2, digest: digestOf("b") },
    ] as never,
  });
});

test("roots that differ below the high watermark stop nobody: the next checkpoint may be stable", (t) => {
  const core = executedTo(8);
  core.checkpointed(4, "a");
  core.checkpoint(0, 4, "a");
  for (const from of [1, 2]) core.checkpoint(from, 4, "b");
  t.is(core.of("halt").length, 0);
  core.checkpointed(8, "root");
  for (const from of [0, 1]) core.checkpoint(from, 8, "root");
  t.is(core.core.inspect().low, at(8));
});

test("a peer that is below our checkpoints gets them again", (t) => {
  const core = executedTo(8);
  core.checkpointed(4, "root 4");
  for (const from of [0, 1]) core.checkpoint(from, 4, "root 4");
  core.checkpointed(8, "root 8");
  const answered = (lowWatermark: number): number[] => {
    core.now = (core.now + 100) as typeof core.now;
    core.control(2, status({ lowWatermark, lastExecuted: 8 }));
    return core.sent("checkpoint").map(({ message }) => message.sequence);
  };
  t.deepEqual(answered(0), [4, 8]);
  t.deepEqual(answered(4), [8]);
  t.deepEqual(answered(8), []);
});

test("a primary without the state of the stable checkpoint proposes nothing, and hands over after one timeout", (t) => {
  const core = primary();
  for (const from of [1, 2, 3]) core.checkpoint(from, 4, "root");
  core.request(bundle("a"));
  t.is(core.of("assemble").length, 0);
  core.pass(4_900);
  t.is(core.of("viewLeft").length, 0);
  core.pass(200);
  t.like(core.of("viewLeft")[0], { target: 1 as View, cause: "handOver" });
  t.deepEqual(core.of("seal")[0]?.message.stable, stable(4, "root", [1, 2, 3]));
});

test("a primary that gets the state in time goes on", (t) => {
  const core = primary();
  for (const from of [1, 2, 3]) core.checkpoint(from, 4, "root");
  core.request(bundle("a"));
  core.pass(1_000);
  core.installed(4, "root");
  t.deepEqual(
    core.of("assemble").map(({ sequence, bundles }) => [sequence, bundles]),
    [[at(5), [digestOf("a")]]],
  );
});

test("executed batches above the stable checkpoint are kept, those below as far as the history has room", (t) => {
  const small = executedTo(4, backup({ historyBytesMax: 0 }));
  t.is(small.core.inspect().history.size, 4);
  stableByOthers(small, 4, "root");
  t.is(small.core.inspect().history.size, 4, "they weigh nothing");
  const core = backup({ historyBytesMax: 300 });
  for (let sequence = 1; sequence <= 4; sequence++) {
    core.request(bundle(`r${sequence}`, { firstSequence: sequence }), 0);
    core.propose(sequence, `batch ${sequence}`, [`r${sequence}`]);
    core.votes("prepare", sequence, `batch ${sequence}`, 1, 2);
    core.votes("commit", sequence, `batch ${sequence}`, 1, 2);
    core.executed(sequence);
  }
  t.is(core.core.inspect().history.size, 4);
  stableByOthers(core, 4, "root");
  t.deepEqual([...core.core.inspect().history.keys()], [at(4)], "one batch of 200 bytes fits into 300");
});

test("proposals, decisions and prepared certificates at or below the stable checkpoint are let go of with their bodies", (t) => {
  const core = backup({ historyBytesMax: 0 });
  core.request(bundle("executed"), 0);
  core.request(bundle("prepared", { firstSequence: 2 }), 0);
  core.propose(1, "batch 1", ["executed"]);
  core.votes("prepare", 1, "batch 1", 1, 2);
  core.votes("commit", 1, "batch 1", 1, 2);
  core.executed(1);
  core.propose(2, "batch 2", ["prepared"]);
  core.votes("prepare", 2, "batch 2", 1, 2);
  t.deepEqual(
    core.core.inspect().slots.get(at(2))?.prepared?.signers,
    certificate(2, "batch 2", { signers: [0, 1, 2, 3] }).signers,
  );
  stableByOthers(core, 4, "root");
  t.is(core.core.inspect().slots.size, 0);
  t.deepEqual(
    core.of("release").flatMap(({ bundles }) => bundles),
    [digestOf("executed")],
  );
  t.true(core.core.inspect().bundles.has(digestOf("prepared")), "it may not have been executed: it waits in the pool");
});
