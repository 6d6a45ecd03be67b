/** A client in a thread of its own, one operation after the other. Shares `[results so far, whether to stop]` with its maker. */
import { workerData } from "node:worker_threads";
import { ByzantineClient } from "../../dist/index.js";
import { totals } from "./machine.mjs";

const { cluster, key, shared } = workerData;
const client = await ByzantineClient.connect({ cluster, key, connectTimeoutMs: 60_000 });
while (Atomics.load(shared, 1) === 0) {
  await client.submit(totals.operation("add", { amount: 1 }));
  Atomics.add(shared, 0, 1);
  Atomics.notify(shared, 0);
}
await client.close();
