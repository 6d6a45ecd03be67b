/** Who executed what: accounts of several replicas against each other. */
import type { NodeMetrics } from "../../dist/index.js";
import type { Assertions } from "./assertions.ts";
import type { Account, Standing } from "./questions.ts";
import type { Replicas } from "./replicas.ts";

/** No two honest replicas executed different batches at one sequence, none skipped one without saying so, none stopped itself. */
export async function assertAgreement(t: Assertions, replicas: Replicas): Promise<Account[]> {
  const accounts = await Promise.all(replicas.alive.map(async (replica) => replicas.account(replica)));
  const first = new Map<number, { readonly digest: string; readonly operations: number }>();
  for (const [i, account] of accounts.entries()) {
    const { executed, gaps, events } = account;
    const last = Math.max(0, ...executed.keys(), ...gaps.map(({ to }) => to));
    const skipped = gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
    t.is(executed.size + skipped, last, `replica ${replicas.alive[i]} tells of each sequence once`);
    for (const [sequence, batch] of executed) {
      const known = first.get(sequence);
      if (known === undefined) first.set(sequence, batch);
      else if (known.digest !== batch.digest || known.operations !== batch.operations)
        t.deepEqual(batch, known, `sequence ${sequence} of replica ${replicas.alive[i]}`);
    }
    t.deepEqual(
      events.filter(({ name }) => name === "fatal" || name === "diverged"),
      [],
    );
  }
  return accounts;
}

/** All honest replicas that run come to one sequence with one state, in which so many operations were executed. */
export async function assertSettled(t: Assertions, replicas: Replicas, operations: number): Promise<Standing> {
  const standings = await replicas.settled();
  for (const standing of standings) t.deepEqual(standing, { ...standings[0]!, total: operations });
  return standings[0]!;
}

/** How many views a replica left, whatever the cause. */
export function left({ viewsLeft }: NodeMetrics): number {
  return Object.values(viewsLeft).reduce((sum, count) => sum + count, 0);
}

/** Nobody is accused but these. */
export function assertAccused(t: Assertions, accounts: readonly Account[], guilty: readonly string[]): void {
  for (const { events, evidence } of accounts) {
    for (const event of events) if (event.name === "evidence") t.true(guilty.includes(event.payload.nodeId));
    for (const { nodeId } of evidence) t.true(guilty.includes(nodeId));
  }
}
