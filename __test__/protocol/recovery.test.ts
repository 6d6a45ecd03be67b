/** Restarts, as a user of the core sees them: what a new process does on the records of the one before. */
import test from "ava";
import { newViewName } from "../../dist/protocol/new-view.js";
import type { ReplicaId, View } from "../../dist/protocol/types.js";
import {
  at,
  backup,
  bundle,
  certificate,
  digestOf,
  executedTo,
  primary,
  stable,
  stableByOthers,
  status,
  viewChange,
  type Scripted,
} from "./scripted.ts";

/** Sequences that were handed to execution by the last step. */
function executing(core: Scripted): number[] {
  return core.of("execute").map(({ sequence }) => sequence);
}

function voted(core: Scripted): number[] {
  return [...core.sent("prepare"), ...core.sent("prePrepare")].map(({ message }) => message.sequence);
}

/** Replica 3 after executing 1 … 4 and signing the checkpoint at 4, which is stable. */
function stableAtFour(): Scripted {
  const core = executedTo(4);
  core.checkpointed(4, "root");
  for (const from of [0, 1]) core.checkpoint(from, 4, "root");
  return core;
}

test("own-08: where a process before may have voted a new one does not, and still commits what others prepared", (t) => {
  const before = backup();
  before.propose(1, "batch");
  t.deepEqual(voted(before), [1]);
  const core = before.restarted();
  core.propose(1, "another");
  t.deepEqual(voted(core), [], "it may have voted at 1, and does not know for what");
  core.votes("prepare", 1, "another", 1, 2);
  t.deepEqual(
    core.sent("commit").map(({ message }) => message.digest),
    [digestOf("another")],
  );
  core.votes("commit", 1, "another", 0, 1, 2);
  t.deepEqual(executing(core), [1]);
});

test("own-08: the fence reaches as far as the lease, and is gone when the window has passed it", (t) => {
  const before = backup();
  const through = before.records.flatMap(({ record }) => (record.type === "lease" ? [record.through] : [])).at(-1)!;
  const core = before.restarted();
  t.deepEqual(core.core.inspect().fence, { view: 0 as View, through });
  core.step({ kind: "link", peer: 1 as ReplicaId, up: true });
  t.deepEqual(core.sent("status")[0]?.message.fence, { view: 0 as View, through });
  for (const sequence of [4, 8, 12, 16, 20].filter((sequence) => sequence <= through))
    stableByOthers(core, sequence, `root ${sequence}`);
  t.true(core.core.inspect().low >= through);
  core.propose(core.core.inspect().low + 1, "later");
  t.deepEqual(voted(core), [core.core.inspect().low + 1]);
});

test("own-08: after a clean stop only what was voted on is fenced, and an older fence stays", (t) => {
  const before = backup();
  before.propose(2, "batch");
  before.step({ kind: "stop" });
  t.is(before.of("stopped").length, 1);
  const core = before.restarted({ clean: true });
  core.propose(2, "another");
  t.deepEqual(voted(core), []);
  core.propose(3, "next");
  t.deepEqual(voted(core), [3]);
  const fenced = backup().restarted();
  const { through } = fenced.core.inspect().fence!;
  fenced.step({ kind: "stop" });
  t.is(fenced.restarted({ clean: true }).core.inspect().fence?.through, through);
});

test("own-08: a marker of a clean stop that is not the last record says nothing", (t) => {
  const before = backup();
  before.step({ kind: "stop" });
  const again = before.restarted({ clean: true });
  again.propose(1, "batch");
  t.deepEqual(voted(again), [1]);
  t.true((again.restarted({ clean: false }).core.inspect().fence?.through ?? 0) >= 1);
});

