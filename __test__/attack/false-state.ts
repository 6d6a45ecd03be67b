/** Execution that serves a false state: in each answer one byte of every node is another. All else is honest. */
import type { ExecutionCommand, ExecutionOutcome } from "../../dist/node/execution-host.js";
import type { ExecutionPort } from "../../dist/node/execution-port.js";

export class FalseState implements ExecutionPort {
  readonly #honest: ExecutionPort;

  constructor(honest: ExecutionPort) {
    this.#honest = honest;
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
    outcomes.push(...mine.map(falsified));
  }
}

function falsified(outcome: ExecutionOutcome): ExecutionOutcome {
  if (outcome.kind !== "stateNodes") return outcome;
  const nodes = outcome.message.nodes.slice();
  const view = new DataView(nodes.buffer);
  for (let at = 0; at < nodes.length; at += 4 + view.getUint32(at, true)) {
    const last = at + 3 + view.getUint32(at, true);
    nodes[last]! ^= 1;
  }
  return { ...outcome, message: { ...outcome.message, nodes } };
}
