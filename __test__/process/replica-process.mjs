/** An honest replica as a process of its own; it tells its parent what it holds, did and saw. */
import { join } from "node:path";
import { ByzantineNode } from "../../dist/index.js";
import { totals } from "./machine.mjs";
import { serve } from "./serve.mjs";

/** Where the recordings of replicas that stopped themselves are kept, if anywhere. */
const RECORDINGS = process.env["BYZANTINE_RECORDINGS"];
const EVENTS = ["viewChange", "checkpoint", "stateTransfer", "peer", "evidence", "diverged", "readmitted", "fatal"];

function durabilityOf({ cluster, me, dataDir }) {
  if (dataDir !== undefined) return { durability: "fsync", dataDir };
  if (RECORDINGS === undefined) return { durability: "none" };
  return { durability: "none", dataDir: join(RECORDINGS, `${cluster.clusterId.slice(0, 8)}-${me}`) };
}

async function start(plan) {
  const { cluster, me, key, recorded } = plan;
  const { formatVersion: _, reads: __, ...shared } = cluster;
  const node = new ByzantineNode({
    ...shared,
    ...durabilityOf(plan),
    nodeId: cluster.nodes[me].nodeId,
    key,
    stateMachine: new URL("./machine.mjs", import.meta.url),
    flightRecorder: recorded,
  });
  const executed = new Map();
  const gaps = [];
  const events = [];
  for (const name of EVENTS) node.on(name, (payload) => events.push({ name, payload }));
  node.on("fatal", (event) => console.error(`${node.nodeId} stopped itself: ${JSON.stringify(event)}`));
  if (recorded) {
    node.onCommit((commit) => {
      if (commit.type === "gap") gaps.push({ from: commit.from, to: commit.to });
      else executed.set(commit.sequence, { digest: commit.digest, operations: commit.operations.length });
    });
  }
  await node.initialize();
  return {
    metrics: async () => (await node.getStats()).metrics,
    standing: async () => {
      const { sequence, answer } = await node.queryLocal(totals.question("total"));
      const { digest, sequence: after } = await node.stateDigest();
      // Something was executed in between: there is no standing yet.
      const total = sequence === after ? totals.answer("total", answer) : Number.NaN;
      return { sequence, digest, total };
    },
    // One that has stopped itself still tells what it saw.
    account: async () => ({ executed, gaps, events, evidence: await node.evidence().catch(() => []) }),
    recording: async () => node.flightRecording(),
    shutdown: async () => node.shutdown(),
    cpuMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000;
    },
  };
}

await serve(start);
