/**
 * Repair. Everything that a reconnect, a full queue or an early-message bound may have lost is named by STATUS and answered
 * from the log: STATUS is the first message on every connection, and is repeated while work is pending without progress.
 * What a peer executed it answers with DECIDED on its own channel; f+1 that match decide a sequence in any view, since
 * COMMITs of others cannot be relayed.
 */
import type { CheckpointManager } from "./checkpoint-manager.ts";
import type { ConsensusProtocol } from "./consensus-protocol.ts";
import type { Context } from "./context.ts";
import { earlyHigh } from "./early-proposals.ts";
import type { Decided, Status } from "./messages.ts";
import { isWeakQuorum } from "./quorum.ts";
import type { OpenFetch, Slot } from "./state.ts";
import {
  EMPTY_SET,
  holds,
  setOf,
  union,
  without,
  type Digest,
  type Instant,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
} from "./types.ts";
import { newViewName } from "./new-view.ts";
import type { ViewManager } from "./view-manager.ts";
import { isFenced, leaseFor, silentThrough } from "./vote-leases.ts";

/** Work that waits so long without progress asks for repair; doubles up to {@link STATUS_DELAY_MAX_MS}. */
const STATUS_DELAY_MS = 100;
const STATUS_DELAY_MAX_MS = 2_000;
/** A peer's STATUS is answered at most this often, so that asking cannot become an attack. */
const ANSWER_INTERVAL_MS = 50;
/** Sequences and bodies repaired per answer; the peer's next STATUS names the rest. */
const SEQUENCES_PER_ANSWER = 32;
const BODIES_PER_ANSWER = 32;
/** A named body that the proposer's push did not bring so soon is asked for; the interval doubles up to the maximum. */
const FETCH_DELAY_MS = 40;
const FETCH_DELAY_MAX_MS = 2_000;

export class StatusExchange {
  readonly #context: Context;
  readonly #consensus: ConsensusProtocol;
  readonly #checkpoints: CheckpointManager;
  readonly #views: ViewManager;

  constructor(
    context: Context,
    rooms: { consensus: ConsensusProtocol; checkpoints: CheckpointManager; views: ViewManager },
  ) {
    this.#context = context;
    this.#consensus = rooms.consensus;
    this.#checkpoints = rooms.checkpoints;
    this.#views = rooms.views;
  }

  onLink(peer: ReplicaId, up: boolean): void {
    const { state } = this.#context;
    if (!up) {
      state.linked.delete(peer);
      return;
    }
    state.linked.add(peer);
    state.answeredAt.delete(peer);
    this.#context.send(setOf(peer), this.#status(), this.#context.state.persistedUpTo);
    this.#sendViewChange(setOf(peer));
  }

