/** Where durable records go. The journal itself is not in use yet: with `durability: "none"` nothing survives the process. */
import type { DurableRecord } from "../protocol/core.ts";
import type { Lsn, Sequence } from "../protocol/types.ts";

export interface JournalPort {
  append(lsn: Lsn, record: DurableRecord): void;
  /** Every record up to here is durable. */
  readonly persistedUpTo: Lsn;
  /** Our state after this stable checkpoint may be written down. */
  snapshot(sequence: Sequence): void;
  /** The newest state that became durable since the last call. */
  takeSnapshotted(): Sequence | undefined;
}

/** Acknowledges at once what it forgets at once. */
export class VolatileJournal implements JournalPort {
  persistedUpTo = 0 as Lsn;
  #snapshotted: Sequence | undefined;

  append(lsn: Lsn): void {
    this.persistedUpTo = lsn;
  }

  snapshot(sequence: Sequence): void {
    this.#snapshotted = sequence;
  }

  takeSnapshotted(): Sequence | undefined {
    const snapshotted = this.#snapshotted;
    this.#snapshotted = undefined;
    return snapshotted;
  }
}
