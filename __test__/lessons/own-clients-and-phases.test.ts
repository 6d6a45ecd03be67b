/**
 * What our PBFT does and why, one test or more for each number: clients and the three phases (own-01 … own-09).
 *
 * What a restart has to do with them (own-07, own-08) is in `../protocol/recovery.test.ts`.
 */
import test from "ava";
import { isSigned } from "../../dist/codec/messages.js";
import { resolveCluster } from "../../dist/codec/cluster.js";
import type { Action } from "../../dist/protocol/core.js";
import type { View } from "../../dist/protocol/types.js";
import { ok, Rig } from "../client/rig.ts";
import { options, refusal } from "../codec/configurations.ts";
import { batchOf, Cluster, ofType } from "../protocol/cluster-of-cores.ts";
import { backup, bundle, certificate, digestOf, primary, WALL_CLOCK } from "../protocol/scripted.ts";
import { ALICE, BOB, clientKey, Driver, entriesOf, open, sessionOf } from "../state/driver.ts";

test("own-01: a captured OPEN opens nothing again, evicts nobody and is refused when it has expired", (t) => {
  const driver = new Driver({ limits: { sessionsPerClientMax: 2 } });
  const captured = open(ALICE, 1, driver.timeMs + 1_000);
  const first = sessionOf(driver.run(captured));
  const live = driver.open(ALICE, 2);
  for (let times = 0; times < 3; times++) t.is(sessionOf(driver.run(captured)), first);
  driver.timeMs += 1_000;
  t.deepEqual(entriesOf(driver.run(captured)), ["1 refused OPEN_EXPIRED"]);
  t.deepEqual(entriesOf(driver.run({ session: live, first: 1, operations: ["x"] })), ["1 ok 1"]);
});

test("own-01: a key loses its own oldest session first, the table its least recently executed one, and evicted sessions never execute", (t) => {
  const own = new Driver({ limits: { sessionsPerClientMax: 1 } });
  const bob = own.open(BOB);
  const evicted = own.open(ALICE, 1);
  t.deepEqual(own.run(open(ALICE, 2, own.timeMs + 1_000)).sessions.expired, [evicted]);
  t.deepEqual(entriesOf(own.run({ session: evicted, first: 1, operations: ["x"] })), ["1 sessionExpired"]);
  t.deepEqual(entriesOf(own.run({ client: BOB, session: bob, first: 1, operations: ["y"] })), ["1 ok 1"]);
  t.is(own.log(), "y;");
  const table = new Driver({ limits: { sessionsMax: 2 } });
  const [idle, busy] = [table.open(clientKey(11)), table.open(clientKey(12))];
  table.run({ client: clientKey(12), session: busy, first: 1, operations: ["x"] });
  t.deepEqual(table.run(open(clientKey(13), 1, table.timeMs + 1_000)).sessions.expired, [idle]);
});

test("own-02: a client that sends different bundles under one number to different replicas gets one executed, and no view ends for it", (t) => {
  const cluster = new Cluster();
  cluster.request("one form", [0, 1], { firstSequence: 1 });
  cluster.request("another form", [2, 3], { firstSequence: 1 });
  cluster.pass(30_000);
  t.deepEqual(
    cluster.members.map(({ id }) => cluster.executed(id)),
    Array.from({ length: 4 }, () => ["one form"]),
  );
  for (const { core } of cluster.members) {
    t.is(core.inspect().pooledBundles, 0);
    t.is(core.view().view, 0 as View);
  }
});

test("own-02: duplicates are found by session and number, and answered from the table within its window", (t) => {
  const driver = new Driver({ limits: { window: 4 } });
  const session = driver.open();
  t.deepEqual(entriesOf(driver.run({ session, first: 1, operations: ["x", "y"] })), ["1 ok 1", "2 ok 2"]);
  t.deepEqual(entriesOf(driver.run({ session, first: 2, operations: ["other bytes", "z"] })), ["2 ok 2", "3 ok 3"]);
  t.deepEqual(entriesOf(driver.run({ session, first: 5, operations: ["too far"] })), ["5 outOfWindow"]);
  t.is(driver.log(), "x;y;z;");
});

test("own-03: a cluster admits any key under quotas, or the keys that it lists", (t) => {
  t.is(resolveCluster(options()).clients, "any");
  const listed = [{ name: "till", publicKey: "ab".repeat(32) }];
  t.deepEqual(resolveCluster(options({ clients: listed })).clients, listed);
  const twice = [...listed, { name: "tall", publicKey: "ab".repeat(32) }];
  t.is(refusal(() => resolveCluster(options({ clients: twice }))).field, "clients[1].publicKey");
});

test("own-04: committed replies need f+1 that match; where a tentative one takes part Q match in view and sequence too", (t) => {
  const asking = (): Rig => {
    const rig = new Rig();
    rig.open();
    rig.submit("operation");
    rig.pass(0);
    return rig;
  };
  const committed = asking();
  committed.reply(0, 7, [ok(2, "r")], { view: 0, batch: 3 });
  committed.reply(1, 7, [ok(2, "r")], { view: 1, batch: 4 });
  t.is(committed.settled.size, 1);
  const tentative = asking();
  for (const from of [0, 1]) tentative.reply(from, 7, [ok(2, "r")], { tentative: true, view: 0, batch: 3 });
  t.is(tentative.settled.size, 0);
  tentative.reply(2, 7, [ok(2, "r")], { tentative: true, view: 1, batch: 3 });
  t.is(tentative.settled.size, 0, "another view");
  tentative.reply(3, 7, [ok(2, "r")], { view: 5, batch: 9 });
  t.is(tentative.settled.size, 1, "a committed one counts with any");
});

