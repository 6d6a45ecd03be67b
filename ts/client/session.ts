/**
 * The client's protocol as a deterministic state machine without input or output: sessions, bundles, the matching of replies,
 * retries. The simulator runs it as the product does.
 *
 * A session is opened by an ordered operation with a fresh random nonce before the first submission, so a client that restarts
 * is never mistaken for a replay. Within it each operation has a client sequence, which is what makes it execute at most once
 * however often its bundle is sent. A bundle leaves as soon as a place in flight is free, with everything that waits then.
 */
import type { Executed } from "../errors.ts";
import type { Busy, Reply, ReplyEntry } from "../codec/client.ts";
import { assert } from "../protocol/assert.ts";
import {
  EMPTY_SET,
  type AgreedTime,
  type ClientKey,
  type Instant,
  type ReplicaId,
  type SessionId,
} from "../protocol/types.ts";
import {
  BUNDLE_BYTES_MAX,
  BUNDLE_OVERHEAD_BYTES,
  encodeBundle,
  newBundle,
  OPERATION_OVERHEAD_BYTES,
  type InFlightBundle,
  type InFlightOperation,
} from "./bundle.ts";
import { SessionFlight } from "./flight.ts";
import {
  defaultLimits,
  type AbandonCode,
  type ClientAction,
  type ClientCounters,
  type ClientInput,
  type ClientLimits,
  type RejectCode,
  type ResultDigest,
} from "./interfaces.ts";
import { openBundle, openedSession, OpenRefusals, type Opening } from "./opening.ts";
import { SubmissionQueue } from "./queue.ts";
import type { Random } from "./retry.ts";
import { BundleSender } from "./sender.ts";
import { ResultTally, TallyRoom, type Verdict } from "./tally.ts";

export interface ClientSessionOptions {
  /** Number of replicas. */
  readonly n: number;
  /** Faulty replicas tolerated. */
  readonly f: number;
  readonly client: ClientKey;
  /** 0 … 2^53−1. Must differ from start to start of the same key: nonces are drawn from it. */
  readonly random: Random;
  readonly resultDigest: ResultDigest;
  readonly limits?: Partial<ClientLimits>;
}

type SessionState =
  | { readonly status: "none"; readonly notBefore: Instant | undefined }
  | Opening
  | { readonly status: "open"; readonly flight: SessionFlight };

/** An operation that fills a bundle alone. */
const LONGEST_OPERATION = BUNDLE_BYTES_MAX - BUNDLE_OVERHEAD_BYTES - OPERATION_OVERHEAD_BYTES;

export class ClientSession {
  readonly counters: ClientCounters = {
    submitted: 0,
    resolved: 0,
    rejected: 0,
    bundles: 0,
    retries: 0,
    sessionsOpened: 0,
    lateEntries: 0,
    unknownReplies: 0,
    busy: 0,
  };
  readonly #client: ClientKey;
  readonly #limits: ClientLimits;
  readonly #random: Random;
  readonly #room: TallyRoom;
  readonly #sender: BundleSender;
  readonly #queue: SubmissionQueue;
  /** Operations in flight for which somebody waits. */
  readonly #wanted = new Map<number, InFlightOperation>();
  #state: SessionState = { status: "none", notBefore: undefined };
  readonly #refusals = new OpenRefusals();
  #nextHandle = 1;
  /** When something was recorded that the next tick may act on. */
  #dueSince: Instant | undefined;
  #actions: ClientAction[] = [];

  constructor(options: ClientSessionOptions) {
    this.#client = options.client;
    const limits = { ...defaultLimits, ...options.limits };
    this.#limits = { ...limits, operationBytesMax: Math.min(limits.operationBytesMax, LONGEST_OPERATION) };
    this.#random = options.random;
    this.#room = new TallyRoom(options.n, options.f, options.resultDigest);
    this.#sender = new BundleSender(options.n, options.f, this.#limits, options.random);
    this.#queue = new SubmissionQueue(this.#limits);
  }

