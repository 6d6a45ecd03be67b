/**
 * The contract between the core and everything around it: what happens is an {@link Input}, what is wanted is an {@link Action}.
 *
 * The core is a deterministic state machine without input or output of its own. Acknowledgements of disk, execution and the
 * arrival of bodies are ordinary inputs. The shell (`ts/node`) and the simulator (`ts/testing`) run the same core.
 */
import type {
  BatchContent,
  BundleRef,
  CertificateName,
  Control,
  FetchKind,
  NewView,
  Outgoing,
  Phase,
  ViewChange,
} from "./messages.ts";
import type {
  AgreedTime,
  ClientKey,
  Digest,
  Instant,
  Lsn,
  ReplicaId,
  ReplicaSet,
  Run,
  Sequence,
  SessionId,
  Verified,
  View,
} from "./types.ts";

export interface Core {
  /** Takes one input; `now` is the monotonic time of the turn that brought it. */
  step(input: Input, now: Instant): readonly Action[];
  /** When `tick` is due at the latest; the shell keeps one timer. */
  deadline(): Instant | undefined;
  /** Requests from clients are delivered only within it. */
  room(): { readonly bundles: number; readonly bytes: number };
}

/**
 * Order within a turn, however many inputs it brings: recovered, disk, execution, control, votes, bodies, requests, and
 * tick last, so that no timer fires while its answer waits in the same turn. `rankOf` in `turn.ts` is that order.
 */
export type Input =
  /** First, once. */
  | { readonly kind: "recovered"; readonly state: DurableState; readonly wallClock: AgreedTime }
  | { readonly kind: "persisted"; readonly upTo: Lsn }
  | { readonly kind: "diskFailed"; readonly reason: DiskReason }
  | { readonly kind: "executed"; readonly run: Run; readonly through: Sequence; readonly sessions: SessionChanges }
  | { readonly kind: "executionFailed"; readonly run: Run; readonly sequence: Sequence; readonly reason: string }
  | { readonly kind: "checkpointed"; readonly run: Run; readonly sequence: Sequence; readonly digest: Digest }
  | { readonly kind: "undone"; readonly run: Run; readonly to: Sequence }
  /** The state of a certified checkpoint is ours now, with its session table and the marks of all RECOVERs. `snapshotted` follows when it is durable. */
  | {
      readonly kind: "installed";
      readonly run: Run;
      readonly sequence: Sequence;
      readonly digest: Digest;
      readonly sessions: readonly SessionSummary[];
      readonly marks: readonly RecoverMark[];
    }
  | { readonly kind: "installFailed"; readonly run: Run; readonly reason: InstallReason }
  /** Our own state after the stable checkpoint `sequence`, executed or installed, is in a snapshot that a restart would find. */
  | { readonly kind: "snapshotted"; readonly sequence: Sequence }
  /** This replica shall stop in order; answered by `stopped`. */
  | { readonly kind: "stop" }
  | { readonly kind: "control"; readonly from: ReplicaId; readonly message: Verified<Control> }
  /** Verified signers of equal votes, our own and the primary's PRE-PREPARE not among them unless they voted; may repeat and grow. */
  | {
      readonly kind: "votes";
      readonly phase: Phase;
      readonly view: View;
      readonly sequence: Sequence;
      readonly digest: Digest;
      readonly signers: Verified<ReplicaSet>;
    }
  | { readonly kind: "conflict"; readonly by: ReplicaId; readonly evidence: Verified<EvidenceRef> }
  /** Our VIEW-CHANGE for `target` is signed and kept; `digest` names its bytes. */
  | { readonly kind: "sealed"; readonly target: View; readonly digest: Digest }
  | { readonly kind: "assembled"; readonly view: View; readonly sequence: Sequence; readonly digest: Digest }
  /** Answer to a fetch that no asked replica could serve, or whose answer did not verify. */
  | { readonly kind: "body"; readonly digest: Digest; readonly status: "invalid" | "unavailable" }
  /**
   * A verified bundle whose body is now held. Again for a held one only when its client sent it again (a retry). `from` is
   * undefined for a client's connection.
   */
  | {
      readonly kind: "request";
      readonly bundle: Verified<BundleRef>;
      readonly from: ReplicaId | undefined;
      /** The body was announced before: its client sent it again. It may have been released in this very turn. */
      readonly again: boolean;
    }
  | { readonly kind: "link"; readonly peer: ReplicaId; readonly up: boolean }
  /** The transport's estimates of the round trip to each replica, by replica; undefined where there is none. About once a second. */
  | { readonly kind: "roundTrips"; readonly milliseconds: readonly (number | undefined)[] }
  /** Time has passed; `wallClock` is this machine's clock, used for agreed time alone. */
  | { readonly kind: "tick"; readonly wallClock: AgreedTime };

