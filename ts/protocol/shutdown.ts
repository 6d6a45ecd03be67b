/**
 * Stopping in order: a primary hands its view over first, so that nobody waits for a timeout; then the last record says how far
 * we voted, so that the next process is fenced no further.
 */
import type { Context } from "./context.ts";
import type { Instant, Sequence, View } from "./types.ts";
import { fencedThrough } from "./vote-leases.ts";
import type { ViewManager } from "./view-manager.ts";

/** A hand-over takes four message delays; who cannot have one in this time stops without. */
const HAND_OVER_MS = 1_000;

export class Shutdown {
  readonly #context: Context;
  readonly #views: ViewManager;

  constructor(context: Context, views: ViewManager) {
    this.#context = context;
    this.#views = views;
  }

  onStop(): void {
    const { state, options, now } = this.#context;
    if (state.status !== "running" || state.stopAt !== undefined) return;
    const isNeeded = this.#context.isPrimary() && !this.#context.isChangingView();
    state.stopAt = (isNeeded ? now + Math.min(HAND_OVER_MS, options.viewChangeTimeoutMs) : now) as Instant;
    if (isNeeded) this.#views.leave((state.view + 1) as View, "handOver");
  }

  /** After each step. */
  settle(): void {
    const { state, now } = this.#context;
    if (state.stopAt === undefined || state.status !== "running") return;
    const isHandedOver = !this.#context.isChangingView() && !this.#context.isPrimary();
    // Without a quorum that hears us there is nobody to hand over to.
    const isHeard = state.linked.size + 1 >= this.#context.quorums.quorum;
    if (isHeard && !isHandedOver && now < state.stopAt) return;
    // A process before this one may have voted up to its fence.
    let through = Math.max(state.low, fencedThrough(this.#context));
    for (const { sequence, voted } of state.slots.values()) if (voted && sequence > through) through = sequence;
    const after = this.#context.persist({ type: "cleanStop", view: state.view, through: through as Sequence });
    state.status = "stopped";
    this.#context.emit({ kind: "stopped", after });
  }

  deadline(): Instant | undefined {
    return this.#context.state.stopAt;
  }
}
