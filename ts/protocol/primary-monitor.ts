/**
 * Suspicion: when a replica asks for another primary, and when it only complains.
 *
 * Nobody leaves a view alone. Who did would have no vote until the others follow, which they may never do: the fault may be its
 * own, or its link's, or that it is just starting again. So a replica that finds the primary late says so, and leaves the view
 * when f+1 say it, itself among them, or have left already: one of those is honest.
 *
 * Request timers: the first bundle of each client that is not committed yet gets one timeout, which grows with the queue ahead of
 * it and with views that brought nothing. Only time counts in which the primary could be what is late: not our own stalls, not a
 * window that our own execution keeps full. So a client that is censored is heard although others are served, and a client that
 * sends to backups alone, or keeps execution busy, changes no view. A timer that ran out starts again with the complaint, so that
 * complaints which were lost are repeated; those that are not are forgotten.
 *
 * Complaints: a primary that proposes slowly, but before any timeout, is judged by its delay against the round trip to it. f+1
 * complaints end its view. They cannot become endless: each such change doubles the patience, which is lost again only after a time
 * that grows with it, and when f+1 primaries in a row fell by them nobody complains before the next stable checkpoint.
 *
 * A primary has the timers as well, and hands over when one runs out: replicas that are fenced, and others that liars or an earlier
 * view let go ahead, may leave it without a quorum, and fewer than f+1 others may have anything to complain of.
 *
 * A primary whose own disk or event loop stands still complains about itself, and everyone who hears it leaves its view at once: it
 * could have fallen silent anyway. It does so only when a checkpoint became stable in its view, so that slow machines do not hand
 * over for ever. A complaint binds nobody, so it leaves although the disk does not move.
 */
import type { Context } from "./context.ts";
import type { RequestPool } from "./request-pool.ts";
import { isWeakQuorum } from "./quorum.ts";
import type { Status } from "./messages.ts";
import {
  EMPTY_SET,
  NUMBER_MAX,
  setOf,
  union,
  without,
  type Instant,
  type Lsn,
  type ReplicaId,
  type View,
} from "./types.ts";
import { isFenced } from "./vote-leases.ts";
import type { ViewManager } from "./view-manager.ts";

/** Doublings of the timeout at most: a thousand times the configured one is no network that anybody waits for. */
const ATTEMPTS_MAX = 10;
/** A tick this much later than due shows that our own event loop stood still. */
const STALL_MS = 100;
/** A complaint is due no sooner than this share of the timeout: shorter delays are what loaded machines have. */
const COMPLAINT_SHARE = 0.1;
/** Round trips (and batch times) that a proposal may take before anybody complains, at the least patience. */
const COMPLAINT_ROUND_TRIPS = 8;
/** What making and checking one batch may take. */
const BATCH_TIME_MS = 20;
/** A primary that stands still itself for this share of the timeout hands over, before anybody else's timer runs out. */
const OWN_SHARE = 0.25;
/** Greatest patience. */
const PATIENCE_MAX = 1024;
/** Patience that was learnt lasts for so many timeouts, times itself: whatever made proposals late may be there to stay. */
const PATIENCE_TIMEOUTS = 8;
/** A complaint counts for so many of the periods in which it is repeated: one of them may be lost. */
const COMPLAINT_PERIODS = 2;

/** Time on the clock of suspicion: it stands still while the primary cannot be what is late. */
export function activeTime({ state, now }: Context): number {
  return (state.suspicion.suspendedSince ?? now) - state.suspicion.suspendedMs;
}

/** The timeout of the next view change: doubled by every view that brought nothing. */
export function timeoutOf({ state, options }: Context): number {
  return options.viewChangeTimeoutMs * 2 ** Math.min(state.suspicion.attempts, ATTEMPTS_MAX);
}

/** A view was installed: its primary gets the whole time for everything. */
export function startAgain(context: Context): void {
  const { suspicion } = context.state;
  const since = activeTime(context);
  for (const watch of suspicion.clients.values()) watch.since = since;
  suspicion.progressed = false;
  suspicion.decayAt = (context.now + timeoutOf(context)) as Instant;
  suspicion.complaints.clear();
  suspicion.timedOutAt = undefined;
  suspicion.fenced = EMPTY_SET;
  suspicion.complainAt = undefined;
  suspicion.mayHandOver = false;
}

export class PrimaryMonitor {
  readonly #context: Context;
  readonly #views: ViewManager;
  readonly #pool: RequestPool;

  constructor(context: Context, rooms: { views: ViewManager; pool: RequestPool }) {
    this.#context = context;
    this.#views = rooms.views;
    this.#pool = rooms.pool;
  }

