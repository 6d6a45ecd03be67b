/**
 * What our PBFT does and why, one test or more for each number: views (own-10 … own-15).
 * Who joins a hand-over does not pass the primary's VIEW-CHANGE on (DECISIONS 33). Hand-over by a signal is in
 * `protocol/recovery.test.ts` and `process/view-change.test.ts`.
 */
import test from "ava";
import { NULL_BATCH } from "../../dist/protocol/new-view.js";
import type { Action } from "../../dist/protocol/core.js";
import type { Lsn, ReplicaId, View } from "../../dist/protocol/types.js";
import { Cluster, crossing } from "../protocol/cluster-of-cores.ts";
import {
  at,
  backup,
  bundle,
  certificate,
  digestOf,
  primary,
  replicas,
  status,
  viewChange,
  type Scripted,
} from "../protocol/scripted.ts";

const TIMEOUT_MS = 5_000;
const waiting = bundle("waiting", { client: "impatient" });

test("own-10: a liar's VIEW-CHANGE that NEW-VIEW names is fetched from whoever has it, although the liar told others something else", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  cluster.corrupt(3);
  cluster.drop(crossing(0));
  cluster.say(3, [2], viewChange(1, "to the backups"));
  cluster.say(3, [1], viewChange(1, "to the primary"));
  cluster.request("b", [1, 2]);
  cluster.pass(2 * TIMEOUT_MS);
  t.true(cluster.sentBy(1, "newView")[0]!.viewChanges.some(({ digest }) => digest === digestOf("to the primary")));
  t.is(cluster.core(2).view().view, 1 as View);
});

test("own-10: what an installed NEW-VIEW names can be fetched until the next view, whatever its senders say later", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  const away = cluster.drop(crossing(0));
  cluster.request("b", [1, 2, 3]);
  cluster.passTimeout();
  cluster.pass(TIMEOUT_MS);
  away();
  const { viewChanges } = cluster.sentBy(1, "newView")[0]!;
  cluster.corrupt(3);
  cluster.say(3, [1, 2], viewChange(9, "3 for 9"));
  cluster.deliver();
  for (const id of [1, 2]) for (const { digest } of viewChanges) t.true(cluster.member(id).viewChanges.has(digest));
  cluster.connect(0, 1);
  cluster.pass(1_000);
  t.is(cluster.core(0).view().view, 1 as View, "who was away verifies the NEW-VIEW from them");
});

test("own-10: gaps are filled by null batches with certificates of their own", (t) => {
  const core = backup();
  core.enterView(1, [certificate(2, "b")]);
  t.is(core.sent("prepare")[0]?.message.digest, NULL_BATCH.digest);
  core.votesIn(1, "prepare", 1, NULL_BATCH.digest, 0, 2);
  t.like(core.of("persist")[0]?.record, {
    type: "prepared",
    certificate: { sequence: at(1), digest: NULL_BATCH.digest },
  });
});

test("own-10: the bound of sequences in flight counts from what is decided, never from what is executed, and never for O", (t) => {
  const core = backup({ inFlightMax: 2 });
  const voted = (sequence: number): boolean => {
    core.propose(sequence, `batch ${sequence}`);
    return core.sent("prepare").some(({ message }) => message.sequence === at(sequence));
  };
  t.deepEqual([1, 2].map(voted), [true, true]);
  for (const phase of ["prepare", "commit"] as const) core.votes(phase, 1, "batch 1", 1, 2);
  t.is(core.core.inspect().lastExecuted, at(0), "decided and not executed");
  t.true(voted(3));
  t.false(voted(4), "2 and 3 are under way");
  const carrying = backup({ inFlightMax: 2 });
  carrying.enterView(
    1,
    [1, 2, 3, 4, 5].map((sequence) => certificate(sequence, `batch ${sequence}`)),
  );
  t.is(carrying.core.inspect().slots.size, 5, "all of O, whose content is being fetched");
  carrying.tickAfter(1);
  t.is(carrying.of("fetch").length, 5);
  for (const again of [false, true]) {
    carrying.propose(5, "batch 5", [], { view: 1 });
    t.deepEqual(carrying.ignored(), again ? ["alreadyProposed"] : []);
    t.is(carrying.core.inspect().early.size, 0);
  }
});

