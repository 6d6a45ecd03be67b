/**
 * What waits for its record: an action leaves only when the disk is durable up to the record it rests on. Between append and
 * acknowledgement, and between acknowledgement and leaving, a crash finds it here.
 */
import type { Lsn } from "../../protocol/types.ts";

interface Waiting {
  readonly after: Lsn;
  readonly leave: () => void;
}

export class Outbox {
  private readonly durable: () => Lsn;
  private waiting: Waiting[] = [];

  /** `durable` says how far the disk is. */
  constructor(durable: () => Lsn) {
    this.durable = durable;
  }

  get size(): number {
    return this.waiting.length;
  }

  /** Lets `leave` happen now, or when record `after` is durable. */
  push(after: Lsn, leave: () => void): void {
    if (after <= this.durable()) leave();
    else this.waiting.push({ after, leave });
  }

  /** More became durable. */
  flush(): void {
    const durable = this.durable();
    const ready = this.waiting.filter(({ after }) => after <= durable);
    if (ready.length === 0) return;
    this.waiting = this.waiting.filter(({ after }) => after > durable);
    for (const { leave } of ready) leave();
  }

  /** The process ended. */
  clear(): void {
    this.waiting = [];
  }
}
