/**
 * Vote leases keep the disk off the path of the first two phases: ahead of need a replica persists "may vote in view v up to
 * H". PRE-PREPARE and PREPARE rest on the lease that covers them and leave at once when it is durable. After an unclean restart
 * the replica is fenced up to the highest lease of the view, since it may have voted anywhere below.
 */
import type { Context } from "./context.ts";
import type { Lsn, Sequence } from "./types.ts";

/** Persists a lease for the view as far as one window above what may be voted on now, unless half of that is still left. */
export function extendLease(context: Context): void {
  const { state, options } = context;
  const newest = state.leases.at(-1);
  const high = context.high();
  if (newest !== undefined && newest.view === state.view && newest.through >= high + options.window / 2) return;
  const through = Math.max(high + options.window, fencedThrough(context)) as Sequence;
  const lsn = context.persist({ type: "lease", view: state.view, through });
  const needed = state.leases.filter((lease) => lease.view === state.view && lease.through > state.low);
  state.leases.splice(0, state.leases.length, ...needed, { view: state.view, through, lsn });
}

/** Up to here no PRE-PREPARE or PREPARE leaves in the installed view: a process before this one may have said something else. */
export function fencedThrough({ state }: Context): Sequence {
  return state.fence?.view === state.view ? state.fence.through : (0 as Sequence);
}

/** The same, for a replica whose disk was wiped all sequences. */
export function silentThrough(context: Context): Sequence {
  return context.state.amnesia === undefined ? fencedThrough(context) : (Number.MAX_SAFE_INTEGER as Sequence);
}

/** Whether the fence still keeps us from voting. */
export function isFenced(context: Context): boolean {
  return silentThrough(context) > context.state.low;
}

/** The record that a vote for `sequence` in the current view rests on. */
export function leaseFor(context: Context, sequence: Sequence): Lsn | undefined {
  const { leases, view } = context.state;
  return leases.find((lease) => lease.view === view && lease.through >= sequence)?.lsn;
}
