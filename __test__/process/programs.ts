/** Programs that a test starts, with what they print, and their end by their own process id. */
import type { ExecutionContext } from "ava";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "./ports.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const CLI = join(ROOT, "dist/cli/main.js");

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Surroundings {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

export class Program {
  out = "";
  err = "";
  readonly ended: Promise<Ended>;
  readonly #child;

  /** Starts a program; the test's teardown kills it if it still runs. */
  constructor(t: ExecutionContext, command: string, args: readonly string[], surroundings: Surroundings = {}) {
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...surroundings });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => (this.out += text));
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => (this.err += text));
    this.ended = new Promise((resolve) => {
      this.#child.once("close", (code) => resolve({ code, out: this.out, err: this.err }));
    });
    t.teardown(() => this.#child.kill("SIGKILL"));
  }

  /** Resolves when its output has this; fails if the program ends before. */
  async says(pattern: RegExp): Promise<void> {
    await eventually(`${String(pattern)} in\n${this.out}\n${this.err}`, () => {
      if (pattern.test(this.out)) return true;
      if (this.#child.exitCode !== null)
        throw new Error(`ended with ${this.#child.exitCode}:\n${this.out}\n${this.err}`);
      return false;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }
}

/** The command line of this build. */
export function cli(t: ExecutionContext, ...argv: readonly string[]): Program {
  return new Program(t, process.execPath, [CLI, ...argv]);
}

export async function emptyDirectory(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "byzantine-process-"));
  t.teardown(async () => rm(made, { recursive: true, force: true }));
  return made;
}

/** Whether a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
