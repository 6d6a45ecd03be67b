/** The share of the simulator's seeds that every test run takes, and what the machine itself promises. */
import { readdirSync, readFileSync } from "node:fs";
import test from "ava";
import { missedSituations, runRange } from "../../dist/testing/runner.js";
import { planOf, runPlan, runSeed } from "../../dist/testing/simulate.js";
import { parseTrace } from "../../dist/testing/trace-file.js";

/** Fixed, so that a red run is red again; fresh seeds are for `npm run sim`. */
const FIRST_SEED = 1n;
const SEEDS = 600;
const REAL_CRYPTO_SEEDS = 3;

test("fixed seeds are clean and meet every situation that they must", (t) => {
  const tally = runRange({ first: FIRST_SEED, count: SEEDS, shrink: true });
  for (const { seed, message, trace } of tally.failures)
    t.fail(`seed ${seed}: ${message}\n${trace}\nreplay: npm run sim -- --seed ${seed}`);
  t.deepEqual(missedSituations(tally), []);
});

test("real signatures change nothing", (t) => {
  for (let seed = 0; seed < REAL_CRYPTO_SEEDS; seed++) {
    const result = runSeed(BigInt(seed), false, { realCrypto: true, n: 4, f: 1, operations: 10, faultsMs: 300 });
    t.is(result.violation, undefined, `seed ${seed}`);
  }
});

test("the same seed twice is the same run, and another seed is another", (t) => {
  const logs = [11n, 11n, 12n].map((seed) => runSeed(seed).log);
  t.is(logs[0], logs[1]);
  t.not(logs[0], logs[2]);
});

test("an option that is given leaves what other streams draw as it was", (t) => {
  const drawn = planOf(21n);
  const given = planOf(21n, { loss: 0 });
  t.deepEqual(given, { ...drawn, options: { ...drawn.options, loss: 0 } });
});

const traces = new URL("traces/", import.meta.url);
for (const name of readdirSync(traces).sort()) {
  test(`trace ${name.replace(".json", "")} stays fixed`, (t) => {
    const text = readFileSync(new URL(name, traces), "utf8");
    t.true(text.split("\n").length <= 64, "a trace is read by people");
    const { violation } = runPlan(parseTrace(text));
    t.is(violation, undefined, violation?.message);
  });
}