  onStatus(from: ReplicaId, status: Status): void {
    const { state, now } = this.#context;
    const answered = state.answeredAt.get(from);
    if (answered !== undefined && now - answered < ANSWER_INTERVAL_MS)
      return this.#context.ignore("statusTooSoon", from);
    state.answeredAt.set(from, now);
    state.executedBy.set(from, status.lastExecuted);
    if (this.#showsMore(status)) this.#onAhead(from);
    else state.ahead = without(state.ahead, setOf(from));
    this.#checkpoints.repair(from, status.lowWatermark);
    this.#repairView(from, status);
    this.#answer(from, status);
    const bodies = status.missing.filter((digest) => state.bundles.has(digest)).slice(0, BODIES_PER_ANSWER);
    for (const bundle of bodies) this.#context.emit({ kind: "forward", bundle, to: setOf(from) });
  }

  onDecided(from: ReplicaId, message: Decided): void {
    const { state, options } = this.#context;
    const { sequence, digest, time, bundles } = message;
    if (sequence <= state.lastExecuted) return this.#context.ignore("staleStatus", from);
    if (sequence > state.lastExecuted + options.window) return this.#context.ignore("aboveWindow", from);
    if (bundles.length > options.batchBundlesMax) return this.#context.ignore("batchTooLarge", from);
    const claims = state.decidedClaims.get(sequence) ?? { by: new Map(), contents: new Map() };
    state.decidedClaims.set(sequence, claims);
    if (claims.by.has(from)) return;
    claims.by.set(from, digest);
    claims.contents.set(digest, { time, bundles });
    let vouching = EMPTY_SET;
    for (const [peer, claimed] of claims.by) if (claimed === digest) vouching = union(vouching, setOf(peer));
    if (isWeakQuorum(this.#context.quorums, vouching))
      this.#consensus.decideByClaims(sequence, digest, { time, bundles });
  }

  /** Bodies are missing: accept them from whoever sends them, and ask for them soon. */
  onMissing(bundles: readonly Digest[]): void {
    const { state, now } = this.#context;
    this.#context.emit({ kind: "pin", bundles });
    for (const digest of bundles) {
      if (!state.fetches.has(digest))
        state.fetches.set(digest, { what: "bundle", at: (now + FETCH_DELAY_MS) as Instant, asked: 0 });
    }
  }

  /** A NEW-VIEW names a batch whose content is not known here: f+1 honest replicas have it. */
  onUnknown(batch: Digest): void {
    const { state, now } = this.#context;
    if (!state.fetches.has(batch)) state.fetches.set(batch, { what: "batch", at: now, asked: 0 });
  }

  /** Nobody who was asked has it, or the answer was false: ask again at once, then slower. */
  onUnavailable(digest: Digest): void {
    const fetch = this.#context.state.fetches.get(digest);
    if (fetch === undefined) return this.#context.ignore("unknownBatch");
    fetch.at = (this.#context.now + delayAfter(fetch.asked)) as Instant;
  }

  onTick(): void {
    const { state, now } = this.#context;
    for (const [digest, fetch] of state.fetches) {
      if (fetch.at > now) continue;
      if (fetch.what === "batch" && !this.#isAssigned(digest)) {
        state.fetches.delete(digest);
        continue;
      }
      fetch.asked += 1;
      fetch.at = (now + delayAfter(fetch.asked)) as Instant;
      this.#context.emit({ kind: "fetch", what: fetch.what, digest, from: this.#askable(fetch) });
    }
    if (state.statusAt === undefined || state.statusAt > now) return;
    state.statusDelayMs = Math.min(STATUS_DELAY_MAX_MS, Math.max(STATUS_DELAY_MS, state.statusDelayMs) * 2);
    state.statusAt = (now + state.statusDelayMs) as Instant;
    this.#context.broadcast(this.#status(), state.persistedUpTo);
    state.toldExecuted = state.lastExecuted;
    if (state.own !== undefined) this.#sendViewChange(without(this.#context.others, state.own.heldBy));
    else this.#showVotes();
  }

  /**
   * Who executed what we wait for got there in an earlier view, or by DECIDED. It has to vote on it in this view as well, and does not
   * ask for the votes that it lacks: its STATUS names nothing that it has executed.
   */
  #showVotes(): void {
    const { state, options } = this.#context;
    for (const [peer, through] of state.executedBy) {
      if (peer === options.me) continue;
      const last = Math.min(through, state.lastSeen, state.lastExecuted + SEQUENCES_PER_ANSWER);
      for (let sequence = state.lastExecuted + 1; sequence <= last; sequence++) {
        const slot = state.slots.get(sequence as Sequence);
        if (slot !== undefined && slot.decision === undefined) this.#repeatVotes(peer, slot, false, false);
      }
    }
  }

  /** Starts or stops the STATUS timer after each step. */
  settle(): void {
    const { state, now } = this.#context;
    if (this.#pending()) {
      const at = (now + Math.max(STATUS_DELAY_MS, state.statusDelayMs)) as Instant;
      if (state.statusAt === undefined || state.statusAt > at) state.statusAt = at;
    }
    // After the last execution everybody is told once how far it went: who lost its votes would not miss them.
    else if (state.toldExecuted < state.lastExecuted) state.statusAt ??= (now + STATUS_DELAY_MAX_MS) as Instant;
    else state.statusAt = undefined;
  }

  deadline(): Instant | undefined {
    const { state } = this.#context;
    let at = state.statusAt;
    for (const fetch of state.fetches.values()) if (at === undefined || fetch.at < at) at = fetch.at;
    return at;
  }

  #pending(): boolean {
    const { state } = this.#context;
    return (
      state.pending !== undefined ||
      state.lastSeen > state.lastExecuted ||
      state.pooledBundles > 0 ||
      state.ahead !== EMPTY_SET ||
      this.#hasUnstableCheckpoint()
    );
  }

  #hasUnstableCheckpoint(): boolean {
    const { ownCheckpoints, low } = this.#context.state;
    for (const sequence of ownCheckpoints.keys()) if (sequence > low) return true;
    return false;
  }

  /** Whether a peer executed more than we did, or holds a proposal that we have never seen. */
  #showsMore(status: Status): boolean {
    const { state } = this.#context;
    if (status.lastExecuted > state.lastExecuted || status.view > (state.pending ?? state.view)) return true;
    if (status.view !== state.view || status.mode !== "normal") return false;
    return status.proposed.some((proposed, index) => {
      const sequence = (status.lastExecuted + 1 + index) as Sequence;
      if (!proposed || sequence <= state.lastExecuted || sequence > earlyHigh(this.#context)) return false;
      return state.slots.get(sequence)?.proposal === undefined && !state.early.has(sequence);
    });
  }

  /** A peer shows more than we have; it may be lying, so it costs one STATUS now and slow ones later. */
  #onAhead(from: ReplicaId): void {
    const { state } = this.#context;
    if (!holds(state.ahead, from)) this.#context.send(setOf(from), this.#status(), state.persistedUpTo);
    state.ahead = union(state.ahead, setOf(from));
  }

  #askable({ what, asked }: OpenFetch): ReplicaSet {
    const first = what === "bundle" && asked === 1 && !this.#context.isPrimary();
    return first ? setOf(this.#context.primary()) : this.#context.others;
  }

  #isAssigned(batch: Digest): boolean {
    for (const slot of this.#context.state.slots.values()) if (slot.assigned === batch) return true;
    return false;
  }

  /**
   * What a peer in another view lacks: our VIEW-CHANGE, which is the same bytes every time, or word of the view that is installed
   * here, whose NEW-VIEW it will fetch. A view that it installed and we did not we fetch from it.
   */
  #repairView(from: ReplicaId, status: Status): void {
    const { state } = this.#context;
    const { own, pending, view } = state;
    if (own !== undefined && status.view === pending && holds(status.viewChanges, this.#context.options.me))
      own.heldBy = union(own.heldBy, setOf(from));
    else if (own !== undefined && pending !== undefined && status.view <= pending && status.mode === "viewChange")
      this.#sendViewChange(setOf(from));
    const behind = status.mode === "viewChange" ? status.view <= view : status.view < view;
    if (behind) this.#context.send(setOf(from), this.#status(), state.persistedUpTo);
    if (status.mode === "normal" && status.view > view && status.view >= (pending ?? 0))
      this.#context.emit({ kind: "fetch", what: "newView", digest: newViewName(status.view), from: setOf(from) });
  }

  #sendViewChange(to: ReplicaSet): void {
    const { own } = this.#context.state;
    if (own?.digest !== undefined) this.#context.repeat(to, { ...own.message, digest: own.digest }, own.lsn);
  }

  #status(): Status {
    const { state } = this.#context;
    const count = Math.min(Math.max(0, state.lastSeen - state.lastExecuted), 2 * this.#context.options.window);
    const slots: (Slot | undefined)[] = [];
    for (let i = 1; i <= count; i++) slots.push(state.slots.get((state.lastExecuted + i) as Sequence));
    return {
      type: "status",
      mode: state.pending === undefined ? "normal" : "viewChange",
      view: state.pending ?? state.view,
      lowWatermark: state.low,
      lastExecuted: state.lastExecuted,
      proposed: slots.map((slot) => slot?.proposal !== undefined),
      prepared: slots.map((slot) => slot !== undefined && this.#context.preparedIn(slot) !== undefined),
      committed: slots.map((slot) => slot?.decision !== undefined),
      missing: [...state.waiting.keys()].slice(0, BODIES_PER_ANSWER),
      viewChanges: this.#views.held(),
      fence: isFenced(this.#context) ? { view: state.view, through: silentThrough(this.#context) } : undefined,
    };
  }

  #answer(to: ReplicaId, status: Status): void {
    const { state } = this.#context;
    let repaired = 0;
    const oldest = state.history.keys().next().value ?? state.lastExecuted + 1;
    for (
      let s = Math.max(status.lastExecuted + 1, oldest);
      s <= state.lastSeen && repaired < SEQUENCES_PER_ANSWER;
      s++
    ) {
      const sequence = s as Sequence;
      const index = sequence - status.lastExecuted - 1;
      if (status.committed[index] === true) continue;
      const executed = state.history.get(sequence);
      const slot = state.slots.get(sequence);
      if (executed === undefined && slot === undefined) continue;
      repaired += 1;
      if (executed !== undefined) {
        const { digest, time, bundles, lsn } = executed;
        this.#context.repeat(setOf(to), { type: "decided", sequence, digest, time, bundles }, lsn);
      }
      if (slot === undefined || status.view !== state.view || status.mode !== "normal" || state.pending !== undefined)
        continue;
      this.#repeatVotes(to, slot, status.proposed[index] === true, status.prepared[index] === true);
    }
  }

  /** Sends again what we said about one sequence in this view; the records that it rests on have not changed. */
  #repeatVotes(to: ReplicaId, slot: Slot, proposed: boolean, prepared: boolean): void {
    const { proposal, sequence } = slot;
    const lease = leaseFor(this.#context, sequence);
    if (proposal === undefined || lease === undefined) return;
    const { view, digest, time, bundles } = proposal;
    if (slot.voted && this.#context.isPrimary()) {
      if (!proposed)
        this.#context.repeat(setOf(to), { type: "prePrepare", view, sequence, digest, time, bundles }, lease);
    } else if (slot.voted && !prepared) {
      this.#context.repeat(setOf(to), { type: "prepare", view, sequence, digest }, lease);
    }
    const lsn = this.#context.preparedIn(slot);
    if (lsn !== undefined) this.#context.repeat(setOf(to), { type: "commit", view, sequence, digest }, lsn);
  }
}

function delayAfter(asked: number): number {
  return Math.min(FETCH_DELAY_MAX_MS, FETCH_DELAY_MS * 2 ** Math.min(asked, 10));
}
