/**
 * The simulated disk: records become durable in groups, after a delay. What a crash leaves behind is the caller's choice among
 * what real disks do; this file only offers the ways.
 */
import type { DiskReason, DurableRecord, DurableState, Input } from "../../protocol/core.ts";
import { ZERO_DIGEST, type Lsn, type Sequence } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import type { Scheduler } from "../scheduler.ts";

export interface StoredRecord {
  readonly lsn: Lsn;
  readonly record: DurableRecord;
}

/**
 * What a crash does to the disk: `kept` loses what no fsync covered, `torn` keeps a random prefix of that, `lost` is another
 * disk.
 */
export type CrashMode = "kept" | "torn" | "lost";

export interface DiskOptions {
  /** Mean of the time that one fsync takes; 0 acknowledges in the next turn. */
  readonly meanMs: number;
  /** Whether a process can start again from the records. Without, every restart is one on a wiped disk. */
  readonly journal: boolean;
  /** Records became durable. */
  readonly onDurable: (records: readonly StoredRecord[]) => void;
  /** Something for the core. */
  readonly onInput: (input: Input) => void;
}

export class Disk {
  private readonly scheduler: Scheduler;
  private readonly prng: Prng;
  private readonly options: DiskOptions;
  private durable: StoredRecord[] = [];
  private pending: StoredRecord[] = [];
  private writing = 0;
  private failure: DiskReason | undefined;
  private wiped = false;
  private started = false;
  /** Acknowledgements of writes that were under way when the process ended are nobody's. */
  private life = 0;

  constructor(scheduler: Scheduler, prng: Prng, options: DiskOptions) {
    this.scheduler = scheduler;
    this.prng = prng;
    this.options = options;
  }

  /** Everything up to here survives a crash. */
  get durableThrough(): Lsn {
    return this.durable.at(-1)?.lsn ?? (0 as Lsn);
  }

  append(lsn: Lsn, record: DurableRecord): void {
    if (this.failure !== undefined) return;
    this.pending.push({ lsn, record });
    if (this.writing === 0) this.flush();
  }

  /** From now on no fsync succeeds, and the core is told why. */
  fail(reason: DiskReason): void {
    this.failure = reason;
    this.options.onInput({ kind: "diskFailed", reason });
  }

  crash(mode: CrashMode): void {
    this.life++;
    this.writing = 0;
    if (mode === "torn") this.durable.push(...this.pending.slice(0, this.prng.below(this.pending.length + 1)));
    this.pending = [];
    if (mode !== "lost") return;
    this.durable = [];
    this.wiped = true;
  }

  /** An image of some time before is put in its place: a part of the records, or where there is no journal none of them. */
  rollBack(): void {
    this.durable = this.options.journal ? this.durable.slice(0, this.prng.below(this.durable.length + 1)) : [];
    this.started = this.options.journal;
    this.wiped = false;
  }

  /** What a process finds that starts now. No snapshot is kept here: a journal goes back to the beginning. */
  recover(): DurableState {
    const first = !this.started && !this.wiped;
    this.started = true;
    if (first) return { type: "genesis" };
    if (this.wiped || !this.options.journal) return { type: "wiped" };
    const snapshot = { sequence: 0 as Sequence, digest: ZERO_DIGEST };
    return { type: "restart", clean: false, snapshot, records: [...this.durable] };
  }

  private flush(): void {
    this.writing = this.pending.length;
    const { life } = this;
    const delayMs = this.options.meanMs > 0 ? this.prng.exponential(this.options.meanMs) : 0;
    this.scheduler.after(delayMs, () => {
      if (life !== this.life || this.failure !== undefined) return;
      const written = this.pending.splice(0, this.writing);
      this.writing = 0;
      this.durable.push(...written);
      this.options.onDurable(written);
      this.options.onInput({ kind: "persisted", upTo: this.durableThrough });
      if (this.pending.length > 0) this.flush();
    });
  }
}