/**
 * `after`: leaves only when `persisted.upTo` ≥ after. It is 0 only for what binds nobody: STATUS, fetches, bodies.
 * Counting never waits, leaving does: our own vote counts when the core emits it.
 */
export type Action =
  | { readonly kind: "persist"; readonly lsn: Lsn; readonly record: DurableRecord }
  /**
   * The port encodes, signs where the type is signed, and picks the lane. A VIEW-CHANGE leaves as the bytes that its digest names;
   * a NEW-VIEW is encoded once, and kept.
   */
  | {
      readonly kind: "send";
      readonly to: ReplicaSet;
      readonly message: Outgoing;
      readonly after: Lsn;
      /** It was sent before, and a peer's STATUS or silence asks for it. */
      readonly again?: true;
    }
  /** Encodes RECOVER, signs it as our own client and hands it to all others; `attempt` tells equal ones apart. */
  | { readonly kind: "recover"; readonly nonce: number; readonly view: View; readonly attempt: number }
  /** We vote again after our disk was wiped: everything that we may have voted on before lies below `sequence`, which is stable. */
  | { readonly kind: "readmitted"; readonly view: View; readonly sequence: Sequence }
  /** Encodes and signs our VIEW-CHANGE with the certificates that it names, once, and keeps it; answered by `sealed`. */
  | { readonly kind: "seal"; readonly message: Omit<ViewChange, "digest"> }
  /**
   * Lets go of VIEW-CHANGEs (by digest) or NEW-VIEWs (by the name that a fetch gives them). Ports hold every verified one that they
   * handed to the core, and our own, until then, and answer fetches from there.
   */
  | { readonly kind: "forget"; readonly what: "viewChange" | "newView"; readonly digests: readonly Digest[] }
  /** Asks for the batch digest; answered by `assembled`. */
  | ({ readonly kind: "assemble"; readonly view: View; readonly sequence: Sequence } & BatchContent)
  /** Sends a held body to replicas. */
  | { readonly kind: "forward"; readonly bundle: Digest; readonly to: ReplicaSet }
  /** Tells the client of a bundle that the pool is full, and releases the body. */
  | { readonly kind: "busy"; readonly bundle: Digest }
  /** Answers a retried bundle, all of whose operations were executed, from the session table of the last executed state. */
  | { readonly kind: "answer"; readonly bundle: BundleRef; readonly view: View; readonly after: Lsn }
  /** Frees bodies that the core will not name again. */
  | { readonly kind: "release"; readonly bundles: readonly Digest[] }
  /** Accept these bodies from any replica although no client room is left; they are named by an accepted proposal. */
  | { readonly kind: "pin"; readonly bundles: readonly Digest[] }
  | { readonly kind: "fetch"; readonly what: FetchKind; readonly digest: Digest; readonly from: ReplicaSet }
  | ({
      readonly kind: "execute";
      readonly run: Run;
      readonly sequence: Sequence;
      readonly digest: Digest;
      readonly tentative: boolean;
    } & BatchContent)
  /** Sends the results of an executed batch to its clients. */
  | {
      readonly kind: "reply";
      readonly sequence: Sequence;
      readonly view: View;
      readonly tentative: boolean;
      readonly after: Lsn;
    }
  /** Frees commit events and held reads up to `through`. */
  | { readonly kind: "commit"; readonly through: Sequence; readonly after: Lsn }
  | { readonly kind: "checkpoint"; readonly run: Run; readonly sequence: Sequence }
  | { readonly kind: "undo"; readonly run: Run; readonly to: Sequence }
  /**
   * Fetch the state of this checkpoint, and let it take the place of ours; nothing of earlier runs is executed any more. Answered by
   * `installed` or `installFailed`. An `execute` of a later run ends it: replay got there first.
   */
  | { readonly kind: "install"; readonly run: Run; readonly certificate: CertificateName }
  /**
   * A checkpoint is stable: votes at or below it are free, and frozen versions below it. The port keeps the signatures of
   * `signers` under it until the next one, for our VIEW-CHANGE.
   */
  | { readonly kind: "stable"; readonly sequence: Sequence; readonly digest: Digest; readonly signers: ReplicaSet }
  /** Our own state differs from the one that Q replicas signed. Loud; the true state is fetched. */
  | { readonly kind: "diverged"; readonly sequence: Sequence; readonly own: Digest; readonly theirs: Digest }
  /**
   * Bounds of the vote table: it keeps votes of these views with low < sequence ≤ high. Where a NEW-VIEW of `view` is kept, the
   * proposals that it carries are filed as PRE-PREPAREs of its primary.
   */
  | {
      readonly kind: "window";
      readonly low: Sequence;
      readonly high: Sequence;
      readonly view: View;
      readonly pending: View | undefined;
    }
  /** Records below `below` are not needed once `after` is durable. */
  | { readonly kind: "truncate"; readonly below: Lsn; readonly after: Lsn }
  | { readonly kind: "accuse"; readonly by: ReplicaId; readonly evidence: EvidenceRef }
  /** We no longer take part in `view`, and ask for `target`. */
  | { readonly kind: "viewLeft"; readonly view: View; readonly target: View; readonly cause: ViewChangeCause }
  /** A view is installed; its NEW-VIEW carried so many batches over, so many of them null. */
  | {
      readonly kind: "viewChanged";
      readonly view: View;
      readonly primary: ReplicaId;
      readonly cause: ViewChangeCause;
      readonly carried: number;
      readonly nulls: number;
    }
  | { readonly kind: "ignored"; readonly reason: IgnoredReason; readonly from: ReplicaId | undefined }
  /** The last action of a core that was asked to stop: when `after` is durable the process may end, and say that it did so in order. */
  | { readonly kind: "stopped"; readonly after: Lsn }
  /** The last action of a core: it stops rather than lies. */
  | { readonly kind: "halt"; readonly reason: HaltReason };

