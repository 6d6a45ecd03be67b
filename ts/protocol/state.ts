/**
 * Everything that a replica's core remembers, as plain data: it can be printed, compared, kept by the flight recorder and
 * loaded again. The rooms (`consensus-protocol.ts`, `checkpoint-manager.ts`, …) hold the rules and no memory of their own.
 */
import type { BatchContent, BundleRef } from "./messages.ts";
import {
  ZERO_DIGEST,
  type AgreedTime,
  type ClientKey,
  type Digest,
  type Instant,
  type Lsn,
  type ReplicaId,
  type ReplicaSet,
  type Run,
  type Sequence,
  type SessionId,
  type View,
} from "./types.ts";

/** A proposal that was accepted for one sequence in one view. The first one stays (OSDI'99 §4.2). */
export interface Proposal extends BatchContent {
  readonly view: View;
  readonly digest: Digest;
  /** Bodies named and not held; PREPARE waits for them. */
  readonly missing: Set<Digest>;
  /** Our clock agrees with its time, or f+1 replicas vouch for it, or a view change carried it. */
  timeVouched: boolean;
  /** Breaks a rule that only its bodies show; never gets our vote. */
  refused: boolean;
}

/** One instance of the three-phase protocol. */
export interface Slot {
  readonly sequence: Sequence;
  proposal: Proposal | undefined;
  /** Verified PREPARE signers per digest in the current view; at most one digest per signer, so at most n of them. */
  readonly prepares: Map<Digest, ReplicaSet>;
  readonly commits: Map<Digest, ReplicaSet>;
  /** Our PREPARE (or PRE-PREPARE) of the current view was emitted. */
  voted: boolean;
  /** The record that our COMMIT rests on; 0 until prepared here. */
  preparedLsn: Lsn;
  /** What was decided, by a commit certificate or by f+1 DECIDED. */
  decision: Decision | undefined;
}

export interface Decision extends BatchContent {
  readonly digest: Digest;
  readonly missing: Set<Digest>;
  /** The record that replies to it rest on. */
  readonly lsn: Lsn;
}

/** An executed batch, kept for peers until it falls out of the history. */
export interface ExecutedBatch extends BatchContent {
  readonly sequence: Sequence;
  readonly digest: Digest;
  readonly bytes: number;
  readonly lsn: Lsn;
}

/** DECIDED claims for one sequence that is not executed here. */
export interface DecidedClaims {
  /** Digest claimed by each replica; its first claim stays. */
  readonly by: Map<ReplicaId, Digest>;
  readonly contents: Map<Digest, BatchContent>;
}

/** A body that is held, and who still needs it. */
export interface HeldBundle {
  readonly ref: BundleRef;
  /** Waits for its execution. */
  pooled: boolean;
  /** Proposed by us, or named by an accepted proposal, in the current view. */
  proposed: boolean;
}

/** The waiting bundles of one client and its share of the next batches (deficit round robin, in {@link costOf} units). */
export interface ClientQueue {
  readonly waiting: Digest[];
  deficit: number;
}

/** What the core knows of a session: enough to refuse duplicates early and to end timers. */
export interface SessionRecord {
  readonly client: ClientKey;
  acknowledgedThrough: number;
  /** Executed client sequences above it, as ascending disjoint ranges [first, last]. */
  executed: (readonly [first: number, last: number])[];
}

export interface ReplicaState {
  status: "starting" | "running" | "halted";
  view: View;
  /** The stable checkpoint: low watermark h. */
  low: Sequence;
  stableDigest: Digest;
  /** Highest sequence that this replica assigned as primary. */
  lastProposed: Sequence;
  /** Highest sequence that anything was accepted for. */
  lastSeen: Sequence;
  /** Time of the last proposal of ours, so that agreed time does not run backwards under one primary. */
  lastProposedTime: AgreedTime;
  /** Every sequence up to here is decided here. */
  committedPrefix: Sequence;
  /** Every sequence up to here was handed to execution. */
  executing: Sequence;
  lastExecuted: Sequence;
  run: Run;
  readonly slots: Map<Sequence, Slot>;
  /** Batches in assembly, by sequence. */
  readonly assembling: Map<Sequence, BatchContent>;
  /** PRE-PREPAREs of this view's primary slightly above what may be accepted now. */
  readonly early: Map<Sequence, BatchContent & { readonly digest: Digest }>;
  readonly history: Map<Sequence, ExecutedBatch>;
  historyBytes: number;
  readonly decidedClaims: Map<Sequence, DecidedClaims>;

