/**
 * View changes (OSDI'99 §4.4, with signatures): leaving a view, gathering VIEW-CHANGEs, and entering the next one by a NEW-VIEW
 * that every replica recomputes. Views only go forward.
 *
 * - A VIEW-CHANGE is sealed once per view and is the same bytes ever after; NEW-VIEW names the ones that it rests on by digest.
 * - f+1 replicas that ask for higher views take us along; fewer never do. Nobody goes past a view that it asked for, and no timer
 *   runs for it, before Q replicas ask for it or for a higher one: so replicas meet in one view.
 * - Who has left a view votes again only in one that a NEW-VIEW installs; meanwhile it counts, executes and signs checkpoints.
 */
import type { CheckpointManager } from "./checkpoint-manager.ts";
import type { ConsensusProtocol } from "./consensus-protocol.ts";
import type { Context } from "./context.ts";
import type { ViewChangeCause } from "./core.ts";
import type { CertificateName, NewView, ViewChange } from "./messages.ts";
import { carriedOver, carriesOver, isSound, isVoid, newViewName, type Carried } from "./new-view.ts";
import type { RequestPool } from "./request-pool.ts";
import { startAgain, timeoutOf } from "./primary-monitor.ts";
import {
  EMPTY_SET,
  NUMBER_MAX,
  setOf,
  union,
  type Digest,
  type Instant,
  type Lsn,
  type ReplicaId,
  type ReplicaSet,
  type View,
} from "./types.ts";
import { extendLease } from "./vote-leases.ts";

/** A VIEW-CHANGE that an awaited NEW-VIEW names is asked for so soon: its sender has most likely sent it to us as well. */
const FETCH_DELAY_MS = 20;

export class ViewManager {
  readonly #context: Context;
  readonly #consensus: ConsensusProtocol;
  readonly #checkpoints: CheckpointManager;
  readonly #pool: RequestPool;
  readonly #onWindow: () => void;

  constructor(
    context: Context,
    rooms: {
      consensus: ConsensusProtocol;
      checkpoints: CheckpointManager;
      pool: RequestPool;
      /** The bounds of the vote table have changed. */
      onWindow: () => void;
    },
  ) {
    this.#context = context;
    this.#consensus = rooms.consensus;
    this.#checkpoints = rooms.checkpoints;
    this.#pool = rooms.pool;
    this.#onWindow = rooms.onWindow;
  }

  /** Stops taking part in the installed view, for good, and asks for `target`. More than f liars may bring us to the last view. */
  leave(target: View, cause: ViewChangeCause): void {
    const { state } = this.#context;
    const { suspicion } = state;
    if (target <= (state.pending ?? state.view) || target > NUMBER_MAX || state.amnesia !== undefined) return;
    // A view that brought nothing was given too little time; a slow primary, and one that hands over, says nothing about time.
    const isLate = this.#context.isChangingView() || (cause !== "handOver" && !suspicion.progressed);
    if (cause !== "complaints" && isLate) suspicion.attempts += 1;
    suspicion.fallen = cause === "complaints" ? suspicion.fallen + 1 : 0;
    this.#context.emit({ kind: "viewLeft", view: state.view, target, cause });
    state.pending = target;
    state.newViewTimer = undefined;
    for (const awaited of state.awaited.values()) if (awaited.view < target) this.#giveUp(awaited);
    this.#consensus.leaveView();
    this.#onWindow();
    const message = {
      type: "viewChange",
      target,
      stable: this.#stableCertificate(),
      prepared: this.#preparedCertificates(),
    } as const;
    state.own = { message, digest: undefined, cause, twin: undefined, lsn: 0 as Lsn, heldBy: EMPTY_SET };
    this.#context.emit({ kind: "seal", message });
  }

  /** Our VIEW-CHANGE has its bytes: leaving is durable before it leaves, and so is every certificate that it names. */
  onSealed(target: View, digest: Digest): void {
    const { state, options } = this.#context;
    const { own } = state;
    if (own === undefined || own.message.target !== target || own.digest !== undefined || state.pending !== target) {
      this.#context.ignore("staleViewChange");
      return this.#forget([digest]);
    }
    own.digest = digest;
    if (own.twin !== undefined && own.twin !== digest) this.#forget([own.twin]);
    own.lsn = this.#context.persist({ type: "viewLeft", target, cause: own.cause, message: digest });
    this.#keep(options.me, { ...own.message, digest });
    this.#context.broadcast({ ...own.message, digest }, own.lsn);
    this.#react();
  }

