/**
 * A program that is not a replica, or a replica's own user: one session with the cluster, many operations in flight.
 *
 * All operations that are submitted in one turn of the event loop share a bundle and a signature. The protocol is in
 * `session.ts`; here are promises, timers and the network.
 */
import { getRandomValues } from "node:crypto";
import { performance } from "node:perf_hooks";
import { ByzantineError } from "../errors.ts";
import type { NativeStatistics } from "../native/native.ts";
import type { AgreedTime, Instant } from "../protocol/types.ts";
import { nativeResultDigest, ReplicaConnections, type ConnectionEvent } from "./connections.ts";
import type { AbandonCode, ClientAction, ClientCounters, ClientInput } from "./interfaces.ts";
import { resolveClient, TIMEOUT_MS_MAX, type ByzantineClientOptions, type ResolvedClient } from "./options.ts";
import { errorOf, rejectionOf } from "./outcome.ts";
import { ClientSession } from "./session.ts";

export type { ByzantineClientOptions } from "./options.ts";

export interface SubmitOptions {
  /** Ends the waiting, not the operation: what has left may still be executed. */
  readonly signal?: AbortSignal | undefined;
  /** 1 … 2^31−1 ms; default `timeoutMs` of the client. */
  readonly timeoutMs?: number | undefined;
}

export interface ClientStatistics extends Readonly<ClientCounters> {
  readonly view: number;
  /** `nodeId` of the primary as far as replies told. */
  readonly primary: string;
  /** Undefined before the first operation and after an eviction. */
  readonly session: number | undefined;
  /** Operations whose promise is pending. */
  readonly pending: number;
  readonly waiting: number;
  readonly inFlight: number;
  readonly bundlesInFlight: number;
  /** Bytes of long results that are held until a quorum vouches for them. */
  readonly heldBytes: number;
  readonly roundTripMs: number;
  /** `nodeId`s of the replicas that are connected. */
  readonly connected: readonly string[];
  readonly malformedFrames: number;
  readonly transport: NativeStatistics;
}

interface Pending {
  resolve(result: Uint8Array): void;
  reject(error: ByzantineError): void;
}

type Lifecycle = { readonly status: "open" } | { readonly status: "closed"; readonly done: Promise<void> };

export class ByzantineClient {
  readonly #options: ResolvedClient;
  readonly #connections: ReplicaConnections;
  readonly #session: ClientSession;
  readonly #pending = new Map<number, Pending>();
  readonly #connected = new Set<number>();
  readonly #refusals = new Map<number, string>();
  #lifecycle: Lifecycle = { status: "open" };
  #nextId = 1;
  #flushScheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = 0;
  #onLink: (() => void) | undefined;

