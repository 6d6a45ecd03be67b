/**
 * Admission and the pool: bundles wait here until they are executed, clients take turns in batches, and bodies are kept as
 * long as the pool, a proposal, a decision or the history names them.
 */
import { applySessionChanges, isExecuted } from "./client-sessions.ts";
import type { Context } from "./context.ts";
import type { SessionChanges, SessionSummary } from "./core.ts";
import type { BundleRef } from "./messages.ts";
import { activeTime } from "./primary-monitor.ts";
import type { ClientQueue, HeldBundle } from "./state.ts";
import { setOf, type ClientKey, type Digest, type Instant, type ReplicaId, type Sequence } from "./types.ts";

/** What one turn of a client in a batch may cost before the next client has its turn. */
const QUANTUM = 64 * 1024;
/** An operation's share of the cost of ordering, in bytes: small operations cost more than their length. */
const OPERATION_COST = 128;
/** So long a bundle counts whole among those that wait, however long the others in the pool are. */
const WHOLE_BYTES = 1024;
/** One client may hold this share of the pool, so that a flood from one leaves room for the others. */
const CLIENT_SHARE = 8;
/** A backup waits so long for the primary to propose a client's bundle before it hands it over itself. */
export const FORWARD_DELAY_MS = 100;
/** How often a bundle is handed to the primary. */
const FORWARDS_MAX = 8;
/** Bodies pushed by replicas may fill the pool this many times over: proposals name them, and room is for clients. */
const REPLICA_SHARE = 2;

function costOf(bundle: BundleRef): number {
  return bundle.bytes + OPERATION_COST * bundle.count;
}

export class RequestPool {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  room(): { bundles: number; bytes: number } {
    const { options, state } = this.#context;
    return {
      bundles: Math.max(0, options.poolBundlesMax - state.pooledBundles),
      bytes: Math.max(0, options.poolBytesMax - state.pooledBytes),
    };
  }