test("own-10: a proposal beyond what may be in flight waits, and is taken up when what lies below is decided", (t) => {
  const core = backup({ inFlightMax: 2 });
  for (const sequence of [1, 2, 3]) core.propose(sequence, `batch ${sequence}`);
  t.is(core.sent("prepare").length, 0);
  for (const phase of ["prepare", "commit"] as const) core.votes(phase, 1, "batch 1", 1, 2);
  t.deepEqual(
    core.sent("prepare").map(({ message }) => message.sequence),
    [at(3)],
  );
});

test("own-10: what waited is taken up from below, so that one step takes all that it makes room for", (t) => {
  const core = backup({ inFlightMax: 1 });
  for (const sequence of [3, 2, 1]) core.propose(sequence, `batch ${sequence}`);
  core.votes("prepare", 2, "batch 2", 1, 2);
  core.votes("commit", 2, "batch 2", 1, 2);
  core.votes("prepare", 1, "batch 1", 1, 2);
  core.votes("commit", 1, "batch 1", 1, 2);
  t.is(core.core.inspect().committedPrefix, at(2), "2 was committed when its proposal was taken up");
  t.deepEqual(
    core.sent("prepare").map(({ message }) => message.sequence),
    [at(2), at(3)],
  );
  t.is(core.core.inspect().early.size, 0);
});

test("own-11: one VIEW-CHANGE is kept per sender, the highest", (t) => {
  const core = backup();
  for (const target of [3, 9, 5]) core.control(0, viewChange(target, `0 for ${target}`));
  t.deepEqual(
    [...core.core.inspect().viewChanges.values()].map(({ target }) => target as number),
    [9],
  );
});

test("own-11: the (f+1)-th highest view is joined: the highest that an honest replica may have asked for", (t) => {
  const core = backup({ n: 7, f: 2, me: 6 as ReplicaId });
  for (const [from, target] of [
    [0, 2],
    [1, 9],
  ] as const)
    core.control(from, viewChange(target, `${from} for ${target}`));
  t.is(core.of("viewLeft").length, 0, "two may both be liars");
  core.control(2, viewChange(7, "2 for 7"));
  t.like(core.of("viewLeft")[0], { target: 2 as View });
  core.control(3, viewChange(5, "3 for 5"));
  t.like(core.of("viewLeft")[0], { target: 5 as View });
});

test("own-11: the new-view timer counts who asks for this view or a higher one: {1, 1, 2} with a silent fourth goes on", (t) => {
  const core = backup();
  core.request(waiting);
  core.timesOut();
  core.sealed(1, "ours");
  core.control(0, viewChange(1, "0 for 1"));
  t.is(core.core.inspect().newViewTimer, undefined);
  core.control(2, viewChange(2, "2 for 2"));
  t.is(core.timesOutAfter(), TIMEOUT_MS);
});

test("own-11: NEW-VIEW itself needs Q VIEW-CHANGEs for exactly its view", (t) => {
  const core = backup({ me: 1 as ReplicaId });
  core.request(waiting);
  core.timesOut();
  core.sealed(1, "ours");
  core.control(2, viewChange(1, "2 for 1"));
  core.control(3, viewChange(2, "3 for 2"));
  t.is(core.sent("newView").length, 0);
  core.control(0, viewChange(1, "0 for 1"));
  t.is(core.sent("newView").length, 1);
});

