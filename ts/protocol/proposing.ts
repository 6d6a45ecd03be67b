/** When a primary proposes: whatever waits, as long as there is room. There is no timer, so an idle cluster answers at once. */
import type { Context } from "./context.ts";
import type { RequestPool } from "./request-pool.ts";
import type { AgreedTime, Sequence } from "./types.ts";
import { silentThrough } from "./vote-leases.ts";

/** As primary, hands what waits to assembly, batch by batch. */
export function propose(context: Context, pool: RequestPool): void {
  const { state } = context;
  while (mayPropose(context, pool)) {
    const bundles = pool.take();
    if (bundles.length === 0) return;
    const sequence = (state.lastProposed + 1) as Sequence;
    const time = Math.max(context.wallClock(), state.lastProposedTime) as AgreedTime;
    state.lastProposed = sequence;
    state.lastProposedTime = time;
    pool.keep(bundles);
    state.assembling.set(sequence, { time, bundles });
    context.emit({ kind: "assemble", view: state.view, sequence, time, bundles });
  }
}

function mayPropose(context: Context, pool: RequestPool): boolean {
  const { state, options } = context;
  if (!context.isPrimary() || context.isChangingView() || state.stopAt !== undefined) return false;
  if (state.lastExecuted < state.low) return false; // without the state of the stable checkpoint: no fresh PRE-PREPARE
  const next = state.lastProposed + 1;
  if (next > context.high() || next <= silentThrough(context)) return false;
  const inFlight = next - 1 - Math.max(state.low, state.committedPrefix);
  if (inFlight >= Math.min(options.pipelineDepth, options.inFlightMax)) return false;
  // An instance costs the same however little is in it: the more are under way, the more has to wait for another.
  return pool.waits(inFlight);
}
