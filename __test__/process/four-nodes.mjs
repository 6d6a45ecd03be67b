/** A program of a user: four replicas in one process, an operation, and an end that it leaves to Node.js. */
import { ByzantineNode, MessageCrypto } from "../../dist/index.js";
import { totals } from "./machine.mjs";

const port = Number(process.argv[2]);
const keys = [0, 1, 2, 3].map(() => MessageCrypto.generateKeyPair());
const nodes = keys.map(({ publicKey }, i) => ({ nodeId: `node-${i}`, host: "127.0.0.1", port: port + i, publicKey }));
const cluster = keys.map(
  ({ privateKey }, i) =>
    new ByzantineNode({
      nodeId: `node-${i}`,
      nodes,
      key: privateKey,
      stateMachine: process.argv[3] === "caller" ? totals : new URL("./machine.mjs", import.meta.url),
      ...(process.argv[3] === "caller" ? {} : { execution: process.argv[3] }),
      durability: "none",
    }),
);
await Promise.all(cluster.map((node) => node.initialize()));
const result = await cluster[1].submitRequest(totals.operation("add", { amount: 5 }));
console.log(`result ${totals.result("add", result)}`);
console.log("shutdown");
await Promise.all(cluster.map((node) => node.shutdown()));
