/** A replica's process as its parent sees it. */
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ask, type Answers, type Question, type ReplicaPlan } from "./questions.ts";

const HONEST = fileURLToPath(new URL("./replica-process.mjs", import.meta.url));
const BYZANTINE = fileURLToPath(new URL("../attack/byzantine-process.ts", import.meta.url));
const COMPILED_ON_LOADING = ["--import=tsx", "--enable-source-maps"];

export class ReplicaChild {
  readonly process: ChildProcess;
  /** Resolves when it takes part. */
  readonly ready: Promise<void>;
  /** The signal that ended it; null where it ended by itself. */
  readonly ended: Promise<NodeJS.Signals | null>;
  #nextId = 1;

  /** @param environment Beside that of this process. */
  constructor(plan: ReplicaPlan, environment: NodeJS.ProcessEnv = {}) {
    const honest = plan.faults.length === 0;
    this.process = fork(honest ? HONEST : BYZANTINE, {
      execArgv: ["--no-warnings", ...(honest ? [] : COMPILED_ON_LOADING)],
      env: { ...process.env, ...environment },
      serialization: "advanced",
    });
    this.ended = new Promise((resolve) => this.process.once("exit", (_code, signal) => resolve(signal)));
    this.ready = new Promise((resolve, reject) => {
      this.process.once("message", () => resolve());
      this.process.once("exit", (code, signal) => reject(new Error(`replica ${plan.me} ended with ${signal ?? code}`)));
    });
    // Who awaits it hears of it; a process that is killed later is none of its business.
    this.ready.catch(() => {});
    this.process.send(plan, () => {});
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q]> {
    return ask(this.process, question, this.#nextId++);
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}
