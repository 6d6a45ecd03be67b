/** One backup process of four does what it likes, with its real key: the others order as if it were not there. */
import test, { type ExecutionContext } from "ava";
import type { FaultPlan } from "../attack/byzantine-replica.ts";
import { DoubleVoter } from "../attack/double-voter.ts";
import { assertAccused, assertAgreement, assertSettled, left } from "./accounts.ts";
import { assertAnsweredOnce, Load } from "./load.ts";
import type { Account } from "./questions.ts";
import { Replicas } from "./replicas.ts";

/** Nothing in these tests may wait for it: the views must not change. */
const shared = { viewChangeTimeoutMs: 30_000, checkpointInterval: 8 };

const BACKUPS: readonly { readonly name: string; readonly faults: readonly FaultPlan[] }[] = [
  { name: "lies in every message and every result", faults: [{ type: "lies" }] },
  { name: "asks for ever higher views", faults: [{ type: "spams", everyMs: 5 }] },
  { name: "sends bytes that are no message", faults: [{ type: "babbles", everyMs: 5 }] },
  { name: "is silent", faults: [{ type: "drops", every: 1 }] },
  { name: "lies, and drops every second message", faults: [{ type: "lies" }, { type: "drops", every: 2 }] },
];

/** Under load, until the three honest replicas have collected checkpoints: nobody left the view, and all hold the same. */
async function assertUnimpressed(t: ExecutionContext, replicas: Replicas): Promise<Account[]> {
  const load = new Load([await replicas.client()], 8);
  const ordered = await replicas.until("checkpoints and operations", ({ checkpoints, operationsExecuted }) => {
    return checkpoints.stable >= 32 && operationsExecuted >= 200;
  });
  await load.stop();
  assertAnsweredOnce(t, load);
  for (const metrics of ordered) t.deepEqual([metrics.view, left(metrics)], [0, 0]);
  await assertSettled(t, replicas, load.totals.length);
  const accounts = await assertAgreement(t, replicas);
  assertAccused(t, accounts, ["node-3"]);
  return accounts;
}

for (const { name, faults } of BACKUPS) {
  test.serial(`a backup ${name}, and nothing comes of it`, async (t) => {
    const replicas = await Replicas.start(t, { n: 4, shared, faults: { 3: faults } });
    // One that is silent can ask nobody for what it missed.
    await replicas.until("all are connected", ({ peers }) => Object.values(peers).every(({ connected }) => connected));
    const accounts = await assertUnimpressed(t, replicas);
    for (const { evidence } of accounts) t.deepEqual(evidence, [], "it never said two things at once");
    // How much it executes depends on its share of the processors: one that is silent cannot ask for what it was too slow for.
    await replicas.until("it took part", ({ checkpoints }) => checkpoints.stable > 0, [3]);
  });
}

test.serial("a backup says two things at once, and everybody can show it", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared, absent: [3] });
  const voter = new DoubleVoter(replicas.cluster, replicas.keys[3]!.privateKey, 3);
  t.teardown(async () => voter.close());
  const accounts = await assertUnimpressed(t, replicas);
  t.true(voter.told > 0);
  for (const { evidence } of accounts) {
    const types = new Set(evidence.map(({ type }) => type));
    t.deepEqual(types, new Set(["prepare", "checkpoint"]));
  }
});
