/** A client in a thread of its own, one operation after the other, that counts results in memory which its maker shares. */
import { parentPort, workerData } from "node:worker_threads";
import { ByzantineClient } from "../../dist/index.js";
import { totals } from "./machine.mjs";

const { cluster, key, counter } = workerData;
const client = await ByzantineClient.connect({ cluster, key, connectTimeoutMs: 60_000 });
let stopping = false;
parentPort.once("message", () => (stopping = true));
while (!stopping) {
  await client.submit(totals.operation("add", { amount: 1 }));
  Atomics.add(counter, 0, 1);
  Atomics.notify(counter, 0);
}
await client.close();
