/** A faulty client process, switched on and off. */
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FalseClientPlan } from "../../__test__/attack/client-process.ts";
import { type Owner } from "../../__test__/process/replicas.ts";
import { ask } from "../../__test__/process/questions.ts";

const PROGRAM = fileURLToPath(new URL("../../__test__/attack/client-process.ts", import.meta.url));

export class FalseClientProcess {
  readonly #child: ChildProcess;
  #nextId = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when it is connected to all replicas and has a session. */
  static async start(owner: Owner, plan: FalseClientPlan): Promise<FalseClientProcess> {
    const child = fork(PROGRAM, { execArgv: ["--import=tsx", "--no-warnings"], serialization: "advanced" });
    owner.teardown(() => void child.kill("SIGKILL"));
    child.send(plan);
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", (code) => reject(new Error(`the false client ended with ${code}`)));
    });
    return new FalseClientProcess(child);
  }

  /** Attacks, or computes as much as the last attack took of the processors. */
  async attack(on: boolean): Promise<void> {
    await ask(this.#child, on ? "attack" : "behave", this.#nextId++);
  }

  /** Processor time of its process so far, in milliseconds. */
  async cpuMs(): Promise<number> {
    return ask(this.#child, "cpuMs", this.#nextId++);
  }
}
