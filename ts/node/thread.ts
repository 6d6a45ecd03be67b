/**
 * A node's own thread: builds the core and its ports, and runs the loop. The user's thread may be busy or blocked; ordering
 * goes on.
 */
import { MessageChannel, parentPort, Worker, workerData, type MessagePort } from "node:worker_threads";
import { addressOf, mtuOf } from "../codec/cluster.ts";
import { digestFromHex } from "../codec/digest.ts";
import { helloFields } from "../codec/hello.ts";
import { readRecovered } from "../codec/records.ts";
import { ByzantineError } from "../errors.ts";
import { Reactor, sha256, type TransportConfig } from "../native/native.ts";
import { RecordedCore } from "../observability/flight-recorder.ts";
import type { DurableRecord, DurableState } from "../protocol/core.ts";
import { Replica } from "../protocol/replica.ts";
import type { AgreedTime, ClientKey, ReplicaId } from "../protocol/types.ts";
import type { ExecutionStart } from "./execution-host.ts";
import { InlineExecution, RemoteExecution, type ExecutionPort } from "./execution-port.ts";
import { hostFor, loadStateMachine } from "./state-machine.ts";
import { replicaOptionsOf } from "./options.ts";
import { ReactorLoop } from "./reactor-loop.ts";
import { failureOf } from "./thread-messages.ts";
import type { ExecutionThreadData, FromExecutionThread, FromThread, ThreadData, ToThread } from "./thread-messages.ts";
import { ThreadObserver } from "./thread-observer.ts";

/** How often the handle gets fresh numbers. Collecting them takes milliseconds, in which nothing is ordered. */
const METRICS_INTERVAL_MS = 1_000;
/** Time that connections get to close before they are dropped. */
const SHUTDOWN_MS = 500;

/** The addon's configuration of a member. */
export function transportConfigOf(
  data: Pick<ThreadData, "cluster" | "me" | "key" | "listen"> & Partial<Pick<ThreadData, "dataDir">>,
): TransportConfig {
  const { cluster, me, key, listen, dataDir } = data;
  const { operationBytesMax, batchBundlesMax, batchBytesMax } = cluster.limits;
  return {
    clusterId: Buffer.from(cluster.clusterId, "hex"),
    epoch: cluster.epoch,
    maxFaults: cluster.maxFaults,
    members: cluster.nodes.map((node) => ({ key: Buffer.from(node.publicKey, "hex"), address: addressOf(node) })),
    me,
    secretKeyPem: key,
    listenHost: listen.host,
    listenPort: listen.port,
    clients:
      cluster.clients === "any" ? undefined : cluster.clients.map((client) => Buffer.from(client.publicKey, "hex")),
    hello: helloFields(cluster, sha256),
    limits: { operationBytesMax, batchBundlesMax, batchBytesMax },
    mtu: mtuOf(cluster),
    dataDir,
  };
}

interface StartedExecution {
  readonly execution: ExecutionPort;
  readonly start: ExecutionStart;
}

/** Starts execution where the options put it. */
async function startExecution(data: ThreadData, wakeHandle: number): Promise<StartedExecution> {
  const { cluster, me, module, dataDir } = data;
  if (data.caller !== undefined) return { execution: new RemoteExecution(data.caller.port), start: data.caller.start };
  if (data.execution === "inline") {
    const host = hostFor(await loadStateMachine(module as string), cluster, me, dataDir);
    await host.prepare();
    return { execution: new InlineExecution(host), start: host.start };
  }
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL("./execution-thread.js", import.meta.url), {
    workerData: { cluster, me, module, dataDir, port: port2, wakeHandle } satisfies ExecutionThreadData,
    transferList: [port2],
  });
  const start = await new Promise<ExecutionStart>((resolve, reject) => {
    worker.once("message", (first: FromExecutionThread) => {
      if (first.type === "ready") resolve(first.start);
      else reject(new ByzantineError(first.code, first.message, first.data));
    });
    worker.once("error", reject);
  });
  return { execution: new RemoteExecution(port1), start };
}

