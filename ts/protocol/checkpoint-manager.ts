/**
 * Checkpoints: the root of the replicated map every `checkpointInterval` sequences, stable when Q replicas signed the same
 * one. Stability moves the window and frees votes, proposals and bodies (OSDI'99 §4.3).
 */
import type { Context } from "./context.ts";
import { free, onSnapshotted } from "./journal.ts";
import type { CertificateName, Checkpoint } from "./messages.ts";
import { isQuorum, isWeakQuorum } from "./quorum.ts";
import type { RequestPool } from "./request-pool.ts";
import {
  EMPTY_SET,
  membersOf,
  setOf,
  sizeOf,
  union,
  without,
  type Digest,
  type Lsn,
  type ReplicaId,
  type ReplicaSet,
  type Run,
  type Sequence,
} from "./types.ts";
import { extendLease } from "./vote-leases.ts";

/** Claims kept per signer, the highest ones: more than any honest replica has unstable, and all that a liar can make us keep. */
const CLAIMS_MAX = 16;

export class CheckpointManager {
  readonly #context: Context;
  readonly #pool: RequestPool;
  readonly #onStable: () => void;
  readonly #onDiverged: (sequence: Sequence) => void;

  constructor(
    context: Context,
    rooms: {
      pool: RequestPool;
      onStable: () => void;
      /** Our state at this stable checkpoint is not the one that Q replicas signed. */
      onDiverged: (sequence: Sequence) => void;
    },
  ) {
    this.#context = context;
    this.#pool = rooms.pool;
    this.#onStable = rooms.onStable;
    this.#onDiverged = rooms.onDiverged;
  }

  /** The root of our own state after `sequence`. */
  onCheckpointed(run: Run, sequence: Sequence, digest: Digest): void {
    const { state, options } = this.#context;
    if (run !== state.run || sequence < state.low) {
      this.#collect();
      return this.#context.ignore("staleRun");
    }
    // Stable before we got there: our own CHECKPOINT is still what a peer below us may need.
    if (sequence === state.low && digest !== state.stableDigest) return this.#diverge(sequence, digest);
    if (state.unsaved !== undefined) return void state.heldRoots.set(sequence, digest);
    const known = state.ownCheckpoints.get(sequence);
    // Executed once more after a restart, with another outcome: nothing is left of ours to rely on.
    if (known !== undefined && known.digest !== digest) {
      const message = "executing again gave another state: it is not deterministic";
      return this.#context.halt({ code: "EXECUTION_FAILED", sequence, message });
    }
    const lsn = known?.lsn ?? this.#record(sequence, digest);
    state.ownCheckpoints.set(sequence, { digest, lsn });
    if (state.ownCheckpoints.size > CLAIMS_MAX)
      state.ownCheckpoints.delete(Math.min(...state.ownCheckpoints.keys()) as Sequence);
    this.#collect();
    this.#claim(options.me, sequence, digest);
    this.#context.broadcast({ type: "checkpoint", sequence, digest }, lsn);
    if (sequence > state.low) this.#stabilise(sequence);
  }

  onCheckpoint(from: ReplicaId, { sequence, digest }: Checkpoint): void {
    const { state, options } = this.#context;
    if (sequence <= state.low) return this.#context.ignore("staleCheckpoint", from);
    const known = state.checkpointClaims.get(from)?.get(sequence);
    if (known !== undefined && known !== digest) return this.#context.ignore("conflictingCheckpoint", from);
    if (known !== undefined) return;
    // It takes a place among its signer's claims in any case: what we count has to be what the port keeps signatures of.
    this.#claim(from, sequence, digest);
    if (sequence % options.checkpointInterval !== 0) return this.#context.ignore("staleCheckpoint", from);
    this.#stabilise(sequence);
  }

