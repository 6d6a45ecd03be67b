/**
 * The three phases of the normal case: PRE-PREPARE orders, PREPARE makes the order certain within a view, COMMIT across views
 * (OSDI'99 §4.2). A window of instances runs in parallel; decisions may come in any order, execution does not.
 */
import { assert } from "./assert.ts";
import type { Context } from "./context.ts";
import type { BatchContent, Phase, PrePrepare } from "./messages.ts";
import { isQuorum, isWeakQuorum } from "./quorum.ts";
import type { RequestPool } from "./request-pool.ts";
import type { Proposal, Slot } from "./state.ts";
import {
  EMPTY_SET,
  setOf,
  union,
  type AgreedTime,
  type Digest,
  type Lsn,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
  type View,
} from "./types.ts";
import { leaseFor } from "./vote-leases.ts";
import type { ViewManager } from "./view-manager.ts";

export class ConsensusProtocol {
  readonly #context: Context;
  readonly #pool: RequestPool;
  readonly #views: ViewManager;
  readonly #onDecided: () => void;
  readonly #onMissing: (bundles: readonly Digest[]) => void;

  constructor(
    context: Context,
    rooms: {
      pool: RequestPool;
      views: ViewManager;
      /** A sequence was decided, or a decided one got its last body. */
      onDecided: () => void;
      /** Bodies are named and not held. */
      onMissing: (bundles: readonly Digest[]) => void;
    },
  ) {
    this.#context = context;
    this.#pool = rooms.pool;
    this.#views = rooms.views;
    this.#onDecided = rooms.onDecided;
    this.#onMissing = rooms.onMissing;
  }

