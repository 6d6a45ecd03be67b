/**
 * Which records of our journal still count. A snapshot replaces what is recorded of sequences up to it that are stable; a state that
 * f+1 vouch for may lie above those, and what was prepared there is still shown in VIEW-CHANGEs. Of leases, views and stable
 * checkpoints the last record counts, and moves up so that everything below can be freed.
 */
import type { Context } from "./context.ts";
import type { DurableRecord, StoredRecord } from "./core.ts";
import type { ReplicaState } from "./state.ts";
import type { Digest, Lsn, Sequence } from "./types.ts";

/** Notes what a record, new or found at a restart, stands for. */
export function account(state: ReplicaState, checkpointInterval: number, stored: StoredRecord): void {
  const { lsn, record } = stored;
  const sequence = sequenceOf(record);
  if (sequence === undefined) {
    if (record.type !== "cleanStop") state.standing.set(record.type, stored);
    // Entering a view is what leaving the one before was for; that it was entered may be recorded again while the next is awaited.
    const left = state.standing.get("viewLeft")?.record;
    if (record.type === "viewEntered" && left?.type === "viewLeft" && left.target <= record.newView.view)
      state.standing.delete("viewLeft");
    return;
  }
  if (sequence <= Math.min(state.snapshot, state.low)) return;
  const interval = (Math.floor((sequence - 1) / checkpointInterval) * checkpointInterval) as Sequence;
  if (!state.firstRecords.has(interval)) state.firstRecords.set(interval, lsn);
}

/** Our state after `sequence` is in a durable snapshot: a restart begins there. */
export function onSnapshotted(context: Context, sequence: Sequence): void {
  const { state } = context;
  if (sequence <= state.snapshot || sequence > state.lastExecuted) return;
  state.snapshot = sequence;
  free(context);
}

/** What is stable lies in a durable snapshot: it is freed. */
export function free(context: Context): void {
  const { state } = context;
  const through = Math.min(state.snapshot, state.low);
  let below = state.nextLsn;
  for (const [interval, lsn] of state.firstRecords) {
    if (interval < through) state.firstRecords.delete(interval);
    else below = Math.min(below, lsn) as Lsn;
  }
  for (const { lsn, record } of Array.from(state.standing.values())) if (lsn < below) context.persist(record);
  keepContradicted(context, below);
  context.emit({ kind: "truncate", below, after: (state.nextLsn - 1) as Lsn });
}

/** We signed another root than the Q replicas of the stable checkpoint: who restarts with their state may not sign that one as well. */
function keepContradicted(context: Context, below: Lsn): void {
  const { ownCheckpoints, low: sequence, stableDigest } = context.state;
  const own = ownCheckpoints.get(sequence);
  if (own === undefined || own.digest === stableDigest || own.lsn >= below) return;
  recordOwn(context, sequence, own.digest);
}

/** Records our CHECKPOINT at a sequence up to which nothing is left to be executed again. */
export function recordOwn(context: Context, sequence: Sequence, digest: Digest): void {
  const first = (sequence + 1) as Sequence;
  const lsn = context.persist({ type: "checkpoint", sequence, digest, first, batches: [] });
  context.state.ownCheckpoints.set(sequence, { digest, lsn });
}

/** The sequence that a record is about; undefined for those of which the last one counts. */
function sequenceOf(record: DurableRecord): Sequence | undefined {
  switch (record.type) {
    case "prepared":
      return record.certificate.sequence;
    case "decided":
    case "checkpoint":
      return record.sequence;
    default:
      return undefined;
  }
}
