/**
 * `npm run soak -- [--minutes 30] [--again]`: what takes too long for the tests. Stages run one after another until all are done
 * or the time is up; what was done is kept in `.build/soak.json`, so that the next call goes on from there. `--again` forgets it.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { ROOT } from "../process/programs.ts";
import { killStage } from "./kills.ts";
import { rollingStage } from "./rolling-restart.ts";
import { transferStage } from "./state-transfer.ts";

/** One piece of work: what it measured, as lines for people; it fails by throwing. */
export interface Stage {
  readonly name: string;
  run(log: (line: string) => void, deadline: number): Promise<void>;
}

const FOLDER = `${ROOT}.build`;
const FILE = `${FOLDER}/soak.json`;
const DEFAULT_MINUTES = 30;

const stages: readonly Stage[] = [
  rollingStage(25),
  killStage(1_000),
  transferStage(64),
  transferStage(256),
  transferStage(1_024),
];

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: { minutes: { type: "string" }, again: { type: "boolean", default: false } },
  });
  const minutes = Number(values.minutes ?? DEFAULT_MINUTES);
  if (!(minutes > 0)) throw new Error("--minutes is a number above 0");
  const deadline = Date.now() + minutes * 60_000;
  const done: Record<string, string[]> =
    existsSync(FILE) && !values.again ? (JSON.parse(readFileSync(FILE, "utf8")) as Record<string, string[]>) : {};
  let failed = 0;
  for (const { name, run } of stages) {
    const before = done[name];
    console.log(`${name}${before === undefined ? "" : ", done before:"}`);
    if (before !== undefined) for (const line of before) console.log(`  ${line}`);
    else if (Date.now() < deadline) failed += await attempt(name, run, deadline, done);
    else console.log("  not begun: the time is up");
  }
  return failed === 0;
}

async function attempt(
  name: string,
  run: Stage["run"],
  deadline: number,
  done: Record<string, string[]>,
): Promise<number> {
  const lines: string[] = [];
  try {
    await run((line) => {
      console.log(`  ${line}`);
      lines.push(line);
    }, deadline);
  } catch (error) {
    console.log(`  FAILED: ${error instanceof Error ? error.stack : String(error)}`);
    return 1;
  }
  done[name] = lines;
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(FILE, JSON.stringify(done, undefined, 2));
  return 0;
}

process.exitCode = (await main()) ? 0 : 1;
