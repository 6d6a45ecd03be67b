/** A replica that asks for ever higher views, all the time, with VIEW-CHANGEs that are rightly made and signed. */
import type { Action, Input } from "../../dist/protocol/core.js";
import type { ViewChange } from "../../dist/protocol/messages.js";
import type { Digest, Instant, Lsn, ReplicaSet, View } from "../../dist/protocol/types.js";
import type { Fault } from "./false-core.ts";

/** Far from any view that the replica's own core asks for. */
const FIRST_TARGET = 2 ** 40;

export class ViewSpammer implements Fault {
  readonly #to: ReplicaSet;
  readonly #everyMs: number;
  readonly #sealed: ViewChange[] = [];
  #target = FIRST_TARGET as View;
  #at: Instant | undefined;
  #sent: Digest | undefined;

  /** @param to Everybody else. */
  constructor(to: ReplicaSet, everyMs: number) {
    this.#to = to;
    this.#everyMs = everyMs;
  }

  takes(input: Input): boolean {
    if (input.kind !== "sealed" || input.target < FIRST_TARGET) return false;
    this.#sealed.push({ ...bare(input.target), digest: input.digest });
    return true;
  }

  due(now: Instant): readonly Action[] {
    const actions = this.#sealed.splice(0).flatMap((message) => this.#spread(message));
    if (this.#at !== undefined && this.#at > now) return actions;
    this.#at = (now + this.#everyMs) as Instant;
    this.#target = (this.#target + 1) as View;
    return [...actions, { kind: "seal", message: bare(this.#target) }];
  }

  deadline(): Instant | undefined {
    return this.#sealed.length > 0 ? (0 as Instant) : this.#at;
  }

  /** The one before is not kept any longer. */
  #spread(message: ViewChange): readonly Action[] {
    const before = this.#sent;
    this.#sent = message.digest;
    const spread: Action = { kind: "send", to: this.#to, message, after: 0 as Lsn };
    return before === undefined ? [spread] : [{ kind: "forget", what: "viewChange", digests: [before] }, spread];
  }
}

function bare(target: View): Omit<ViewChange, "digest"> {
  return { type: "viewChange", target, stable: undefined, prepared: [] };
}