  /** Takes one input; `now` is the monotonic time of the turn that brought it. Sends only in answer to `tick`. */
  step(input: ClientInput, now: Instant): readonly ClientAction[] {
    this.#actions = [];
    switch (input.kind) {
      case "submit":
        this.#onSubmit(input.id, input.operation, now);
        break;
      case "reply":
        this.#onReply(input.from, input.reply, now);
        break;
      case "busy":
        this.#onBusy(input.from, input, now);
        break;
      case "link":
        this.#onLink(input.peer, input.up, now);
        break;
      case "abandon":
        this.#onAbandon(input.id, input.code, now);
        break;
      case "tick":
        this.#onTick(input.wallClock, now);
        break;
    }
    return this.#actions;
  }

  /** When `tick` is due at the latest; undefined when there is nothing to wait for. */
  deadline(): Instant | undefined {
    if (this.#dueSince !== undefined) return this.#dueSince;
    let earliest = Infinity;
    for (const bundle of this.#bundles()) earliest = Math.min(earliest, bundle.retryAt);
    if (this.#state.status === "opening") earliest = Math.min(earliest, this.#state.expiresAt);
    if (this.#queue.size > 0) earliest = Math.min(earliest, this.#flushDeadline());
    return earliest === Infinity ? undefined : (earliest as Instant);
  }

  /** The view and primary that f+1 replicas' replies speak for, and the session; for statistics. */
  get standing(): { readonly view: number; readonly primary: ReplicaId; readonly session: SessionId | undefined } {
    const { view, primary } = this.#sender.watch;
    return { view, primary, session: this.#state.status === "open" ? this.#state.flight.session : undefined };
  }

  /** What waits, what is in flight, and bytes of undecided results; for statistics. */
  get load(): {
    readonly waiting: number;
    readonly inFlight: number;
    readonly bundles: number;
    readonly heldBytes: number;
  } {
    const flight = this.#state.status === "open" ? this.#state.flight : undefined;
    return {
      waiting: this.#queue.size,
      inFlight: flight?.operations.size ?? 0,
      bundles: [...this.#bundles()].length,
      heldBytes: this.#room.heldBytes,
    };
  }

  /** Smoothed time from the sending of a bundle to its last result, in milliseconds; 0 before the first. */
  get roundTripMs(): number {
    return this.#sender.roundTrip.smoothedMs;
  }

  #onSubmit(id: number, operation: Uint8Array, now: Instant): void {
    this.counters.submitted++;
    if (operation.length > this.#limits.operationBytesMax) this.#reject(id, "INVALID_ARGUMENT", "no");
    else if (!this.#queue.add(id, operation)) this.#reject(id, "BUSY", "no");
    else this.#dueSince ??= now;
  }

  #onReply(from: ReplicaId, reply: Reply, now: Instant): void {
    this.#sender.watch.onView(from, reply.view);
    const state = this.#state;
    if (reply.session === 0 && state.status === "opening") this.#onOpenReply(state.open, from, reply, now);
    else if (state.status === "open" && reply.session === state.flight.session) {
      for (const entry of reply.entries) {
        if (!this.#onEntry(state.flight, from, reply, entry, now)) break;
      }
    } else this.counters.unknownReplies++;
  }

  /** Whether the session goes on. */
  #onEntry(flight: SessionFlight, from: ReplicaId, reply: Reply, entry: ReplyEntry, now: Instant): boolean {
    const operation = flight.operations.get(entry.sequence);
    if (operation === undefined) {
      if (entry.sequence >= 1 && entry.sequence < flight.nextSequence) this.counters.lateEntries++;
      else this.counters.unknownReplies++;
      return true;
    }
    const verdict = operation.tally.add(from, reply, entry);
    if (verdict === undefined) return true;
    if (verdict.status !== "ok" && verdict.status !== "refused" && verdict.status !== "failed") {
      this.#onSessionLost(flight, operation, verdict, now);
      return false;
    }
    if (verdict.result === undefined) {
      this.#sender.onFullResultMissing(operation, verdict.vouchers, now);
      return true;
    }
    if (operation.id !== undefined) {
      this.#wanted.delete(operation.id);
      this.counters.resolved++;
      this.#actions.push({ kind: "resolve", id: operation.id, status: verdict.status, result: verdict.result });
    }
    if (flight.settle(operation)) this.#onBundleDone(operation.bundle, now);
    return true;
  }

  #onBundleDone(bundle: InFlightBundle, now: Instant): void {
    this.#sender.onSettled(bundle, now);
    this.#actions.push({ kind: "forget", bundle: bundle.handle });
    if (this.#queue.size > 0) this.#dueSince ??= now;
  }

  /**
   * The session was evicted, or it speaks of another window than ours: it cannot serve any operation. What is in flight may have
   * been executed. `forgotten` alone is certain, since only what was executed is forgotten.
   */
  #onSessionLost(flight: SessionFlight, cause: InFlightOperation, verdict: Verdict, now: Instant): void {
    if (verdict.status === "forgotten" && cause.id !== undefined) {
      this.#reject(cause.id, "SESSION_EXPIRED", "yes");
      this.#wanted.delete(cause.id);
      cause.id = undefined;
    }
    this.#dropSession(flight);
    if (this.#queue.size > 0) this.#dueSince ??= now;
  }

  #dropSession(flight: SessionFlight): void {
    for (const operation of flight.operations.values()) {
      operation.tally.close();
      if (operation.id === undefined) continue;
      this.#wanted.delete(operation.id);
      this.#reject(operation.id, "SESSION_EXPIRED", "unknown");
    }
    for (const handle of flight.bundles.keys()) this.#actions.push({ kind: "forget", bundle: handle });
    this.#state = { status: "none", notBefore: undefined };
  }

  #onOpenReply(open: InFlightOperation, from: ReplicaId, reply: Reply, now: Instant): void {
    for (const entry of reply.entries) {
      if (entry.sequence !== open.sequence) {
        this.counters.unknownReplies++;
        continue;
      }
      const verdict = open.tally.add(from, reply, entry);
      if (verdict === undefined) continue;
      this.#sender.onSettled(open.bundle, now);
      this.#endOpening(open);
      const session = openedSession(verdict);
      if (session === undefined) this.#onOpenRefused(verdict, now);
      else this.#onOpened(session, now);
      return;
    }
  }

  #onOpened(session: SessionId, now: Instant): void {
    this.#refusals.onOpened();
    this.counters.sessionsOpened++;
    this.#state = { status: "open", flight: new SessionFlight(session) };
    this.#dueSince ??= now;
  }

  #onOpenRefused(verdict: Verdict, now: Instant): void {
    const { pauseMs, reason } = this.#refusals.onRefused(verdict, this.#random);
    this.#state = { status: "none", notBefore: (now + pauseMs) as Instant };
    if (reason === undefined) return;
    for (const id of this.#queue.drain()) this.#reject(id, "OPERATION_REFUSED", "no", reason);
  }

  #endOpening(open: InFlightOperation): void {
    open.tally.close();
    this.#actions.push({ kind: "forget", bundle: open.bundle.handle });
    this.#state = { status: "none", notBefore: undefined };
  }

  #onBusy(from: ReplicaId, busy: Busy, now: Instant): void {
    this.counters.busy++;
    for (const bundle of this.#bundles()) {
      if (bundle.session !== busy.session || bundle.firstSequence !== busy.firstSequence) continue;
      this.#sender.onBusy(bundle, from, now);
      return;
    }
    this.counters.unknownReplies++;
  }

  #onLink(peer: ReplicaId, up: boolean, now: Instant): void {
    this.#sender.watch.onLink(peer, up);
    if (!up && peer === this.#sender.watch.primary) {
      for (const bundle of this.#bundles()) this.#sender.onPrimaryLost(bundle, now);
    }
    if (up && this.#queue.size > 0) this.#dueSince ??= now;
  }

  #onAbandon(id: number, code: AbandonCode, now: Instant): void {
    if (this.#queue.remove(id)) {
      this.#reject(id, code, "no");
      return;
    }
    const operation = this.#wanted.get(id);
    if (operation === undefined) return;
    // Its bundle is still retried: until the operation is settled, nothing above it can be acknowledged.
    this.#wanted.delete(id);
    operation.id = undefined;
    this.#reject(id, code, "unknown");
    if (this.#queue.size > 0) this.#dueSince ??= now;
  }

  #onTick(wallClock: AgreedTime, now: Instant): void {
    this.#dueSince = undefined;
    const state = this.#state;
    // An expired OPEN is refused by every replica; a fresh nonce makes a fresh one.
    if (state.status === "opening" && now >= state.expiresAt) this.#endOpening(state.open);
    for (const bundle of this.#bundles()) {
      const sending = this.#sender.again(bundle, now);
      if (sending === undefined) continue;
      this.counters.retries++;
      this.#actions.push(sending);
    }
    if (this.#queue.size === 0 || this.#sender.watch.linked === EMPTY_SET) return;
    this.#leaveUselessSession();
    if (this.#state.status === "none") this.#open(this.#state.notBefore, wallClock, now);
    else if (this.#state.status === "open") this.#flush(this.#state.flight, now);
  }

  /** Gives up a session without room whose operations nobody waits for, so that they cannot hold up those who do wait. */
  #leaveUselessSession(): void {
    if (this.#state.status !== "open" || this.#wanted.size > 0) return;
    if (!this.#hasRoom(this.#state.flight)) this.#dropSession(this.#state.flight);
  }

  #open(notBefore: Instant | undefined, wallClock: AgreedTime, now: Instant): void {
    if (notBefore !== undefined && now < notBefore) return;
    const nonce = this.#random();
    const content = openBundle(this.#client, nonce, (Math.floor(wallClock) + this.#limits.openExpiryMs) as AgreedTime);
    const bundle = newBundle(this.#nextHandle++, content, now);
    const open = { sequence: nonce, bundle, tally: new ResultTally(this.#room), id: undefined, fullAsked: false };
    this.#state = { status: "opening", open, expiresAt: (now + this.#limits.openExpiryMs) as Instant };
    this.#send(bundle, encodeBundle(content), now);
  }

  #flush(flight: SessionFlight, now: Instant): void {
    if (now < (this.#sender.pausedUntil ?? now)) return;
    while (this.#queue.size > 0 && this.#hasRoom(flight)) {
      const firstSequence = flight.nextSequence;
      const { session, acknowledgedThrough } = flight;
      const { ids, operations } = this.#queue.take(flight.room(this.#limits.windowOperations));
      assert(operations.length > 0, "an operation within its bound fits in a bundle of its own");
      const content = { client: this.#client, session, firstSequence, acknowledgedThrough, operations };
      const bundle = newBundle(this.#nextHandle++, content, now);
      flight.bundles.set(bundle.handle, bundle);
      ids.forEach((id, index) => this.#fly(flight, bundle, id, firstSequence + index));
      this.#send(bundle, encodeBundle(content), now);
    }
  }

  #fly(flight: SessionFlight, bundle: InFlightBundle, id: number, sequence: number): void {
    const operation: InFlightOperation = { sequence, bundle, tally: new ResultTally(this.#room), id, fullAsked: false };
    flight.add(operation);
    this.#wanted.set(id, operation);
  }

  #send(bundle: InFlightBundle, payload: Uint8Array, now: Instant): void {
    this.counters.bundles++;
    this.#actions.push(this.#sender.first(bundle, payload, now));
  }

  #hasRoom(flight: SessionFlight): boolean {
    return flight.bundles.size < this.#limits.bundlesInFlightMax && flight.room(this.#limits.windowOperations) > 0;
  }

  #flushDeadline(): number {
    if (this.#sender.watch.linked === EMPTY_SET) return Infinity;
    if (this.#state.status === "none") return this.#state.notBefore ?? Infinity;
    if (this.#state.status === "opening" || !this.#hasRoom(this.#state.flight)) return Infinity;
    return this.#sender.pausedUntil ?? Infinity;
  }

  *#bundles(): Iterable<InFlightBundle> {
    if (this.#state.status === "opening") yield this.#state.open.bundle;
    if (this.#state.status === "open") yield* this.#state.flight.bundles.values();
  }

  #reject(id: number, code: RejectCode, executed: Executed, reason?: string): void {
    this.counters.rejected++;
    this.#actions.push({ kind: "reject", id, code, executed, ...(reason === undefined ? {} : { reason }) });
  }
}