  private constructor(options: ResolvedClient) {
    this.#options = options;
    this.#connections = new ReplicaConnections(options.cluster, options.key, (events) => this.#onEvents(events));
    this.#session = new ClientSession({
      n: options.cluster.nodes.length,
      f: options.cluster.maxFaults,
      client: this.#connections.client,
      random: random53,
      resultDigest: nativeResultDigest,
      limits: options.limits,
    });
  }

  /**
   * Connects to the replicas and waits for n − f of them; the others are tried for ever beside.
   * @param options The options, or the path of a `client.json`.
   * @throws ByzantineError `INVALID_CONFIG`, `INVALID_KEY`, `NATIVE_BINDING`; `TIMEOUT` (`data.refusals` has what replicas
   * said), `ABORTED`.
   */
  static async connect(options: ByzantineClientOptions | string): Promise<ByzantineClient> {
    const resolved = await resolveClient(options);
    if (resolved.signal?.aborted === true) throw rejectionOf("ABORTED", "no", undefined, resolved.signal.reason);
    const client = new ByzantineClient(resolved);
    try {
      await client.#reachCluster();
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /**
   * Submits an operation and resolves with its result, for which f+1 replicas vouch. Many may be pending at once; nothing is
   * promised about the order in which they execute, so await what the next one depends on.
   * @param operation Copied.
   * @throws ByzantineError whose `executed` says whether the operation took effect: `TIMEOUT`, `ABORTED`, `CLOSED` ("no" if it
   * never left, otherwise "unknown"), `SESSION_EXPIRED` ("unknown", seldom "yes"), `BUSY`, `INVALID_ARGUMENT`,
   * `OPERATION_FAILED`, and `OPERATION_REFUSED` with the state machine's `data.code` ("no").
   */
  async submit(operation: Uint8Array, options: SubmitOptions = {}): Promise<Uint8Array> {
    requireBytes(operation);
    this.#requireOpen(options);
    const id = this.#nextId;
    const result = this.#enqueue(operation);
    const end = this.#limitWaiting(id, 1, options);
    try {
      return await result;
    } finally {
      end();
    }
  }

  /**
   * Submits several operations under one timeout, in as few bundles as they fit in.
   * @returns The results in order.
   * @throws ByzantineError as `submit` does, after all are settled: the error of the first that failed. Where the results of
   * the others matter, `submit` each.
   */
  async submitAll(operations: readonly Uint8Array[], options: SubmitOptions = {}): Promise<Uint8Array[]> {
    operations.forEach(requireBytes);
    this.#requireOpen(options);
    const first = this.#nextId;
    const results = operations.map((operation) => this.#enqueue(operation));
    const end = this.#limitWaiting(first, operations.length, options);
    try {
      await Promise.allSettled(results);
      return await Promise.all(results);
    } finally {
      end();
    }
  }

  statistics(): ClientStatistics {
    const { nodes } = this.#options.cluster;
    const { view, primary, session } = this.#session.standing;
    const { bundles, ...load } = this.#session.load;
    return {
      ...this.#session.counters,
      ...load,
      view,
      primary: nodes[primary]!.nodeId,
      session,
      pending: this.#pending.size,
      bundlesInFlight: bundles,
      roundTripMs: this.#session.roundTripMs,
      connected: [...this.#connected].sort((a, b) => a - b).map((replica) => nodes[replica]!.nodeId),
      malformedFrames: this.#connections.malformedFrames,
      transport: this.#connections.statistics(),
    };
  }

  /** Rejects what is pending as `CLOSED` and ends all connections; afterwards the process can exit by itself. Idempotent. */
  close(): Promise<void> {
    if (this.#lifecycle.status === "closed") return this.#lifecycle.done;
    for (const id of this.#pending.keys()) this.#abandon(id, "CLOSED");
    clearTimeout(this.#timer);
    const done = this.#connections.close();
    this.#lifecycle = { status: "closed", done };
    return done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #enqueue(operation: Uint8Array): Promise<Uint8Array> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      // The caller may use its buffer again before the bundle is written.
      this.#step({ kind: "submit", id, operation: operation.slice() });
      this.#schedule();
    });
  }

  /** Limits how long `count` operations from id `first` on are waited for; the result ends the limits. */
  #limitWaiting(first: number, count: number, { timeoutMs, signal }: SubmitOptions): () => void {
    const abandon = (code: AbandonCode): void => {
      for (let id = first; id < first + count; id++) this.#abandon(id, code, signal?.reason);
      this.#schedule();
    };
    // After a stall of the event loop timers run first, and results that have come must win: immediates run after the network.
    // The timer keeps the process alive while an operation waits; nothing else of an idle client does.
    const timer = setTimeout(() => setImmediate(abandon, "TIMEOUT"), timeoutMs ?? this.#options.timeoutMs);
    const onAbort = (): void => abandon("ABORTED");
    signal?.addEventListener("abort", onAbort);
    return () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
  }

  #abandon(id: number, code: AbandonCode, reason?: unknown): void {
    if (this.#pending.has(id)) this.#step({ kind: "abandon", id, code }, code === "ABORTED" ? reason : undefined);
  }

  #onEvents(events: readonly ConnectionEvent[]): void {
    if (this.#lifecycle.status === "closed") return;
    for (const event of events) {
      if (event.kind === "refused") this.#refusals.set(event.peer, event.reason);
      else {
        if (event.kind === "link") this.#noteLink(event.peer, event.up);
        this.#step(event);
      }
    }
    this.#schedule();
  }

  #noteLink(peer: number, up: boolean): void {
    if (up) this.#connected.add(peer);
    else this.#connected.delete(peer);
    if (up) this.#refusals.delete(peer);
    this.#onLink?.();
  }

  #step(input: ClientInput, cause?: unknown): void {
    const actions = this.#session.step(input, now());
    if (actions.length === 0) return;
    this.#connections.carryOut(actions);
    for (const action of actions) {
      if (action.kind === "resolve" || action.kind === "reject") this.#settle(action, cause);
    }
  }

  #settle(action: Extract<ClientAction, { kind: "resolve" | "reject" }>, cause: unknown): void {
    const pending = this.#pending.get(action.id);
    this.#pending.delete(action.id);
    if (action.kind === "resolve" && action.status === "ok") pending?.resolve(action.result);
    else pending?.reject(errorOf(action, cause));
  }

  /** Lets the protocol have its next tick: after this turn of the event loop when it is due, otherwise at its deadline. */
  #schedule(): void {
    if (this.#flushScheduled || this.#lifecycle.status === "closed") return;
    const deadline = this.#session.deadline();
    if (deadline === undefined) return;
    const waitMs = deadline - now();
    if (waitMs <= 0) this.#scheduleFlush();
    else if (this.#timer === undefined || deadline < this.#timerAt) {
      clearTimeout(this.#timer);
      this.#timerAt = deadline;
      this.#timer = setTimeout(() => this.#onTimer(), Math.min(Math.ceil(waitMs), TIMEOUT_MS_MAX)).unref();
    }
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#schedule();
  }

  /** What continuations of this turn's results submit shares the flush, and replies that have come are taken before it. */
  #scheduleFlush(): void {
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      if (this.#lifecycle.status === "closed") return;
      this.#step({ kind: "tick", wallClock: Date.now() as AgreedTime });
      this.#schedule();
    });
  }

  #requireOpen({ signal, timeoutMs }: SubmitOptions): void {
    if (this.#lifecycle.status === "closed") throw rejectionOf("CLOSED", "no");
    if (signal?.aborted === true) throw rejectionOf("ABORTED", "no", undefined, signal.reason);
    if (timeoutMs === undefined) return;
    if (Number.isSafeInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs <= TIMEOUT_MS_MAX) return;
    const accepted = `an integer, 1 … ${TIMEOUT_MS_MAX}`;
    throw new ByzantineError("INVALID_ARGUMENT", `timeoutMs must be ${accepted}`, { field: "timeoutMs", accepted });
  }

  #reachCluster(): Promise<void> {
    const { cluster, connectTimeoutMs, signal } = this.#options;
    const needed = cluster.nodes.length - cluster.maxFaults;
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => setImmediate(() => end(this.#unreached(needed))), connectTimeoutMs);
      const onAbort = (): void => end(rejectionOf("ABORTED", "no", undefined, signal?.reason));
      const end = (error?: ByzantineError): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#onLink = undefined;
        if (error === undefined) resolve();
        else reject(error);
      };
      signal?.addEventListener("abort", onAbort);
      this.#onLink = () => {
        if (this.#connected.size >= needed) end();
      };
      this.#onLink();
    });
  }

  #unreached(needed: number): ByzantineError {
    const { nodes } = this.#options.cluster;
    const nodeIdOf = (replica: number): string => nodes[replica]?.nodeId ?? "unknown";
    const refusals = Object.fromEntries([...this.#refusals].map(([replica, reason]) => [nodeIdOf(replica), reason]));
    const connected = [...this.#connected].map(nodeIdOf);
    const message = `${connected.length} of ${nodes.length} replicas were reached in time; ${needed} are needed`;
    return new ByzantineError("TIMEOUT", message, { connected, refusals, executed: "no" });
  }
}

function requireBytes(operation: unknown): void {
  if (operation instanceof Uint8Array) return;
  const accepted = "a Uint8Array";
  throw new ByzantineError("INVALID_ARGUMENT", `an operation must be ${accepted}`, { field: "operation", accepted });
}

function now(): Instant {
  return performance.now() as Instant;
}

/** 0 … 2^53−1, unpredictable: a nonce must not repeat between starts. */
function random53(): number {
  const [high, low] = getRandomValues(new Uint32Array(2));
  return (high! % 2 ** 21) * 2 ** 32 + low!;
}