test("own-12: a client that its primary never hears of is heard, although others are served all the time", (t) => {
  const cluster = new Cluster();
  const censored = cluster.drop(
    ({ to, message }) => to === 0 && message.type === "bundle" && message.ref.client === "censored",
  );
  cluster.request("please", [1, 2, 3], { client: "censored" as never, session: 9 as never });
  for (let i = 0; i < 40 && cluster.core(1).view().view === 0; i++) {
    cluster.request(`request ${i}`);
    cluster.pass(500);
  }
  cluster.pass(1_000);
  censored();
  t.is(cluster.core(1).view().view, 1 as View);
  t.true(cluster.executed(2).includes("please"));
});

test("own-12: only the first bundle of each client is timed, and it has more time while the queue ahead of it is served", (t) => {
  const core = backup({ batchBundlesMax: 1, pipelineDepth: 1 });
  for (let i = 1; i <= 8; i++) core.request(bundle(`r${i}`, { firstSequence: i, client: "busy" }));
  core.request(waiting);
  for (let sequence = 1; sequence <= 6; sequence++) {
    core.pass(2_000);
    t.is(core.core.inspect().suspicion.timedOutAt, undefined, `${2 * sequence} s`);
    core.propose(sequence, `batch ${sequence}`, [`r${sequence}`]);
    for (const phase of ["prepare", "commit"] as const) core.votes(phase, sequence, `batch ${sequence}`, 1, 2);
  }
  t.is(core.timesOutAfter(), TIMEOUT_MS, "a primary that commits nothing gets one timeout, whatever waits");
});

test("own-12: execution that keeps the window full stops the timers, and slow execution of what is committed blames nobody", (t) => {
  const core = backup();
  for (let sequence = 1; sequence <= 8; sequence++) {
    core.propose(sequence, `batch ${sequence}`);
    for (const phase of ["prepare", "commit"] as const) core.votes(phase, sequence, `batch ${sequence}`, 1, 2);
  }
  core.request(waiting);
  t.is(core.timesOutAfter(), undefined);
  const committed = backup();
  committed.request(waiting);
  committed.propose(1, "batch", ["waiting"]);
  for (const phase of ["prepare", "commit"] as const) committed.votes(phase, 1, "batch", 1, 2);
  t.is(committed.timesOutAfter(), undefined);
});

test("own-12: a stall of our own event loop does not count against the primary", (t) => {
  const core = backup();
  core.request(waiting);
  core.tickAfter(60_000);
  t.is(core.core.inspect().suspicion.timedOutAt, undefined);
});

test("own-12: what the primary may not have is handed to it before it is blamed", (t) => {
  const handedOver = [{ kind: "forward", bundle: digestOf("waiting"), to: replicas(0) }];
  for (const from of [undefined, 1]) {
    const core = backup();
    core.request(waiting, from);
    core.pass(100);
    t.deepEqual(core.of("forward"), handedOver as never, "whoever sent it to us may have kept it from the primary");
    t.is(core.timesOutAfter(), TIMEOUT_MS - 100);
  }
  const core = backup();
  core.request(waiting, 0);
  core.pass(TIMEOUT_MS);
  t.deepEqual(core.of("forward"), handedOver as never);
  t.is(
    core.core.inspect().suspicion.timedOutAt,
    undefined,
    "it came from the primary, which may have let go of it since",
  );
  t.is(core.timesOutAfter(), TIMEOUT_MS);
});

test("own-12: whose timer runs out alone complains and goes on voting; with one more who complains, or has left, it leaves", (t) => {
  const alone = backup();
  alone.request(waiting);
  t.is(complaints(alone.pass(TIMEOUT_MS)).length > 0, true);
  alone.propose(1, "batch");
  t.is(alone.sent("prepare").length, 1, "the primary serves others");
  t.true(complaints(alone.pass(TIMEOUT_MS)).length > 0, "the first may have been lost");
  alone.control(1, { type: "complaint", view: 0 as View });
  t.like(alone.of("viewLeft")[0], { target: 1 as View, cause: "timeout" });

  const followed = backup();
  followed.request(waiting);
  followed.propose(1, "batch", ["waiting"]);
  followed.pass(TIMEOUT_MS);
  t.is(followed.core.inspect().pending, undefined);
  followed.control(2, viewChange(4, "2 for 4"));
  t.like(followed.of("viewLeft")[0], { target: 1 as View, cause: "timeout" });

  const forgotten = backup();
  forgotten.control(1, { type: "complaint", view: 0 as View });
  forgotten.pass(2 * TIMEOUT_MS);
  forgotten.request(waiting);
  forgotten.propose(1, "batch", ["waiting"]);
  forgotten.pass(TIMEOUT_MS);
  t.is(forgotten.core.inspect().pending, undefined, "what somebody thought long ago says nothing");
});

