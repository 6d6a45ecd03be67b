/**
 * Everything that a replica's core remembers, as plain data: it can be printed, compared, kept by the flight recorder and
 * loaded again. The rooms (`consensus-protocol.ts`, `checkpoint-manager.ts`, …) hold the rules and no memory of their own.
 */
import type { DurableRecord, RecoverMark, StoredRecord, ViewChangeCause } from "./core.ts";
import type { BatchContent, BundleRef, FetchKind, NewView, ViewChange } from "./messages.ts";
import {
  EMPTY_SET,
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

/** prepared(m, v, n, i) with the highest v: what a VIEW-CHANGE carries. Its bodies are kept as long as it is. */
export interface PreparedBatch extends BatchContent {
  readonly view: View;
  readonly digest: Digest;
  readonly signers: ReplicaSet;
  /** The record that it rests on, and our COMMIT with it. */
  readonly lsn: Lsn;
}

/** One instance of the three-phase protocol. */
export interface Slot {
  readonly sequence: Sequence;
  /** What the NEW-VIEW of the current view put here, as long as only its digest is known. */
  assigned: Digest | undefined;
  proposal: Proposal | undefined;
  /** Verified PREPARE signers per digest in the current view; at most one digest per signer, so at most n of them. */
  readonly prepares: Map<Digest, ReplicaSet>;
  readonly commits: Map<Digest, ReplicaSet>;
  /** Our PREPARE (or PRE-PREPARE) of the current view was emitted. */
  voted: boolean;
  prepared: PreparedBatch | undefined;
  /** What was decided, by a commit certificate or by f+1 DECIDED. */
  decision: Decision | undefined;
}

export interface Decision extends BatchContent {
  readonly digest: Digest;
  readonly missing: Set<Digest>;
  /** The record that replies to it rest on; undefined until its bodies are here and it is recorded. */
  lsn: Lsn | undefined;
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
  /** Named by a proposal that came when the pool was full: nobody is watched for it until its client asks again. */
  crowded: boolean;
  /** Proposed by us, or named by an accepted proposal, in the current view. */
  proposed: boolean;
  /** Handed to the primary of the current view by us. */
  forwarded: boolean;
  /** Time of {@link Suspicion.active} since which the primary of the current view could have proposed it. */
  since: number;
}

/** The bundles of one client that are not committed; the first of them is what the primary is watched by. */
export interface ClientWatch {
  readonly waiting: Set<Digest>;
  /** Active time since which the first one waits. */
  since: number;
}

/** What a replica suspects of its primary, in milliseconds of active time: time in which the primary alone could be what is late. */
export interface Suspicion {
  /** Per client, in ascending order of `since`. */
  readonly clients: Map<ClientKey, ClientWatch>;
  /** Time that did not count so far, and since when it does not count now. */
  suspendedMs: number;
  suspendedSince: Instant | undefined;
  /** Views that were left in a row without progress: timers are 2^attempts times as long. */
  attempts: number;
  /** When `attempts` may go down next. */
  decayAt: Instant;
  /** Active time when the committed prefix last grew. */
  committedAt: number;
  /** A batch was decided in the current view, by its own votes. */
  progressed: boolean;
  /** Who calls the primary of the current view slow, and when each last did. */
  readonly complaints: Map<ReplicaId, Instant>;
  /** When a request timer last ran out here in the current view. */
  timedOutAt: Instant | undefined;
  /** Which others do not vote in the current view, since they may have before they crashed. */
  fenced: ReplicaSet;
  /** Doubles with every view that complaints ended, halves when a checkpoint is stable long after it last changed. */
  patience: number;
  /** When it last changed. */
  patientSince: Instant;
  /** Primaries in a row that fell by complaints; from f+1 on nobody complains until a checkpoint is stable. */
  fallen: number;
  /** When to look for what waits too long, while something waits. */
  complainAt: Instant | undefined;
  /** Round trip to each replica as the transport sees it. */
  roundTrips: readonly (number | undefined)[];
  /** Since when the oldest record that is not durable waits for our own disk. */
  writingSince: Instant | undefined;
  /** A primary that is slow itself may say so: once a checkpoint became stable in its view, and once per view. */
  mayHandOver: boolean;
}

/** A VIEW-CHANGE of ours: unnamed until its bytes are sealed. */
export interface OwnViewChange {
  readonly message: Omit<ViewChange, "digest">;
  digest: Digest | undefined;
  /** One that bears our signature came from outside before. */
  twin: Digest | undefined;
  readonly cause: ViewChangeCause;
  /** The record that it rests on. */
  lsn: Lsn;
  /** Who showed by STATUS that it has it. */
  heldBy: ReplicaSet;
}

/** What is asked of others until it comes. */
export interface OpenFetch {
  readonly what: FetchKind;
  at: Instant;
  asked: number;
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
  status: "starting" | "running" | "stopped" | "halted";
  /** We were asked to stop, and wait so long for another primary. */
  stopAt: Instant | undefined;
  /** The installed view. */
  view: View;
  /** The view that we asked for when we left the installed one. */
  pending: View | undefined;
  own: OwnViewChange | undefined;
  /** The VIEW-CHANGE of the highest target per sender, ours among them, above the installed view. */
  readonly viewChanges: Map<ReplicaId, ViewChange>;
  /** VIEW-CHANGEs that an awaited or the installed NEW-VIEW names, by digest, and their senders. */
  readonly named: Map<Digest, { readonly from: ReplicaId; readonly message: ViewChange }>;
  /** Per primary the NEW-VIEW whose VIEW-CHANGEs are not all here: a liar's name nobody, and must not stand in another's way. */
  readonly awaited: Map<ReplicaId, NewView>;
  /** The NEW-VIEW of the installed view; undefined in view 0. */
  installed: NewView | undefined;
  newViewTimer: Instant | undefined;
  readonly suspicion: Suspicion;
  /** PRE-PREPAREs of a view that is not installed yet: of its primary, one view only, the highest. */
  next: { view: View; readonly proposals: Map<Sequence, BatchContent & { readonly digest: Digest }> };
  /** The state of this checkpoint is being fetched. */
  installing: { readonly sequence: Sequence; readonly digest: Digest; readonly run: Run } | undefined;
  /** When the state is fetched unless replay moves on. */
  installAt: Instant | undefined;
  /** Our own state was found false: the sequence of the checkpoint that showed it. */
  divergedAt: Sequence | undefined;
  /** The stable checkpoint: low watermark h. */
  low: Sequence;
  stableDigest: Digest;
  stableSigners: ReplicaSet;
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
  /** The highest checkpoint that f+1 others signed alike, so that an honest one has its state. */
  vouched: { readonly sequence: Sequence; readonly digest: Digest; readonly signers: ReplicaSet } | undefined;

  nextLsn: Lsn;
  persistedUpTo: Lsn;
  /** Our newest durable snapshot. */
  snapshot: Sequence;
  /** The state that was installed last and is not in a snapshot yet: until then no CHECKPOINT of ours rests on it. */
  unsaved: Sequence | undefined;
  /** Our own roots that wait for it. */
  readonly heldRoots: Map<Sequence, Digest>;
  /** What a restart found executed reaches so far. */
  replayThrough: Sequence;
  /** Digests of what was handed to execution since our last `checkpoint` record. */
  readonly sinceCheckpoint: Map<Sequence, Digest>;
  /** Per interval, named by the checkpoint below it, the first record about a sequence in it; none below the snapshot. */
  readonly firstRecords: Map<Sequence, Lsn>;
  /** The last record of each type of which only the last counts, while it does. */
  readonly standing: Map<DurableRecord["type"], StoredRecord>;
  /** Our disk was wiped: we vote for nothing before this is over (`readmission.ts`). */
  amnesia:
    | {
        nonce: number;
        /** RECOVERs sent so far. */
        attempts: number;
        askAt: Instant;
        /** Where a RECOVER was ordered for which we counted Q COMMITs ourselves. */
        orderedAt: Sequence | undefined;
      }
    | undefined;
  /** Per replica whose disk was wiped once, the RECOVER that counts. */
  readonly recoverMarks: Map<ReplicaId, RecoverMark>;
  /** Until where a process before this one may have voted in the view that it crashed in. */
  fence: { readonly view: View; readonly through: Sequence } | undefined;
  /** Vote leases, newest last: votes in `view` up to `through` rest on record `lsn`. */
  readonly leases: { readonly view: View; readonly through: Sequence; readonly lsn: Lsn }[];

  readonly linked: Set<ReplicaId>;
  /** Last STATUS answered per peer. */
  readonly answeredAt: Map<ReplicaId, Instant>;
  /** Peers whose STATUS shows more than we have. */
  ahead: ReplicaSet;
  /** Up to where each peer has executed by its last STATUS. */
  readonly executedBy: Map<ReplicaId, Sequence>;
  /** Delay of the next STATUS while nothing moves. */
  statusDelayMs: number;
  statusAt: Instant | undefined;
  /** Up to where we had executed when we last told everybody. */
  toldExecuted: Sequence;
  /** Fetches under way: when to ask again, and how often we asked. */
  readonly fetches: Map<Digest, OpenFetch>;
  wallClock: AgreedTime;
  wallClockAt: Instant;
}

export function initialState(): ReplicaState {
  return {
    status: "starting",
    stopAt: undefined,
    view: 0 as View,
    pending: undefined,
    own: undefined,
    viewChanges: new Map(),
    named: new Map(),
    awaited: new Map(),
    installed: undefined,
    newViewTimer: undefined,
    suspicion: {
      clients: new Map(),
      suspendedMs: 0,
      suspendedSince: undefined,
      attempts: 0,
      decayAt: 0 as Instant,
      committedAt: 0,
      progressed: true,
      complaints: new Map(),
      timedOutAt: undefined,
      fenced: EMPTY_SET,
      patience: 1,
      patientSince: 0 as Instant,
      fallen: 0,
      complainAt: undefined,
      roundTrips: [],
      writingSince: undefined,
      mayHandOver: false,
    },
    next: { view: 0 as View, proposals: new Map() },
    installing: undefined,
    installAt: undefined,
    divergedAt: undefined,
    low: 0 as Sequence,
    stableDigest: ZERO_DIGEST,
    stableSigners: EMPTY_SET,
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
    vouched: undefined,
    nextLsn: 1 as Lsn,
    persistedUpTo: 0 as Lsn,
    snapshot: 0 as Sequence,
    unsaved: undefined,
    heldRoots: new Map(),
    replayThrough: 0 as Sequence,
    sinceCheckpoint: new Map(),
    firstRecords: new Map(),
    standing: new Map(),
    amnesia: undefined,
    recoverMarks: new Map(),
    fence: undefined,
    leases: [],
    linked: new Set(),
    answeredAt: new Map(),
    ahead: EMPTY_SET,
    executedBy: new Map(),
    statusDelayMs: 0,
    statusAt: undefined,
    toldExecuted: 0 as Sequence,
    fetches: new Map(),
    wallClock: 0 as AgreedTime,
    wallClockAt: 0 as Instant,
  };
}
