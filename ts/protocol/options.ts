import type { ReplicaId } from "./types.ts";

/** What the core is told at construction; everything but `me` and the local bounds is equal on all replicas. */
export interface ReplicaOptions {
  /** Number of replicas, 4 … 31. */
  readonly n: number;
  /** Faulty replicas tolerated, 0 … ⌊(n−1)/3⌋. */
  readonly f: number;
  readonly me: ReplicaId;
  /** Sequences from one checkpoint to the next, ≥ 1. */
  readonly checkpointInterval: number;
  /** High watermark minus low watermark: a multiple of the interval, at least two of them. */
  readonly window: number;
  /** Sequences proposed and not committed that a backup accepts, ≤ window: bounds what a view change must carry. */
  readonly inFlightMax: number;
  readonly viewChangeTimeoutMs: number;
  readonly batchBundlesMax: number;
  /** Bytes of the bundles of one batch; a single bundle always fits. */
  readonly batchBytesMax: number;
  readonly poolBundlesMax: number;
  readonly poolBytesMax: number;
  /** How far a proposal's time may lie from this machine's clock, in milliseconds. */
  readonly timeBoundMs: number;
  /** Instances that this replica, as primary, keeps in flight before it lets requests gather in a larger batch; ≤ inFlightMax. */
  readonly pipelineDepth: number;
  /** Bytes of executed batches kept below the stable checkpoint, so that a short absence is replayed. */
  readonly historyBytesMax: number;
}

/** Instances in flight after which batches grow instead: more gain nothing on a local network and cost a packet round each. */
export const PIPELINE_DEPTH = 8;
/** Clocks of machines under NTP agree within milliseconds; five seconds forgive a machine that just woke up. */
export const TIME_BOUND_MS = 5_000;
/** Executed batches kept for peers that were away for a moment. */
export const HISTORY_BYTES_MAX = 32 * 1024 * 1024;
