/** Execution whose results are false on their way to clients; the state is the true one. */
import type { ExecutionCommand, ExecutionOutcome } from "../../dist/node/execution-host.js";
import type { ExecutionPort } from "../../dist/node/execution-port.js";
import type { ResultEntry } from "../../dist/protocol/messages.js";

export class FalseExecution implements ExecutionPort {
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
  if (outcome.kind === "answered") return { ...outcome, entries: outcome.entries.map(other) };
  if (outcome.kind !== "executed") return outcome;
  return {
    ...outcome,
    replies: outcome.replies.map((reply) => ({ ...reply, entries: reply.entries.map(other) })),
  };
}

/** The same number of bytes, every one of them another. */
function other(entry: ResultEntry): ResultEntry {
  return { ...entry, result: entry.result.map((byte) => byte ^ 1) };
}
