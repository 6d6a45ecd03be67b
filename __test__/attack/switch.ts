/** Faults that begin and end when they are told to, so that one cluster can be measured with and without them. */
import type { Action, Input } from "../../dist/protocol/core.js";
import type { Instant } from "../../dist/protocol/types.js";
import type { Fault } from "./false-core.ts";

export class Switch implements Fault {
  readonly #fault: Fault;
  /** Whether the fault acts. */
  on: boolean;

  constructor(fault: Fault, on: boolean) {
    this.#fault = fault;
    this.on = on;
  }

  change(actions: readonly Action[], now: Instant): readonly Action[] {
    return this.on ? (this.#fault.change?.(actions, now) ?? actions) : actions;
  }

  due(now: Instant): readonly Action[] {
    return this.on ? (this.#fault.due?.(now) ?? []) : [];
  }

  deadline(): Instant | undefined {
    return this.on ? this.#fault.deadline?.() : undefined;
  }

  /** What it asked for before it was switched off is still its own. */
  takes(input: Input): boolean {
    return this.#fault.takes?.(input) ?? false;
  }
}
