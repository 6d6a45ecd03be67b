/** Who is primary. Views start at 0 and go round the replicas (OSDI'99 §4.1: p = v mod |R|). */
import type { Context } from "./context.ts";
import type { ReplicaId, View } from "./types.ts";

export class ViewManager {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  primaryOf(view: View): ReplicaId {
    return (view % this.#context.options.n) as ReplicaId;
  }

  primary(): ReplicaId {
    return this.primaryOf(this.#context.state.view);
  }

  isPrimary(): boolean {
    return this.primary() === this.#context.options.me;
  }
}
