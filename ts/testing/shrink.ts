/**
 * Makes a failing plan small: delta debugging over its flat lists of decisions (faults, adversary actions, operations, replicas), then its
 * numbers, keeping the same violated invariant. A smaller plan that violates something else is another bug, not a smaller one.
 */
import type { SimOptions } from "./options.ts";
import type { Plan } from "./plan.ts";
import type { RunResult } from "./world.ts";

export interface Shrunk {
  readonly plan: Plan;
  readonly result: RunResult;
  /** Runs that it took. */
  readonly runs: number;
}

/** Runs that shrinking may take: a few seconds for most failures. */
export const SHRINK_RUNS_MAX = 600;

/**
 * ddmin (Zeller and Hildebrandt 2002): a sublist that still fails and from which no chunk of the finest size can be taken.
 * `fails` says whether a sublist still does.
 */
export function ddmin<T>(items: readonly T[], fails: (sublist: readonly T[]) => boolean): readonly T[] {
  if (items.length === 0 || fails([])) return [];
  let current = items;
  let chunks = 2;
  while (current.length >= 2) {
    const size = Math.ceil(current.length / chunks);
    let reduced = false;
    for (let start = 0; start < current.length && !reduced; start += size) {
      const rest = [...current.slice(0, start), ...current.slice(start + size)];
      if (!fails(rest)) continue;
      current = rest;
      chunks = Math.max(2, chunks - 1);
      reduced = true;
    }
    if (reduced) continue;
    if (size === 1) break;
    chunks = Math.min(current.length, chunks * 2);
  }
  return current;
}

/** `run` runs a plan; `failed` is what the first plan did. */
export function shrink(
  first: Plan,
  failed: RunResult,
  run: (plan: Plan) => RunResult,
  runsMax = SHRINK_RUNS_MAX,
): Shrunk {
  let best = { plan: first, result: failed };
  let runs = 0;
  const attempt = (plan: Plan): boolean => {
    if (runs >= runsMax) return false;
    runs++;
    const result = run(plan);
    if (
      result.violation?.invariant !== failed.violation?.invariant ||
      result.violation?.name !== failed.violation?.name
    )
      return false;
    best = { plan, result };
    return true;
  };
  ddmin(first.faults, (faults) => attempt({ ...best.plan, faults }));
  ddmin(failed.used, (except) => attempt({ ...best.plan, muted: { except } }));
  ddmin(best.plan.operations, (operations) => attempt({ ...best.plan, operations }));
  for (const replica of best.plan.options.byzantine) attempt(withoutAdversary(best.plan, replica));
  for (const change of simplerOptions) {
    const options = change(best.plan.options);
    if (JSON.stringify(options) !== JSON.stringify(best.plan.options)) attempt({ ...best.plan, options });
  }
  return { ...best, runs };
}

function withoutAdversary(plan: Plan, replica: number): Plan {
  const { byzantine, repertoires } = plan.options;
  const index = byzantine.indexOf(replica);
  const options = {
    ...plan.options,
    byzantine: byzantine.filter((id) => id !== replica),
    repertoires: repertoires.filter((_, place) => place !== index),
  };
  return { ...plan, options };
}

type Change = (options: SimOptions) => SimOptions;

/** Each takes one kind of weather or one delay away; those that keep the failure stay. */
const simplerOptions: readonly Change[] = [
  (options) => ({ ...options, loss: 0 }),
  (options) => ({ ...options, duplicate: 0 }),
  (options) => ({ ...options, slowLinks: 0 }),
  (options) => ({ ...options, ordered: true }),
  (options) => ({ ...options, delayMeanMs: 0 }),
  (options) => ({ ...options, delayMinMs: 1 }),
  (options) => ({ ...options, turnMs: 0 }),
  (options) => ({ ...options, executionMs: 0 }),
  (options) => ({ ...options, diskMs: 0 }),
  (options) => ({ ...options, clockDrift: 0 }),
  (options) => ({ ...options, clockSkewMs: 0 }),
  (options) => ({ ...options, redeliver: 0 }),
  (options) => ({ ...options, naiveVotes: true }),
  (options) => ({ ...options, forkingClients: 0 }),
  (options) => ({ ...options, batchBundlesMax: 1 }),
  (options) => ({ ...options, pipelineDepth: 1 }),
  (options) => ({ ...options, faultsMs: Math.min(options.faultsMs, 300) }),
];