test("own-08: a fenced primary hands over at once, and f+1 fenced replicas ask for another view", (t) => {
  const fallen = primary().restarted();
  t.deepEqual(
    fallen.of("viewLeft").map(({ target, cause }) => [target, cause]),
    [[1 as View, "fenced"]],
  );
  const core = backup().restarted();
  t.is(core.of("viewLeft").length, 0, "one that is fenced keeps nobody from a quorum");
  core.control(1, status({ fence: { view: 0 as View, through: at(3) } }));
  t.deepEqual(
    core.of("viewLeft").map(({ cause }) => cause),
    ["fenced"],
  );
  const free = backup();
  free.control(1, status({ fence: { view: 0 as View, through: at(3) } }));
  t.is(free.of("viewLeft").length, 0);
  free.control(2, status({ fence: { view: 0 as View, through: at(3) } }));
  t.is(free.of("viewLeft").length, 1);
});

test("own-16: what our CHECKPOINT covers is executed again from the snapshot on, without anybody's help", (t) => {
  const core = stableAtFour().restarted();
  t.deepEqual(executing(core), [1, 2, 3, 4]);
  t.deepEqual(
    core.of("checkpoint").map(({ sequence }) => sequence),
    [at(4)],
  );
  core.executed(4);
  core.checkpointed(4, "root");
  t.is(core.of("persist").length, 0, "the record of this CHECKPOINT is there");
  t.is(core.core.inspect().low, at(4));
});

test("own-16: executing again to another state stops the replica", (t) => {
  const core = stableAtFour().restarted();
  core.executed(4);
  core.checkpointed(4, "another root");
  t.true(core.of("halt").length + core.of("diverged").length > 0);
});

test("pbft-30: after all have crashed each counts its own COMMIT again, and says it again to who asks", (t) => {
  const before = backup();
  before.propose(1, "batch");
  before.votes("prepare", 1, "batch", 1, 2, 3);
  const core = before.restarted();
  t.deepEqual(executing(core), [], "prepared is not decided");
  core.control(1, status({ proposed: [true], prepared: [true], committed: [false] }));
  t.deepEqual(
    core.sent("commit").map(({ message }) => message.sequence),
    [at(1)],
  );
  core.votes("commit", 1, "batch", 1, 2);
  t.deepEqual(executing(core), [1], "with ours they are Q");
});

test("own-12: what was prepared before a restart is waited for, and a primary that does not commit it is replaced", (t) => {
  const before = backup();
  before.request(bundle("asked"));
  before.propose(1, "batch", ["asked"]);
  before.votes("prepare", 1, "batch", 1, 2, 3);
  const core = before.restarted();
  t.true(core.timesOutAfter() !== undefined);
  const idle = backup().restarted();
  t.is(idle.timesOutAfter(), undefined);
});

test("own-11: a process that crashed between views asks for the same view again, byte for byte, and never returns", (t) => {
  const before = backup();
  before.request(bundle("waiting"));
  before.timesOut();
  before.sealed(1, "ours");
  const core = before.restarted();
  const { pending, view, own } = core.core.inspect();
  t.deepEqual([view, pending, own?.digest], [0 as View, 1 as View, digestOf("ours")]);
  t.deepEqual(
    core.sent("viewChange").map(({ message }) => message.digest),
    [digestOf("ours")],
  );
  t.is(core.of("seal").length, 0);
  core.propose(1, "batch");
  t.deepEqual(voted(core), []);
});

test("own-11: a process that was stopped between views votes for nothing that the view which it has left carried over", (t) => {
  const before = backup();
  before.enterView(1, [certificate(1, "batch")]);
  before.request(bundle("waiting"));
  before.timesOut();
  before.sealed(2, "ours");
  for (const from of [0, 2]) before.decided(from, 1, "batch");
  t.deepEqual(executing(before), [1]);
  before.step({ kind: "stop" });
  const core = before.restarted({ clean: true });
  t.is(core.core.inspect().pending, 2 as View);
  t.deepEqual(executing(core), [1]);
  t.deepEqual(voted(core), []);
});

test("own-11: leaving that was not recorded never happened", (t) => {
  const before = backup();
  before.request(bundle("waiting"));
  before.timesOut();
  before.sealed(1, "ours");
  const left = before.records.find(({ record }) => record.type === "viewLeft")!;
  t.is(before.restarted({ through: left.lsn - 1 }).core.inspect().pending, undefined);
});

