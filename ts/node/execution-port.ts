/** The reactor's side of execution: in the same thread, or behind a message port that wakes the reactor. */
import type { MessagePort } from "node:worker_threads";
import type { ExecutionCommand, ExecutionHost, ExecutionOutcome } from "./execution-host.ts";

export interface ExecutionPort {
  give(command: ExecutionCommand): void;
  /** Called once per turn, after all commands: moves outcomes to the end of `outcomes`. */
  collect(outcomes: ExecutionOutcome[]): void;
  /** Whether the reactor should come back soon instead of sleeping. */
  readonly busy: boolean;
  /** When it should come back at the latest, by this thread's `performance.now()`. */
  readonly deadline: number | undefined;
}

/** Short operations: no hop, bounded time per turn. Between turns promises get their chance, so the reactor does not sleep while one is awaited. */
export class InlineExecution implements ExecutionPort {
  readonly #host: ExecutionHost;
  readonly #outcomes: ExecutionOutcome[] = [];

  constructor(host: ExecutionHost) {
    this.#host = host;
  }

  get busy(): boolean {
    return this.#host.busy || this.#host.awaiting || this.#outcomes.length > 0;
  }

  get deadline(): number | undefined {
    return this.#host.deadline;
  }

  give(command: ExecutionCommand): void {
    this.#host.take(command, this.#outcomes);
  }

  collect(outcomes: ExecutionOutcome[]): void {
    outcomes.push(...this.#outcomes.splice(0));
    this.#host.work(outcomes);
  }
}

/** Execution in another thread: commands of a turn travel in one message, outcomes come back as they are made. */
export class RemoteExecution implements ExecutionPort {
  readonly #port: MessagePort;
  readonly #outcomes: ExecutionOutcome[] = [];
  #commands: ExecutionCommand[] = [];
  /** The other thread keeps its own time. */
  readonly deadline = undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on("message", (outcomes: ExecutionOutcome[]) => this.#outcomes.push(...outcomes));
  }

  get busy(): boolean {
    return this.#outcomes.length > 0;
  }

  give(command: ExecutionCommand): void {
    this.#commands.push(command);
  }

  collect(outcomes: ExecutionOutcome[]): void {
    if (this.#commands.length > 0) {
      this.#port.postMessage(this.#commands);
      this.#commands = [];
    }
    outcomes.push(...this.#outcomes.splice(0));
  }
}

/** The other end of {@link RemoteExecution}; `wake` ends the reactor's sleep. */
export function serveExecution(port: MessagePort, host: ExecutionHost, wake: () => void): void {
  let working = false;
  let timer: NodeJS.Timeout | undefined;
  const flush = (outcomes: ExecutionOutcome[]): void => {
    if (outcomes.length === 0) return;
    port.postMessage(outcomes.map(compacted));
    wake();
  };
  /** Comes back at once, or when something is due. */
  const schedule = (): void => {
    if (working) return;
    clearTimeout(timer);
    const { busy, deadline } = host;
    if (busy) {
      working = true;
      setImmediate(work);
    } else if (deadline !== undefined) {
      timer = setTimeout(work, Math.max(1, deadline - performance.now()));
      // What is due is nobody's business once the process has nothing else to do.
      timer.unref();
    }
  };
  const work = (): void => {
    working = false;
    const outcomes: ExecutionOutcome[] = [];
    host.work(outcomes);
    flush(outcomes);
    schedule();
  };
  port.on("message", (commands: ExecutionCommand[]) => {
    const outcomes: ExecutionOutcome[] = [];
    for (const command of commands) host.take(command, outcomes);
    flush(outcomes);
    work();
  });
  // Its commands, and the timers of what it waits for, come from the event loop: nobody has to look for it.
  host.onSettled = work;
  port.on("close", () => {
    clearTimeout(timer);
    void host.close();
  });
}

/** What travels to another thread takes the whole memory along that it is a view of. */
function compacted(outcome: ExecutionOutcome): ExecutionOutcome {
  if (outcome.kind !== "stateNodes") return outcome;
  return { ...outcome, message: { ...outcome.message, nodes: outcome.message.nodes.slice() } };
}
