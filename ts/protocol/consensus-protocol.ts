/**
 * The three phases of the normal case: PRE-PREPARE orders, PREPARE makes the order certain within a view, COMMIT across views
 * (OSDI'99 §4.2). A window of instances runs in parallel; decisions may come in any order, execution does not.
 */
import { assert } from "./assert.ts";
import type { Context } from "./context.ts";
import { earlyHigh, keepEarly, keepForNext } from "./early-proposals.ts";
import type { BatchContent, Phase, PrePrepare } from "./messages.ts";
import { timeoutOf } from "./primary-monitor.ts";
import { isQuorum, isWeakQuorum } from "./quorum.ts";
import type { RequestPool } from "./request-pool.ts";
import type { Decision, PreparedBatch, Proposal, Slot } from "./state.ts";
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
import { NULL_BATCH } from "./new-view.ts";
import { leaseFor, silentThrough } from "./vote-leases.ts";

export class ConsensusProtocol {
  readonly #context: Context;
  readonly #pool: RequestPool;
  readonly #onDecided: () => void;
  readonly #onMissing: (bundles: readonly Digest[]) => void;
  readonly #onUnknown: (batch: Digest) => void;

  constructor(
    context: Context,
    rooms: {
      pool: RequestPool;
      /** A sequence was decided, or a decided one got its last body. */
      onDecided: () => void;
      /** Bodies are named and not held. */
      onMissing: (bundles: readonly Digest[]) => void;
      /** The content of a batch is named by its digest alone. */
      onUnknown: (batch: Digest) => void;
    },
  ) {
    this.#context = context;
    this.#pool = rooms.pool;
    this.#onDecided = rooms.onDecided;
    this.#onMissing = rooms.onMissing;
    this.#onUnknown = rooms.onUnknown;
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
    this.#context.broadcast({ type: "prePrepare", view, sequence, digest, ...content }, after);
    this.#advance(slot);
  }

