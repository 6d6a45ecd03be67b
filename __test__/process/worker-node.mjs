/** A node of a cluster in a thread of the user's own: starts, submits when told to, and shuts down. */
import { parentPort, workerData } from "node:worker_threads";
import { ByzantineNode } from "../../dist/index.js";
import { totals } from "./machine.mjs";

const node = new ByzantineNode({ ...workerData, stateMachine: new URL("./machine.mjs", import.meta.url) });
await node.initialize();
parentPort.postMessage("ready");
parentPort.once("message", async (amount) => {
  const result = await node.submitRequest(totals.operation("add", { amount }));
  parentPort.postMessage(totals.result("add", result));
  await node.shutdown();
});
