/** The handle of a replica on the user's thread. The replica itself runs in a thread of its own (`thread.ts`). */
import { EventEmitter } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MessageChannel, Worker } from "node:worker_threads";
import { ByzantineClient, type SubmitOptions } from "../client/client.ts";
import type { ClusterConfig } from "../codec/cluster.ts";
import { ByzantineError } from "../errors.ts";
import { wakeReactor } from "../native/native.ts";
import type { NodeMetrics } from "../observability/metrics.ts";
import type { OpaqueStateMachine, StateMachine } from "../state/interfaces.ts";
import { CommitStream, type CommitListener } from "./commit-stream.ts";
import type { Evidence } from "./evidence.ts";
import type { ExecutionHost, StateInspection } from "./execution-host.ts";
import { serveExecution } from "./execution-port.ts";
import { PendingAnswers } from "./pending-answers.ts";
import { claimIncarnation } from "./incarnation.ts";
import { readNodeFiles } from "./node-files.ts";
import { resolveNode, type ByzantineNodeOptions, type ResolvedNode } from "./options.ts";
import { hostFor } from "./state-machine.ts";
import type { Commit, CommitGap, FromThread, NodeEvents, NodeStats, ThreadData, ToThread } from "./thread-messages.ts";

/** How long a thread may take to end after it was asked to. */
const SHUTDOWN_MS = 2_500;

type Lifecycle =
  | { readonly status: "created" }
  | { readonly status: "starting"; readonly done: Promise<void> }
  | { readonly status: "running" }
  | { readonly status: "closing"; readonly done: Promise<void> };

/** The thread of a node that was started. */
interface RunningThread {
  readonly worker: Worker;
  readonly wakeHandle: number;
  readonly port: number;
  /** What executes on this thread. */
  readonly host: ExecutionHost | undefined;
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<void>;
}

/**
 * A replica of a cluster.
 *
 * Events: `viewChange`, `checkpoint`, `stateTransfer`, `peer`, `evidence`, `diverged`, `readmitted`, `fatal`. A peer's fault is never an error; `fatal`
 * is this replica's own end (it stopped rather than lie), after which `shutdown()` is all that is left.
 */
export class ByzantineNode extends EventEmitter<NodeEvents> implements AsyncDisposable {
  readonly #options: ResolvedNode;
  readonly #commits: CommitStream;
  readonly #answers = new PendingAnswers();
  /** Ends what must not outlive the node: the connecting of its own client. */
  readonly #closing = new AbortController();
  #lifecycle: Lifecycle = { status: "created" };
  #thread: RunningThread | undefined;
  #client: Promise<ByzantineClient> | undefined;
  #metrics: NodeMetrics | undefined;
  #view = 0;
  #fatal: { readonly reason: string } | undefined;

