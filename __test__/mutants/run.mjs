/**
 * `npm run mutants [-- --only M01,M02] [--seeds N] [--workers N]`: breaks the code on purpose and sees that the suite notices.
 *
 * Each JSON file beside this one is a mutant: one piece of the sources and what stands there instead. Sources are copied,
 * patched and compiled in a temporary folder, never in place, and the simulator runs from there. The unmutated code goes first,
 * through the same command, and has to pass. A mutant may fix `options` of the simulator, and how many `seeds` it gets. What takes
 * schedules too rare for random seeds names the `tests` of the core that notice it, and those run instead.
 */
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "..", "..");
/** What every mutant must be dead within, build excluded. */
const KILL_MS_MAX = 600_000;

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    seeds: { type: "string", default: "3000" },
    workers: { type: "string", default: "2" },
  },
});

const mutants = readdirSync(here)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => ({ id: name.replace(".json", ""), ...JSON.parse(readFileSync(join(here, name), "utf8")) }))
  .filter(({ id }) => values.only === undefined || values.only.split(",").some((wanted) => id.startsWith(wanted)));

/** The sources in a folder of their own, with one mutant in them. */
function build(mutant) {
  const folder = mkdtempSync(join(tmpdir(), "mutant-"));
  cpSync(join(root, "ts"), join(folder, "ts"), { recursive: true });
  cpSync(join(root, "tsconfig.json"), join(folder, "tsconfig.json"));
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  for (const { file, search, replace } of mutant?.patches ?? []) patch(join(folder, file), search, replace);
  const compiled = spawnSync(
    process.execPath,
    [join(root, "node_modules/typescript/bin/tsc"), "-p", folder, "--noCheck"],
    { encoding: "utf8" },
  );
  if (compiled.status !== 0) throw new Error(`does not compile:\n${compiled.stdout}`);
  if (mutant?.tests === undefined) return folder;
  cpSync(join(root, "__test__"), join(folder, "__test__"), { recursive: true });
  spawnSync(process.execPath, [join(root, ".ci/carry-native.mjs")], { cwd: folder });
  return folder;
}

function patch(path, search, replace) {
  const text = readFileSync(path, "utf8");
  const places = text.split(search).length - 1;
  if (places !== 1) throw new Error(`${path} has its piece ${places} times; the mutant has to follow the code`);
  writeFileSync(
    path,
    text.replace(search, () => replace),
  );
}

/** What tests of the core say of the code in a folder. */
function test(folder, files) {
  const started = performance.now();
  const ava = join(root, "node_modules/ava/entrypoints/cli.mjs");
  const child = spawn(process.execPath, [ava, "--tap", ...files], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: KILL_MS_MAX,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  return new Promise((resolve) => {
    child.on("close", (code) => {
      const name = /^not ok \d+ - (.*)$/m.exec(output)?.[1];
      const ran = /^ok \d+/m.test(output);
      resolve({ code, test: name, errors: ran || name !== undefined ? "" : output, ms: performance.now() - started });
    });
  });
}

/** What the simulator says of the code in a folder. */
function simulate(folder, { seeds = values.seeds, options = {} }) {
  const started = performance.now();
  const parameters = ["--seeds", seeds, "--from", "1", "--json", "--no-shrink", "--workers", values.workers];
  for (const [name, value] of Object.entries(options)) parameters.push("--set", `${name}=${JSON.stringify(value)}`);
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(folder, "dist/testing/sim-main.js"), ...parameters], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), KILL_MS_MAX);
    let output = "";
    let errors = "";
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (errors += data));
    child.on("close", (code) => {
      clearTimeout(timer);
      const last = output.trim().split("\n").at(-1) ?? "";
      const report = last.startsWith("{") ? JSON.parse(last) : { failures: [], missed: [] };
      resolve({ code, report, errors, ms: performance.now() - started });
    });
  });
}

/** What was found, or `broke`: a run that ends in any other way has found nothing, and is looked at. */
function verdictOf({ code, report, errors, test: failedTest }) {
  if (code === 0) return {};
  if (failedTest !== undefined) return { found: `test ${failedTest}` };
  const failure = report?.failures[0];
  if (failure !== undefined) return { found: `invariant ${failure.invariant} (${failure.name}), seed ${failure.seed}` };
  if (report !== undefined && report.missed.length > 0) return { found: `coverage: ${report.missed.join(", ")}` };
  return { broke: code === null ? "ran out of time" : `the run broke: ${errors.trim().split("\n")[0]}` };
}

let failed = 0;
async function run(id, mutant, parameters = {}) {
  const folder = build(mutant ?? { tests: parameters.tests });
  try {
    const result = await (parameters.tests === undefined
      ? simulate(folder, parameters)
      : test(folder, parameters.tests));
    const { found, broke } = verdictOf(result);
    const good = broke === undefined && (mutant === undefined) === (found === undefined);
    if (!good) failed++;
    const seconds = (result.ms / 1000).toFixed(1).padStart(6);
    const outcome = broke ?? found ?? (mutant === undefined ? "passes" : "SURVIVES");
    console.log(`${good ? "ok  " : "FAIL"} ${id.padEnd(34)} ${seconds} s  ${outcome}`);
    if (!good && mutant === undefined) console.log(result.errors);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Commands that the unmutated code has passed. */
const passed = new Set();

/** A mutant that is aimed at has options of its own; the unmutated code passes the same command, once for all that share it. */
async function runMutant(mutant) {
  const command = JSON.stringify([mutant.options, mutant.seeds, mutant.tests]);
  if ((mutant.options ?? mutant.tests) !== undefined && !passed.has(command)) {
    passed.add(command);
    await run(`unmutated as for ${mutant.id}`, undefined, mutant);
  }
  await run(mutant.id, mutant, mutant);
}

await run("unmutated", undefined);
for (const mutant of mutants) {
  await runMutant(mutant).catch((error) => {
    failed++;
    console.log(`FAIL ${mutant.id}: ${error.message}`);
  });
}
console.log(`${mutants.length} mutants, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
