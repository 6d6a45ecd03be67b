/** What a node counts about itself, and the numbers that users see. */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import type { IgnoredReason, ViewChangeCause } from "../protocol/core.ts";

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface NodeMetrics {
  /** Milliseconds since the Unix epoch when these numbers were taken; at most a second ago. */
  readonly takenAtMs: number;
  /** From the arrival of a bundle at this replica to its execution here. */
  readonly latencyMs: Percentiles;
  /** Operations executed per second, over the last ten seconds. */
  readonly throughput: number;
  readonly operationsExecuted: number;
  readonly batchesExecuted: number;
  readonly view: number;
  readonly primary: string;
  /** The view that this replica asked for when it left the last one; undefined while it takes part. */
  readonly pendingView: number | undefined;
  /** The disk was lost, and the cluster has not gone on far enough since: this replica executes, and votes for nothing. */
  readonly recovering: boolean;
  /** Views installed, by why the one before was left. */
  readonly viewChanges: Readonly<Partial<Record<ViewChangeCause, number>>>;
  /** Views that this replica left, by cause. */
  readonly viewsLeft: Readonly<Partial<Record<ViewChangeCause, number>>>;
  /** Messages sent again because a peer's STATUS asked for them. */
  readonly retransmissions: number;
  /** Checkpoints at which this replica's own state was not the one that the cluster signed. */
  readonly divergences: number;
  /** States that were fetched from others and took the place of this replica's own. */
  readonly stateTransfers: number;
  readonly lastExecuted: number;
  readonly checkpoints: { readonly latest: number; readonly stable: number; readonly stableDigest: string };
  /** Sequences between the low watermark and the last one seen, and how many fit. */
  readonly window: { readonly used: number; readonly size: number };
  readonly pool: { readonly bundles: number; readonly bytes: number };
  /** Messages dropped before the core (bad signature, wrong sender, malformed …) by reason. */
  readonly rejected: Readonly<Record<string, number>>;
  /** The same by the peer that sent them; what no replica sent is under `clients`. */
  readonly rejectedByPeer: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Connections that were refused or closed for a violation, by reason. */
  readonly connectionsRefused: Readonly<Record<string, number>>;
  readonly clients: { readonly connected: number; readonly bytesSent: number; readonly bytesReceived: number };
  /** Messages that the core ignored, by reason: stale, repeated, early, full. */
  readonly ignored: Readonly<Partial<Record<IgnoredReason, number>>>;
  /** From the turn that wanted to send a PRE-PREPARE to the end of the call that handed it to every connection, in milliseconds. */
  readonly broadcastMs: Percentiles;
  readonly peers: Readonly<Record<string, PeerMetrics>>;
  readonly messages: Readonly<
    Record<
      string,
      { readonly sent: number; readonly received: number; readonly bytesSent: number; readonly bytesReceived: number }
    >
  >;
  /** Undefined where nothing is durable. */
  readonly journal: JournalMetrics | undefined;
  /** Turns of the reactor, and the calls into the addon that they took: one each. */
  readonly turns: number;
  readonly crossings: number;
}

/** The durable log. `records / syncs` is how many records share a sync. */
export interface JournalMetrics {
  /** `running`, or why nothing becomes durable: `stalled`, `full` (both end by themselves), `fsyncFailed`, `readOnly`, `corrupt`. */
  readonly status: string;
  readonly records: number;
  readonly syncs: number;
  readonly bytes: number;
  /** Milliseconds that a write with its sync took: no more than this in half, and in 99 of 100. */
  readonly syncMsP50: number;
  readonly syncMsP99: number;
  /** How long the running write has lasted; 0 when idle. */
  readonly writingForMs: number;
  /** Bytes that wait for the disk. */
  readonly queuedBytes: number;
  readonly segmentsFreed: number;
  /** Times that the disk had not prepared the next segment when it was needed. */
  readonly spareWaits: number;
}

export interface PeerMetrics {
  readonly connected: boolean;
  /** Smoothed round trip; undefined while not connected. */
  readonly rttMs: number | undefined;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly queuedBytes: number;
  /** Frames dropped because a queue was full or a connection ended; repaired by STATUS. */
  readonly framesDropped: number;
  /** Connections that came up. */
  readonly connects: number;
  /** Why the last dial failed, while not connected. */
  readonly lastError: string | undefined;
}

/** Counts by name. */
export class Counters<Name extends string = string> {
  readonly #counts = new Map<Name, number>();

  add(name: Name, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  snapshot(): Record<Name, number> {
    return Object.fromEntries(this.#counts) as Record<Name, number>;
  }
}

/** Durations in microseconds up to a minute, to three figures. */
export class Durations {
  readonly #histogram: RecordableHistogram = createHistogram({ lowest: 1, highest: 60_000_000, figures: 3 });

  recordMs(milliseconds: number): void {
    this.#histogram.record(Math.min(60_000_000, Math.max(1, Math.round(milliseconds * 1000))));
  }

  percentiles(): Percentiles {
    if (this.#histogram.count === 0) return { p50: 0, p95: 0, p99: 0 };
    const at = (percentile: number): number => this.#histogram.percentile(percentile) / 1000;
    return { p50: at(50), p95: at(95), p99: at(99) };
  }
}

/** Seconds over which throughput is averaged. */
const RATE_SECONDS = 10;

/** How many per second lately. */
export class Rate {
  readonly #buckets = new Float64Array(RATE_SECONDS);
  #second = 0;
  #since: number | undefined;

  add(count: number, nowMs: number): void {
    this.#turnTo(nowMs);
    const index = this.#second % RATE_SECONDS;
    this.#buckets[index] = (this.#buckets[index] ?? 0) + count;
  }

  perSecond(nowMs: number): number {
    this.#turnTo(nowMs);
    const seconds = Math.min(RATE_SECONDS, Math.max(1, (nowMs - (this.#since ?? nowMs)) / 1000));
    return this.#buckets.reduce((sum, count) => sum + count, 0) / seconds;
  }

  #turnTo(nowMs: number): void {
    this.#since ??= nowMs;
    const second = Math.floor(nowMs / 1000);
    const passed = Math.min(RATE_SECONDS, second - this.#second);
    for (let i = 1; i <= passed; i++) this.#buckets[(this.#second + i) % RATE_SECONDS] = 0;
    this.#second = second;
  }
}
