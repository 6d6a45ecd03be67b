/** A replica process of the benchmark; answers what its parent asks. */
import { ByzantineNode } from "../../dist/index.js";

const node = await ByzantineNode.fromConfig(process.argv[2], { stateMachine: new URL("./store.mjs", import.meta.url) });
node.on("fatal", ({ reason }) => {
  console.error(`${node.nodeId}: ${reason}`);
  process.exit(1);
});

/** Blocks this thread for half of the time, as an application with synchronous calls would. It sleeps: no processor is taken. */
let blocking;
const never = new Int32Array(new SharedArrayBuffer(4));
function block() {
  Atomics.wait(never, 0, 0, 100);
}

process.on("message", async ({ id, ask }) => {
  if (ask === "block") blocking = setInterval(block, 200);
  else if (ask === "unblock") clearInterval(blocking);
  const { metrics } = await node.getStats();
  const state = await node.stateDigest();
  const { user, system } = process.cpuUsage();
  const peers = Object.values(metrics.peers);
  process.send({
    id,
    state,
    cpuMicroseconds: user + system,
    residentBytes: process.memoryUsage.rss(),
    bytesSent: peers.reduce((sum, peer) => sum + peer.bytesSent, 0),
    turns: metrics.turns,
    batches: metrics.batchesExecuted,
    operations: metrics.operationsExecuted,
    broadcastMs: metrics.broadcastMs,
    journal: metrics.journal,
  });
});
process.once("disconnect", () => void node.shutdown());
await node.initialize();
process.send({ id: 0 });
