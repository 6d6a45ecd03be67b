/**
 * PRE-PREPAREs that come a little too soon wait here instead of being lost: checkpoints reach replicas at different times, and the
 * primary of a new view may be ahead of us by its NEW-VIEW.
 */
import type { Context } from "./context.ts";
import type { PrePrepare } from "./messages.ts";
import type { ReplicaId, Sequence } from "./types.ts";

/** What is up to one interval above the window waits. */
export function earlyHigh(context: Context): Sequence {
  return (context.high() + context.options.checkpointInterval) as Sequence;
}

/** Keeps a proposal of the installed view's primary for when the window has moved. */
export function keepEarly(context: Context, from: ReplicaId, message: PrePrepare): void {
  const { state, options } = context;
  const { sequence, digest, time, bundles } = message;
  if (sequence > earlyHigh(context) || bundles.length > options.batchBundlesMax) {
    return context.ignore("aboveWindow", from);
  }
  if (!state.early.has(sequence)) state.early.set(sequence, { digest, time, bundles });
  if (sequence > state.lastSeen) state.lastSeen = sequence;
}

/** Keeps a proposal of the primary of a view that is not installed here for when it is; of one view only, the highest. */
export function keepForNext(context: Context, from: ReplicaId, message: PrePrepare): void {
  const { state, options } = context;
  const { view, sequence, digest, time, bundles } = message;
  const awaited = view === state.view + 1 || view === state.pending || view === state.awaited.get(from)?.view;
  const fits = sequence > state.low && sequence <= earlyHigh(context) && bundles.length <= options.batchBundlesMax;
  if (!awaited || !fits || view < state.next.view) return context.ignore("wrongView", from);
  if (view > state.next.view) state.next = { view, proposals: new Map() };
  if (!state.next.proposals.has(sequence)) state.next.proposals.set(sequence, { digest, time, bundles });
}
