/** What a test with a tap demands at its end. */
import { assertAccused, assertSettled } from "./accounts.ts";
import type { Assertions } from "./assertions.ts";
import { assertAnsweredOnce, type Load } from "./load.ts";
import type { Replicas } from "./replicas.ts";

/** Nothing that any replica ever said contradicts anything else that it, or for states and batches another one, said. */
export function assertUncontradicted(t: Assertions, { wiretap }: Replicas): void {
  t.deepEqual(wiretap.record.contradictions, []);
  t.deepEqual(wiretap.unreadable, []);
  t.true(wiretap.record.size > 0);
}

/** All that was submitted was executed once and is in the state of all; nobody accuses anybody, stopped itself or diverged. */
export async function assertNothingLost(t: Assertions, replicas: Replicas, load: Load): Promise<void> {
  assertAnsweredOnce(t, load);
  await assertSettled(t, replicas, load.totals.length);
  const accounts = await Promise.all(replicas.alive.map(async (replica) => replicas.account(replica)));
  assertAccused(t, accounts, []);
  for (const { events } of accounts)
    t.deepEqual(
      events.filter(({ name }) => name === "fatal" || name === "diverged"),
      [],
    );
}
