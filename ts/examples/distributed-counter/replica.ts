/** One replica as a process of its own: `node replica.js nodes/<id>/node.json`. Reports over the channel of its parent. */
import { ByzantineNode } from "../../index.ts";
import { counter } from "./counter.ts";

/** What a replica holds. */
export interface Report {
  readonly nodeId: string;
  readonly sequence: number;
  /** Root of the whole replicated state at `sequence`. */
  readonly digest: string;
  readonly value: number;
  readonly primary: boolean;
}

const node = await ByzantineNode.fromConfig(process.argv[2] ?? "", {
  stateMachine: new URL("./counter.js", import.meta.url),
});
node.on("fatal", ({ reason }) => {
  console.error(`${node.nodeId}: ${reason}`);
  process.exitCode = 1;
});

async function report(): Promise<Report> {
  const { sequence, digest } = await node.stateDigest();
  const { answer } = await node.queryLocal(counter.question("value"));
  return { nodeId: node.nodeId, sequence, digest, value: counter.answer("value", answer), primary: node.isPrimary() };
}

process.on("message", (message) => {
  if (message === "report") void report().then((answer) => process.send?.(answer));
  else void node.shutdown().then(() => process.disconnect());
});
// Without its parent nobody needs it.
process.once("disconnect", () => void node.shutdown());

await node.initialize();
process.send?.("ready");
