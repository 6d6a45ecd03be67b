/**
 * Sessions by the batch that executed them last, then by id. Batches come in ascending order, so that a Map by batch is
 * sorted as it is filled; only the sessions of one batch are compared, and a batch has few.
 */
import { assert } from "../protocol/assert.ts";
import type { SessionId } from "../protocol/types.ts";

export class EvictionOrder {
  readonly #byBatch = new Map<number, Set<SessionId>>();

  constructor(sessions: readonly { readonly id: SessionId; readonly lastExecuted: number }[]) {
    const sorted = [...sessions].sort((a, b) => a.lastExecuted - b.lastExecuted);
    for (const { id, lastExecuted } of sorted) this.touch(id, undefined, lastExecuted);
  }

  /** The session that goes first. There must be one. */
  first(): SessionId {
    const [ids] = this.#byBatch.values();
    assert(ids !== undefined, "a full table has a session");
    let lowest = Number.POSITIVE_INFINITY;
    for (const id of ids) lowest = Math.min(lowest, id);
    return lowest as SessionId;
  }

  /** Moves a session from the batch it was last executed in, if any, to the newest. */
  touch(id: SessionId, before: number | undefined, sequence: number): void {
    if (before !== undefined) this.delete(id, before);
    const ids = this.#byBatch.get(sequence);
    if (ids === undefined) this.#byBatch.set(sequence, new Set([id]));
    else ids.add(id);
  }

  delete(id: SessionId, lastExecuted: number): void {
    const ids = this.#byBatch.get(lastExecuted);
    ids?.delete(id);
    if (ids?.size === 0) this.#byBatch.delete(lastExecuted);
  }
}
