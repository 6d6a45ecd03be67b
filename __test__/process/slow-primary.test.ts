/** A primary that delays each proposal to just below the timeout, in a process with its real key. */
import test from "ava";
import { assertAccused, assertAgreement, assertSettled, left } from "./accounts.ts";
import { assertAnsweredOnce, Load } from "./load.ts";
import { Replicas } from "./replicas.ts";

const shared = { viewChangeTimeoutMs: 6_000, checkpointInterval: 16 };
const SOME = 200;

test.serial("a primary that delays each proposal to 0.9 × timeout is replaced by complaints", async (t) => {
  const faults = { 0: [{ type: "delays", ms: 0.9 * shared.viewChangeTimeoutMs } as const] };
  const replicas = await Replicas.start(t, { n: 4, shared, faults });
  const load = new Load([await replicas.client()], 8);
  const changed = await replicas.until("operations in view 1", ({ view, operationsExecuted }) => {
    return view === 1 && operationsExecuted >= SOME;
  });
  await load.stop();
  assertAnsweredOnce(t, load);
  for (const metrics of changed) t.is(left(metrics), 1, JSON.stringify(metrics.viewsLeft));
  t.true(
    changed.some(({ viewsLeft }) => viewsLeft.complaints === 1),
    "somebody complained before any timer ended",
  );
  t.true(changed.every(({ viewsLeft }) => viewsLeft.timeout === undefined));
  const slow = await replicas.metrics(0);
  t.is(slow.view, 1, "the slow one follows");
  await assertSettled(t, replicas, load.totals.length);
  assertAccused(t, await assertAgreement(t, replicas), []);
});
