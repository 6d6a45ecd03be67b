/** Where durable records go. The journal itself is not built yet: with `durability: "none"` nothing survives the process. */
import type { DurableRecord } from "../protocol/core.ts";
import type { Lsn } from "../protocol/types.ts";

export interface JournalPort {
  append(lsn: Lsn, record: DurableRecord): void;
  /** Every record up to here is durable. */
  readonly persistedUpTo: Lsn;
}

/** Acknowledges at once what it forgets at once. */
export class VolatileJournal implements JournalPort {
  persistedUpTo = 0 as Lsn;

  append(lsn: Lsn): void {
    this.persistedUpTo = lsn;
  }
}
