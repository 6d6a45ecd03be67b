/** A primary that keeps every proposal back for a while: just short of what would make anybody's timer end. */
import type { Action } from "../../dist/protocol/core.js";
import type { Instant } from "../../dist/protocol/types.js";
import type { Fault } from "./false-core.ts";

export class SlowPrimary implements Fault {
  readonly #delayMs: number;
  readonly #kept: { readonly at: Instant; readonly action: Action }[] = [];

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  change(actions: readonly Action[], now: Instant): readonly Action[] {
    return actions.filter((action) => {
      if (action.kind !== "send" || action.message.type !== "prePrepare") return true;
      this.#kept.push({ at: (now + this.#delayMs) as Instant, action });
      return false;
    });
  }

  due(now: Instant): readonly Action[] {
    const later = this.#kept.findIndex(({ at }) => at > now);
    return this.#kept.splice(0, later < 0 ? this.#kept.length : later).map(({ action }) => action);
  }

  deadline(): Instant | undefined {
    return this.#kept[0]?.at;
  }
}
