/**
 * How fast the simulator is on one core, in one thread of `npm run sim`: scenarios and events per second for n = 4 with 20
 * operations, with and without adversaries and faults. Prints a table and writes `.bench/simulation.json`; the goals are 50,000
 * events and 100 scenarios a second.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import test from "ava";
import type { SimOptions } from "../dist/testing/options.js";
import type { Tally } from "../dist/testing/runner.js";
import { SimWorker } from "../dist/testing/sim-worker.js";

const SECONDS = Number(process.env["BENCH_SECONDS"] ?? 3);
/** What a run of `npm run sim` is after its first seconds: before that the engine's compilers take half of the processor's time. */
const WARM_UP_SEEDS = 400;
/** Seeds between two looks at the clock. */
const CHUNK = 25;

const common: Partial<SimOptions> = { n: 4, f: 1, operations: 20, realCrypto: false };
const rows: readonly (readonly [name: string, given: Partial<SimOptions>])[] = [
  [
    "no faults",
    { ...common, byzantine: [], repertoires: [], faultCount: 0, loss: 0, duplicate: 0, redeliver: 0, faultsMs: 300 },
  ],
  ["faults", { ...common, byzantine: [], repertoires: [], faultsMs: 300 }],
  ["one equivocating backup", { ...common, byzantine: [3], repertoires: [["conflicter", "mutator"]], faultsMs: 300 }],
  ["as drawn, n = 4, 20 operations", common],
];

const report: Record<string, unknown> = {};

const worker = new SimWorker();

for (const [name, given] of rows) {
  test.serial(`simulation: ${name}`, async (t) => {
    const run = async (first: number, count: number): Promise<Tally> => {
      const tally = await worker.run({ first: BigInt(first), count, given, shrink: false });
      t.deepEqual(tally.failures, []);
      return tally;
    };
    await run(0, WARM_UP_SEEDS);
    const started = performance.now();
    let seeds = 0;
    let events = 0;
    while (performance.now() - started < SECONDS * 1000) {
      events += (await run(1000 + seeds, CHUNK)).events;
      seeds += CHUNK;
    }
    const seconds = (performance.now() - started) / 1000;
    const row = {
      scenariosPerSecond: Math.round(seeds / seconds),
      eventsPerSecond: Math.round(events / seconds),
      eventsPerScenario: Math.round(events / seeds),
    };
    report[name] = row;
    t.log(
      `${row.scenariosPerSecond} scenarios/s, ${row.eventsPerSecond} events/s, ${row.eventsPerScenario} events each`,
    );
  });
}

test.serial.after.always(async () => {
  await worker.end();
  mkdirSync(".bench", { recursive: true });
  writeFileSync(".bench/simulation.json", `${JSON.stringify(report, undefined, 2)}\n`);
});
