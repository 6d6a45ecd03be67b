/** Counts what passes through a node's loop, and turns it into metrics, events and commits for the user's thread. */
import { hexOf } from "../codec/digest.ts";
import { typeName } from "../codec/messages.ts";
import type { TurnInput } from "../codec/turn.ts";
import type { NativeStatistics, Reactor } from "../native/native.ts";
import { Counters, Durations, Rate, type NodeMetrics, type PeerMetrics } from "../observability/metrics.ts";
import type { Action, IgnoredReason, ViewChangeCause } from "../protocol/core.ts";
import type { Replica } from "../protocol/replica.ts";
import type { Digest, Instant, Sequence } from "../protocol/types.ts";
import { EvidenceLog, type Evidence } from "./evidence.ts";
import type { ExecutionOutcome } from "./execution-host.ts";
import type { LoopObserver } from "./reactor-loop.ts";
import type { Commit, CommitGap, FromThread, NodeEvents, NodeStats, ThreadData } from "./thread-messages.ts";

/** Committed operations on their way to a listener; beyond it they become a gap, as a slow listener may not fill our memory. */
const UNSEEN_OPERATIONS_MAX = 16_384;
/** Bundles whose arrival is remembered for the latency; more than a pool holds. */
const ARRIVALS_MAX = 65_536;

type ExecutedOutcome = Extract<ExecutionOutcome, { kind: "executed" }>;

export class ThreadObserver implements LoopObserver {
  readonly #data: ThreadData;
  readonly #core: Replica;
  readonly #reactor: Reactor;
  readonly #post: (message: FromThread) => void;
  readonly #latency = new Durations();
  readonly #broadcast = new Durations();
  readonly #rate = new Rate();
  readonly #rejected = new Counters();
  readonly #rejectedByPeer = new Map<string, Counters>();
  readonly #ignored = new Counters<IgnoredReason>();
  readonly #viewChanges = new Counters<ViewChangeCause>();
  readonly #viewsLeft = new Counters<ViewChangeCause>();
  readonly #evidence: EvidenceLog;
  #retransmissions = 0;
  #divergences = 0;
  #transfers = 0;
  readonly #arrivals = new Map<Digest, Instant>();
  readonly #bundlesOf = new Map<Sequence, readonly Digest[]>();
  readonly #digestOf = new Map<Sequence, { readonly digest: Digest; readonly time: number }>();
  #commits: (Commit | CommitGap)[] = [];
  readonly #executed = new Map<Sequence, ExecutedOutcome>();
  #unseen = 0;
  #committedThrough = 0;
  #operationsExecuted = 0;
  #batchesExecuted = 0;
  turns = 0;
  wantsOperations = false;
  /** The core has stopped itself. */
  halted = false;