/** What must survive a crash. Records name bodies and certificates; the journal resolves and stores those beside the record. */
export type DurableRecord =
  /** "May vote in `view` up to `through`"; PRE-PREPARE and PREPARE under a durable lease leave at once. */
  | { readonly type: "lease"; readonly view: View; readonly through: Sequence }
  /** A prepared certificate and the bodies of its batch; COMMIT waits for it. */
  | { readonly type: "prepared"; readonly certificate: CertificateName; readonly batch: BatchContent }
  /** Leaving a view; VIEW-CHANGE waits for it. */
  | { readonly type: "viewLeft"; readonly target: View; readonly cause: ViewChangeCause; readonly message: Digest }
  /** An accepted or sent NEW-VIEW, stored with its bytes and with the VIEW-CHANGEs that it names. */
  | { readonly type: "viewEntered"; readonly newView: NewView }
  /** What was decided without a certificate of our own (DECIDED from f+1), with its bodies. */
  | { readonly type: "decided"; readonly sequence: Sequence; readonly digest: Digest; readonly batch: BatchContent }
  /**
   * CHECKPOINT of ours; waits for it. `batches` are the digests that were executed from `first` on, up to it, so that a restart
   * gets there by itself: records before this one hold their contents and bodies.
   */
  | {
      readonly type: "checkpoint";
      readonly sequence: Sequence;
      readonly digest: Digest;
      readonly first: Sequence;
      readonly batches: readonly Digest[];
    }
  | { readonly type: "stable"; readonly certificate: CertificateName }
  /** Our disk was wiped once; since RECOVER at sequence `ordered` in `view` this journal holds all that binds us. */
  | { readonly type: "readmitted"; readonly view: View; readonly ordered: Sequence }
  /** Stopped in order: in `view` no vote of ours went beyond `through`. */
  | { readonly type: "cleanStop"; readonly view: View; readonly through: Sequence };

export interface StoredRecord {
  readonly lsn: Lsn;
  readonly record: DurableRecord;
}

