/**
 * What replicas and clients say to each other, after decoding and before encoding. `ts/codec/WIRE.md` has the bytes.
 *
 * No message names its sender: the sender is the key that the signature, or the channel, was verified against.
 */
import type { AgreedTime, ClientKey, Digest, ReplicaId, ReplicaSet, Sequence, SessionId, View } from "./types.ts";

/** The two phases whose votes the vote table collects. PRE-PREPARE is the primary's PREPARE. */
export type Phase = "prepare" | "commit";

/** What the core needs to know of a bundle; its body stays with the body store, under `digest`. */
export interface BundleRef {
  /** SHA-256(0x00 | signed bundle): the leaf of the batch digest. */
  readonly digest: Digest;
  readonly client: ClientKey;
  /** 0 for an operation outside of any session (OPEN, RECOVER). */
  readonly session: SessionId;
  /** Client sequence of the first operation, consecutive from there; the nonce where `session` is 0. */
  readonly firstSequence: number;
  /** All results up to here have reached the client. */
  readonly acknowledgedThrough: number;
  /** Number of operations, 1 … 1024. */
  readonly count: number;
  /** Length of the signed bundle in bytes. */
  readonly bytes: number;
}

/** A proposed batch: what the batch digest covers. Zero bundles at time 0 is the null batch. */
export interface BatchContent {
  readonly time: AgreedTime;
  readonly bundles: readonly Digest[];
}

export interface PrePrepare extends BatchContent {
  readonly type: "prePrepare";
  readonly view: View;
  readonly sequence: Sequence;
  /** Batch digest; computed by whoever decodes, never sent. */
  readonly digest: Digest;
}

export interface Vote {
  readonly type: Phase;
  readonly view: View;
  readonly sequence: Sequence;
  readonly digest: Digest;
}

/** Signed: `digest` is the root of the replicated map after `sequence`. */
export interface Checkpoint {
  readonly type: "checkpoint";
  readonly sequence: Sequence;
  readonly digest: Digest;
}

/** Names signed votes that a port holds; resolved to bytes by the vote table, so the core carries no signature. */
export interface CertificateName {
  readonly phase: "prepare" | "checkpoint";
  /** 0 for a checkpoint. */
  readonly view: View;
  readonly sequence: Sequence;
  readonly digest: Digest;
  readonly signers: ReplicaSet;
}

export interface ViewChange {
  readonly type: "viewChange";
  readonly target: View;
  /** The certificate of the sender's stable checkpoint; `undefined` at sequence 0. */
  readonly stable: CertificateName | undefined;
  /** Per sequence above it, the prepared certificate of the highest view, in ascending order of sequence. */
  readonly prepared: readonly CertificateName[];
  /** SHA-256 of the encoded message; computed by whoever decodes, never sent. */
  readonly digest: Digest;
}

export interface NewView {
  readonly type: "newView";
  readonly view: View;
  /** The Q VIEW-CHANGEs it rests on. */
  readonly viewChanges: readonly { readonly from: ReplicaId; readonly digest: Digest }[];
  /** First sequence and batch digests of O, recomputed by every backup; the wire carries the primary's signature of each. */
  readonly first: Sequence;
  readonly batches: readonly Digest[];
}

/** What a replica holds and lacks; repairs all that queues, reconnects and restarts have lost. Authenticated by its channel. */
export interface Status {
  readonly type: "status";
  readonly mode: "normal" | "viewChange";
  /** The installed view, or the pending one in mode `viewChange`. */
  readonly view: View;
  readonly lowWatermark: Sequence;
  readonly lastExecuted: Sequence;
  /** Bit i of each bitmap stands for sequence `lastExecuted + 1 + i` in the current view. */
  readonly proposed: readonly boolean[];
  readonly prepared: readonly boolean[];
  readonly committed: readonly boolean[];
  /** Bodies named by accepted proposals and not held. */
  readonly missing: readonly Digest[];
  /** Whose VIEW-CHANGE for the pending view are held. */
  readonly viewChanges: ReplicaSet;
  /** Set after an unclean restart: no PRE-PREPARE or PREPARE leaves in `view` up to `through`. */
  readonly fence: { readonly view: View; readonly through: Sequence } | undefined;
}