  onViewChange(from: ReplicaId, message: ViewChange): void {
    const { state, options } = this.#context;
    // One of ours that we do not hold is from before our disk was wiped; the view that rests on it is as good as any.
    const isStray = from === options.me && !this.#isNamed(message.digest);
    if (isStray || this.#isVoid(from, message) || !isSound(this.#context.quorums, options, message)) {
      this.#context.ignore("invalidViewChange", from);
      // One of ours from outside may be what is being sealed right now, byte for byte.
      if (from === options.me && state.own !== undefined && state.own.digest === undefined)
        state.own.twin = message.digest;
      else this.#forget([message.digest]);
      return;
    }
    if (message.stable !== undefined) this.#checkpoints.onCertificate(message.stable);
    const isNamed = this.#isNamed(message.digest);
    if (isNamed && !state.named.has(message.digest)) {
      state.named.set(message.digest, { from, message });
      state.fetches.delete(message.digest);
    }
    if (
      from !== options.me &&
      message.target > state.view &&
      message.target > (state.viewChanges.get(from)?.target ?? 0)
    ) {
      this.#keep(from, message);
    } else if (!isNamed) {
      this.#context.ignore("staleViewChange", from);
      return this.#forget([message.digest]);
    }
    this.#tryEnter();
    this.#react();
  }

  /** A NEW-VIEW of the primary of its view. */
  onNewView(from: ReplicaId, message: NewView): void {
    const { state, options } = this.#context;
    const least = state.pending ?? ((state.view + 1) as View);
    const awaited = state.awaited.get(from);
    if (message.view < least || message.view <= (awaited?.view ?? 0)) {
      this.#context.ignore("staleNewView", from);
      if (message.view !== state.view && message.view !== awaited?.view) this.#forgetNewView(message.view);
      return;
    }
    const signers = message.viewChanges.reduce((set, named) => union(set, setOf(named.from)), EMPTY_SET);
    // Who does not know what it proposed enters no view that it would lead.
    const isLost = state.amnesia !== undefined && from === options.me;
    if (from !== this.#context.primaryOf(message.view) || isLost || !this.#context.isQuorum(signers)) {
      this.#context.ignore("invalidNewView", from);
      return this.#forgetNewView(message.view);
    }
    if (awaited !== undefined) this.#giveUp(awaited);
    state.awaited.set(from, message);
    this.#tryEnter();
    this.#react();
  }

  /** We crashed while we waited for `message.target`: the same VIEW-CHANGE again, byte for byte. */
  restore(message: ViewChange, cause: ViewChangeCause, lsn: Lsn): void {
    const { state, options } = this.#context;
    state.pending = message.target;
    state.own = { message, digest: message.digest, cause, twin: undefined, lsn, heldBy: EMPTY_SET };
    this.#keep(options.me, message);
    this.#consensus.leaveView();
    this.#onWindow();
    this.#context.repeat(this.#context.others, message, lsn);
  }

  /** A replica whose disk was wiped begins anew: what it asked for before must not stand in a NEW-VIEW of ours. */
  onRecover(from: ReplicaId): void {
    const { state } = this.#context;
    const held = state.viewChanges.get(from);
    if (held === undefined || !this.#isVoid(from, held)) return;
    state.viewChanges.delete(from);
    this.#forget([held.digest]);
  }

  /** A replica that forgot what it said itself may follow into any view: it has no say in it. */
  #isVoid(from: ReplicaId, message: ViewChange): boolean {
    const { state, options } = this.#context;
    return (from !== options.me || state.amnesia === undefined) && isVoid(state.recoverMarks, from, message);
  }

