/** Seven replica processes over QUIC, two of them faulty at once. */
import test from "ava";
import { assertAccused, assertAgreement, assertSettled, left } from "./accounts.ts";
import { assertAnsweredOnce, Load } from "./load.ts";
import { Replicas } from "./replicas.ts";

const shared = { viewChangeTimeoutMs: 6_000, checkpointInterval: 16 };
const IN_FLIGHT = 8;
const SOME = 100;

test.serial("two consecutive primaries die at once: the third orders what was pending", async (t) => {
  const replicas = await Replicas.start(t, { n: 7, shared });
  const load = new Load([await replicas.client()], IN_FLIGHT);
  await replicas.until("operations in view 0", (metrics) => metrics.operationsExecuted >= SOME);
  await Promise.all([replicas.kill(0), replicas.kill(1)]);
  const answered = load.totals.length;
  const changed = await replicas.until("operations in view 2", ({ view, operationsExecuted }) => {
    return view === 2 && operationsExecuted >= answered + SOME;
  });
  await load.stop();
  assertAnsweredOnce(t, load);
  for (const metrics of changed) {
    t.true(left(metrics) <= 2, JSON.stringify(metrics.viewsLeft));
    t.is(metrics.primary, "node-2");
  }
  await assertSettled(t, replicas, load.totals.length);
  assertAccused(t, await assertAgreement(t, replicas), []);
});

test.serial("two faults at once: a backup lies in every message, and the primary dies", async (t) => {
  const replicas = await Replicas.start(t, { n: 7, shared, faults: { 6: [{ type: "lies" }] } });
  const load = new Load([await replicas.client()], IN_FLIGHT);
  await replicas.until("operations in view 0", (metrics) => metrics.operationsExecuted >= SOME);
  await replicas.kill(0);
  const answered = load.totals.length;
  const changed = await replicas.until("operations in view 1", ({ view, operationsExecuted }) => {
    return view === 1 && operationsExecuted >= answered + SOME;
  });
  await load.stop();
  assertAnsweredOnce(t, load);
  for (const metrics of changed) t.is(left(metrics), 1, JSON.stringify(metrics.viewsLeft));
  await assertSettled(t, replicas, load.totals.length);
  assertAccused(t, await assertAgreement(t, replicas), ["node-6"]);
});

test.serial("two faults at once: the primary is slow, and a backup asks for ever higher views", async (t) => {
  const { viewChangeTimeoutMs } = shared;
  const replicas = await Replicas.start(t, {
    n: 7,
    shared,
    faults: { 0: [{ type: "delays", ms: 0.9 * viewChangeTimeoutMs }], 6: [{ type: "spams", everyMs: 50 }] },
  });
  const load = new Load([await replicas.client()], IN_FLIGHT);
  const changed = await replicas.until("operations in view 1", ({ view, operationsExecuted }) => {
    return view === 1 && operationsExecuted >= SOME;
  });
  await load.stop();
  assertAnsweredOnce(t, load);
  for (const metrics of changed) t.is(left(metrics), 1, JSON.stringify(metrics.viewsLeft));
  await assertSettled(t, replicas, load.totals.length);
  assertAccused(t, await assertAgreement(t, replicas), ["node-6"]);
});
