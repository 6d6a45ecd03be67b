/** What leaves when: an action waits, with all its like, until the record that it rests on is durable. Decides nothing. */
import type { Action, Input } from "../protocol/core.ts";
import type { Lsn } from "../protocol/types.ts";

export interface DurableOrderOptions {
  /** Whether records become durable when the journal says so. Otherwise they are as soon as they are written. */
  readonly durable: boolean;
  /** Whether what is executed outlives this process by itself, so that the journal must know of it first. */
  readonly opaque: boolean;
}

export class DurableOrder {
  readonly #options: DurableOrderOptions;
  readonly #held: { readonly after: Lsn; readonly action: Action }[] = [];
  /** The last record that was written. */
  #written = 0 as Lsn;
  /** Every record up to here is durable. */
  #durable = 0 as Lsn;
  /** The core was told up to here. */
  #told = 0 as Lsn;

  constructor(options: DurableOrderOptions) {
    this.#options = options;
  }

  /** A record that a process before this one has left. */
  restore(lsn: Lsn): void {
    this.#durable = this.#told = lsn;
  }

  written(lsn: Lsn): void {
    this.#written = lsn;
    if (!this.#options.durable) this.#durable = lsn;
  }

  persisted(upTo: Lsn): void {
    this.#durable = upTo;
  }

  /** What the core has not heard yet. */
  news(): Extract<Input, { kind: "persisted" }> | undefined {
    if (this.#told >= this.#durable) return undefined;
    this.#told = this.#durable;
    return { kind: "persisted", upTo: this.#told };
  }

  /** Keeps an action that may not be performed yet; {@link released} returns it. */
  holds(action: Action): boolean {
    const after = this.#afterOf(action);
    if (after <= this.#durable) return false;
    this.#held.push({ after, action });
    return true;
  }

  /** In the order in which they came. */
  *released(): Iterable<Action> {
    while (this.#held[0] !== undefined && this.#held[0].after <= this.#durable)
      yield (this.#held.shift() as { action: Action }).action;
  }

  /** Opaque state may outlive a crash that takes the end of the journal: it gets no batch whose record is not durable. */
  #afterOf(action: Action): Lsn {
    if ("after" in action) return action.after;
    const executes = this.#options.opaque && (action.kind === "execute" || action.kind === "install");
    return executes ? this.#written : (0 as Lsn);
  }
}