test("own-10: a process that crashed in a view enters it again, with what its NEW-VIEW carried", (t) => {
  const before = backup();
  before.propose(1, "batch");
  before.votes("prepare", 1, "batch", 1, 2, 3);
  before.enterView(1, [certificate(1, "batch")]);
  const core = before.restarted();
  const state = core.core.inspect();
  t.deepEqual(
    [state.view, state.installed?.view, state.slots.get(at(1))?.proposal?.digest],
    [1 as View, 1 as View, digestOf("batch")],
  );
  t.deepEqual(voted(core), [], "it may have voted for it");
  core.control(0, viewChange(1, "0 to 1"));
  t.is(core.core.inspect().pending, undefined, "views only go forward");
});

test("own-10: of views behind us a restart lets go, whatever the records of them hold", (t) => {
  const before = backup();
  before.enterView(1);
  before.enterView(2);
  const core = before.restarted();
  const named = core.core.inspect().installed?.viewChanges.map(({ digest }) => digest) ?? [];
  const forgotten = core.of("forget").flatMap(({ digests }) => digests);
  t.deepEqual(
    forgotten.toSorted(),
    [...["0 to 1", "1 to 1", "2 to 1"].map(digestOf), newViewName(1 as View)].toSorted(),
  );
  t.false(named.some((digest) => forgotten.includes(digest)));
});

test("own-16: records below a snapshot are freed, and what still counts of them moves up", (t) => {
  const core = stableAtFour();
  core.enterView(1);
  core.step({ kind: "snapshotted", sequence: at(4) });
  const [freed] = core.of("truncate");
  t.true(freed !== undefined && core.records.every(({ lsn }) => lsn >= freed.below));
  t.deepEqual(core.records.map(({ record }) => record.type).sort(), ["lease", "stable", "viewEntered"]);
  const again = core.restarted({ snapshot: 4 });
  const { low, lastExecuted, view, fence } = again.core.inspect();
  t.deepEqual([low, lastExecuted, view, fence?.view], [at(4), at(4), 1 as View, 1 as View]);
  core.step({ kind: "snapshotted", sequence: at(4) });
  t.is(core.of("truncate").length, 0, "once");
});

test("own-11: a snapshot that outlives the record of its stable checkpoint takes no certificate away", (t) => {
  const before = stableAtFour();
  const unrecorded = before.records.find(({ record }) => record.type === "stable")!;
  const core = before.restarted({ snapshot: 4, through: unrecorded.lsn - 1 });
  t.deepEqual([core.core.inspect().low, core.core.inspect().lastExecuted], [at(0), at(4)]);
  core.control(0, viewChange(1, "of its primary"));
  t.deepEqual(
    core.of("seal")[0]?.message.prepared.map(({ sequence }) => sequence),
    [1, 2, 3, 4].map(at),
  );
});

test("own-16: records about sequences above the snapshot stay", (t) => {
  const core = stableAtFour();
  core.commitBatch(5, "batch 5");
  core.step({ kind: "snapshotted", sequence: at(4) });
  const again = core.restarted({ snapshot: 4 });
  again.control(1, { ...status(), type: "status" });
  t.is(again.core.inspect().slots.get(at(5))?.prepared?.digest, digestOf("batch 5"));
});

test("own-11: that a view was left stays recorded when the view before it is recorded again", (t) => {
  const core = stableAtFour();
  core.enterView(1);
  core.request(bundle("waiting"));
  core.timesOut();
  const target = core.core.inspect().pending!;
  core.sealed(target, "ours");
  core.step({ kind: "snapshotted", sequence: at(4) });
  core.step({ kind: "installed", run: 0 as never, sequence: at(8), digest: digestOf("x"), sessions: [], marks: [] });
  t.true(core.records.some(({ record }) => record.type === "viewLeft"));
  t.is(core.restarted({ snapshot: 4 }).core.inspect().pending, target);
});