  /** As primary, proposes what waits as long as the window has room: no timer, so an idle cluster answers at once. */
  propose(): void {
    const { state } = this.#context;
    while (this.#views.isPrimary() && this.#mayPropose()) {
      const bundles = this.#pool.take();
      if (bundles.length === 0) return;
      const sequence = (state.lastProposed + 1) as Sequence;
      const time = Math.max(this.#context.wallClock(), state.lastProposedTime) as AgreedTime;
      state.lastProposed = sequence;
      state.lastProposedTime = time;
      this.#pool.keep(bundles);
      state.assembling.set(sequence, { time, bundles });
      this.#context.emit({ kind: "assemble", view: state.view, sequence, time, bundles });
    }
  }

  /** The batch that we proposed has its digest: send the bodies and the PRE-PREPARE, which is our PREPARE too. */
  onAssembled(view: View, sequence: Sequence, digest: Digest): void {
    const { state } = this.#context;
    const content = state.assembling.get(sequence);
    if (view !== state.view || content === undefined) return this.#context.ignore("unknownBatch");
    state.assembling.delete(sequence);
    const after = leaseFor(this.#context, sequence);
    assert(after !== undefined, "a lease covers every sequence up to the high watermark");
    for (const bundle of content.bundles) this.#context.emit({ kind: "forward", bundle, to: this.#context.others });
    const slot = this.slot(sequence);
    this.#accept(slot, { ...content, digest }, true);
    this.#pool.drop(content.bundles);
    slot.voted = true;
    this.#context.broadcast({ type: "prePrepare", view, sequence, digest, ...content }, after);
    this.#advance(slot);
  }

  onPrePrepare(from: ReplicaId, message: PrePrepare): void {
    const { state, options } = this.#context;
    if (from !== this.#views.primaryOf(message.view)) return this.#context.ignore("notPrimary", from);
    if (message.view !== state.view) return this.#context.ignore("wrongView", from);
    if (message.sequence <= state.low) return this.#context.ignore("belowWindow", from);
    if (message.sequence > this.#acceptHigh()) return this.#keepEarly(from, message);
    if (message.bundles.length > options.batchBundlesMax) return this.#context.ignore("batchTooLarge", from);
    if (new Set(message.bundles).size !== message.bundles.length) return this.#context.ignore("repeatedBundle", from);
    const slot = this.slot(message.sequence);
    if (slot.proposal !== undefined) {
      const equal = slot.proposal.digest === message.digest;
      return this.#context.ignore(equal ? "alreadyProposed" : "conflictingProposal", from);
    }
    const timeVouched = Math.abs(message.time - this.#context.wallClock()) <= options.timeBoundMs;
    if (!timeVouched) this.#context.ignore("badTime", from);
    this.#accept(slot, message, timeVouched);
    this.#advance(slot);
  }

  /** Verified signers of equal votes; the set may come again and grow. */
  onVotes(phase: Phase, view: View, sequence: Sequence, digest: Digest, signers: ReplicaSet): void {
    const { state } = this.#context;
    if (view !== state.view) return this.#context.ignore("wrongView");
    if (sequence <= state.low) return this.#context.ignore("belowWindow");
    if (sequence > this.earlyHigh()) return this.#context.ignore("aboveWindow");
    const slot = this.slot(sequence);
    const votes = phase === "prepare" ? slot.prepares : slot.commits;
    votes.set(digest, union(votes.get(digest) ?? EMPTY_SET, signers));
    this.#advance(slot);
  }

  /** A body that proposals or decisions waited for is held now. */
  onHeld(digest: Digest): void {
    const { state } = this.#context;
    const sequences = state.waiting.get(digest);
    if (sequences === undefined) return;
    state.waiting.delete(digest);
    for (const sequence of sequences) {
      const slot = state.slots.get(sequence);
      if (slot === undefined) continue;
      slot.proposal?.missing.delete(digest);
      slot.decision?.missing.delete(digest);
      this.#advance(slot);
      if (slot.decision?.missing.size === 0) this.#onDecided();
    }
  }

  /** f+1 replicas executed this batch: it is decided whatever we hold of it (own view or not). */
  decideByClaims(sequence: Sequence, digest: Digest, content: BatchContent): void {
    const slot = this.slot(sequence);
    if (slot.decision !== undefined) return;
    const lsn = this.#context.persist({ type: "decided", sequence, digest, batch: content });
    this.#decide(slot, { ...content, digest }, lsn);
  }

  /** The window moved: what came slightly too early may be accepted now. */
  onWindowMoved(): void {
    const { state } = this.#context;
    for (const [sequence, early] of state.early) {
      if (sequence > this.#acceptHigh()) continue;
      state.early.delete(sequence);
      const primary = this.#views.primaryOf(state.view);
      this.onPrePrepare(primary, { type: "prePrepare", view: state.view, sequence, ...early });
    }
    for (const slot of state.slots.values()) this.#advance(slot);
    this.propose();
  }

  slot(sequence: Sequence): Slot {
    const { state } = this.#context;
    const known = state.slots.get(sequence);
    if (known !== undefined) return known;
    const slot: Slot = {
      sequence,
      proposal: undefined,
      prepares: new Map(),
      commits: new Map(),
      voted: false,
      preparedLsn: 0 as Lsn,
      decision: undefined,
    };
    state.slots.set(sequence, slot);
    if (sequence > state.lastSeen) state.lastSeen = sequence;
    return slot;
  }

  /** Checkpoints reach replicas at different times: what is up to one interval above the window waits instead of being lost. */
  earlyHigh(): Sequence {
    return (this.#context.high() + this.#context.options.checkpointInterval) as Sequence;
  }

  #mayPropose(): boolean {
    const { state, options } = this.#context;
    const next = state.lastProposed + 1;
    if (state.lastExecuted < state.low) return false; // without the state of the stable checkpoint: no fresh PRE-PREPARE
    const inFlight = next - Math.max(state.low, state.committedPrefix);
    return next <= this.#context.high() && inFlight <= Math.min(options.pipelineDepth, options.inFlightMax);
  }

  /**
   * The last sequence that a proposal is accepted for: the high watermark, and no more in flight than a view change can carry.
   * Measured from what is decided or stable, never from what is executed, so that slow execution refuses nothing.
   */
  #acceptHigh(): Sequence {
    const { state, options } = this.#context;
    const decided = Math.max(state.low, state.committedPrefix);
    return Math.min(this.#context.high(), decided + options.inFlightMax) as Sequence;
  }

  #keepEarly(from: ReplicaId, message: PrePrepare): void {
    const { state, options } = this.#context;
    const { sequence, digest, time, bundles } = message;
    if (sequence > this.earlyHigh() || bundles.length > options.batchBundlesMax) {
      return this.#context.ignore("aboveWindow", from);
    }
    if (!state.early.has(sequence)) state.early.set(sequence, { digest, time, bundles });
    if (sequence > state.lastSeen) state.lastSeen = sequence;
  }

  #accept(slot: Slot, batch: BatchContent & { readonly digest: Digest }, timeVouched: boolean): void {
    const { digest, time, bundles } = batch;
    const { view } = this.#context.state;
    const missing = this.#keepAndAwait(slot.sequence, bundles);
    const proposal: Proposal = { view, digest, time, bundles, missing, timeVouched, refused: false };
    slot.proposal = proposal;
    this.#pool.markProposed(bundles);
  }

  #keepAndAwait(sequence: Sequence, bundles: readonly Digest[]): Set<Digest> {
    const missing = this.#pool.keepAndAwait(sequence, bundles);
    if (missing.size > 0) this.#onMissing([...missing]);
    return missing;
  }

  #advance(slot: Slot): void {
    const { state, options } = this.#context;
    const { proposal } = slot;
    if (proposal === undefined || proposal.view !== state.view || proposal.missing.size > 0) return;
    if (slot.sequence <= state.low) return; // below the window nothing is voted on; DECIDED brings what is missing
    const voters = this.#prepareVoters(slot, proposal);
    if (!proposal.timeVouched && isWeakQuorum(this.#context.quorums, voters)) proposal.timeVouched = true;
    if (!slot.voted) this.#vote(slot, proposal);
    const own = setOf(options.me);
    const prepared = isQuorum(this.#context.quorums, slot.voted ? union(voters, own) : voters);
    if (prepared && slot.preparedLsn === 0) this.#onPrepared(slot, proposal, slot.voted ? union(voters, own) : voters);
    if (slot.preparedLsn === 0 || slot.decision !== undefined) return;
    const committers = union(slot.commits.get(proposal.digest) ?? EMPTY_SET, own);
    if (isQuorum(this.#context.quorums, committers)) this.#decide(slot, proposal, slot.preparedLsn);
  }

  /** The primary's PRE-PREPARE is its PREPARE; it counts once (OSDI'99 §4.2: 2f PREPAREs from backups and the PRE-PREPARE). */
  #prepareVoters(slot: Slot, proposal: Proposal): ReplicaSet {
    return union(slot.prepares.get(proposal.digest) ?? EMPTY_SET, setOf(this.#views.primaryOf(proposal.view)));
  }

  /**
   * Sends PREPARE once all bodies are held: otherwise a primary that proposes digests nobody has would make certificates
   * that no view change can carry.
   */
  #vote(slot: Slot, proposal: Proposal): void {
    const { state, options } = this.#context;
    if (this.#views.isPrimary() || proposal.refused || !proposal.timeVouched) return;
    if (slot.sequence > this.#context.high()) return;
    const bytes = proposal.bundles.reduce((sum, digest) => sum + (state.bundles.get(digest)?.ref.bytes ?? 0), 0);
    if (bytes > options.batchBytesMax && proposal.bundles.length > 1) {
      proposal.refused = true;
      return this.#context.ignore("batchTooLarge", this.#views.primaryOf(proposal.view));
    }
    const after = leaseFor(this.#context, slot.sequence);
    assert(after !== undefined, "a lease covers every sequence up to the high watermark");
    slot.voted = true;
    const { view, digest } = proposal;
    this.#context.broadcast({ type: "prepare", view, sequence: slot.sequence, digest }, after);
  }

  /** prepared(m, v, n, i): the certificate and the bodies are durable before COMMIT leaves. */
  #onPrepared(slot: Slot, proposal: Proposal, signers: ReplicaSet): void {
    const { sequence } = slot;
    const { view, digest, time, bundles } = proposal;
    slot.preparedLsn = this.#context.persist({
      type: "prepared",
      certificate: { phase: "prepare", view, sequence, digest, signers },
      batch: { time, bundles },
    });
    this.#context.broadcast({ type: "commit", view, sequence, digest }, slot.preparedLsn);
  }

  #decide(slot: Slot, batch: BatchContent & { readonly digest: Digest }, lsn: Lsn): void {
    const { state } = this.#context;
    const { digest, time, bundles } = batch;
    slot.decision = { digest, time, bundles, lsn, missing: this.#keepAndAwait(slot.sequence, bundles) };
    this.#pool.markProposed(bundles);
    while (state.slots.get((state.committedPrefix + 1) as Sequence)?.decision !== undefined) {
      state.committedPrefix = (state.committedPrefix + 1) as Sequence;
    }
    this.#context.progress();
    this.#onDecided();
  }
}