/** What this replica restarts from: the journal's records over the state that it executes from. */
function durableState(data: ThreadData, reactor: Reactor, { sequence, sessions, marks }: ExecutionStart): DurableState {
  if (data.dataDir === undefined) return { type: "genesis" };
  const recovered = readRecovered(reactor.recovery());
  if (recovered.type === "restart") return { ...recovered, snapshot: { sequence, sessions, marks } };
  if (sequence === 0) return recovered;
  const text = `${data.dataDir}: a snapshot of sequence ${sequence} lies beside a journal that never had a record`;
  throw new ByzantineError("DATA_DIR", text, { reason: "corrupt" });
}

/**
 * Refuses opaque state that holds what this replica may not know to be decided: it is another replica's, or its disk is an older one.
 * @throws ByzantineError `DATA_DIR` "ahead".
 */
function refuseAhead({ dataDir }: ThreadData, lastApplied: number, state: DurableState): void {
  const known = state.type === "restart" ? state.records.map(({ record }) => sequenceOf(record)) : [];
  const through = known.reduce((a, b) => Math.max(a, b), state.type === "restart" ? state.snapshot.sequence : 0);
  if (lastApplied <= through) return;
  const text = `the state machine has applied sequence ${lastApplied}, and ${dataDir ?? "a node without a journal"} knows none above ${through}`;
  throw new ByzantineError("DATA_DIR", text, { reason: "ahead", lastApplied, known: through });
}

/** The highest sequence that a record knows the contents or the state of; 0 for those that know none. */
function sequenceOf(record: DurableRecord): number {
  if ("sequence" in record) return record.sequence;
  return "certificate" in record ? record.certificate.sequence : 0;
}

interface NodeThreadParts {
  readonly reactor: Reactor;
  readonly loop: ReactorLoop;
  readonly observer: ThreadObserver;
  readonly recorder: RecordedCore | undefined;
  readonly durable: boolean;
}

class NodeThread {
  readonly #port: MessagePort;
  readonly #reactor: Reactor;
  readonly #loop: ReactorLoop;
  readonly #observer: ThreadObserver;
  readonly #recorder: RecordedCore | undefined;
  readonly #durable: boolean;
  #metricsAt = 0;
  #stopping = false;
  #reported = false;

  constructor(port: MessagePort, parts: NodeThreadParts) {
    this.#port = port;
    this.#reactor = parts.reactor;
    this.#loop = parts.loop;
    this.#observer = parts.observer;
    this.#recorder = parts.recorder;
    this.#durable = parts.durable;
    port.on("message", (message: ToThread) => this.#onMessage(message));
  }

  /** Turn after turn, with a look at this thread's other messages between them. */
  run(): void {
    if (this.#stopping && (this.#loop.stopped || this.#observer.halted)) return this.#stop(this.#loop.stopped);
    try {
      this.#loop.turn();
    } catch (error) {
      return this.#fail(error);
    }
    if (this.#observer.halted && !this.#reported) this.#report();
    this.#observer.turns = this.#loop.turns;
    this.#observer.flush();
    const now = performance.now();
    if (now >= this.#metricsAt) {
      this.#metricsAt = now + METRICS_INTERVAL_MS;
      this.#post({ type: "metrics", metrics: this.#observer.metrics() });
    }
    setImmediate(() => this.run());
  }

  #onMessage(message: ToThread): void {
    switch (message.type) {
      case "subscribe":
        return this.#observer.subscribe(message.commits);
      case "seen":
        return this.#observer.seen(message.operations);
      case "inspect": {
        const metrics = this.#observer.metrics();
        return this.#post({ type: "inspected", id: message.id, metrics, stats: this.#observer.stats() });
      }
      case "state":
        return this.#loop.inspect(message.id, message.question);
      case "recording":
        return this.#post({ type: "recording", id: message.id, text: this.#recorder?.recording() });
      case "evidence":
        return this.#post({ type: "evidence", id: message.id, evidence: this.#observer.evidence() });
      case "address":
        return this.#reactor.setMemberAddress(message.replica, message.address);
      case "shutdown":
        this.#stopping = true;
        this.#loop.stop();
    }
  }

  /** Our own bug: the replica stops rather than lies, and keeps what led there. */
  #fail(error: unknown): void {
    this.#post({ type: "event", name: "fatal", payload: { reason: "INTERNAL", data: { message: String(error) } } });
    this.#report();
    this.#stop(false);
  }

  /** The replica stopped itself: its last inputs may say why. */
  #report(): void {
    this.#reported = true;
    this.#post({ type: "recording", id: 0, text: this.#recorder?.recording() });
  }