test("own-12: a primary that commits nothing for a whole timeout hands over: others may be fenced, or ahead, and complain of nothing", (t) => {
  const core = primary();
  core.request(bundle("a"));
  core.step({ kind: "assembled", view: 0 as View, sequence: at(1), digest: digestOf("batch") });
  core.votes("prepare", 1, "batch", 1);
  core.pass(TIMEOUT_MS - 1);
  t.is(core.core.inspect().pending, undefined);
  core.pass(2);
  t.is(core.core.inspect().pending, 1 as View);
  t.is(core.of("viewLeft")[0]?.cause, "handOver");
});

test("own-12: a full pool answers BUSY", (t) => {
  const core = backup({ poolBundlesMax: 8 });
  for (let i = 0; i < 9; i++) core.request(bundle(`r${i}`, { client: `client ${i}` }));
  t.deepEqual(core.of("busy"), [{ kind: "busy", bundle: digestOf("r8") }]);
});

/** Whether a backup complains of a primary that leaves a request lying for so long. */
function complains(core: Scripted, name: string, ms: number): boolean {
  core.request(bundle(name, { client: name }));
  return core.pass(ms).some((action) => action.kind === "send" && action.message.type === "complaint");
}

test("own-13: a primary whose proposals come late, but before any timeout, is complained of, and f+1 complaints end its view", (t) => {
  const core = backup();
  t.true(complains(core, "late", 1_000));
  t.is(core.of("viewLeft").length, 0, "one complaint is one opinion");
  core.control(1, { type: "complaint", view: 0 as View });
  t.like(core.of("viewLeft")[0], { target: 1 as View, cause: "complaints" });
});

test("own-13: such view changes make more patient, do not double the timeout, and end after f+1 primaries until a checkpoint is stable", (t) => {
  const core = backup();
  for (const view of [0, 1]) {
    t.true(complains(core, `late in ${view}`, 3_000), `view ${view}`);
    core.control(2, { type: "complaint", view: view as View });
    t.like(core.of("viewLeft")[0], { cause: "complaints" });
    core.enterView(view + 1);
  }
  t.is(core.core.inspect().suspicion.patience, 4);
  t.is(core.core.inspect().suspicion.attempts, 0);
  t.false(complains(core, "late in 2", 4_000));
  for (const from of [0, 1]) core.control(from, { type: "complaint", view: 2 as View });
  t.is(core.core.inspect().pending, undefined, "nor do the complaints of others count now");
  for (const from of [0, 1, 2]) core.checkpoint(from, 4, "root");
  t.is(core.core.inspect().suspicion.fallen, 0);
  t.is(core.core.inspect().suspicion.patience, 4, "what made proposals late may be there to stay");
});

test("own-13: patience that was learnt is lost at checkpoints, and only after a time that grows with it", (t) => {
  const core = backup();
  for (const view of [0, 1]) {
    t.true(complains(core, `late in ${view}`, 3_000), `view ${view}`);
    core.control(2, { type: "complaint", view: view as View });
    core.enterView(view + 1);
  }
  const patienceAt = (sequence: number): number => {
    for (const from of [0, 1, 2]) core.checkpoint(from, sequence, `root ${sequence}`);
    return core.core.inspect().suspicion.patience;
  };
  core.pass(4 * 8 * TIMEOUT_MS - 1);
  t.is(patienceAt(4), 4);
  core.pass(1);
  t.is(core.core.inspect().suspicion.patience, 4, "without a checkpoint there is no reason to be less patient");
  t.is(patienceAt(8), 2);
  t.is(patienceAt(12), 2);
  core.pass(2 * 8 * TIMEOUT_MS);
  t.is(patienceAt(16), 1);
});