/** What a replica restarts from. */
export type DurableState =
  /** The marker that `init` wrote is there and nothing else: the first start. */
  | { readonly type: "genesis" }
  | {
      readonly type: "restart";
      /** The last process ended in order, and its last record is `cleanStop`. */
      readonly clean: boolean;
      /** The journal began on a disk in place of one that was lost. */
      readonly wiped: boolean;
      /** Our newest snapshot, 0 for the state of the beginning, with its session table and the marks of all RECOVERs. */
      readonly snapshot: {
        readonly sequence: Sequence;
        readonly sessions: readonly SessionSummary[];
        readonly marks: readonly RecoverMark[];
      };
      /** In ascending order without gaps, from the last `truncate` on. */
      readonly records: readonly StoredRecord[];
      /** Every body that is stored beside a record; the body store holds them again. */
      readonly bundles: readonly BundleRef[];
      /** What `viewLeft` and `viewEntered` name; the port keeps and answers them again. */
      readonly viewChanges: readonly { readonly from: ReplicaId; readonly message: ViewChange }[];
    }
  /** Marked in place of a disk that was lost, and nothing else is there. Not a first start. */
  | { readonly type: "wiped" };

/** What executing a batch changed in the session table, as far as the core needs it to end timers and refuse duplicates. */
export interface SessionChanges {
  readonly opened: readonly { readonly session: SessionId; readonly client: ClientKey }[];
  /** Client sequences executed now or found executed before, per session, as ranges. */
  readonly executed: readonly { readonly session: SessionId; readonly first: number; readonly last: number }[];
  readonly acknowledged: readonly { readonly session: SessionId; readonly through: number }[];
  readonly expired: readonly SessionId[];
  /** RECOVERs that were executed, where, and the mark of their replica after that. */
  readonly recovered: readonly { readonly mark: RecoverMark; readonly sequence: Sequence }[];
}

/** The RECOVER of a replica whose disk was wiped that counts: of the highest nonce, and under it of the highest view, the first. */
export interface RecoverMark {
  readonly replica: ReplicaId;
  readonly nonce: number;
  /** The view that it took part in, without voting. */
  readonly view: View;
  readonly sequence: Sequence;
}

/** One session of an installed state. */
export interface SessionSummary {
  readonly session: SessionId;
  readonly client: ClientKey;
  readonly acknowledgedThrough: number;
  /** Executed client sequences above it, as ascending disjoint ranges [first, last]. */
  readonly executed: readonly (readonly [first: number, last: number])[];
}

export interface EvidenceRef {
  readonly digest: Digest;
  readonly type: "prePrepare" | "prepare" | "checkpoint" | "viewChange" | "newView";
}

export type DiskReason = "fsyncFailed" | "full" | "readOnly" | "corrupt" | "stalled";
export type InstallReason = "unavailable" | "invalid" | "diskFailed";
export type ViewChangeCause = "timeout" | "complaints" | "joined" | "handOver" | "fenced" | "recovered";

/** Why a message changed nothing. Counted per reason and peer; never an error. */
export type IgnoredReason =
  | "notMember"
  | "notPrimary"
  | "wrongView"
  | "belowWindow"
  | "aboveWindow"
  | "alreadyProposed"
  | "conflictingProposal"
  | "badTime"
  | "batchTooLarge"
  | "repeatedBundle"
  | "duplicateRequest"
  | "outOfSessionWindow"
  | "poolFull"
  | "staleRun"
  | "unknownBatch"
  | "conflictingCheckpoint"
  | "staleCheckpoint"
  | "staleStatus"
  | "statusTooSoon"
  | "staleViewChange"
  | "invalidViewChange"
  | "staleNewView"
  | "invalidNewView"
  | "viewChanging"
  | "staleComplaint"
  | "contradictsDecision"
  | "notYetBuilt"
  | "halted";

export type HaltReason =
  | {
      readonly code: "CHECKPOINT_DIVERGENCE";
      readonly sequence: Sequence;
      /** Who signed which root: no root can reach a quorum any more. */
      readonly claims: readonly { readonly by: ReplicaId; readonly digest: Digest }[];
    }
  | { readonly code: "EXECUTION_FAILED"; readonly sequence: Sequence; readonly message: string }
  | { readonly code: "DISK_FAILED"; readonly reason: DiskReason };