  /** Lets go of what a restart found stored beside records of views that are behind us. */
  releaseStored(viewChanges: readonly Digest[], views: readonly View[]): void {
    this.#forget(viewChanges);
    for (const view of views) if (view !== this.#context.state.installed?.view) this.#forgetNewView(view);
  }

  onTick(): void {
    const { state, now } = this.#context;
    if (state.newViewTimer === undefined || state.newViewTimer > now || state.pending === undefined) return;
    state.newViewTimer = undefined;
    this.leave((state.pending + 1) as View, "timeout");
    this.#react();
  }

  deadline(): Instant | undefined {
    return this.#context.state.newViewTimer;
  }

  /** Whose VIEW-CHANGE for the view that we wait for, or above the installed one, are held. */
  held(): ReplicaSet {
    const { state } = this.#context;
    let set = EMPTY_SET;
    for (const [from, { target }] of state.viewChanges) {
      if (state.pending === undefined || target === state.pending) set = union(set, setOf(from));
    }
    return set;
  }

  #keep(from: ReplicaId, message: ViewChange): void {
    const { state } = this.#context;
    const replaced = state.viewChanges.get(from);
    state.viewChanges.set(from, message);
    if (replaced !== undefined) this.#forget([replaced.digest]);
  }

  /** What follows from the VIEW-CHANGEs that are held now. */
  #react(): void {
    this.#join();
    const { state, now } = this.#context;
    const { pending } = state;
    if (pending === undefined) return;
    let asking = EMPTY_SET;
    for (const [from, { target }] of state.viewChanges) if (target >= pending) asking = union(asking, setOf(from));
    if (state.newViewTimer === undefined && this.#context.isQuorum(asking)) {
      state.newViewTimer = (now + timeoutOf(this.#context)) as Instant;
    }
    if (this.#context.primaryOf(pending) === this.#context.options.me) this.#propose(pending);
  }

  /** f+1 replicas ask for higher views: the (f+1)-th highest is asked for by an honest one, and may be asked for by us. */
  #join(): void {
    const { state, quorums } = this.#context;
    const current = state.pending ?? state.view;
    const targets = [...state.viewChanges]
      .filter(([from]) => from !== this.#context.options.me)
      .map(([, { target }]) => target);
    const target = targets.sort((a, b) => b - a)[quorums.weak - 1];
    if (target !== undefined && target > current) return this.leave(target, "joined");
    // The primary itself may fall silent anyway, so its own request to be replaced grants nobody anything new.
    if (state.pending !== undefined || this.#context.isPrimary()) return;
    const next = (state.view + 1) as View;
    if (state.viewChanges.get(this.#context.primary())?.target === next) this.leave(next, "handOver");
  }

  /** As primary of the view, sends NEW-VIEW once Q VIEW-CHANGEs for exactly this view are here. */
  #propose(view: View): void {
    const { state, quorums, options } = this.#context;
    const asking = [...state.viewChanges].filter(([, message]) => message.target === view);
    const own = asking.findIndex(([from]) => from === options.me);
    if (asking.length < quorums.quorum || own < 0) return;
    const others = asking.filter(([from]) => from !== options.me).slice(0, quorums.quorum - 1);
    const chosen = [asking[own] as (typeof asking)[number], ...others].sort(([a], [b]) => a - b);
    const carried = carriedOver(chosen.map(([, message]) => message));
    const viewChanges = chosen.map(([from, { digest }]) => ({ from, digest }));
    const { first, batches } = carried;
    const message = { type: "newView", view, viewChanges, first, batches } as const;
    for (const [from, viewChange] of chosen) state.named.set(viewChange.digest, { from, message: viewChange });
    const lsn = this.#enter(message, carried);
    this.#context.broadcast(message, lsn);
  }

  /** Enters an awaited view when every VIEW-CHANGE that its NEW-VIEW names is here and its O is the one that follows from them. */
  #tryEnter(): void {
    const { state } = this.#context;
    for (const [primary, awaited] of state.awaited) {
      if (!this.#gather(awaited)) continue;
      const named = awaited.viewChanges.map(({ from, digest }) => ({ from, held: state.named.get(digest) }));
      const sound = named.every(({ from, held }) => held?.from === from && held.message.target === awaited.view);
      const empty = named.some(({ from, held }) => held !== undefined && this.#isVoid(from, held.message));
      const carried = carriedOver(named.flatMap(({ held }) => (held === undefined ? [] : [held.message])));
      if (sound && !empty && carriesOver(awaited, carried)) {
        this.#enter(awaited, carried);
        return;
      }
      this.#context.ignore("invalidNewView", primary);
      this.#giveUp(awaited);
    }
  }

  /** Whether all VIEW-CHANGEs that a NEW-VIEW names are here; asks for those that are not. */
  #gather(awaited: NewView): boolean {
    const { state, now } = this.#context;
    let complete = true;
    for (const { from, digest } of awaited.viewChanges) {
      const held = state.viewChanges.get(from);
      if (held?.digest === digest) state.named.set(digest, { from, message: held });
      if (state.named.has(digest)) continue;
      complete = false;
      const at = (now + FETCH_DELAY_MS) as Instant;
      if (!state.fetches.has(digest)) state.fetches.set(digest, { what: "viewChange", at, asked: 0 });
    }
    return complete;
  }

  #enter(message: NewView, carried: Carried): Lsn {
    const { state } = this.#context;
    const { view } = message;
    // Before the view is ours, so that nothing is proposed in it yet.
    if (carried.stable !== undefined) this.#checkpoints.onCertificate(carried.stable);
    const cause = state.own?.cause ?? "joined";
    const before = state.installed;
    state.view = view;
    state.pending = undefined;
    state.own = undefined;
    state.newViewTimer = undefined;
    state.installed = message;
    const lsn = this.#context.persist({ type: "viewEntered", newView: message });
    this.#drop(before);
    for (const [primary, awaited] of state.awaited) {
      if (awaited === message) state.awaited.delete(primary);
      else if (awaited.view <= view) this.#giveUp(awaited);
    }
    this.#forgetOld();
    extendLease(this.#context);
    this.#onWindow();
    this.#consensus.enterView(carried.first, carried.batches);
    this.#pool.queueAgain();
    startAgain(this.#context);
    this.#context.progress();
    const primary = this.#context.primary();
    this.#context.emit({
      kind: "viewChanged",
      view,
      primary,
      cause,
      carried: carried.batches.length,
      nulls: carried.nulls,
    });
    this.#consensus.takeUpProposals();
    return lsn;
  }

  #stableCertificate(): CertificateName | undefined {
    const { low, stableDigest, stableSigners } = this.#context.state;
    if (low === 0) return undefined;
    return { phase: "checkpoint", view: 0 as View, sequence: low, digest: stableDigest, signers: stableSigners };
  }

  #preparedCertificates(): CertificateName[] {
    const { state } = this.#context;
    const high = this.#context.high();
    const certificates: CertificateName[] = [];
    for (const { sequence, prepared } of state.slots.values()) {
      if (prepared === undefined || sequence <= state.low || sequence > high) continue;
      const { view, digest, signers } = prepared;
      certificates.push({ phase: "prepare", view, sequence, digest, signers });
    }
    return certificates.sort((a, b) => a.sequence - b.sequence);
  }

  /** VIEW-CHANGEs for views that are behind us. */
  #forgetOld(): void {
    const { state } = this.#context;
    const old: Digest[] = [];
    for (const [from, { target, digest }] of state.viewChanges) {
      if (target > state.view) continue;
      state.viewChanges.delete(from);
      old.push(digest);
    }
    this.#forget(old);
  }