  /** Q signatures under one checkpoint, as a VIEW-CHANGE carries them. */
  onCertificate({ sequence, digest, signers }: CertificateName): void {
    const { state, options } = this.#context;
    if (sequence <= state.low || sequence % options.checkpointInterval !== 0) return;
    if (isQuorum(this.#context.quorums, signers)) this.#becomeStable(sequence, digest, signers);
  }

  /** Our state after `sequence` is in a durable snapshot: what rests on it may be signed, and records below it are freed. */
  onSnapshotted(sequence: Sequence): void {
    const { state } = this.#context;
    onSnapshotted(this.#context, sequence);
    if (state.unsaved === undefined || sequence < state.unsaved) return;
    state.unsaved = undefined;
    const held = [...state.heldRoots].sort(([a], [b]) => a - b);
    state.heldRoots.clear();
    for (const [executed, digest] of held) this.onCheckpointed(state.run, executed, digest);
  }

  /** Executed up to here by installing the state of a checkpoint: what lies below is replaced by it, once that is stable here too. */
  onInstalled(sequence: Sequence, digest: Digest): void {
    const { state } = this.#context;
    if (sequence > state.low) state.heldRoots.set(sequence, digest);
    this.#collect();
  }

  /** Sends what a peer below us needs to make our stable checkpoint, or our newest, stable itself. */
  repair(peer: ReplicaId, low: Sequence): void {
    const { state } = this.#context;
    for (const [sequence, { digest, lsn }] of state.ownCheckpoints) {
      if (sequence > low) this.#context.repeat(setOf(peer), { type: "checkpoint", sequence, digest }, lsn);
    }
  }

  /** CHECKPOINT says that the state survives a crash here: the record names every batch since the last one. */
  #record(sequence: Sequence, digest: Digest): Lsn {
    const { sinceCheckpoint } = this.#context.state;
    const executed = [...sinceCheckpoint].filter(([executedAt]) => executedAt <= sequence);
    for (const [executedAt] of executed) sinceCheckpoint.delete(executedAt);
    const first = executed[0]?.[0] ?? ((sequence + 1) as Sequence);
    const batches = executed.map(([, batch]) => batch);
    return this.#context.persist({ type: "checkpoint", sequence, digest, first, batches });
  }

  #claim(signer: ReplicaId, sequence: Sequence, digest: Digest): void {
    const claims = this.#context.state.checkpointClaims;
    const own = claims.get(signer) ?? new Map<Sequence, Digest>();
    claims.set(signer, own.set(sequence, digest));
    if (own.size > CLAIMS_MAX) own.delete(Math.min(...own.keys()) as Sequence);
  }

  /** Counts matching claims, never messages. */
  #stabilise(sequence: Sequence): void {
    const signers = new Map<Digest, ReplicaSet>();
    for (const [signer, claims] of this.#context.state.checkpointClaims) {
      const digest = claims.get(sequence);
      if (digest !== undefined) signers.set(digest, union(signers.get(digest) ?? EMPTY_SET, setOf(signer)));
    }
    for (const [digest, set] of signers) {
      if (isQuorum(this.#context.quorums, set)) return this.#becomeStable(sequence, digest, set);
      this.#vouch(sequence, digest, without(set, setOf(this.#context.options.me)));
    }
    if (sequence === this.#context.high()) this.#requireReachable(sequence, signers);
  }

  /** Q may never tell us: liars sign for others only, and an honest one among f+1 has the state all the same (TOCS'02, weak certificate). */
  #vouch(sequence: Sequence, digest: Digest, signers: ReplicaSet): void {
    const { state, quorums } = this.#context;
    if (!isWeakQuorum(quorums, signers) || sequence < (state.vouched?.sequence ?? 0)) return;
    state.vouched = { sequence, digest, signers };
  }

  /** With the window full and no root left that Q replicas can still sign, nothing can ever be proposed again. */
  #requireReachable(sequence: Sequence, signers: ReadonlyMap<Digest, ReplicaSet>): void {
    const { n, quorum } = this.#context.quorums;
    const sizes = [...signers.values()].map(sizeOf);
    const silent = n - sizes.reduce((sum, size) => sum + size, 0);
    if (Math.max(...sizes) + silent >= quorum) return;
    const claims = [...signers].flatMap(([digest, set]) => membersOf(set).map((by) => ({ by, digest })));
    this.#context.halt({ code: "CHECKPOINT_DIVERGENCE", sequence, claims });
  }

  #becomeStable(sequence: Sequence, digest: Digest, signers: ReplicaSet): void {
    const { state } = this.#context;
    const own = state.ownCheckpoints.get(sequence);
    const isAhead = state.snapshot > state.low;
    state.low = sequence;
    state.stableDigest = digest;
    state.stableSigners = signers;
    if (state.lastProposed < sequence) state.lastProposed = sequence;
    if (state.lastSeen < sequence) state.lastSeen = sequence;
    const certificate = { phase: "checkpoint", view: 0 as typeof state.view, sequence, digest, signers } as const;
    this.#context.persist({ type: "stable", certificate });
    if (isAhead) free(this.#context);
    this.#collect();
    this.#context.emit({ kind: "stable", sequence, digest, signers });
    extendLease(this.#context);
    if (state.lastExecuted >= sequence) this.#context.progress();
    this.#onStable();
    if (own !== undefined && own.digest !== digest) this.#diverge(sequence, own.digest);
  }

  /** Our own root differs from the one that Q replicas signed: our state is wrong. We say so, and fetch theirs. */
  #diverge(sequence: Sequence, own: Digest): void {
    this.#context.emit({ kind: "diverged", sequence, own, theirs: this.#context.state.stableDigest });
    this.#onDiverged(sequence);
  }

  /**
   * Frees what the stable checkpoint replaces. Decisions that wait for execution here stay, but no further than one window
   * ahead of it: a replica that hangs may not gather what others decide meanwhile, and DECIDED brings it again. What a restart found
   * executed stays as far as it reaches, since others may have lost it in the same moment.
   */
  #collect(): void {
    const { state, options } = this.#context;
    // What we executed far above our window was decided by replicas whose own stable checkpoint lies above it.
    const replaced = Math.max(state.low, state.lastExecuted - 2 * options.window);
    const ahead = Math.max(state.replayThrough, state.lastExecuted + options.window);
    for (const [sequence, slot] of state.slots) {
      if (sequence > replaced) continue;
      const awaited = sequence > state.lastExecuted && sequence <= ahead;
      if (awaited && slot.decision !== undefined) continue;
      state.slots.delete(sequence);
      for (const batch of [slot.proposal, slot.decision]) {
        if (batch === undefined) continue;
        this.#pool.stopWaiting(sequence, batch.missing);
        this.#pool.drop(batch.bundles);
      }
      if (slot.prepared !== undefined) this.#pool.drop(slot.prepared.bundles);
    }
    for (const [sequence, { bundles }] of state.assembling) {
      if (sequence > state.low) continue;
      state.assembling.delete(sequence);
      this.#pool.drop(bundles);
    }
    for (const sequence of state.early.keys()) if (sequence <= state.low) state.early.delete(sequence);
    for (const sequence of state.next.proposals.keys())
      if (sequence <= state.low) state.next.proposals.delete(sequence);
    for (const sequence of state.ownCheckpoints.keys()) if (sequence < state.low) state.ownCheckpoints.delete(sequence);
    for (const claims of state.checkpointClaims.values()) {
      for (const sequence of claims.keys()) if (sequence < state.low) claims.delete(sequence);
    }
  }
}
