/** Executes what is decided, in order and without gaps, and keeps the executed batches for peers that were away. */
import type { Context } from "./context.ts";
import type { SessionChanges } from "./core.ts";
import type { RequestPool } from "./request-pool.ts";
import type { Decision } from "./state.ts";
import type { Lsn, Run, Sequence } from "./types.ts";

export class Execution {
  readonly #context: Context;
  readonly #pool: RequestPool;

  constructor(context: Context, pool: RequestPool) {
    this.#context = context;
    this.#pool = pool;
  }

  /** Hands every decided batch whose turn it is to execution, and asks for a checkpoint exactly after each interval. */
  advance(): void {
    const { state, options } = this.#context;
    while (state.installing === undefined && state.divergedAt === undefined) {
      const sequence = (state.executing + 1) as Sequence;
      if (sequence > state.lastExecuted + options.window) return; // what hangs may not gather work without bound
      const decision = state.slots.get(sequence)?.decision;
      if (decision === undefined || decision.missing.size > 0) return;
      state.executing = sequence;
      state.sinceCheckpoint.set(sequence, decision.digest);
      const { digest, time, bundles } = decision;
      const { run } = state;
      this.#context.emit({ kind: "execute", run, sequence, digest, time, bundles, tentative: false });
      if (sequence % options.checkpointInterval === 0) this.#context.emit({ kind: "checkpoint", run, sequence });
    }
  }

  /** Every batch up to `through` was executed; `sessions` is what all of them changed. */
  onExecuted(run: Run, through: Sequence, sessions: SessionChanges): void {
    const { state } = this.#context;
    if (run !== state.run || through > state.executing) return this.#context.ignore("staleRun");
    for (let sequence = state.lastExecuted + 1; sequence <= through; sequence++) {
      const decision = state.slots.get(sequence as Sequence)?.decision as Decision;
      state.lastExecuted = sequence as Sequence;
      this.#remember(sequence as Sequence, decision);
      this.#pool.onExecuted(decision.bundles, sequence === through ? sessions : undefined);
      const { view } = state;
      const after = decision.lsn as Lsn;
      this.#context.emit({ kind: "reply", sequence: sequence as Sequence, view, tentative: false, after });
      state.decidedClaims.delete(sequence as Sequence);
      if (sequence === through) this.#context.emit({ kind: "commit", through, after });
    }
    this.#pool.followCommitted();
    this.trimHistory();
    this.#context.progress();
    this.advance();
  }

  /**
   * Forgets executed batches from the oldest on: none above the stable checkpoint, as others may still need them, unless we are
   * so far above it that others must have a later one.
   */
  trimHistory(): void {
    const { state, options } = this.#context;
    const replaced = Math.max(state.low, state.lastExecuted - 2 * options.window);
    for (const [sequence, batch] of state.history) {
      const old = sequence <= replaced - options.window;
      if (sequence > replaced || !(old || state.historyBytes > options.historyBytesMax)) return;
      state.history.delete(sequence);
      state.historyBytes -= batch.bytes;
      this.#pool.drop(batch.bundles);
    }
  }

  #remember(sequence: Sequence, decision: Decision): void {
    const { state } = this.#context;
    const { digest, time, bundles } = decision;
    if (state.history.has(sequence)) return; // executed once more on a state that was fetched
    const bytes = bundles.reduce((sum, bundle) => sum + (state.bundles.get(bundle)?.ref.bytes ?? 0), 0);
    this.#pool.keep(bundles);
    state.history.set(sequence, { sequence, digest, time, bundles, bytes, lsn: decision.lsn as Lsn });
    state.historyBytes += bytes;
  }
}