  #giveUp(awaited: NewView): void {
    this.#context.state.awaited.delete(this.#context.primaryOf(awaited.view));
    this.#drop(awaited);
  }

  /** A NEW-VIEW that is not awaited or installed any more, and what was kept for it. */
  #drop(message: NewView | undefined): void {
    const { state } = this.#context;
    if (message === undefined) return;
    for (const { digest } of message.viewChanges) {
      if (!this.#isNamed(digest)) state.named.delete(digest);
      if (state.fetches.get(digest)?.what === "viewChange") state.fetches.delete(digest);
    }
    this.#forget(message.viewChanges.map(({ digest }) => digest));
    if (message.view !== state.installed?.view) this.#forgetNewView(message.view);
  }

  #isNamed(digest: Digest): boolean {
    const { installed, awaited } = this.#context.state;
    const names = (message: NewView): boolean => message.viewChanges.some((named) => named.digest === digest);
    return (installed !== undefined && names(installed)) || [...awaited.values()].some(names);
  }

  /** Lets go of the bytes of VIEW-CHANGEs that nothing refers to. */
  #forget(digests: readonly Digest[]): void {
    const { state } = this.#context;
    const held = new Set([...state.viewChanges.values()].map(({ digest }) => digest));
    const unused = digests.filter(
      (digest) => !held.has(digest) && !state.named.has(digest) && state.own?.digest !== digest,
    );
    if (unused.length > 0) this.#context.emit({ kind: "forget", what: "viewChange", digests: unused });
  }

  #forgetNewView(view: View): void {
    this.#context.emit({ kind: "forget", what: "newView", digests: [newViewName(view)] });
  }
}