  /** Before each tick: time in which this replica itself stood still does not count. */
  forgive(late: number): void {
    const { suspicion } = this.#context.state;
    if (late > STALL_MS && suspicion.suspendedSince === undefined) suspicion.suspendedMs += late;
    if (late >= this.#ownPatience()) this.#handOver();
  }

  onTick(): void {
    const { state, now } = this.#context;
    const { suspicion } = state;
    if (suspicion.writingSince !== undefined && now - suspicion.writingSince >= this.#ownPatience()) this.#handOver();
    if (suspicion.attempts > 0 && suspicion.progressed && suspicion.decayAt <= now && state.pending === undefined) {
      suspicion.attempts -= 1;
      suspicion.decayAt = (now + timeoutOf(this.#context)) as Instant;
    }
    if (!this.#watches()) return;
    this.#checkTimers();
    if (state.pending !== undefined || suspicion.complainAt === undefined || suspicion.complainAt > now) return;
    suspicion.complainAt = undefined;
    if (this.#isSlow()) this.#complain();
  }

  onComplaint(from: ReplicaId, view: View): void {
    const { state, now } = this.#context;
    const { suspicion } = state;
    if (view !== state.view || state.pending !== undefined) return this.#context.ignore("staleComplaint", from);
    if (from === this.#context.primary()) return this.#views.leave((view + 1) as View, "handOver");
    suspicion.complaints.set(from, now);
    this.judge();
  }

  /** STATUS tells whether its sender may vote in the current view. f+1 who may not could keep it from a quorum: a new view frees them. */
  onFence(from: ReplicaId, status: Status): void {
    const { state, quorums, options } = this.#context;
    if (state.pending !== undefined || status.view !== state.view || status.mode !== "normal") return;
    const { suspicion } = state;
    const isOpen = status.fence?.view !== state.view || status.fence.through <= state.low;
    suspicion.fenced = isOpen ? without(suspicion.fenced, setOf(from)) : union(suspicion.fenced, setOf(from));
    const all = isFenced(this.#context) ? union(suspicion.fenced, setOf(options.me)) : suspicion.fenced;
    if (isWeakQuorum(quorums, all)) this.#views.leave((state.view + 1) as View, "fenced");
  }

  onRoundTrips(milliseconds: readonly (number | undefined)[]): void {
    this.#context.state.suspicion.roundTrips = milliseconds;
  }

  /** A checkpoint is stable: primaries may be judged again, and more strictly when patience has lasted its time. */
  onStable(): void {
    const { state, now, options } = this.#context;
    const { suspicion } = state;
    suspicion.fallen = 0;
    suspicion.mayHandOver = true;
    const { patience, patientSince } = suspicion;
    if (patience === 1 || now - patientSince < PATIENCE_TIMEOUTS * patience * options.viewChangeTimeoutMs) return;
    suspicion.patience = patience / 2;
    suspicion.patientSince = now;
  }

  /** After each step: whether the clock of suspicion runs, and when somebody has waited too long. */
  settle(): void {
    const { state, now } = this.#context;
    const { suspicion } = state;
    if (this.#isOursToWait()) suspicion.suspendedSince ??= now;
    else if (suspicion.suspendedSince !== undefined) {
      suspicion.suspendedMs += now - suspicion.suspendedSince;
      suspicion.suspendedSince = undefined;
    }
    if (state.persistedUpTo + 1 >= state.nextLsn) suspicion.writingSince = undefined;
    else suspicion.writingSince ??= now;
    if (state.queues.size === 0 || this.#context.isPrimary()) suspicion.complainAt = undefined;
    else if (this.#watches()) suspicion.complainAt ??= (now + this.#tolerated()) as Instant;
  }

  deadline(): Instant | undefined {
    const { writingSince } = this.#context.state.suspicion;
    if (writingSince === undefined || !this.#mayHandOver()) return this.#othersDeadline();
    return (writingSince + this.#ownPatience()) as Instant;
  }

  #othersDeadline(): Instant | undefined {
    const { state } = this.#context;
    if (!this.#watches() || state.suspicion.suspendedSince !== undefined) return undefined;
    const first = state.suspicion.clients.values().next().value;
    const complainAt = state.suspicion.complainAt;
    if (first === undefined) return complainAt;
    // With the least of the timeouts: how long it really is shows when it is looked at.
    const due = Math.max(first.since, state.suspicion.committedAt) + timeoutOf(this.#context);
    const whole = first.since + timeoutOf(this.#context) * this.#queueAhead();
    const at = (Math.min(due, whole) + state.suspicion.suspendedMs) as Instant;
    return complainAt !== undefined && complainAt < at ? complainAt : at;
  }

  /** Whoever takes part in a view watches its primary, which hands over when it is late itself. */
  #watches(): boolean {
    const { state } = this.#context;
    return state.pending === undefined && state.amnesia === undefined;
  }

  #ownPatience(): number {
    return Math.max(STALL_MS, timeoutOf(this.#context) * OWN_SHARE);
  }

  #mayHandOver(): boolean {
    const { mayHandOver } = this.#context.state.suspicion;
    return mayHandOver && this.#context.isPrimary() && !this.#context.isChangingView();
  }

  /** Tells everyone that our view had better end. */
  #handOver(): void {
    const { state } = this.#context;
    if (!this.#mayHandOver()) return;
    state.suspicion.mayHandOver = false;
    this.#context.broadcast({ type: "complaint", view: state.view }, 0 as Lsn);
  }

  #checkTimers(): void {
    const { state, now } = this.#context;
    const active = activeTime(this.#context);
    const timeout = this.#requestTimeout();
    let hasRunOut = false;
    for (const [client, watch] of state.suspicion.clients) {
      if (active - watch.since < timeout) break;
      const head = watch.waiting.values().next().value;
      const held = head === undefined ? undefined : state.bundles.get(head);
      if (held === undefined || (!held.proposed && !held.forwarded && !this.#context.isPrimary())) {
        // The primary may not have it: it gets it, and the whole time again.
        if (head !== undefined && held !== undefined) this.#pool.handOver(head);
      } else hasRunOut = true;
      this.#pool.watchAgain(client);
    }
    if (!hasRunOut) return;
    if (this.#context.isPrimary()) return this.#views.leave((state.view + 1) as View, "handOver");
    state.suspicion.timedOutAt = now;
    this.#complain();
  }

  /** Timers of many clients run out one by one: the others hear it once for a while. */
  #complain(): void {
    const { state, now, options } = this.#context;
    const { complaints } = state.suspicion;
    const before = complaints.get(options.me);
    if (before === undefined || now - before >= timeoutOf(this.#context) * COMPLAINT_SHARE) {
      complaints.set(options.me, now);
      this.#context.broadcast({ type: "complaint", view: state.view }, state.persistedUpTo);
    }
    this.judge();
  }

  /** Longer while the queue ahead is served, and only then: a primary that commits nothing gets one timeout. */
  #requestTimeout(): number {
    const timeout = timeoutOf(this.#context);
    const idle = activeTime(this.#context) - this.#context.state.suspicion.committedAt;
    return idle >= timeout ? timeout : timeout * this.#queueAhead();
  }

  /** What is waiting, in fillings of the pipeline: at least 1. Every batch takes one bundle, whatever its size. */
  #queueAhead(): number {
    const { state, options } = this.#context;
    const byNumber = state.pooledBundles / options.batchBundlesMax;
    const byBytes = Math.min(state.pooledBundles, state.pooledBytes / options.batchBytesMax);
    return 1 + Math.floor(Math.max(byNumber, byBytes) / options.pipelineDepth);
  }

  /** We lack the state to tell, or the window has no room left because our own execution is behind: nobody can propose more. */
  #isOursToWait(): boolean {
    const { state } = this.#context;
    if (state.lastExecuted < state.low) return !this.#context.isPrimary();
    return state.lastSeen >= this.#context.high() && state.lastExecuted < Math.max(state.committedPrefix, state.low);
  }

  /** How long a bundle may wait for its proposal before this replica complains. */
  #tolerated(): number {
    const { state, options } = this.#context;
    const { patience, roundTrips } = state.suspicion;
    const known = roundTrips.filter((ms, peer): ms is number => ms !== undefined && peer !== options.me);
    const cap = known.sort((a, b) => b - a)[options.f] ?? 0;
    const roundTrip = Math.min(roundTrips[this.#context.primary()] ?? cap, cap);
    const least = Math.max(
      options.viewChangeTimeoutMs * COMPLAINT_SHARE,
      COMPLAINT_ROUND_TRIPS * (roundTrip + BATCH_TIME_MS),
    );
    return least * patience * this.#queueAhead();
  }

  #isSlow(): boolean {
    const { state, options } = this.#context;
    if (this.#context.isPrimary() || state.suspicion.fallen > options.f) return false;
    const inFlight = state.lastSeen - Math.max(state.low, state.committedPrefix);
    if (inFlight >= options.pipelineDepth || state.lastSeen >= this.#context.high()) return false;
    const active = activeTime(this.#context);
    const tolerated = this.#tolerated();
    for (const { waiting } of state.queues.values()) {
      const held = state.bundles.get(waiting[0] ?? ("" as never));
      if (held !== undefined && active - held.since >= tolerated) return true;
    }
    return false;
  }

  /**
   * After each complaint, and each VIEW-CHANGE of another: f+1 want another primary, and one of them is honest. After the last view,
   * to which more than f liars may have brought us, there is none.
   */
  judge(): void {
    const { state, quorums, options, now } = this.#context;
    const { suspicion } = state;
    if (!this.#watches() || suspicion.complaints.size === 0) return;
    const next = (state.view + 1) as View;
    if (next > NUMBER_MAX) return;
    const since = now - COMPLAINT_PERIODS * Math.max(this.#requestTimeout(), this.#tolerated());
    let complaining = EMPTY_SET;
    for (const [from, at] of suspicion.complaints) if (at >= since) complaining = union(complaining, setOf(from));
    if (suspicion.timedOutAt !== undefined && suspicion.timedOutAt >= since) {
      let all = complaining;
      for (const [from, { target }] of state.viewChanges) if (target >= next) all = union(all, setOf(from));
      if (isWeakQuorum(quorums, all)) return this.#views.leave(next, "timeout");
    }
    if (suspicion.fallen > options.f || !isWeakQuorum(quorums, complaining)) return;
    suspicion.patience = Math.min(suspicion.patience * 2, PATIENCE_MAX);
    suspicion.patientSince = now;
    this.#views.leave(next, "complaints");
  }
}
