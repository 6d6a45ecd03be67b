/** A worker of its own for a state machine whose operations take long. */
import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import type { ClusterConfig } from "../codec/cluster.ts";
import { hashMany, wakeReactor } from "../native/native.ts";
import { serveExecution } from "./execution-port.ts";
import { hostFor, loadStateMachine } from "./state-machine.ts";
import { failureOf, type ExecutionStart } from "./thread-messages.ts";

interface ExecutionThreadData {
  readonly cluster: ClusterConfig;
  readonly me: number;
  readonly module: string;
  readonly port: MessagePort;
  readonly wakeHandle: number;
}

const { cluster, me, module, port, wakeHandle } = workerData as ExecutionThreadData;
try {
  const machine = await loadStateMachine(module);
  serveExecution(port, hostFor(machine, cluster, me, { hashMany }), () => wakeReactor(wakeHandle));
  parentPort?.postMessage({ type: "ready" } satisfies ExecutionStart);
} catch (error) {
  // An error's own fields do not survive the way to another thread.
  parentPort?.postMessage(failureOf(error) satisfies ExecutionStart);
  port.close();
}
