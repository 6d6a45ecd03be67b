/** `byzantine-quic node`: runs one replica in the foreground. `up` starts one such process for each. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { AdminEndpoint, adminSocketOf } from "../observability/admin-endpoint.ts";
import { ByzantineNode } from "../node/byzantine-node.ts";
import { readNodeFiles } from "../node/node-files.ts";
import { ExitCode, onePositional, textOption } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";

/** The state machine that runs unless another one is named. */
export const COUNTER = new URL("../examples/distributed-counter/counter.js", import.meta.url);

export const node: Command = {
  name: "node",
  summary: "run one replica in the foreground",
  help: `Usage: byzantine-quic node [options] <node.json>

Runs the replica that <node.json> describes until SIGINT or SIGTERM. Each line on standard output tells what happened.

Options
  --state-machine <file>  module whose default export is the state machine (default: the counter of the examples)
  --json                  log lines as JSON
  -h, --help              this text`,
  options: { "state-machine": { type: "string" } },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const path = onePositional(args, "the node's node.json");
    const file = textOption(args, "state-machine");
    const stateMachine = file === undefined ? COUNTER : pathToFileURL(resolve(file));
    const options = await readNodeFiles(path);
    const replica = new ByzantineNode({ ...options, stateMachine });
    const log = logOf(replica.nodeId, io);
    let failed = false;
    const ended = new Promise<void>((done) => {
      replica.on("fatal", ({ reason, data }) => {
        failed = true;
        log("fatal", { reason, ...data });
        done();
      });
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, done);
      // A child of `up` ends with it, also when it was killed.
      process.once("disconnect", done);
    });
    replica.on("peer", ({ nodeId, connected }) => log(connected ? "connected" : "disconnected", { peer: nodeId }));
    replica.on("checkpoint", ({ sequence, digest }) => log("checkpoint", { sequence, digest: digest.slice(0, 16) }));
    replica.on("viewChange", ({ view, primary, cause }) => log("view", { view, primary, cause }));
    replica.on("readmitted", ({ view, sequence }) => log("readmitted", { view, sequence }));
    replica.on("evidence", (evidence) => log("evidence", evidence));
    await replica.initialize();
    await using _admin = await AdminEndpoint.open(adminSocketOf(options.dataDir ?? "."), {
      "/status": async () => statusOf(replica),
    });
    log("listening", { port: replica.port });
    process.send?.({ type: "ready", nodeId: replica.nodeId });
    await ended;
    await replica.shutdown();
    log("stopped", {});
    if (process.connected) process.disconnect();
    return failed ? ExitCode.failed : ExitCode.ok;
  },
};

/** What `status` shows of a node. */
export interface NodeStatus {
  readonly nodeId: string;
  readonly view: number;
  readonly primary: string;
  readonly lastExecuted: number;
  readonly digest: string;
  readonly stable: number;
  readonly peers: { readonly connected: number; readonly of: number };
  readonly rejected: Readonly<Record<string, number>>;
}

async function statusOf(replica: ByzantineNode): Promise<NodeStatus> {
  const [{ metrics }, { sequence, digest }] = await Promise.all([replica.getStats(), replica.stateDigest()]);
  const peers = Object.values(metrics.peers);
  return {
    nodeId: replica.nodeId,
    view: metrics.view,
    primary: metrics.primary,
    lastExecuted: sequence,
    digest,
    stable: metrics.checkpoints.stable,
    peers: { connected: peers.filter(({ connected }) => connected).length, of: replica.cluster.nodes.length - 1 },
    rejected: metrics.rejected,
  };
}

function logOf(nodeId: string, io: Io): (event: string, fields: Readonly<Record<string, unknown>>) => void {
  return (event, fields) => {
    const time = new Date().toISOString();
    if (io.json) return io.out(JSON.stringify({ time, node: nodeId, event, ...fields }));
    const text = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`);
    io.out([time.slice(11, 23), nodeId, event, ...text].join("  "));
  };
}