/** "I executed `digest` at `sequence`", with the batch content that the digest covers; f+1 that match decide. Channel. */
export interface Decided extends BatchContent {
  readonly type: "decided";
  readonly sequence: Sequence;
  readonly digest: Digest;
}

/** "The primary of this view is slow." f+1 of them send VIEW-CHANGE. Channel. */
export interface Complaint {
  readonly type: "complaint";
  readonly view: View;
}

/** Answer to a fetch of kind `batch`: what this digest covers. It checks itself. */
export interface FetchedBatch extends BatchContent {
  readonly type: "fetchedBatch";
  readonly digest: Digest;
}

export type FetchKind = "bundle" | "batch" | "viewChange" | "newView";

/** "Send me what has this digest" (for `newView`: the view's number in the first 8 bytes). Channel. */
export interface Fetch {
  readonly type: "fetch";
  readonly kind: FetchKind;
  readonly digest: Digest;
}

/** "What you fetched is not here." Channel. */
export interface Unavailable {
  readonly type: "unavailable";
  readonly kind: FetchKind;
  readonly digest: Digest;
}

/** One place of the replicated map's tree. */
export interface StateItem {
  /** Symbols of the branches that lead there from the root (`ts/state/tree.ts`); none for the root. */
  readonly path: Uint8Array;
  /** All nodes from there down, in preorder, instead of one. */
  readonly deep: boolean;
}

/** Walk of the replicated map's Merkle tree from a certified root. Channel; each node of the answer checks itself. */
export interface StateFetch {
  readonly type: "stateFetch";
  /** Names the checkpoint whose tree is asked for. */
  readonly sequence: Sequence;
  /** The asker's own number, a u32, by which it knows the answer. */
  readonly request: number;
  /** Bytes of nodes after which the answer ends: 1 … 1 MiB. */
  readonly bytesMax: number;
  readonly items: readonly StateItem[];
}

/** Answer to a {@link StateFetch}; without nodes where the asked one has no such tree. */
export interface StateNodes {
  readonly type: "stateNodes";
  readonly request: number;
  readonly count: number;
  /**
   * `count` nodes, each behind its u32 length, in the order of the items and in preorder within one. There are fewer than were
   * asked for only where `nodes` has reached `bytesMax` or `count` its bound.
   */
  readonly nodes: Uint8Array;
}

/**
 * Messages between replicas that reach the core one by one (votes arrive counted, as `votes` inputs). Fetches do not: ports hold
 * what the core was told of until it lets go of it, and answer from there.
 */
export type Control = PrePrepare | Checkpoint | ViewChange | NewView | Status | Decided | Complaint | FetchedBatch;

/** What the core may send to replicas. */
export type Outgoing = Exclude<Control, FetchedBatch> | Vote;

/** How an operation ended. */
export type ResultStatus =
  /** `result` is what `execute` returned. */
  | "ok"
  /** The state machine refused by `OperationError`; `result` is its code, UTF-8. */
  | "refused"
  /** User code threw something else; its writes were rolled back; `result` is empty. */
  | "failed"
  /** The session is unknown or was evicted; the operation did not execute now, and may have before. */
  | "sessionExpired"
  /** Executed before; the client had acknowledged the result, so it is gone. */
  | "forgotten"
  /** The client sequence lies above the session's window; did not execute. */
  | "outOfWindow";

export interface ResultEntry {
  /** Client sequence; the nonce where the reply's session is 0. */
  readonly sequence: number;
  readonly status: ResultStatus;
  readonly result: Uint8Array;
}