test("own-13: f replicas that complain all the time change nothing", (t) => {
  const core = backup({ n: 7, f: 2, me: 6 as ReplicaId });
  for (const from of [4, 5])
    for (let times = 0; times < 9; times++) core.control(from, { type: "complaint", view: 0 as View });
  t.is(core.of("viewLeft").length, 0);
});

test("own-14: a primary that asks to be replaced is replaced in the time of its messages, without any timeout", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  cluster.say(0, [1, 2, 3], viewChange(1, "of the primary"));
  cluster.deliver();
  for (const id of [1, 2, 3]) t.is(cluster.core(id).view().view, 1 as View);
  cluster.run("b");
  t.deepEqual(cluster.executed(2), ["a", "b"]);
});

test("own-14: a replica that has not installed the view does not join its primary", (t) => {
  const core = backup({ n: 7, f: 2, me: 6 as ReplicaId });
  core.control(1, viewChange(2, "of the primary of 1"));
  t.is(core.of("viewLeft").length, 0);
});

test("own-14: a primary that asks only one replica to replace it cannot strand it: the others follow when they need to", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  cluster.say(0, [3], viewChange(1, "of the primary, to 3 alone"));
  cluster.deliver();
  t.is(cluster.core(3).inspect().pending, 1 as View);
  cluster.run("b");
  cluster.pass(1_000);
  t.deepEqual(cluster.executed(3), ["a", "b"], "it still hears what the others decide");
  cluster.corrupt(0);
  cluster.request("c");
  cluster.pass(3 * TIMEOUT_MS);
  for (const id of [1, 2, 3]) t.deepEqual(cluster.executed(id), ["a", "b", "c"]);
});

/** A primary whose records are durable up to its last checkpoint. */
function primaryWithCheckpoint(): Scripted {
  const core = primary();
  for (const from of [1, 2, 3]) core.checkpoint(from, 4, "root");
  core.step({ kind: "persisted", upTo: (core.core.inspect().nextLsn - 1) as Lsn });
  return core;
}

function complaints(actions: readonly Action[]): Action[] {
  return actions.filter((action) => action.kind === "send" && action.message.type === "complaint");
}

test("own-14: a primary whose disk stands still says so, once, and its complaint waits for no disk", (t) => {
  const core = primaryWithCheckpoint();
  t.deepEqual(complaints(core.pass(TIMEOUT_MS)), [], "nothing waits for the disk");
  core.checkpoint(1, 8, "next");
  core.checkpoint(2, 8, "next");
  core.checkpoint(3, 8, "next");
  t.true(core.of("persist").length > 0);
  const said = complaints(core.pass(TIMEOUT_MS / 2));
  t.like(said[0], { to: replicas(1, 2, 3), message: { view: 0 as View }, after: 0 as Lsn });
  t.is(said.length, 1);
  t.deepEqual(complaints(core.pass(2 * TIMEOUT_MS)), []);
});

test("own-14: a disk that is slow but moves is no reason", (t) => {
  const core = primaryWithCheckpoint();
  for (const sequence of [8, 12, 16]) {
    for (const from of [1, 2, 3]) core.checkpoint(from, sequence, `root ${sequence}`);
    t.deepEqual(complaints(core.pass(TIMEOUT_MS / 5)), []);
    core.step({ kind: "persisted", upTo: (core.core.inspect().persistedUpTo + 1) as Lsn });
  }
});

