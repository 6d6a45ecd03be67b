/** Runs many seeds, counts what they met, and turns the first failure into something that can be looked at. */
import { Coverage, REQUIRED_SEEDS } from "./coverage.ts";
import type { SimOptions } from "./options.ts";
import { shrink } from "./shrink.ts";
import { planOf, runPlan, runSeed } from "./simulate.ts";
import { formatTrace } from "./trace-file.ts";
import type { RunResult } from "./world.ts";

/** Every so many seeds one runs twice, to see that it is the same run. */
const TWICE_EVERY = 100;

export interface Failure {
  readonly seed: string;
  readonly invariant: number;
  readonly name: string;
  readonly message: string;
  /** Minimised; undefined where shrinking was not asked for. */
  readonly trace: string | undefined;
}

export interface Tally {
  seeds: number;
  events: number;
  simulatedMs: number;
  coverage: Record<string, number>;
  failures: Failure[];
}

export function emptyTally(): Tally {
  return { seeds: 0, events: 0, simulatedMs: 0, coverage: {}, failures: [] };
}

export function addTally(into: Tally, tally: Tally): void {
  const coverage = new Coverage();
  coverage.add(into.coverage);
  coverage.add(tally.coverage);
  into.seeds += tally.seeds;
  into.events += tally.events;
  into.simulatedMs += tally.simulatedMs;
  into.coverage = coverage.toJSON();
  into.failures.push(...tally.failures);
}

export interface SeedRange {
  readonly first: bigint;
  readonly count: number;
  /** Options that the seeds do not choose. */
  readonly given?: Partial<SimOptions>;
  readonly shrink: boolean;
}

/** Runs a range of seeds and stops at the first failure. Operations that fail on purpose are told without their stacks. */
export function runRange(range: SeedRange): Tally {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return runSeeds(range);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function runSeeds({ first, count, given = {}, shrink: small }: SeedRange): Tally {
  const tally = emptyTally();
  const coverage = new Coverage();
  for (let index = 0; index < count; index++) {
    const seed = BigInt.asUintN(64, first + BigInt(index));
    const result = runSeed(seed, seed % BigInt(TWICE_EVERY) === 0n, given);
    tally.seeds++;
    tally.events += result.events;
    tally.simulatedMs += result.simulatedMs;
    coverage.add(result.coverage);
    if (result.violation === undefined) continue;
    tally.failures.push(describe(seed, given, result, small));
    break;
  }
  tally.coverage = coverage.toJSON();
  return tally;
}

/** Situations that so many seeds must have met and have not. */
export function missedSituations(tally: Tally): string[] {
  if (tally.seeds < REQUIRED_SEEDS) return [];
  const coverage = new Coverage();
  coverage.add(tally.coverage);
  return coverage.missing();
}

function describe(seed: bigint, given: Partial<SimOptions>, result: RunResult, small: boolean): Failure {
  const { invariant = 0, name = "", message = "" } = result.violation ?? {};
  const failure = { seed: seed.toString(), invariant, name, message };
  if (!small || invariant === 20) return { ...failure, trace: undefined };
  const { plan, result: shrunk } = shrink(planOf(seed, given), result, runPlan);
  const about = `invariant ${invariant} (${name}), seed ${seed}: ${shrunk.violation?.message ?? message}`;
  return { ...failure, trace: formatTrace(plan, about) };
}
