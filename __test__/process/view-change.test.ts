/** Four replica processes over QUIC under load, and a primary that dies or stands still. */
import test from "ava";
import { assertAccused, assertAgreement, assertSettled, left } from "./accounts.ts";
import { assertAnsweredOnce, Load } from "./load.ts";
import { Replicas } from "./replicas.ts";

/** So long that a loaded machine alone looks like no faulty primary: complaints begin at a tenth of it. */
const shared = { viewChangeTimeoutMs: 6_000, checkpointInterval: 16 };
const IN_FLIGHT = 16;
const SOME = 200;

test.serial("the primary is killed: clients wait for the next view and see no error", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared });
  const load = new Load([await replicas.client(), await replicas.client()], IN_FLIGHT);
  await replicas.until("operations in view 0", (metrics) => metrics.operationsExecuted >= SOME);
  await replicas.kill(0);
  const answered = load.totals.length;
  const changed = await replicas.until("operations in view 1", ({ view, viewChanges, operationsExecuted }) => {
    return view === 1 && Object.keys(viewChanges).length > 0 && operationsExecuted >= answered + SOME;
  });
  await load.stop();
  assertAnsweredOnce(t, load);
  for (const metrics of changed) {
    t.is(left(metrics), 1, JSON.stringify(metrics.viewsLeft));
    t.deepEqual(metrics.viewChanges, metrics.viewsLeft, "one view left, one entered, for the same cause");
    t.is(metrics.primary, "node-1");
  }
  t.true(changed.some(({ viewsLeft }) => (viewsLeft.timeout ?? 0) + (viewsLeft.complaints ?? 0) > 0));
  await assertSettled(t, replicas, load.totals.length);
  const accounts = await assertAgreement(t, replicas);
  assertAccused(t, accounts, []);
  for (const { events } of accounts) {
    const views = events.flatMap((event) => (event.name === "viewChange" ? [event.payload] : []));
    t.is(views.length, 1);
    t.like(views[0], { view: 1, primary: "node-1" });
  }
});

test.serial(
  "a primary that is shut down hands over: nobody waits for a timeout, and clients see no error",
  async (t) => {
    const replicas = await Replicas.start(t, { n: 4, shared });
    const load = new Load([await replicas.client(), await replicas.client()], IN_FLIGHT);
    await replicas.until("operations in view 0", (metrics) => metrics.operationsExecuted >= SOME);
    await replicas.shutDown(0);
    const answered = load.totals.length;
    const changed = await replicas.until("operations in view 1", ({ view, operationsExecuted }) => {
      return view === 1 && operationsExecuted >= answered + SOME;
    });
    await load.stop();
    assertAnsweredOnce(t, load);
    for (const { viewsLeft } of changed) {
      t.is((viewsLeft.timeout ?? 0) + (viewsLeft.complaints ?? 0), 0, JSON.stringify(viewsLeft));
      t.is((viewsLeft.handOver ?? 0) + (viewsLeft.joined ?? 0), 1, JSON.stringify(viewsLeft));
    }
    t.true(changed.some(({ viewsLeft }) => viewsLeft.handOver === 1));
    await assertSettled(t, replicas, load.totals.length);
    assertAccused(t, await assertAgreement(t, replicas), []);
  },
);

test.serial("a primary that stood still comes back as a backup of the next view", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared });
  const load = new Load([await replicas.client()], IN_FLIGHT);
  await replicas.until("operations in view 0", (metrics) => metrics.operationsExecuted >= SOME);
  replicas.stop(0);
  const answered = load.totals.length;
  await replicas.until("operations in view 1", ({ view, operationsExecuted }) => {
    return view === 1 && operationsExecuted >= answered + SOME;
  });
  replicas.resume(0);
  const [woken, ...others] = await replicas.until(
    "all in view 1",
    ({ view, pendingView }) => {
      return view === 1 && pendingView === undefined;
    },
    [0, 1, 2, 3],
  );
  t.false(woken!.viewChanges.timeout !== undefined, "it suspects nobody: it follows");
  for (const metrics of others) t.is(left(metrics), 1, JSON.stringify(metrics.viewsLeft));
  await load.stop();
  assertAnsweredOnce(t, load);
  await assertSettled(t, replicas, load.totals.length);
  assertAccused(t, await assertAgreement(t, replicas), []);
});

test.serial("a backup that slept through two checkpoints comes to the same state", async (t) => {
  // Executed batches are kept for as many sequences below the stable checkpoint as fit into the window.
  const patient = { ...shared, viewChangeTimeoutMs: 30_000, windowIntervals: 8 };
  const replicas = await Replicas.start(t, { n: 4, shared: patient });
  const load = new Load([await replicas.client()], 2);
  const before = await replicas.until("a checkpoint", ({ checkpoints }) => checkpoints.stable >= 16);
  replicas.stop(3);
  const collected = Math.max(...before.map(({ checkpoints }) => checkpoints.stable)) + 3 * shared.checkpointInterval;
  await replicas.until("two more are collected", ({ checkpoints }) => checkpoints.stable >= collected);
  await load.stop();
  replicas.resume(3);
  assertAnsweredOnce(t, load);
  await assertSettled(t, replicas, load.totals.length);
  assertAccused(t, await assertAgreement(t, replicas), []);
  const after = await replicas.until("the same checkpoint", ({ checkpoints }) => checkpoints.stable >= collected);
  for (const { view, divergences } of after) t.deepEqual({ view, divergences }, { view: 0, divergences: 0 });
});
