/**
 * A Byzantine replica is an honest core whose actions pass through faults before they are performed. The shell below it is the
 * product's own and signs with that member's real key, so it can say anything in its own name and nothing in another's.
 */
import type { Action, Core, Input } from "../../dist/protocol/core.js";
import type { Instant } from "../../dist/protocol/types.js";

export interface Fault {
  /** What is performed instead of the actions of a step. */
  change?(actions: readonly Action[], now: Instant): readonly Action[];
  /** What is performed now by itself. */
  due?(now: Instant): readonly Action[];
  /** When {@link due} has something at the latest. */
  deadline?(): Instant | undefined;
  /** Whether an input answers this fault, and is none of the core's business. */
  takes?(input: Input): boolean;
}

export class FalseCore implements Core {
  readonly #honest: Core;
  readonly #faults: readonly Fault[];

  constructor(honest: Core, faults: readonly Fault[]) {
    this.#honest = honest;
    this.#faults = faults;
  }

  step(input: Input, now: Instant): readonly Action[] {
    let actions: readonly Action[] = this.#faults.some((fault) => fault.takes?.(input) === true)
      ? []
      : this.#honest.step(input, now);
    for (const fault of this.#faults) actions = fault.change?.(actions, now) ?? actions;
    return [...this.#faults.flatMap((fault) => fault.due?.(now) ?? []), ...actions];
  }

  deadline(): Instant | undefined {
    const all = [this.#honest.deadline(), ...this.#faults.map((fault) => fault.deadline?.())];
    const known = all.filter((at) => at !== undefined);
    return known.length === 0 ? undefined : (Math.min(...known) as Instant);
  }

  room(): ReturnType<Core["room"]> {
    return this.#honest.room();
  }
}