  /**
   * Takes a verified bundle whose body is held. Returns whether the body is newly held and stays, so that proposals which
   * wait for it can go on.
   */
  onRequest(bundle: BundleRef, from: ReplicaId | undefined): boolean {
    const { state } = this.#context;
    if (isExecuted(state, bundle)) return this.#onExecutedBefore(bundle, from);
    const known = state.bundles.get(bundle.digest);
    if (known !== undefined) {
      if (known.crowded && this.#fits(bundle, from)) this.#admit(known);
      this.#context.ignore("duplicateRequest", from);
      return false;
    }
    const needed = state.uses.has(bundle.digest);
    if (!this.#fits(bundle, from)) {
      if (!needed) {
        this.#refuse(bundle, from);
        return false;
      }
      this.#hold(bundle).crowded = true;
      return true;
    }
    this.#admit(this.#hold(bundle));
    if (from !== this.#context.primary() && !this.#context.isPrimary()) this.#forwardLater(bundle.digest, 0);
    return true;
  }

  /** Names a body: it is kept until as many `drop`s. */
  keep(bundles: readonly Digest[]): void {
    const { uses } = this.#context.state;
    for (const digest of bundles) uses.set(digest, (uses.get(digest) ?? 0) + 1);
  }

  /** Takes back one `keep` and releases bodies that nobody needs any more. */
  drop(bundles: readonly Digest[]): void {
    const { state } = this.#context;
    const released: Digest[] = [];
    for (const digest of bundles) {
      const uses = (state.uses.get(digest) ?? 0) - 1;
      if (uses > 0) {
        state.uses.set(digest, uses);
        continue;
      }
      state.uses.delete(digest);
      const held = state.bundles.get(digest);
      if (held !== undefined && !held.pooled) released.push(digest);
    }
    this.#release(released);
  }

  /** Keeps the bodies that `sequence` names and returns those that are not held; `onHeld` of the protocol hears when they are. */
  keepAndAwait(sequence: Sequence, bundles: readonly Digest[]): Set<Digest> {
    const { state } = this.#context;
    this.keep(bundles);
    const missing = new Set(bundles.filter((digest) => !state.bundles.has(digest)));
    for (const digest of missing) {
      const sequences = state.waiting.get(digest) ?? new Set();
      state.waiting.set(digest, sequences.add(sequence));
    }
    return missing;
  }

  /** `sequence` no longer needs these bodies. */
  stopWaiting(sequence: Sequence, missing: ReadonlySet<Digest>): void {
    const { waiting, fetches } = this.#context.state;
    for (const digest of missing) {
      const sequences = waiting.get(digest);
      sequences?.delete(sequence);
      if (sequences?.size !== 0) continue;
      waiting.delete(digest);
      fetches.delete(digest);
    }
  }

  /** Whether so many bundles wait for a batch, or a whole batch does. Of those that are small in their pool several count as one. */
  waits(count: number): boolean {
    const { options, state } = this.#context;
    const whole = Math.min(WHOLE_BYTES, state.pooledBytes / state.pooledBundles / 2);
    let [bundles, bytes, worth] = [0, 0, 0];
    for (const { waiting } of state.queues.values()) {
      for (const digest of waiting) {
        const length = state.bundles.get(digest)?.ref.bytes ?? 0;
        bytes += length;
        worth += Math.min(1, length / whole);
        if (worth >= count || ++bundles >= options.batchBundlesMax || bytes >= options.batchBytesMax) return true;
      }
    }
    return count === 0;
  }

  /** The next batch, clients taking turns; empty when nothing waits. */
  take(): readonly Digest[] {
    const { options, state } = this.#context;
    const taken: Digest[] = [];
    let bytes = 0;
    let full = false;
    while (!full && state.queues.size > 0) {
      const [client, queue] = state.queues.entries().next().value as [ClientKey, ClientQueue];
      state.queues.delete(client);
      queue.deficit += QUANTUM;
      while (queue.waiting.length > 0) {
        const held = state.bundles.get(queue.waiting[0] as Digest) as HeldBundle;
        full =
          taken.length >= options.batchBundlesMax ||
          (taken.length > 0 && bytes + held.ref.bytes > options.batchBytesMax);
        if (full || costOf(held.ref) > queue.deficit) break;
        queue.deficit -= costOf(held.ref);
        bytes += held.ref.bytes;
        held.proposed = true;
        taken.push(queue.waiting.shift() as Digest);
      }
      if (queue.waiting.length > 0) state.queues.set(client, queue);
    }
    return taken;
  }

  /** A proposal of this view names these: they need no turn and no forwarding. */
  markProposed(bundles: readonly Digest[]): void {
    const { state } = this.#context;
    for (const digest of bundles) {
      const held = state.bundles.get(digest);
      if (held === undefined || held.proposed) continue;
      held.proposed = true;
      this.#unqueue(held);
    }
  }

  /** A batch was executed: its bundles are done, and others whose operations were all in them. */
  onExecuted(bundles: readonly Digest[], changes: SessionChanges | undefined): void {
    const { state } = this.#context;
    for (const digest of bundles) this.#finish(digest);
    if (changes === undefined) return;
    for (const session of applySessionChanges(state, changes)) {
      for (const digest of state.pooledBySession.get(session) ?? []) {
        const held = state.bundles.get(digest);
        if (held !== undefined && (isExecuted(state, held.ref) || changes.expired.includes(session)))
          this.#finish(digest);
      }
    }
  }

  /** Bodies that a restart found stored; they are kept as far as something names them. */
  restore(bundles: readonly BundleRef[]): void {
    for (const ref of bundles) this.#hold(ref);
  }

  /** These were prepared before a restart, so somebody may have been answered: they wait for their execution like any other. */
  awaitAgain(bundles: readonly Digest[]): void {
    const { state } = this.#context;
    for (const digest of bundles) {
      const held = state.bundles.get(digest);
      if (held !== undefined && !held.pooled && !isExecuted(state, held.ref)) this.#admit(this.#hold(held.ref));
    }
  }

  /** After {@link restore}, when everything that names bodies is known again. */
  releaseUnused(): void {
    const { bundles, uses } = this.#context.state;
    this.#release([...bundles.keys()].filter((digest) => !uses.has(digest)));
  }

  /** The session table of a state that was fetched replaces what is known of sessions. */
  onInstalled(sessions: readonly SessionSummary[]): void {
    const { state } = this.#context;
    state.sessions.clear();
    for (const { session, client, acknowledgedThrough, executed } of sessions)
      state.sessions.set(session, { client, acknowledgedThrough, executed: [...executed] });
    for (const [digest, { pooled, ref }] of state.bundles) if (pooled && isExecuted(state, ref)) this.#finish(digest);
  }

  /** Hands bundles to the primary that it has not proposed in time; it may never have got them. */
  onTick(): void {
    const { now, state } = this.#context;
    while (state.forwards.length > 0 && (state.forwards[0]?.at ?? now) <= now) {
      const { digest, times } = state.forwards.shift() as { digest: Digest; times: number };
      const held = state.bundles.get(digest);
      if (held === undefined || !held.pooled || held.proposed) continue;
      this.handOver(digest);
      if (times + 1 < FORWARDS_MAX) this.#forwardLater(digest, times + 1);
    }
  }

  /** Sends a bundle to the primary, which may never have got it. */
  handOver(digest: Digest): void {
    const held = this.#context.state.bundles.get(digest);
    if (held === undefined || this.#context.isPrimary()) return;
    held.forwarded = true;
    this.#context.emit({ kind: "forward", bundle: digest, to: setOf(this.#context.primary()) });
  }

  /** A view was installed: what it does not carry over waits again for a proposal, in order of arrival. */
  queueAgain(): void {
    const { state } = this.#context;
    const proposed = new Set<Digest>();
    for (const { proposal, decision } of state.slots.values()) {
      for (const digest of proposal?.bundles ?? []) proposed.add(digest);
      for (const digest of decision?.bundles ?? []) proposed.add(digest);
    }
    state.queues.clear();
    state.forwards.length = 0;
    const since = activeTime(this.#context);
    for (const [digest, held] of state.bundles) {
      held.forwarded = false;
      held.since = since;
      held.proposed = proposed.has(digest);
      if (!held.pooled || held.proposed) continue;
      this.#enqueue(held);
      if (!this.#context.isPrimary()) this.#forwardLater(digest, 0);
    }
  }

  /**
   * Something was decided, executed or installed: raises the committed prefix as far as it goes. No primary is to blame for what
   * is late of the bundles in it.
   */
  followCommitted(): void {
    const { state } = this.#context;
    if (state.committedPrefix < state.lastExecuted) state.committedPrefix = state.lastExecuted;
    for (;;) {
      const decision = state.slots.get((state.committedPrefix + 1) as Sequence)?.decision;
      if (decision === undefined) return;
      state.committedPrefix = (state.committedPrefix + 1) as Sequence;
      state.suspicion.committedAt = activeTime(this.#context);
      for (const digest of decision.bundles) {
        const held = state.bundles.get(digest);
        if (held !== undefined && held.pooled) this.#unwatch(held);
      }
    }
  }

  /** Gives the first bundle of a client the whole time once more. */
  watchAgain(client: ClientKey): void {
    const { clients } = this.#context.state.suspicion;
    const watch = clients.get(client);
    if (watch === undefined) return;
    clients.delete(client);
    watch.since = activeTime(this.#context);
    if (watch.waiting.size > 0) clients.set(client, watch);
  }

  deadline(): Instant | undefined {
    return this.#context.state.forwards[0]?.at;
  }

  #onExecutedBefore(bundle: BundleRef, from: ReplicaId | undefined): boolean {
    const { state } = this.#context;
    if (from === undefined) {
      const after = state.history.get(state.lastExecuted)?.lsn ?? state.persistedUpTo;
      this.#context.emit({ kind: "answer", bundle, view: state.view, after });
    }
    this.#context.ignore("duplicateRequest", from);
    if (state.bundles.has(bundle.digest)) return false;
    if (state.uses.has(bundle.digest)) {
      this.#hold(bundle);
      return true;
    }
    this.#context.emit({ kind: "release", bundles: [bundle.digest] });
    return false;
  }

  #fits(bundle: BundleRef, from: ReplicaId | undefined): boolean {
    const { options, state } = this.#context;
    const share = from === undefined ? 1 : REPLICA_SHARE;
    if (state.pooledBundles + 1 > options.poolBundlesMax * share) return false;
    if (state.pooledBytes + bundle.bytes > options.poolBytesMax * share) return false;
    const waiting = state.uses.has(bundle.digest) ? 0 : (state.queues.get(bundle.client)?.waiting.length ?? 0);
    return waiting < Math.max(1, Math.floor(options.poolBundlesMax / CLIENT_SHARE));
  }

  #refuse(bundle: BundleRef, from: ReplicaId | undefined): void {
    this.#context.ignore("poolFull", from);
    if (from === undefined) this.#context.emit({ kind: "busy", bundle: bundle.digest });
    else this.#context.emit({ kind: "release", bundles: [bundle.digest] });
  }

  #hold(ref: BundleRef): HeldBundle {
    const { state } = this.#context;
    const proposed = state.uses.has(ref.digest);
    const held = { ref, pooled: false, crowded: false, proposed, forwarded: false, since: activeTime(this.#context) };
    state.bundles.set(ref.digest, held);
    return held;
  }

  /** From now on it waits for its execution, and the primary is watched for it. */
  #admit(held: HeldBundle): void {
    const { state } = this.#context;
    const { ref } = held;
    held.pooled = true;
    held.crowded = false;
    held.since = activeTime(this.#context);
    state.pooledBundles += 1;
    state.pooledBytes += ref.bytes;
    const ofSession = state.pooledBySession.get(ref.session) ?? new Set();
    state.pooledBySession.set(ref.session, ofSession.add(ref.digest));
    this.#watch(held);
    if (!held.proposed) this.#enqueue(held);
  }

  #enqueue({ ref }: HeldBundle): void {
    const { queues } = this.#context.state;
    const queue = queues.get(ref.client);
    if (queue === undefined) queues.set(ref.client, { waiting: [ref.digest], deficit: 0 });
    else queue.waiting.push(ref.digest);
  }

  #watch({ ref, since }: HeldBundle): void {
    const { clients } = this.#context.state.suspicion;
    const watch = clients.get(ref.client);
    if (watch === undefined) clients.set(ref.client, { waiting: new Set([ref.digest]), since });
    else watch.waiting.add(ref.digest);
  }

  #unwatch({ ref }: HeldBundle): void {
    const watch = this.#context.state.suspicion.clients.get(ref.client);
    const wasFirst = watch?.waiting.values().next().value === ref.digest;
    if (watch?.waiting.delete(ref.digest) === true && wasFirst) this.watchAgain(ref.client);
  }

  #finish(digest: Digest): void {
    const { state } = this.#context;
    const held = state.bundles.get(digest);
    if (held !== undefined) held.crowded = false;
    if (held === undefined || !held.pooled) return;
    this.#unwatch(held);
    held.pooled = false;
    state.pooledBundles -= 1;
    state.pooledBytes -= held.ref.bytes;
    const ofSession = state.pooledBySession.get(held.ref.session);
    ofSession?.delete(digest);
    if (ofSession?.size === 0) state.pooledBySession.delete(held.ref.session);
    if (!held.proposed) this.#unqueue(held);
    if (!state.uses.has(digest)) this.#release([digest]);
  }

  #unqueue(held: HeldBundle): void {
    const { queues } = this.#context.state;
    const queue = queues.get(held.ref.client);
    const index = queue?.waiting.indexOf(held.ref.digest) ?? -1;
    if (queue === undefined || index < 0) return;
    queue.waiting.splice(index, 1);
    if (queue.waiting.length === 0) queues.delete(held.ref.client);
  }

  #release(bundles: readonly Digest[]): void {
    if (bundles.length === 0) return;
    for (const digest of bundles) this.#context.state.bundles.delete(digest);
    this.#context.emit({ kind: "release", bundles });
  }

  #forwardLater(digest: Digest, times: number): void {
    const at = (this.#context.now + FORWARD_DELAY_MS) as Instant;
    this.#context.state.forwards.push({ at, digest, times });
  }
}