test("own-17: a state that was installed is where the next process starts, whatever was recorded below", (t) => {
  const before = executedTo(1);
  stableByOthers(before, 4, "root");
  before.pass(1_000);
  before.installed(4, "root");
  const core = before.restarted({ snapshot: 4 });
  t.deepEqual([core.core.inspect().lastExecuted, executing(core)], [at(4), []]);
  core.control(1, status());
  t.deepEqual(
    core.sent("checkpoint").map(({ message }) => message.digest),
    [stable(4, "root").digest],
    "with the state of a stable checkpoint we can sign it for those behind us",
  );
});

test("own-11: a state that f+1 vouch for frees nothing that was prepared below it and is not stable, and its CHECKPOINT outlives a restart", (t) => {
  const before = executedTo(2, backup({ n: 5, f: 1 }));
  before.propose(3, "batch 3");
  before.votes("prepare", 3, "batch 3", 1, 2);
  t.is(before.sent("commit").length, 1);
  for (const from of [1, 2]) before.checkpoint(from, 4, "root");
  before.pass(1_000);
  before.installed(4, "root");
  before.step({ kind: "snapshotted", sequence: at(4) });
  t.is(before.core.inspect().low, at(0));
  const core = before.restarted({ snapshot: 4 });
  core.control(1, status());
  t.deepEqual(
    core.sent("checkpoint").map(({ message }) => message.digest),
    [digestOf("root")],
  );
  core.request(bundle("waiting", { client: "impatient" }));
  core.timesOut();
  t.deepEqual(
    core.of("seal")[0]?.message.prepared.map(({ sequence }) => sequence),
    [1, 2, 3].map(at),
  );
  for (const from of [0, 1, 2]) core.checkpoint(from, 4, "root");
  t.is(core.core.inspect().low, at(4), "ours is the fourth");
  t.deepEqual(
    core.records.filter(({ record }) => record.type === "prepared"),
    [],
    "what is stable is freed",
  );
});

test("own-17: who signed another root than Q others, and has theirs installed, signs nothing else after a restart", (t) => {
  const before = executedTo(4);
  before.checkpointed(4, "ours");
  stableByOthers(before, 4, "theirs");
  before.pass(1_000);
  before.installed(4, "theirs");
  before.step({ kind: "snapshotted", sequence: at(4) });
  for (const core of [
    before.restarted({ snapshot: 4 }),
    before.restarted({ snapshot: 4 }).restarted({ snapshot: 4 }),
  ]) {
    t.is(core.core.inspect().low, at(4));
    core.control(1, status());
    t.deepEqual(
      core.sent("checkpoint").map(({ message }) => message.digest),
      [digestOf("ours")],
    );
  }
});

/** A primary that three others hear. */
function heard(): Scripted {
  const core = primary();
  for (const peer of [1, 2, 3]) core.step({ kind: "link", peer: peer as ReplicaId, up: true });
  return core;
}

test("own-14: a primary that is asked to stop hands over first, and proposes nothing more", (t) => {
  const core = heard();
  core.step({ kind: "stop" });
  t.deepEqual(
    core.of("viewLeft").map(({ cause }) => cause),
    ["handOver"],
  );
  t.is(core.of("stopped").length, 0);
  core.sealed(1, "ours");
  core.request(bundle("late"));
  t.is(core.of("assemble").length, 0);
  core.enterView(1);
  const [stopped] = core.of("stopped");
  t.is(stopped?.after, core.records.at(-1)?.lsn);
  t.is(core.records.at(-1)?.record.type, "cleanStop");
  core.request(bundle("later"));
  t.deepEqual(core.ignored(), ["halted"]);
});

test("own-14: a primary that nobody follows stops a second later, and one that fewer than Q hear at once", (t) => {
  const core = heard();
  core.step({ kind: "stop" });
  core.pass(900);
  t.is(core.of("stopped").length, 0);
  core.pass(200);
  t.is(core.of("stopped").length, 1);
  const alone = heard();
  for (const peer of [1, 2]) alone.step({ kind: "link", peer: peer as ReplicaId, up: false });
  alone.step({ kind: "stop" });
  t.is(alone.of("stopped").length, 1);
});
