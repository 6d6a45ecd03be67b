/**
 * The simulated disk: records become durable in groups, after a delay, and snapshots replace each other at once. What a crash leaves
 * behind is the caller's choice among what real disks do; this file only offers the ways.
 */
import type { DiskReason, Input } from "../../protocol/core.ts";
import type { Lsn, Sequence } from "../../protocol/types.ts";
import type { MapVersion } from "../../state/replicated-map.ts";
import type { Situation } from "../coverage.ts";
import type { Prng } from "../prng.ts";
import type { Scheduler } from "../scheduler.ts";
import type { FoundJournal, JournalEntry, Snapshot } from "./journal.ts";

/**
 * What a crash does to the disk: `kept` loses what no fsync covered, `torn` keeps a random prefix of that, `lost` is another
 * disk.
 */
export type CrashMode = "kept" | "torn" | "lost";

/** What a process finds that starts now. */
export type Found = { readonly type: "genesis" | "wiped" } | ({ readonly type: "journal" } & FoundJournal);

export interface DiskOptions {
  /** Mean of the time that one fsync takes; 0 acknowledges in the next turn. */
  readonly meanMs: number;
  /** Whether disks outlive processes. Without, the first crash loses the disk, and later ones do now and then. */
  readonly journal: boolean;
  /** Records became durable. */
  readonly onDurable: (entries: readonly JournalEntry[]) => void;
  /** Something for the core. */
  readonly onInput: (input: Input) => void;
}

/** How often a disk in place of a lost one is lost too when its process ends. */
const LOST_AGAIN = 0.3;

export class Disk {
  private readonly scheduler: Scheduler;
  private readonly prng: Prng;
  private readonly options: DiskOptions;
  private durable: JournalEntry[] = [];
  private pending: JournalEntry[] = [];
  private snapshot: Snapshot | undefined;
  /** Records that are not needed once a later one is durable. */
  private freed: { readonly below: Lsn; readonly after: Lsn } | undefined;
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

  append(entry: JournalEntry): void {
    if (this.failure !== undefined) return;
    this.pending.push(entry);
    if (this.writing === 0) this.flush();
  }

  /** Frees what lies below `below` when `after` is durable. */
  truncate(below: Lsn, after: Lsn): void {
    this.freed = { below, after };
    this.free();
  }

  /** Writes a snapshot beside the one before, which it replaces when it is durable; then `done`. */
  writeSnapshot(sequence: Sequence, version: MapVersion, done: () => void): void {
    const { life } = this;
    this.scheduler.after(this.delayMs(), () => {
      if (life !== this.life || this.failure !== undefined) return;
      if (sequence > (this.snapshot?.sequence ?? 0)) this.snapshot = { sequence, version };
      done();
    });
  }

  /** From now on no fsync succeeds, and the core is told why. */
  fail(reason: DiskReason): void {
    this.failure = reason;
    this.options.onInput({ kind: "diskFailed", reason });
  }

  crash(mode: CrashMode): void {
    this.life++;
    this.writing = 0;
    this.freed = undefined;
    if (mode === "torn") this.durable.push(...this.pending.slice(0, this.prng.below(this.pending.length + 1)));
    this.pending = [];
    const isLost = !this.options.journal && (!this.wiped || this.prng.chance(LOST_AGAIN));
    if (mode !== "lost" && !isLost) return;
    this.durable = [];
    this.snapshot = undefined;
    this.wiped = true;
  }

  /** An image of some time before is put in its place: a part of the records, or where there is no journal none of them. */
  rollBack(): void {
    this.durable = this.options.journal ? this.durable.slice(0, this.prng.below(this.durable.length + 1)) : [];
    if (!this.options.journal) this.snapshot = undefined;
    this.started = this.options.journal;
    this.wiped = false;
  }

  /** The state that a process starts with. */
  get newestSnapshot(): Snapshot | undefined {
    return this.snapshot;
  }

  recover(): Found {
    const first = !this.started && !this.wiped;
    this.started = true;
    if (first) return { type: "genesis" };
    if (this.wiped && this.durable.length === 0) return { type: "wiped" };
    return { type: "journal", entries: [...this.durable], snapshot: this.snapshot, wiped: this.wiped };
  }

  private flush(): void {
    this.writing = this.pending.length;
    const { life } = this;
    this.scheduler.after(this.delayMs(), () => {
      if (life !== this.life || this.failure !== undefined) return;
      const written = this.pending.splice(0, this.writing);
      this.writing = 0;
      this.durable.push(...written);
      this.free();
      this.options.onDurable(written);
      this.options.onInput({ kind: "persisted", upTo: this.durableThrough });
      if (this.pending.length > 0) this.flush();
    });
  }

  private free(): void {
    if (this.freed === undefined || this.durableThrough < this.freed.after) return;
    const { below } = this.freed;
    this.freed = undefined;
    this.durable = this.durable.filter(({ lsn }) => lsn >= below);
  }

  private delayMs(): number {
    return this.options.meanMs > 0 ? this.prng.exponential(this.options.meanMs) : 0;
  }
}

/** What kinds of restart this is, for the coverage of a run. */
export function situationsOf(found: Found): Situation[] {
  if (found.type !== "journal") return found.type === "wiped" ? ["wiped restart"] : [];
  const situations: Situation[] = ["restarted from records"];
  if (found.snapshot !== undefined) situations.push("restarted from a snapshot");
  if (found.entries.at(-1)?.record.type === "cleanStop") situations.push("clean stop");
  return situations;
}
