/** A worker of its own for a state machine whose operations take long. */
import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import type { ClusterConfig } from "../codec/cluster.ts";
import { hashMany, wakeReactor } from "../native/native.ts";
import { ExecutionHost } from "./execution-host.ts";
import { serveExecution } from "./execution-port.ts";
import { executorFor, loadStateMachine } from "./state-machine.ts";
import { failureOf, type ExecutionStart } from "./thread-messages.ts";

interface ExecutionThreadData {
  readonly cluster: ClusterConfig;
  readonly module: string;
  readonly port: MessagePort;
  readonly wakeHandle: number;
}

const { cluster, module, port, wakeHandle } = workerData as ExecutionThreadData;
try {
  const machine = await loadStateMachine(module);
  serveExecution(port, new ExecutionHost(executorFor(machine, cluster, { hashMany })), () => wakeReactor(wakeHandle));
  parentPort?.postMessage({ type: "ready" } satisfies ExecutionStart);
} catch (error) {
  // An error's own fields do not survive the way to another thread.
  parentPort?.postMessage(failureOf(error) satisfies ExecutionStart);
  port.close();
}