  readonly bundles: Map<Digest, HeldBundle>;
  /** How many accepted proposals, decisions and executed batches name a body, held or not. */
  readonly uses: Map<Digest, number>;
  /** Sequences that wait for a body. */
  readonly waiting: Map<Digest, Set<Sequence>>;
  /** Bundles to be proposed, per client in order of arrival; clients take turns in a batch. */
  readonly queues: Map<ClientKey, ClientQueue>;
  /** Bundles of clients that a backup hands to the primary unless they were proposed by then, in order of time. */
  readonly forwards: { readonly at: Instant; readonly digest: Digest; readonly times: number }[];
  pooledBundles: number;
  pooledBytes: number;
  readonly sessions: Map<SessionId, SessionRecord>;
  /** Pooled bundles per session. */
  readonly pooledBySession: Map<SessionId, Set<Digest>>;

  /** Own checkpoint digests above the stable one. */
  readonly ownCheckpoints: Map<Sequence, { readonly digest: Digest; readonly lsn: Lsn }>;
  /** CHECKPOINT claims per signer: its most recent ones. */
  readonly checkpointClaims: Map<ReplicaId, Map<Sequence, Digest>>;

  nextLsn: Lsn;
  persistedUpTo: Lsn;
  /** Vote leases, newest last: votes in `view` up to `through` rest on record `lsn`. */
  readonly leases: { readonly view: View; readonly through: Sequence; readonly lsn: Lsn }[];

  readonly linked: Set<ReplicaId>;
  /** Last STATUS answered per peer. */
  readonly answeredAt: Map<ReplicaId, Instant>;
  /** Peers whose STATUS shows more than we have. */
  ahead: ReplicaSet;
  /** Delay of the next STATUS while nothing moves. */
  statusDelayMs: number;
  statusAt: Instant | undefined;
  /** Fetches under way: when to ask again, and how often we asked. */
  readonly fetches: Map<Digest, { at: Instant; asked: number }>;
  wallClock: AgreedTime;
  wallClockAt: Instant;
}

export function initialState(): ReplicaState {
  return {
    status: "starting",
    view: 0 as View,
    low: 0 as Sequence,
    stableDigest: ZERO_DIGEST,
    lastProposed: 0 as Sequence,
    lastSeen: 0 as Sequence,
    lastProposedTime: 0 as AgreedTime,
    committedPrefix: 0 as Sequence,
    executing: 0 as Sequence,
    lastExecuted: 0 as Sequence,
    run: 0 as Run,
    slots: new Map(),
    assembling: new Map(),
    early: new Map(),
    history: new Map(),
    historyBytes: 0,
    decidedClaims: new Map(),
    bundles: new Map(),
    uses: new Map(),
    waiting: new Map(),
    queues: new Map(),
    forwards: [],
    pooledBundles: 0,
    pooledBytes: 0,
    sessions: new Map(),
    pooledBySession: new Map(),
    ownCheckpoints: new Map(),
    checkpointClaims: new Map(),
    nextLsn: 1 as Lsn,
    persistedUpTo: 0 as Lsn,
    leases: [],
    linked: new Set(),
    answeredAt: new Map(),
    ahead: 0 as ReplicaSet,
    statusDelayMs: 0,
    statusAt: undefined,
    fetches: new Map(),
    wallClock: 0 as AgreedTime,
    wallClockAt: 0 as Instant,
  };
}