test("own-14: after views that brought nothing a primary's disk and event loop get the longer time as well", (t) => {
  const core = backup({ me: 2 as ReplicaId });
  core.request(waiting);
  core.timesOut(3);
  core.enterView(1);
  core.timesOut(3);
  core.sealed(2, "ours");
  for (const from of [0, 3]) core.control(from, viewChange(2, `${from} for 2`));
  t.like(core.core.inspect(), { view: 2 as View, pending: undefined, suspicion: { attempts: 1 } });
  core.step({ kind: "persisted", upTo: (core.core.inspect().nextLsn - 1) as Lsn });
  for (const from of [0, 1, 3]) core.checkpoint(from, 4, "root");
  t.true(core.of("persist").length > 0, "there is something to write");
  t.deepEqual(complaints([...core.tickAfter(TIMEOUT_MS / 4), ...core.pass(TIMEOUT_MS / 4 - 250)]), []);
  t.is(complaints(core.pass(250)).length, 1);
});

test("own-14: a primary whose event loop stood still says so; a short stall is none", (t) => {
  const core = primaryWithCheckpoint();
  core.pass(1_000);
  t.deepEqual(complaints(core.tickAfter(1_500)), []);
  t.is(complaints(core.tickAfter(1_000 + TIMEOUT_MS / 4)).length, 1);
});

test("own-14: slowness hands over only after a checkpoint became stable in one's own view, and backups never say it", (t) => {
  const fresh = primary();
  t.true(fresh.core.inspect().nextLsn > 1, "its lease is not durable");
  t.deepEqual(complaints([...fresh.pass(TIMEOUT_MS), ...fresh.tickAfter(TIMEOUT_MS)]), []);
  const other = backup();
  for (const from of [0, 1, 2]) other.checkpoint(from, 4, "root");
  t.deepEqual(complaints([...other.pass(TIMEOUT_MS), ...other.tickAfter(TIMEOUT_MS)]), []);
});

test("own-14: hand-overs do not make anybody more patient, however often and on however idle a cluster", (t) => {
  const core = backup();
  for (let view = 0; view < 3; view++) {
    core.control(view, { type: "complaint", view: view as View });
    t.like(core.of("viewLeft")[0], { cause: "handOver" });
    if (view < 2) core.enterView(view + 1);
  }
  t.is(core.core.inspect().suspicion.attempts, 0);
});

test("own-14: who hears the primary complain about its own view leaves at once", (t) => {
  const core = backup();
  core.control(0, { type: "complaint", view: 1 as View });
  t.is(core.of("viewLeft").length, 0, "another view");
  core.control(0, { type: "complaint", view: 0 as View });
  t.like(core.of("viewLeft")[0], { target: 1 as View, cause: "handOver" });
});

test("own-15: STATUS is the first message on every connection", (t) => {
  const core = backup();
  core.step({ kind: "link", peer: 2 as ReplicaId, up: true });
  t.like(core.of("send")[0], { to: replicas(2) });
  t.is(core.of("send")[0]?.message.type, "status");
});

test("own-15: a peer that asks more often than it may is not answered", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.control(2, status());
  t.is(core.sent("prepare").length, 1);
  core.control(2, status());
  t.deepEqual(core.ignored(), ["statusTooSoon"]);
});

test("own-15: f+1 equal DECIDED decide in any view, while the view changes, and below the stable checkpoint", (t) => {
  const changing = backup();
  changing.request(waiting);
  changing.timesOut();
  t.is(changing.core.inspect().pending, 1 as View);
  for (const from of [0, 2]) changing.decided(from, 1, "batch");
  t.is(changing.of("execute")[0]?.digest, digestOf("batch"));
  const below = backup();
  for (const from of [0, 1, 2]) below.checkpoint(from, 4, "root");
  for (const sequence of [1, 2, 3, 4]) for (const from of [0, 2]) below.decided(from, sequence, `batch ${sequence}`);
  t.is(below.core.inspect().executing, at(4));
});
