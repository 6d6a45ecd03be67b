/** A replica that takes part and is not heard: what it would send is dropped, all of it or every so manieth message. */
import type { Action } from "../../dist/protocol/core.js";
import type { Fault } from "./false-core.ts";

const LEAVING: ReadonlySet<Action["kind"]> = new Set(["send", "forward", "reply", "answer", "busy", "fetch"]);

export class Omitter implements Fault {
  readonly #every: number;
  #count = 0;

  /** @param every 1 drops everything, 2 every second message. */
  constructor(every: number) {
    this.#every = every;
  }

  change(actions: readonly Action[]): readonly Action[] {
    return actions.filter(({ kind }) => !LEAVING.has(kind) || ++this.#count % this.#every !== 0);
  }
}
