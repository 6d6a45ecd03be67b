/** Execution that works honestly, and whose outcomes are falsified before the node collects them. */
import type { ExecutionCommand, ExecutionOutcome } from "../../dist/node/execution-host.js";
import type { ExecutionPort } from "../../dist/node/execution-port.js";

export class FalsifiedExecution implements ExecutionPort {
  readonly #honest: ExecutionPort;
  readonly #falsify: (outcome: ExecutionOutcome) => ExecutionOutcome;

  constructor(honest: ExecutionPort, falsify: (outcome: ExecutionOutcome) => ExecutionOutcome) {
    this.#honest = honest;
    this.#falsify = falsify;
  }

  get busy(): boolean {
    return this.#honest.busy;
  }

  get deadline(): number | undefined {
    return this.#honest.deadline;
  }

  give(command: ExecutionCommand): void {
    this.#honest.give(command);
  }

  collect(outcomes: ExecutionOutcome[]): void {
    const mine: ExecutionOutcome[] = [];
    this.#honest.collect(mine);
    outcomes.push(...mine.map(this.#falsify));
  }
}