  constructor(parts: { data: ThreadData; core: Replica; reactor: Reactor; post: (message: FromThread) => void }) {
    this.#data = parts.data;
    this.#core = parts.core;
    this.#reactor = parts.reactor;
    this.#post = parts.post;
    this.#evidence = new EvidenceLog(
      (replica) => this.#nodeId(replica),
      (digest) => parts.reactor.evidence(digest),
    );
  }

  onInput(input: TurnInput, now: Instant): void {
    switch (input.kind) {
      case "request":
        if (this.#arrivals.size < ARRIVALS_MAX && !this.#arrivals.has(input.bundle.digest)) {
          this.#arrivals.set(input.bundle.digest, now);
        }
        return;
      case "rejected": {
        this.#rejected.add(input.reason, input.count);
        const peer = input.peer === undefined ? "clients" : this.#nodeId(input.peer);
        const counters = this.#rejectedByPeer.get(peer) ?? new Counters();
        this.#rejectedByPeer.set(peer, counters);
        return counters.add(input.reason, input.count);
      }
      case "link":
        return this.#event("peer", { nodeId: this.#nodeId(input.peer), connected: input.up });
    }
  }

  onAction(action: Action, now: Instant): void {
    switch (action.kind) {
      case "execute":
        this.#bundlesOf.set(action.sequence, action.bundles);
        this.#digestOf.set(action.sequence, { digest: action.digest, time: action.time });
        return;
      case "reply":
        return this.#onReply(action.sequence, now);
      case "release":
        for (const digest of action.bundles) this.#arrivals.delete(digest);
        return;
      case "ignored":
        return this.#ignored.add(action.reason);
      case "stable":
        return this.#event("checkpoint", { sequence: action.sequence, digest: hexOf(action.digest) });
      case "install": {
        const { sequence, digest } = action.certificate;
        return this.#event("stateTransfer", { phase: "started", sequence, digest: hexOf(digest) });
      }
      case "send":
        if (action.again === true) this.#retransmissions += 1;
        return;
      case "viewLeft":
        return this.#viewsLeft.add(action.cause);
      case "diverged": {
        this.#divergences += 1;
        const { sequence, own, theirs } = action;
        return this.#event("diverged", { sequence, own: hexOf(own), theirs: hexOf(theirs) });
      }
      case "accuse": {
        this.#evidence.add(action.by, action.evidence);
        const { type, digest } = action.evidence;
        return this.#event("evidence", { nodeId: this.#nodeId(action.by), type, digest: hexOf(digest) });
      }
      case "viewChanged":
        this.#viewChanges.add(action.cause);
        return this.#event("viewChange", {
          view: action.view,
          primary: this.#nodeId(action.primary),
          cause: action.cause,
        });
      case "readmitted":
        return this.#event("readmitted", { view: action.view, sequence: action.sequence });
      case "halt": {
        this.halted = true;
        const { code, ...data } = action.reason;
        return this.#event("fatal", { reason: code, data: readable(data) as Record<string, unknown> });
      }
    }
  }

  onExecuted(outcome: ExecutedOutcome, now: Instant): void {
    const operations = outcome.replies.reduce((sum, reply) => sum + reply.entries.length, 0);
    this.#rate.add(operations, now);
    this.#operationsExecuted += operations;
    this.#batchesExecuted += 1;
    if (this.wantsOperations) this.#executed.set(outcome.sequence, outcome);
  }

  /** What a fetched state skips is a gap for whoever listens. */
  onTransfer(outcome: Extract<ExecutionOutcome, { kind: "installed" | "installFailed" }>): void {
    if (outcome.kind === "installFailed") {
      return this.#event("stateTransfer", { phase: "failed", reason: outcome.reason });
    }
    const { sequence, digest, progress } = outcome;
    this.#transfers += 1;
    const from = this.#committedThrough + 1;
    this.#committedThrough = Math.max(this.#committedThrough, sequence);
    if (this.wantsOperations && from <= sequence) this.#gap(from, sequence);
    for (const skipped of [this.#executed, this.#digestOf, this.#bundlesOf]) {
      for (const before of skipped.keys()) if (before <= sequence) skipped.delete(before);
    }
    const sources = progress.sources.map((source) => this.#nodeId(source));
    this.#event("stateTransfer", { phase: "finished", sequence, ...progress, digest: hexOf(digest), sources });
  }

  onBroadcast(milliseconds: number): void {
    this.#broadcast.recordMs(milliseconds);
  }

  onCommit(through: Sequence): void {
    for (let s = this.#committedThrough + 1; s <= through; s++) this.#commit(s as Sequence);
    this.#committedThrough = Math.max(this.#committedThrough, through);
  }

  onInspected({ id, inspection }: Extract<ExecutionOutcome, { kind: "inspected" }>): void {
    this.#post({ type: "state", id, inspection });
  }

  subscribe(commits: boolean): void {
    this.wantsOperations = commits;
    if (!commits) this.#executed.clear();
  }

  /** The listener has taken so many operations. */
  seen(operations: number): void {
    this.#unseen -= operations;
  }

  /** Posts the commits of a turn in one message. */
  flush(): void {
    if (this.#commits.length === 0) return;
    this.#post({ type: "commits", commits: this.#commits });
    this.#commits = [];
  }

  /** What can be shown against other replicas. */
  evidence(): Evidence[] {
    return this.#evidence.read();
  }

  metrics(): NodeMetrics {
    const state = this.#core.inspect();
    const { primary } = this.#core.view();
    const native = this.#reactor.statistics();
    const own = [...state.ownCheckpoints.keys()];
    return {
      takenAtMs: Date.now(),
      latencyMs: this.#latency.percentiles(),
      throughput: this.#rate.perSecond(performance.now()),
      operationsExecuted: this.#operationsExecuted,
      batchesExecuted: this.#batchesExecuted,
      view: state.view,
      primary: this.#nodeId(primary),
      pendingView: state.pending,
      recovering: state.amnesia !== undefined,
      viewChanges: this.#viewChanges.snapshot(),
      viewsLeft: this.#viewsLeft.snapshot(),
      retransmissions: this.#retransmissions,
      divergences: this.#divergences,
      stateTransfers: this.#transfers,
      lastExecuted: state.lastExecuted,
      checkpoints: { latest: Math.max(state.low, ...own), stable: state.low, stableDigest: hexOf(state.stableDigest) },
      window: { used: Math.max(0, state.lastSeen - state.low), size: this.#core.windowSize },
      pool: { bundles: state.pooledBundles, bytes: state.pooledBytes },
      rejected: this.#rejected.snapshot(),
      rejectedByPeer: Object.fromEntries([...this.#rejectedByPeer].map(([peer, counts]) => [peer, counts.snapshot()])),
      connectionsRefused: Object.fromEntries(native.refused.map(({ reason, count }) => [reason, count])),
      clients: {
        connected: native.clients.connected,
        bytesSent: sum(native.clients.traffic.bytesOut),
        bytesReceived: sum(native.clients.traffic.bytesIn),
      },
      ignored: this.#ignored.snapshot(),
      broadcastMs: this.#broadcast.percentiles(),
      peers: this.#peers(native),
      messages: this.#messages(native),
      journal: native.journal,
      turns: this.turns,
      crossings: native.reactor?.crossings ?? 0,
    };
  }

  stats(): NodeStats {
    const state = this.#core.inspect();
    return {
      consensus: {
        status: state.status,
        view: state.view,
        pending: state.pending,
        viewChangesHeld: state.viewChanges.size,
        awaitedNewViews: state.awaited.size,
        timeoutDoublings: state.suspicion.attempts,
        installing: state.installing?.sequence,
        low: state.low,
        lastProposed: state.lastProposed,
        lastSeen: state.lastSeen,
        committedPrefix: state.committedPrefix,
        executing: state.executing,
        lastExecuted: state.lastExecuted,
        slots: state.slots.size,
        early: state.early.size,
        awaitedBodies: state.waiting.size,
        fetches: state.fetches.size,
      },
      pool: {
        bundles: state.pooledBundles,
        bytes: state.pooledBytes,
        clients: state.queues.size,
        sessions: state.sessions.size,
        held: state.bundles.size,
      },
      checkpoints: {
        own: [...state.ownCheckpoints.keys()],
        history: state.history.size,
        historyBytes: state.historyBytes,
      },
      transport: { ...this.#reactor.statistics() },
    };
  }

  #onReply(sequence: Sequence, now: Instant): void {
    for (const digest of this.#bundlesOf.get(sequence) ?? []) {
      const arrived = this.#arrivals.get(digest);
      if (arrived === undefined) continue;
      this.#latency.recordMs(now - arrived);
      this.#arrivals.delete(digest);
    }
    this.#bundlesOf.delete(sequence);
  }

  #commit(sequence: Sequence): void {
    const executed = this.#executed.get(sequence);
    const batch = this.#digestOf.get(sequence);
    this.#executed.delete(sequence);
    this.#digestOf.delete(sequence);
    if (!this.wantsOperations) return;
    if (executed === undefined || batch === undefined || this.#unseen > UNSEEN_OPERATIONS_MAX)
      return this.#gap(sequence, sequence);
    this.#unseen += executed.operations.length;
    this.#commits.push({
      type: "commit",
      sequence,
      digest: hexOf(batch.digest),
      timestampMs: batch.time,
      operations: executed.operations.map(
        ({ client, session, sequence: clientSequence, operation, status, result }) => ({
          client: hexOf(client),
          session,
          clientSequence,
          operation,
          status,
          result,
        }),
      ),
    });
  }

  #gap(from: number, to: number): void {
    const last = this.#commits.at(-1);
    if (last?.type === "gap" && last.to === from - 1) this.#commits[this.#commits.length - 1] = { ...last, to };
    else this.#commits.push({ type: "gap", from, to });
  }

  #event<Name extends keyof NodeEvents>(name: Name, payload: NodeEvents[Name][0]): void {
    this.#post({ type: "event", name, payload });
  }

  #nodeId(replica: number): string {
    return this.#data.cluster.nodes[replica]?.nodeId ?? String(replica);
  }

  #peers(native: NativeStatistics): Record<string, PeerMetrics> {
    return Object.fromEntries(
      native.peers.map(({ peer, connected, rttMs, traffic, queuedBytes, connects, lastError }) => [
        this.#nodeId(peer),
        {
          connected,
          rttMs,
          bytesSent: sum(traffic.bytesOut),
          bytesReceived: sum(traffic.bytesIn),
          queuedBytes: sum(queuedBytes),
          framesDropped: sum(traffic.framesDropped),
          connects,
          lastError,
        },
      ]),
    );
  }

  #messages({ reactor }: NativeStatistics): NodeMetrics["messages"] {
    const byName: Record<string, { sent: number; bytesSent: number; received: number; bytesReceived: number }> = {};
    const of = (type: number): (typeof byName)[string] =>
      (byName[typeName(type) ?? `0x${type.toString(16)}`] ??= { sent: 0, bytesSent: 0, received: 0, bytesReceived: 0 });
    for (const { type, messages, bytes } of reactor?.sent ?? [])
      Object.assign(of(type), { sent: messages, bytesSent: bytes });
    for (const { type, messages, bytes } of reactor?.received ?? []) {
      Object.assign(of(type), { received: messages, bytesReceived: bytes });
    }
    return byName;
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The same with every digest in hexadecimal. */
function readable(value: unknown): unknown {
  if (isDigest(value)) return hexOf(value);
  if (Array.isArray(value)) return value.map(readable);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, readable(inner)]));
}

function isDigest(value: unknown): value is Digest {
  return typeof value === "string" && value.length === 16 && /[^\x20-\x7e]/.test(value);
}
