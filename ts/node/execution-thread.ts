/** A worker of its own for a state machine whose operations take long. */
import { parentPort, workerData } from "node:worker_threads";
import { wakeReactor } from "../native/native.ts";
import { serveExecution } from "./execution-port.ts";
import { hostFor, loadStateMachine } from "./state-machine.ts";
import { failureOf, type ExecutionThreadData, type FromExecutionThread } from "./thread-messages.ts";

const { cluster, me, module, dataDir, port, wakeHandle } = workerData as ExecutionThreadData;
try {
  const host = hostFor(await loadStateMachine(module as string), cluster, me, dataDir);
  await host.prepare();
  serveExecution(port, host, () => wakeReactor(wakeHandle));
  parentPort?.postMessage({ type: "ready", start: host.start } satisfies FromExecutionThread);
} catch (error) {
  // An error's own fields do not survive the way to another thread.
  parentPort?.postMessage(failureOf(error) satisfies FromExecutionThread);
  port.close();
}
