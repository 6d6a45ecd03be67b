/** `npm run sim`: runs the simulator; `sim-arguments.ts` says how it is asked. */
import { readFileSync } from "node:fs";
import type { SimOptions } from "./options.ts";
import { readArguments, USAGE, type Arguments } from "./sim-arguments.ts";
import { planOf, runPlan, storeWorld } from "./simulate.ts";
import {
  addTally,
  emptyTally,
  missedSituations,
  runRange,
  type Failure,
  type SeedRange,
  type Tally,
} from "./runner.ts";
import { SimWorker } from "./sim-worker.ts";
import { parseTrace } from "./trace-file.ts";

/** Seeds that a worker runs before it reports. */
const CHUNK = 25;
const PROGRESS_EVERY_MS = 5_000;

/** One seed or one trace, in full. */
function runOne(options: Arguments): number {
  const plan =
    options.trace === undefined
      ? planOf(options.seed ?? 0n, options.given)
      : parseTrace(readFileSync(options.trace, "utf8"));
  console.log(JSON.stringify(plan.options, undefined, 2));
  const world = options.verbose ? { ...storeWorld, narrate: console.log } : storeWorld;
  const result = runPlan(plan, world);
  const { violation, events, simulatedMs, log, livenessSkipped, executed } = result;
  const summary = { seed: plan.options.seed, events, simulatedMs, executed, livenessSkipped, log, violation };
  if (options.json) console.log(JSON.stringify({ ...summary, coverage: result.coverage }));
  else console.log(summary);
  if (violation === undefined) return 0;
  if (options.trace === undefined && options.shrink) explain(options);
  return 1;
}

function explain(options: Arguments): void {
  const tally = runRange({ first: options.seed ?? 0n, count: 1, given: options.given, shrink: options.shrink });
  for (const failure of tally.failures) printFailure(failure, options.given);
}

function printFailure({ seed, invariant, name, message, trace }: Failure, given: Partial<SimOptions>): void {
  console.error(`\nVIOLATION of invariant ${invariant} (${name}) by seed ${seed}\n  ${message}`);
  if (trace !== undefined) console.error(`minimised (save it to replay it with --trace FILE):\n${trace}`);
  const fixed = Object.entries(given).map(([option, value]) => ` --set '${option}=${JSON.stringify(value)}'`);
  console.error(`replay: npm run sim -- --seed ${seed}${fixed.join("")}`);
}

/** Hands out ranges of seeds until there are enough, or time is up, or one fails. */
async function runMany(options: Arguments): Promise<number> {
  const started = performance.now();
  const until = options.minutes === undefined ? Infinity : started + options.minutes * 60_000;
  const total = emptyTally();
  let next = 0;
  let reported = started;
  const nextRange = (): SeedRange | undefined => {
    const left = options.minutes === undefined ? options.seeds - next : CHUNK;
    if (left <= 0 || performance.now() >= until || total.failures.length > 0) return undefined;
    const count = Math.min(CHUNK, left);
    const first = options.from + BigInt(next);
    next += count;
    return { first, count, given: options.given, shrink: options.shrink };
  };
  const take = (tally: Tally): void => {
    addTally(total, tally);
    if (performance.now() - reported < PROGRESS_EVERY_MS) return;
    reported = performance.now();
    console.log(progress(total, performance.now() - started));
  };
  const runWorker = async (): Promise<void> => {
    const worker = new SimWorker();
    for (let range = nextRange(); range !== undefined; range = nextRange()) take(await worker.run(range));
    await worker.end();
  };
  await Promise.all(Array.from({ length: options.workers }, runWorker));
  return report(total, options, performance.now() - started);
}

function progress(total: Tally, elapsedMs: number): string {
  const seconds = elapsedMs / 1000;
  const rates = `${(total.seeds / seconds).toFixed(0)} seeds/s, ${(total.events / seconds).toFixed(0)} events/s`;
  return `${total.seeds} seeds, ${total.events} events, ${rates}`;
}

function report(total: Tally, options: Arguments, elapsedMs: number): number {
  const missed = total.failures.length === 0 ? missedSituations(total) : [];
  console.log(progress(total, elapsedMs));
  if (!options.json) console.log(total.coverage);
  for (const failure of total.failures) printFailure(failure, options.given);
  for (const situation of missed) console.error(`never came up: ${situation}`);
  const { seeds, events, coverage, failures } = total;
  if (options.json)
    console.log(
      JSON.stringify({ seeds, from: options.from.toString(), events, elapsedMs, coverage, missed, failures }),
    );
  else console.log(failures.length === 0 ? `clean from seed ${options.from}` : "failed");
  return failures.length > 0 || missed.length > 0 ? 1 : 0;
}

async function main(): Promise<number> {
  const asked = readArguments(process.argv.slice(2));
  if (typeof asked === "string") {
    console.error(`${asked}\n\n${USAGE}`);
    return 2;
  }
  if (asked === undefined) {
    console.log(USAGE);
    return 0;
  }
  const one = asked.seed !== undefined || asked.trace !== undefined;
  return one ? runOne(asked) : runMany(asked);
}

process.exitCode = await main();