  /** @throws ByzantineError `INVALID_CONFIG` naming the field and the accepted range. */
  constructor(options: ByzantineNodeOptions) {
    super();
    this.#options = resolveNode(options);
    this.#commits = new CommitStream({
      onSubscribed: (subscribed) => this.#tell({ type: "subscribe", commits: subscribed }),
      onSeen: (operations) => this.#tell({ type: "seen", operations }),
    });
  }

  /**
   * A node from its configuration file (`nodes/<id>/node.json` as `byzantine-quic init` writes it).
   * @throws ByzantineError `INVALID_CONFIG`.
   */
  static async fromConfig(
    path: string,
    options: Pick<ByzantineNodeOptions, "stateMachine" | "execution">,
  ): Promise<ByzantineNode> {
    return new ByzantineNode({ ...(await readNodeFiles(path)), ...options });
  }

  get nodeId(): string {
    return this.#options.cluster.nodes[this.#options.me]?.nodeId ?? "";
  }

  /** The cluster's configuration with all defaults, as every member must have it. */
  get cluster(): ClusterConfig {
    return this.#options.cluster;
  }

  /** The UDP port that this node listens on; 0 before {@link initialize}. */
  get port(): number {
    return this.#lifecycle.status === "running" ? (this.#thread?.port ?? 0) : 0;
  }

  /**
   * Starts listening and dials the other members. Resolves when this replica takes part; the others may come later.
   * @throws ByzantineError `DATA_DIR`, `LISTEN_FAILED`, `INVALID_KEY`, `INVALID_CONFIG`, `NATIVE_BINDING`, `HALTED`, `CLOSED`.
   */
  async initialize(): Promise<void> {
    switch (this.#lifecycle.status) {
      case "running":
        return;
      case "starting":
        return this.#lifecycle.done;
      case "closing":
        throw new ByzantineError("CLOSED", "the node was shut down");
      case "created": {
        const done = this.#start();
        this.#lifecycle = { status: "starting", done };
        return done;
      }
    }
  }

  /** Ends the replica, its own client and what is executed on this thread; afterwards the process can exit by itself. Idempotent. */
  async shutdown(): Promise<void> {
    if (this.#lifecycle.status === "closing") return this.#lifecycle.done;
    const done = this.#stop();
    this.#lifecycle = { status: "closing", done };
    return done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  /**
   * Submits an operation through this node's own client session and resolves with the executed result that f+1 replicas
   * vouch for.
   * @param operation At most `limits.operationBytesMax` bytes.
   * @throws ByzantineError as `ByzantineClient.submit`; its `executed` says whether the operation may have been executed.
   */
  async submitRequest(operation: Uint8Array, options: SubmitOptions = {}): Promise<Uint8Array> {
    this.#requireRunning();
    return (await this.#connect(options.signal)).submit(operation, options);
  }

  /**
   * Calls `listener` for every batch that commits from now on, in order and without duplicates within this process.
   * @returns A function that ends the subscription.
   */
  onCommit(listener: CommitListener): () => void {
    return this.#commits.listen(listener);
  }

  /**
   * Committed batches from sequence `from` on (default: the next). What is no longer held comes as an explicit gap. Ends when
   * the node shuts down or `signal` aborts.
   */
  commits(
    options: { readonly from?: number; readonly signal?: AbortSignal } = {},
  ): AsyncIterableIterator<Commit | CommitGap> {
    return this.#commits.iterate(options);
  }

  isPrimary(): boolean {
    return this.#view % this.#options.cluster.nodes.length === this.#options.me;
  }

  getCurrentView(): number {
    return this.#view;
  }

  /** Numbers about this replica, at most a second old. @throws ByzantineError `CLOSED` before `initialize`. */
  getMetrics(): NodeMetrics {
    if (this.#metrics === undefined) throw new ByzantineError("CLOSED", "the node is not initialized");
    return this.#metrics;
  }

  /** The state of each component as it is now, for a person who debugs. @throws ByzantineError `CLOSED`. */
  async getStats(): Promise<NodeStats & { readonly metrics: NodeMetrics }> {
    this.#requireRunning();
    const { metrics, stats } = await this.#ask<{ metrics: NodeMetrics; stats: NodeStats }>((id) => ({
      type: "inspect",
      id,
    }));
    this.#metrics = metrics;
    return { ...stats, metrics };
  }

  /** The last sequence that this replica executed and the root of its state there. @throws ByzantineError `CLOSED`. */
  async stateDigest(): Promise<{ readonly sequence: number; readonly digest: string }> {
    const { sequence, digest } = await this.#inspectState(undefined);
    return { sequence, digest };
  }

  /**
   * Asks this one replica's executed state through the state machine's `query`. Nobody else vouches for the answer, and it may
   * be behind: to know what the cluster holds, submit an operation.
   * @throws ByzantineError `CLOSED`, `INVALID_ARGUMENT` where the state machine cannot answer.
   */
  async queryLocal(question: Uint8Array): Promise<{ readonly sequence: number; readonly answer: Uint8Array }> {
    const { sequence, answer } = await this.#inspectState(question);
    if (answer?.ok === true) return { sequence, answer: answer.value };
    throw new ByzantineError("INVALID_ARGUMENT", `the state machine did not answer: ${answer?.message ?? "no query"}`);
  }

  /**
   * The tail of what this replica's core was told, as text for `byzantine-quic replay`; `undefined` without `flightRecorder`.
   * @throws ByzantineError `CLOSED`.
   */
  async flightRecording(): Promise<string | undefined> {
    this.#requireRunning();
    return (await this.#ask<{ text: string | undefined }>((id) => ({ type: "recording", id }))).text;
  }

  /**
   * What this replica can show against others: pairs of signed messages that no honest replica signs both, the newest 64.
   * @throws ByzantineError `CLOSED`.
   */
  async evidence(): Promise<readonly Evidence[]> {
    this.#requireRunning();
    return (await this.#ask<{ evidence: readonly Evidence[] }>((id) => ({ type: "evidence", id }))).evidence;
  }

  async #start(): Promise<void> {
    const { cluster, execution, durability, dataDir } = this.#options;
    const host = execution === "caller" ? this.#host() : undefined;
    await host?.prepare();
    const disclaim = durability === "none" ? await claimIncarnation(dataDir, cluster) : undefined;
    if (durability === "none") {
      process.emitWarning('durability "none": nothing survives this process, and a restart counts as a wiped disk', {
        type: "ByzantineWarning",
        code: "BYZANTINE_NOT_DURABLE",
      });
    }
    const channel = host && new MessageChannel();
    const caller = channel && host && { port: channel.port2, start: host.start };
    const worker = new Worker(new URL("./thread.js", import.meta.url), {
      workerData: this.#threadData(caller),
      transferList: channel === undefined ? [] : [channel.port2],
      name: `byzantine-quic ${this.nodeId}`,
    });
    const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    try {
      const ready = await this.#ready(worker);
      if (channel !== undefined && host !== undefined) {
        serveExecution(channel.port1, host, () => wakeReactor(ready.wakeHandle));
        channel.port1.unref();
      }
      this.#thread = { worker, ended, host, ...ready };
    } catch (error) {
      channel?.port1.close();
      await worker.terminate();
      // It has said nothing to anybody.
      await disclaim?.();
      throw error;
    }
    worker.on("error", (error) => this.#onFatal("INTERNAL", { message: error.message }));
    void ended.then(() => this.#answers.abandon());
    if (this.#lifecycle.status !== "starting") return;
    this.#lifecycle = { status: "running" };
    if (this.#commits.subscribed) this.#tell({ type: "subscribe", commits: true });
    this.#metrics ??= (await this.getStats()).metrics;
  }

  #threadData(caller: ThreadData["caller"]): ThreadData {
    const { cluster, me, key, listen, execution, stateMachine, debug, flightRecorder } = this.#options;
    const module = stateMachine instanceof URL ? stateMachine.href : undefined;
    const dataDir = this.#journalDir();
    return { cluster, me, key, listen, execution, module, caller, dataDir, debug, flightRecorder };
  }

  /** Resolves when the thread runs; from then on its messages are handled. */
  async #ready(worker: Worker): Promise<{ readonly port: number; readonly wakeHandle: number }> {
    return new Promise((resolve, reject) => {
      worker.once("error", reject);
      worker.on("message", (message: FromThread) => {
        if (message.type === "ready") resolve({ port: message.port, wakeHandle: message.wakeHandle });
        else if (message.type === "failed") reject(new ByzantineError(message.code, message.message, message.data));
        else this.#onMessage(message);
      });
    });
  }

  /** Executes on this thread. */
  #host(): ExecutionHost {
    const { cluster, me, stateMachine } = this.#options;
    return hostFor(stateMachine as StateMachine | OpaqueStateMachine, cluster, me, this.#journalDir());
  }

  #journalDir(): string | undefined {
    return this.#options.durability === "fsync" ? this.#options.dataDir : undefined;
  }

  /** This node's own client, connected when it is first needed, and again where that failed. */
  async #connect(signal: AbortSignal | undefined): Promise<ByzantineClient> {
    const { cluster, key } = this.#options;
    this.#client ??= ByzantineClient.connect({ cluster, key, signal: this.#closing.signal }).catch((error: unknown) => {
      this.#client = undefined;
      throw this.#closing.signal.aborted ? new ByzantineError("CLOSED", "the node was shut down") : error;
    });
    if (signal === undefined) return this.#client;
    let onAbort = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(new ByzantineError("ABORTED", "aborted by its signal", { executed: "no" }, signal.reason));
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([this.#client, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #stop(): Promise<void> {
    const lifecycle = this.#lifecycle;
    this.#closing.abort();
    if (lifecycle.status === "starting") await lifecycle.done.catch(() => undefined);
    await (await this.#client?.catch(() => undefined))?.close();
    this.#commits.close();
    if (this.#thread === undefined) return;
    const { worker, wakeHandle, ended, host } = this.#thread;
    worker.postMessage({ type: "shutdown" } satisfies ToThread);
    wakeReactor(wakeHandle);
    const timer = setTimeout(() => void worker.terminate(), SHUTDOWN_MS);
    await ended;
    clearTimeout(timer);
    await host?.close();
  }

  #onMessage(message: FromThread): void {
    switch (message.type) {
      case "metrics":
        this.#metrics = message.metrics;
        this.#view = message.metrics.view;
        return;
      case "inspected":
      case "evidence":
      case "state":
        return this.#answers.answer(message.id, message);
      case "recording":
        return this.#onRecording(message.id, message.text);
      case "commits":
        return this.#commits.push(message.commits);
      case "event":
        return this.#onEvent(message.name, message.payload);
    }
  }

  #onEvent(name: keyof NodeEvents, payload: unknown): void {
    if (this.#options.debug) process.stderr.write(`byzantine-quic ${this.nodeId} ${name} ${JSON.stringify(payload)}\n`);
    if (name === "viewChange") this.#view = (payload as NodeEvents["viewChange"][0]).view;
    if (name === "fatal") {
      const { reason, data } = payload as NodeEvents["fatal"][0];
      return this.#onFatal(reason, data);
    }
    this.emit(name, payload as never);
  }

  /** An answer to {@link flightRecording}, or, with id 0, what led to this replica's end. */
  #onRecording(id: number, text: string | undefined): void {
    this.#answers.answer(id, { text });
    const { dataDir } = this.#options;
    if (id !== 0 || text === undefined || dataDir === undefined) return;
    const path = join(dataDir, `flight-${Date.now()}.jsonl`);
    writeFile(path, text, { mode: 0o600 }).catch((error: unknown) => {
      process.emitWarning(`the flight recording could not be written: ${String(error)}`, {
        code: "BYZANTINE_RECORDING",
      });
    });
  }

  #onFatal(reason: string, data: Readonly<Record<string, unknown>>): void {
    this.#fatal = { reason };
    this.emit("fatal", { reason, data });
  }

  async #inspectState(question: Uint8Array | undefined): Promise<StateInspection> {
    this.#requireRunning();
    const answer = await this.#ask<{ inspection: StateInspection }>((id) => ({ type: "state", id, question }));
    return answer.inspection;
  }

  async #ask<T>(message: (id: number) => ToThread): Promise<T> {
    return this.#answers.ask((id) => this.#tell(message(id)));
  }

  #requireRunning(): void {
    if (this.#fatal !== undefined) {
      throw new ByzantineError("HALTED", `the replica stopped itself: ${this.#fatal.reason}`, {
        ...this.#fatal,
        executed: "no",
      });
    }
    if (this.#lifecycle.status !== "running")
      throw new ByzantineError("CLOSED", "the node is not running", { executed: "no" });
  }

  #tell(message: ToThread): void {
    if (this.#lifecycle.status !== "running" || this.#thread === undefined) return;
    this.#thread.worker.postMessage(message);
    wakeReactor(this.#thread.wakeHandle);
  }
}