test("own-05: no timer stands before a proposal: an idle primary proposes in the step that brings the request", (t) => {
  const core = primary();
  t.is(core.request(bundle("a")).filter(({ kind }) => kind === "assemble").length, 1);
  core.step({ kind: "assembled", view: 0 as View, sequence: 1 as never, digest: digestOf("batch") });
  t.deepEqual(core.sent("prePrepare")[0]?.message.bundles, [digestOf("a")]);
});

test("own-06: PREPARE is signed as it must convince others, COMMIT is not, and no VIEW-CHANGE carries COMMITs", (t) => {
  t.deepEqual([isSigned("prePrepare"), isSigned("prepare"), isSigned("commit")], [true, true, false]);
  const core = backup();
  core.request(bundle("waiting"));
  core.propose(1, "batch");
  core.votes("commit", 1, "batch", 0, 1, 2);
  core.timesOut();
  t.deepEqual(core.of("seal")[0]?.message.prepared, []);
});

test("own-07: with a disk that does not answer nothing leaves that rests on it; what rests on older records does", (t) => {
  const cluster = new Cluster({ checkpointInterval: 1, window: 4 });
  const answered = cluster.hold(
    ({ to, message }) => to === 2 && message.type === "answer" && message.input.kind === "persisted",
  );
  cluster.run("a");
  cluster.pass(50);
  t.deepEqual(cluster.executed(0), ["a"]);
  t.is(cluster.sentBy(2, "prepare").length, 1, "its lease was durable before");
  t.deepEqual([cluster.sentBy(2, "commit"), cluster.sentBy(2, "checkpoint")], [[], []]);
  answered();
  cluster.deliver();
  t.is(cluster.sentBy(2, "commit").length, 1);
  t.is(cluster.sentBy(2, "checkpoint").length, 1);
});

test("own-07: a VIEW-CHANGE that is not durable does not leave, and neither does a NEW-VIEW", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  cluster.drop(({ from, to }) => from === 0 || to === 0);
  const answered = cluster.hold(
    ({ to, message }) => to === 1 && message.type === "answer" && message.input.kind === "persisted",
  );
  cluster.request("b", [1, 2, 3]);
  cluster.passTimeout();
  t.is(cluster.core(1).view().view, 1 as View, "counting never waits, leaving does");
  t.deepEqual([cluster.sentBy(1, "viewChange"), cluster.sentBy(1, "newView")], [[], []]);
  answered();
  cluster.pass(3_000);
  t.is(cluster.sentBy(1, "newView").length, 1);
  t.deepEqual(cluster.executed(3), ["a", "b"]);
});

test("own-07: PREPARE leaves only when every body is held: digests that nobody has are never certified", (t) => {
  const cluster = new Cluster();
  cluster.corrupt(0);
  cluster.say(0, [1, 2, 3], {
    type: "prePrepare",
    view: 0 as View,
    sequence: 1 as never,
    ...batchOf(["nobody has it"]),
  });
  cluster.pass(2_000);
  t.deepEqual(
    cluster.letters.filter(ofType("prepare", "commit")).map(({ from }) => from),
    [],
  );
});

test("own-07: replies rest on the record of what they answer", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "batch", 1);
  const [prepared] = core.of("persist");
  core.votes("commit", 1, "batch", 0, 1);
  core.executed(1);
  t.deepEqual(
    [...core.of("reply"), ...core.of("commit")].map(({ after }) => after),
    [prepared!.lsn, prepared!.lsn],
  );
});

test("own-08: votes rest on a lease that was made durable ahead of need, so no vote waits for the disk", (t) => {
  const core = backup();
  const persisted = (actions: readonly Action[]): number =>
    Math.max(0, ...actions.flatMap((action) => (action.kind === "persist" ? [action.lsn as number] : [])));
  let durable = persisted(core.actions);
  for (let sequence = 1; sequence <= 40; sequence++) {
    core.propose(sequence, `batch ${sequence}`);
    t.true(core.sent("prepare")[0]!.after <= durable, `sequence ${sequence}`);
    core.votes("prepare", sequence, `batch ${sequence}`, 1);
    durable = Math.max(durable, persisted(core.actions));
    core.votes("commit", sequence, `batch ${sequence}`, 0, 1);
    core.executed(sequence);
    if (sequence % 4 !== 0) continue;
    core.checkpointed(sequence, `root ${sequence}`);
    for (const from of [0, 1])
      durable = Math.max(durable, persisted(core.checkpoint(from, sequence, `root ${sequence}`)));
  }
});

test("own-09: our clock binds live proposals alone, f+1 replicas outweigh it, and its bound grows with the timeout", (t) => {
  const early = { time: WALL_CLOCK + 8_500 };
  const refusing = backup();
  refusing.propose(1, "live", [], early);
  t.deepEqual(refusing.ignored(), ["badTime"]);
  refusing.votes("prepare", 1, "live", 1);
  t.is(refusing.sent("prepare").length, 1, "the primary's PRE-PREPARE and one PREPARE are f+1");

  const carrying = backup();
  carrying.propose(1, "carried", [], early);
  carrying.enterView(1, [certificate(1, "carried")]);
  t.is(carrying.sent("prepare").length, 1);

  const patient = backup();
  patient.request(bundle("waiting", { client: "impatient" }));
  patient.pass(5_000);
  patient.enterView(1);
  patient.propose(1, "live", [], { view: 1, time: WALL_CLOCK + 6_500 });
  t.deepEqual(patient.ignored(), ["badTime"]);
  patient.pass(5_000);
  patient.enterView(2);
  patient.propose(1, "live", [], { view: 2, time: WALL_CLOCK + 10_000 + 1_500 });
  t.is(patient.sent("prepare").length, 1, "1,500 ms, where the timeout has doubled");
});
