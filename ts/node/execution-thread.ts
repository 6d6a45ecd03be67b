/** A worker of its own for a state machine whose operations take long. */
import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import type { ClusterConfig } from "../codec/cluster.ts";
import { hashMany, wakeReactor } from "../native/native.ts";
import { ExecutionHost } from "./execution-host.ts";
import { serveExecution } from "./execution-port.ts";
import { executorFor, loadStateMachine } from "./state-machine.ts";

interface ExecutionThreadData {
  readonly cluster: ClusterConfig;
  readonly module: string;
  readonly port: MessagePort;
  readonly wakeHandle: number;
}

const { cluster, module, port, wakeHandle } = workerData as ExecutionThreadData;
const machine = await loadStateMachine(module);
serveExecution(port, new ExecutionHost(executorFor(machine, cluster, { hashMany })), () => wakeReactor(wakeHandle));
parentPort?.postMessage("ready");