  onPrePrepare(from: ReplicaId, message: PrePrepare): void {
    const { state, options } = this.#context;
    if (from !== this.#context.primaryOf(message.view)) return this.#context.ignore("notPrimary", from);
    if (message.view > state.view) return keepForNext(this.#context, from, message);
    if (message.view !== state.view) return this.#context.ignore("wrongView", from);
    if (this.#context.isChangingView()) return this.#context.ignore("viewChanging", from);
    if (message.sequence <= state.low) return this.#context.ignore("belowWindow", from);
    const before = state.slots.get(message.sequence);
    if (before?.assigned === message.digest) return this.onBatch(message);
    const known = before?.proposal?.digest ?? before?.assigned;
    if (known !== undefined) {
      return this.#context.ignore(known === message.digest ? "alreadyProposed" : "conflictingProposal", from);
    }
    if (message.sequence > this.#acceptHigh()) return keepEarly(this.#context, from, message);
    if (message.bundles.length > options.batchBundlesMax) return this.#context.ignore("batchTooLarge", from);
    if (new Set(message.bundles).size !== message.bundles.length) return this.#context.ignore("repeatedBundle", from);
    const slot = this.slot(message.sequence);
    if (slot.decision !== undefined && slot.decision.digest !== message.digest) {
      return this.#context.ignore("contradictsDecision", from);
    }
    const timeVouched = this.#agreesWithTime(message.time);
    if (!timeVouched) this.#context.ignore("badTime", from);
    this.#accept(slot, message, timeVouched);
    this.#advance(slot);
  }

  /** Verified signers of equal votes; the set may come again and grow. */
  onVotes(phase: Phase, view: View, sequence: Sequence, digest: Digest, signers: ReplicaSet): void {
    const { state } = this.#context;
    if (view !== state.view) return this.#context.ignore("wrongView");
    if (sequence <= state.low) return this.#context.ignore("belowWindow");
    if (sequence > earlyHigh(this.#context)) return this.#context.ignore("aboveWindow");
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
      if (slot.decision?.missing.size === 0) this.#record(slot, slot.decision);
    }
  }

  /** f+1 replicas executed this batch: it is decided whatever we hold of it (own view or not). */
  decideByClaims(sequence: Sequence, digest: Digest, content: BatchContent): void {
    const slot = this.slot(sequence);
    if (slot.decision === undefined) this.#decide(slot, { ...content, digest }, undefined);
  }

  /** Our clock has gone on: it may agree now with the time of a proposal that came too early for it. */
  onTick(): void {
    for (const slot of this.#context.state.slots.values()) {
      const { proposal } = slot;
      if (proposal === undefined || proposal.timeVouched || !this.#agreesWithTime(proposal.time)) continue;
      proposal.timeVouched = true;
      this.#advance(slot);
    }
  }

  /** The content of batches that a NEW-VIEW put in their places by digest alone; it checks itself. */
  onBatch(batch: BatchContent & { readonly digest: Digest }): void {
    const { state } = this.#context;
    const { digest, time, bundles } = batch;
    if (!state.fetches.delete(digest)) return this.#context.ignore("unknownBatch");
    for (const slot of state.slots.values()) {
      if (slot.assigned !== digest) continue;
      slot.assigned = undefined;
      this.#accept(slot, { digest, time, bundles }, true);
      this.#advance(slot);
    }
  }

  /** We take no further part in the installed view. What was decided in it stays, what it may still decide counts. */
  leaveView(): void {
    const { assembling } = this.#context.state;
    for (const { bundles } of assembling.values()) this.#pool.drop(bundles);
    assembling.clear();
  }

  /**
   * The view of the context is installed: every sequence starts again, with the batches of O in their places. They are the same
   * as before where anybody may have committed one, so their times and their number are not questioned again.
   */
  enterView(first: Sequence, batches: readonly Digest[]): void {
    const { state } = this.#context;
    this.leaveView();
    state.early.clear();
    const earlier = new Map([...state.slots].map(([sequence, { proposal }]) => [sequence, proposal]));
    const last = Math.max(state.low, first + batches.length - 1) as Sequence;
    state.lastProposed = last;
    state.lastSeen = Math.max(last, state.lastExecuted, state.committedPrefix) as Sequence;
    for (const slot of state.slots.values()) {
      this.#clear(slot);
      if (slot.decision !== undefined && slot.sequence > state.lastSeen) state.lastSeen = slot.sequence;
    }
    for (const [index, digest] of batches.entries()) {
      const sequence = (first + index) as Sequence;
      if (sequence > state.low) this.#assign(this.slot(sequence), digest, earlier.get(sequence));
    }
    for (const proposal of earlier.values()) if (proposal !== undefined) this.#pool.drop(proposal.bundles);
    for (const [sequence, slot] of state.slots) {
      const empty = slot.proposal === undefined && slot.assigned === undefined;
      if (empty && slot.prepared === undefined && slot.decision === undefined) state.slots.delete(sequence);
    }
  }

  /** What the primary of the view proposed before its NEW-VIEW could be installed here. */
  takeUpProposals(): void {
    const { state } = this.#context;
    const { view, proposals } = state.next;
    if (view > state.view) return;
    state.next = { view: state.view, proposals: new Map() };
    if (view !== state.view) return;
    const primary = this.#context.primary();
    for (const [sequence, batch] of proposals) {
      this.onPrePrepare(primary, { type: "prePrepare", view, sequence, ...batch });
    }
  }

  /** The bound grows with the timeouts: delay or skew beyond it would refuse every proposal for ever. */
  #agreesWithTime(time: AgreedTime): boolean {
    const { options } = this.#context;
    const bound = options.timeBoundMs * (timeoutOf(this.#context) / options.viewChangeTimeoutMs);
    return Math.abs(time - this.#context.wallClock()) <= bound;
  }

  /** Forgets what the old view made of a sequence; the certificate and the decision stay. */
  #clear(slot: Slot): void {
    slot.prepares.clear();
    slot.commits.clear();
    slot.voted = false;
    slot.assigned = undefined;
    const { proposal, decision } = slot;
    if (proposal === undefined) return;
    slot.proposal = undefined;
    const given = [...proposal.missing].filter((digest) => decision?.missing.has(digest) !== true);
    this.#pool.stopWaiting(slot.sequence, new Set(given));
  }

  #assign(slot: Slot, digest: Digest, earlier: Proposal | undefined): void {
    const { decision, prepared, sequence } = slot;
    // More than f replicas lie; what was executed here is not voted on in another form.
    if (decision !== undefined && decision.digest !== digest) return this.#context.ignore("contradictsDecision");
    const known = [NULL_BATCH, decision, prepared, earlier].find((batch) => batch?.digest === digest);
    const content = known ?? this.#context.state.history.get(sequence);
    if (content === undefined || content.digest !== digest) {
      slot.assigned = digest;
      return this.#onUnknown(digest);
    }
    const { time, bundles } = content;
    this.#accept(slot, { digest, time, bundles }, true);
    this.#advance(slot);
  }

  /** The window or the committed prefix moved: what came too early may be accepted now, from below, since it may decide at once. */
  takeUpEarly(): void {
    const { state } = this.#context;
    if (state.early.size === 0 || this.#context.isChangingView()) return;
    for (const [sequence, early] of [...state.early].sort(([one], [other]) => one - other)) {
      if (sequence > this.#acceptHigh()) return;
      state.early.delete(sequence);
      this.onPrePrepare(this.#context.primary(), { type: "prePrepare", view: state.view, sequence, ...early });
    }
  }

  /** The window moved: votes that were held for it count now. */
  onWindowMoved(): void {
    this.takeUpEarly();
    for (const slot of this.#context.state.slots.values()) this.#advance(slot);
  }

  /** What was decided or prepared here before a restart, above our snapshot. Votes begin again with {@link enterView}. */
  restore(sequence: Sequence, prepared: PreparedBatch | undefined, decision: Decision | undefined): void {
    const slot = this.slot(sequence);
    if (prepared !== undefined) this.#pool.keep(prepared.bundles);
    slot.prepared = prepared;
    if (decision === undefined) return;
    slot.decision = { ...decision, missing: this.#keepAndAwait(sequence, decision.bundles) };
    if (slot.decision.missing.size === 0) this.#record(slot, slot.decision);
  }

  /** Certificates made in the installed view before a restart stand; our COMMIT on them is said again when a peer asks. */
  resume(): void {
    const { state } = this.#context;
    for (const slot of state.slots.values()) {
      const { prepared, proposal, sequence } = slot;
      if (prepared?.view !== state.view || sequence <= state.low) continue;
      if (sequence > state.lastSeen) state.lastSeen = sequence;
      if (proposal === undefined) this.#accept(slot, prepared, true);
      this.#advance(slot);
    }
  }

  slot(sequence: Sequence): Slot {
    const { state } = this.#context;
    const known = state.slots.get(sequence);
    if (known !== undefined) return known;
    const slot: Slot = {
      sequence,
      assigned: undefined,
      proposal: undefined,
      prepares: new Map(),
      commits: new Map(),
      voted: false,
      prepared: undefined,
      decision: undefined,
    };
    state.slots.set(sequence, slot);
    if (sequence > state.lastSeen) state.lastSeen = sequence;
    return slot;
  }

  /**
   * The last sequence that a proposal is accepted for: the high watermark, and no more in flight than a view change can carry.
   * Measured from what is decided or stable, never from what is executed, so that slow execution refuses nothing; and never asked
   * of what a NEW-VIEW carries.
   */
  #acceptHigh(): Sequence {
    const { state, options } = this.#context;
    const decided = Math.max(state.low, state.committedPrefix);
    return Math.min(this.#context.high(), decided + options.inFlightMax) as Sequence;
  }

  #accept(slot: Slot, batch: BatchContent & { readonly digest: Digest }, timeVouched: boolean): void {
    const { digest, time, bundles } = batch;
    const { view } = this.#context.state;
    const missing = this.#keepAndAwait(slot.sequence, bundles);
    const proposal: Proposal = { view, digest, time, bundles, missing, timeVouched, refused: false };
    slot.proposal = proposal;
    this.#pool.markProposed(bundles);
    // The primary's PRE-PREPARE is its PREPARE, also the one that its NEW-VIEW carries.
    if (this.#context.isPrimary()) slot.voted = true;
  }

  #keepAndAwait(sequence: Sequence, bundles: readonly Digest[]): Set<Digest> {
    const missing = this.#pool.keepAndAwait(sequence, bundles);
    if (missing.size > 0) this.#onMissing([...missing]);
    return missing;
  }

  #advance(slot: Slot): void {
    const { state } = this.#context;
    const { proposal } = slot;
    if (proposal === undefined || proposal.view !== state.view || proposal.missing.size > 0) return;
    if (slot.sequence <= state.low) return; // below the window nothing is voted on; DECIDED brings what is missing
    // Having left the view we vote no more in it: our VIEW-CHANGE says what was prepared here. Votes of others still decide.
    if (!this.#context.isChangingView()) this.#prepare(slot, proposal);
    const prepared = this.#context.preparedIn(slot);
    if (prepared === undefined || slot.decision !== undefined) return;
    const committers = union(slot.commits.get(proposal.digest) ?? EMPTY_SET, this.#context.self());
    if (!isQuorum(this.#context.quorums, committers)) return;
    state.suspicion.progressed = true;
    this.#decide(slot, proposal, prepared);
  }

  #prepare(slot: Slot, proposal: Proposal): void {
    const voters = this.#prepareVoters(slot, proposal);
    if (!proposal.timeVouched && isWeakQuorum(this.#context.quorums, voters)) proposal.timeVouched = true;
    if (!slot.voted) this.#vote(slot, proposal);
    const signers = slot.voted ? union(voters, setOf(this.#context.options.me)) : voters;
    if (this.#context.preparedIn(slot) === undefined && isQuorum(this.#context.quorums, signers))
      this.#onPrepared(slot, proposal, signers);
  }

  /** The primary's PRE-PREPARE is its PREPARE; it counts once (OSDI'99 §4.2: 2f PREPAREs from backups and the PRE-PREPARE). */
  #prepareVoters(slot: Slot, proposal: Proposal): ReplicaSet {
    return union(slot.prepares.get(proposal.digest) ?? EMPTY_SET, setOf(this.#context.primaryOf(proposal.view)));
  }

  /** Sends PREPARE once all bodies are held: or a primary could make certificates that no view change can carry. */
  #vote(slot: Slot, proposal: Proposal): void {
    const { state, options } = this.#context;
    if (this.#context.isPrimary() || proposal.refused || !proposal.timeVouched) return;
    if (slot.sequence > this.#context.high() || slot.sequence <= silentThrough(this.#context)) return;
    const bytes = proposal.bundles.reduce((sum, digest) => sum + (state.bundles.get(digest)?.ref.bytes ?? 0), 0);
    if (bytes > options.batchBytesMax && proposal.bundles.length > 1) {
      proposal.refused = true;
      return this.#context.ignore("batchTooLarge", this.#context.primaryOf(proposal.view));
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
    const lsn = this.#context.persist({
      type: "prepared",
      certificate: { phase: "prepare", view, sequence, digest, signers },
      batch: { time, bundles },
    });
    this.#pool.keep(bundles);
    if (slot.prepared !== undefined) this.#pool.drop(slot.prepared.bundles);
    slot.prepared = { view, digest, time, bundles, signers, lsn };
    this.#context.broadcast({ type: "commit", view, sequence, digest }, lsn);
  }

  #decide(slot: Slot, batch: BatchContent & { readonly digest: Digest }, lsn: Lsn | undefined): void {
    const { digest, time, bundles } = batch;
    const decision = { digest, time, bundles, lsn, missing: this.#keepAndAwait(slot.sequence, bundles) };
    slot.decision = decision;
    this.#pool.markProposed(bundles);
    this.#pool.followCommitted();
    // Behind a gap nothing moves: STATUS goes on asking.
    if (slot.sequence === this.#context.state.lastExecuted + 1) this.#context.progress();
    if (decision.missing.size === 0) this.#record(slot, decision);
  }

  /** What was decided, by whatever way, is durable with its bodies before anything of it leaves. */
  #record({ sequence }: Slot, decision: Decision): void {
    const { digest, time, bundles } = decision;
    decision.lsn ??= this.#context.persist({ type: "decided", sequence, digest, batch: { time, bundles } });
    this.#onDecided();
  }
}
