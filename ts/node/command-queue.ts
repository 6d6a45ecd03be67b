/** Commands of execution, one after another, also where one of them waits for a promise of the user's code. */
import type { Run, Sequence } from "../protocol/types.ts";
import type { ExecutionCommand, ExecutionOutcome } from "./execution-host.ts";

/**
 * Retries that wait for an answer. The core's window bounds the batches and checkpoints that wait, and nothing but their senders'
 * patience bounds retries: one more is dropped, and comes again.
 */
const ANSWERS_MAX = 1024;

/** What else stands in line: to bring a machine to the state that was installed. */
export type QueuedCommand = ExecutionCommand | RestoreCommand;

export interface RestoreCommand {
  readonly kind: "restore";
  readonly run: Run;
  readonly sequence: Sequence;
}

export interface CommandQueueOptions {
  /** Performs a command; one that has to wait calls {@link CommandQueue.wait}. */
  readonly perform: (command: QueuedCommand, outcomes: ExecutionOutcome[]) => void;
  /** What was waited for came to nothing, or could not be dealt with. */
  readonly fail: (error: unknown, outcomes: ExecutionOutcome[]) => void;
}

export class CommandQueue {
  readonly #options: CommandQueueOptions;
  readonly #waiting: QueuedCommand[] = [];
  readonly #outcomes: ExecutionOutcome[] = [];
  #answers = 0;
  #awaiting = false;
  #idle: Promise<void> = Promise.resolve();
  /** Called when what was waited for has settled, and all that waited behind it was performed or waits again. */
  onSettled: () => void = () => {};

  constructor(options: CommandQueueOptions) {
    this.#options = options;
  }

  /** Whether a promise is waited for. */
  get awaiting(): boolean {
    return this.#awaiting;
  }

  /** Resolves when what is waited for now has settled. */
  get idle(): Promise<void> {
    return this.#idle;
  }

  /** Whether {@link collect} has something. */
  get settled(): boolean {
    return this.#outcomes.length > 0;
  }

  /** Performs a command, now or in its turn. */
  take(command: QueuedCommand, outcomes: ExecutionOutcome[]): void {
    if (!this.#awaiting) return this.#options.perform(command, outcomes);
    if (command.kind === "answer" && ++this.#answers > ANSWERS_MAX) this.#answers = ANSWERS_MAX;
    else this.#waiting.push(command);
  }

  /** The same, before everything that waits. */
  takeFirst(command: QueuedCommand, outcomes: ExecutionOutcome[]): void {
    if (this.#awaiting) this.#waiting.unshift(command);
    else this.#options.perform(command, outcomes);
  }

  /** Everything else waits until `promise` has settled; `finish` gives what it came to. */
  wait<T>(promise: Promise<T>, finish: (value: T, outcomes: ExecutionOutcome[]) => void): void {
    this.#awaiting = true;
    this.#idle = promise.then(
      (value) => this.#resume((outcomes) => finish(value, outcomes)),
      (error: unknown) => this.#resume((outcomes) => this.#options.fail(error, outcomes)),
    );
  }

  /** What was performed since the last call because a promise had settled. */
  collect(outcomes: ExecutionOutcome[]): void {
    if (this.settled) outcomes.push(...this.#outcomes.splice(0));
  }

  /** Forgets what waits; what is under way ends by itself. */
  clear(): void {
    this.#waiting.length = 0;
    this.#answers = 0;
  }

  #resume(finish: (outcomes: ExecutionOutcome[]) => void): void {
    this.#awaiting = false;
    try {
      finish(this.#outcomes);
      while (!this.#awaiting) {
        const next = this.#waiting.shift();
        if (next === undefined) break;
        if (next.kind === "answer") this.#answers--;
        this.#options.perform(next, this.#outcomes);
      }
    } catch (error) {
      this.#options.fail(error, this.#outcomes);
    }
    this.onSettled();
  }
}