  /** @param inOrder The core has said its last word, and it is durable: the next start may rely on that. */
  #stop(inOrder: boolean): void {
    this.#post({ type: "metrics", metrics: this.#observer.metrics() });
    if (inOrder && this.#durable) this.#stopCleanly();
    this.#reactor.shutdown(SHUTDOWN_MS);
    this.#post({ type: "closed" });
    this.#port.close();
    // Other handles of this thread (execution, user code of an inline state machine) must not keep it.
    setImmediate(() => process.exit(0));
  }

  #stopCleanly(): void {
    try {
      this.#reactor.cleanStop(SHUTDOWN_MS);
    } catch (error) {
      // The next start is one after a crash: slower, and as safe.
      process.emitWarning(String(error), { type: "ByzantineWarning", code: "BYZANTINE_UNCLEAN_STOP" });
    }
  }

  #post(message: FromThread): void {
    this.#port.postMessage(message);
  }
}

async function main(port: MessagePort, data: ThreadData): Promise<void> {
  const reactor = bind(data);
  const { execution, start } = await startExecution(data, reactor.wakeHandle);
  const state = durableState(data, reactor, start);
  const opaque = start.lastApplied !== undefined;
  if (start.lastApplied !== undefined) {
    refuseAhead(data, start.lastApplied, state);
    execution.give({ kind: "begin" });
  }
  const options = replicaOptionsOf({ cluster: data.cluster, me: data.me as ReplicaId });
  const replica = new Replica(options);
  const recorder = data.flightRecorder ? new RecordedCore(replica, options) : undefined;
  const post = (message: FromThread): void => port.postMessage(message);
  const observer = new ThreadObserver({ data, core: replica, reactor, post });
  const durable = data.dataDir !== undefined;
  const core = recorder ?? replica;
  const key = digestFromHex(data.cluster.nodes[data.me]!.publicKey) as string as ClientKey;
  const loop = new ReactorLoop({ core, reactor, execution, observer, replica: options, key, durable, opaque });
  loop.start({ kind: "recovered", state, wallClock: Date.now() as AgreedTime });
  post({ type: "ready", port: reactor.localPort, wakeHandle: reactor.wakeHandle });
  new NodeThread(port, { reactor, loop, observer, recorder, durable }).run();
}

function report(port: MessagePort, error: unknown): void {
  port.postMessage(failureOf(error) satisfies FromThread);
  port.close();
}

/** What an empty data directory asks of its operator. */
const UNMARKED =
  "; where this replica has never taken part, mark it once (initDataDir, byzantine-quic init); " +
  "where its disk was lost, mark it as that (initDataDir with diskLost, byzantine-quic recover)";

function refusedDataDir(dataDir: string | undefined, error: ByzantineError): ByzantineError {
  const remedy = error.data["reason"] === "wiped" ? UNMARKED : "";
  return new ByzantineError("DATA_DIR", `${dataDir}: ${error.message}${remedy}`, { ...error.data, dataDir }, error);
}

/** @throws ByzantineError `LISTEN_FAILED` naming the address, `DATA_DIR` naming the directory, and what else {@link Reactor} throws. */
function bind(data: ThreadData): Reactor {
  try {
    return new Reactor(transportConfigOf(data));
  } catch (error) {
    if (!(error instanceof ByzantineError)) throw error;
    if (error.code === "DATA_DIR") throw refusedDataDir(data.dataDir, error);
    if (error.code !== "LISTEN_FAILED") throw error;
    const address = addressOf(data.listen);
    throw new ByzantineError("LISTEN_FAILED", `${address}: ${error.message}`, { address }, error);
  }
}

if (parentPort !== null) {
  const port = parentPort;
  main(port, workerData as ThreadData).catch((error: unknown) => report(port, error));
}
