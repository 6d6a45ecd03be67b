// The test tier: cargo and ava, at most 20 minutes on 2 cores. A skipped, todo or ignored test is a failure.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

/** Runs a command with its output passed on, and returns its exit code and what it printed. */
async function run(command, args, timeoutMs) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, FORCE_COLOR: "0" } });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      text += chunk;
      process.stdout.write(chunk);
    });
  }
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  return { code: code ?? 1, text };
}

function sum(text, pattern) {
  return [...text.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);
}

const MINUTE = 60_000;
const build = await run("npm", ["run", "--silent", "build:ts"], 5 * MINUTE);
const cargo = await run("cargo", ["test", "--workspace", "--locked"], 25 * MINUTE);
// cargo test has built the examples too: the QUIC enemy of the tests needs no build of its own, which would look like a hang.
process.env.BYZANTINE_RAW_PEER = resolve("target/debug/examples/raw_peer");
const ava = build.code === 0 ? await run("npx", ["ava"], 20 * MINUTE) : { code: 1, text: "" };

const cargoPassed = sum(cargo.text, /^test result: .* (\d+) passed/gm);
const cargoFailed =
  sum(cargo.text, /^test result: .* (\d+) failed/gm) + sum(cargo.text, /^test result: .* (\d+) ignored/gm);
const avaPassed = sum(ava.text, /^\s+(\d+) tests? passed/gm);
// Skipped and postponed tests, exceptions and time-outs are failures like any other.
const avaFailed = sum(
  ava.text,
  /^\s+(\d+) (?:tests? (?:failed|skipped|todo|remaining)|uncaught exceptions?|unhandled rejections?|known failures?)/gm,
);
let failed = cargoFailed + avaFailed;
for (const [name, { code }, count] of [
  ["build", build, 1],
  ["cargo", cargo, cargoPassed],
  ["ava", ava, avaPassed],
]) {
  if (code === 0 && count > 0) continue;
  console.log(`${name}: exit code ${code}, ${count} passed`);
  failed = Math.max(1, failed);
}
const passed = cargoPassed + avaPassed;
mkdirSync(".build", { recursive: true });
writeFileSync(".build/test-summary.json", JSON.stringify({ passed, failed }));
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
