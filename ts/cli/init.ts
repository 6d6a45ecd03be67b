/** `byzantine-quic init`: writes keys and configuration of a new cluster into a new directory. */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FORMAT_VERSION, REPLICAS_MIN, resolveCluster } from "../codec/cluster.ts";
import type { ClusterConfig, ClusterOptions } from "../codec/cluster.ts";
import type { ClientFile, NodeOptions } from "../codec/nodeOptions.ts";
import { ByzantineError } from "../errors.ts";
import { markGenesis } from "../node/data-dir.ts";
import { REPLICAS_MAX } from "../protocol/types.ts";
import { ExitCode, numberOption, onePositional, textOption, UsageError } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";
import { createKeyFile } from "./keys.ts";

/** Below the ports that operating systems hand out by themselves. */
const BASE_PORT = 7400;
/** Directories hold private keys. */
const DIRECTORY_MODE = 0o700;
/** In a node's data directory: this directory is new, not wiped. A directory without it is never taken for a first start. */
const MARKER_FILE = "identity";

/** Writes a new cluster: shared configuration, a directory per node, a client. */
export const init: Command = {
  name: "init",
  summary: "write keys and configuration of a new cluster",
  help: `Usage: byzantine-quic init [-n <nodes>] [options] <directory>

Writes into <directory>, which must be absent or empty:
  cluster.json                 what all nodes and clients share: members, keys, limits
  nodes/<id>/node.json         one node's own configuration
  nodes/<id>/key.pem           its private key (mode 0600)
  nodes/<id>/data/${MARKER_FILE}     the mark of a first start; a data directory without it counts as wiped
  client/client.json, key.pem  a client that cluster.json admits

Options
  -n, --nodes <n>               replicas, ${REPLICAS_MIN} … ${REPLICAS_MAX} (default ${REPLICAS_MIN}); ⌊(n−1)/3⌋ of them may be faulty
  --host <host>                 where the nodes are reached and listen (default 127.0.0.1)
  --base-port <port>            UDP port of the first node, the next ones follow (default ${BASE_PORT})
  --max-faults <f>              faulty replicas tolerated, 0 … ⌊(n−1)/3⌋ (default the most)
  --checkpoint-interval <k>     sequence numbers between checkpoints, 1 … 1024 (default 100)
  --view-change-timeout-ms <t>  patience with a primary, 100 … 600000 (default 5000)
  --json                        print {"directory", "clusterId", "nodes", "files", "next"}
  -h, --help                    this text`,
  options: {
    nodes: { type: "string", short: "n" },
    host: { type: "string" },
    "base-port": { type: "string" },
    "max-faults": { type: "string" },
    "checkpoint-interval": { type: "string" },
    "view-change-timeout-ms": { type: "string" },
  },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const directory = onePositional(args, "the directory of the cluster");
    const plan = planOf(args);
    const files = await writeCluster(directory, plan);
    const next = `byzantine-quic up ${directory}`;
    if (io.json) {
      const nodes = plan.nodes.map(({ nodeId, host, port }) => ({ nodeId, host, port }));
      io.out(JSON.stringify({ directory, clusterId: plan.clusterId, nodes, files, next }));
      return ExitCode.ok;
    }
    io.out(`Wrote a cluster of ${plan.nodes.length} nodes that tolerates ${plan.maxFaults} faulty, to ${directory}:`);
    for (const file of files) io.out(`  ${file}`);
    io.out(`Next: ${next}`);
    return ExitCode.ok;
  },
};

/** The checked configuration without its keys, which are made when everything else is known to be right. */
function planOf(args: Arguments): ClusterConfig {
  const n = numberOption(args, "nodes") ?? REPLICAS_MIN;
  const basePort = numberOption(args, "base-port") ?? BASE_PORT;
  const host = textOption(args, "host") ?? "127.0.0.1";
  const width = String(n - 1).length;
  // One more than is allowed is enough to be refused with the accepted range.
  const nodes = Array.from({ length: Math.min(n, REPLICAS_MAX + 1) }, (_, i) => ({
    // Padded, so that the order of the names is the order of the numbers.
    nodeId: `node-${String(i).padStart(width, "0")}`,
    host,
    port: basePort + i,
    publicKey: placeholderKey(i),
  }));
  const options: ClusterOptions = {
    clusterId: randomBytes(32).toString("hex"),
    nodes,
    maxFaults: numberOption(args, "max-faults"),
    checkpointInterval: numberOption(args, "checkpoint-interval"),
    viewChangeTimeoutMs: numberOption(args, "view-change-timeout-ms"),
  };
  try {
    return resolveCluster(options);
  } catch (error) {
    // All of it came from the command line.
    if (error instanceof ByzantineError) throw new UsageError(error.message, error.data);
    throw error;
  }
}

function placeholderKey(i: number): string {
  return i.toString(16).padStart(64, "0");
}

/** @returns The files written, relative to `directory`. */
async function writeCluster(directory: string, plan: ClusterConfig): Promise<readonly string[]> {
  await claim(directory);
  try {
    const files: string[] = [];
    const nodes = [];
    for (const node of plan.nodes) {
      nodes.push({ ...node, publicKey: await writeNode(directory, node, files) });
    }
    const clients = [{ name: "client", publicKey: await writeClient(directory, files) }];
    const cluster = resolveCluster({ ...plan, nodes, clients });
    await writeJson(directory, "cluster.json", cluster, files);
    for (const [me, { nodeId }] of cluster.nodes.entries()) {
      const home = join("nodes", nodeId, "data");
      markGenesis(cluster, me, join(directory, home));
      files.push(join(home, MARKER_FILE));
    }
    return files;
  } catch (error) {
    // Half a cluster would only be refused by the next attempt.
    for (const made of ["nodes", "client", "cluster.json"])
      await rm(join(directory, made), { recursive: true, force: true });
    throw error;
  }
}

/** Makes the directory ours: of two that try at once, one makes `nodes` and the other is refused. */
async function claim(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
  if ((await readdir(directory)).length > 0) refuseDirectory(directory);
  try {
    await mkdir(join(directory, "nodes"), { mode: DIRECTORY_MODE });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") refuseDirectory(directory);
    throw error;
  }
}

function refuseDirectory(directory: string): never {
  const data = { field: "directory", accepted: "a directory that is absent or empty", got: directory };
  throw new ByzantineError("INVALID_ARGUMENT", `${directory} is not empty; init never overwrites a cluster`, data);
}

async function writeNode(directory: string, node: ClusterConfig["nodes"][number], files: string[]): Promise<string> {
  const home = join("nodes", node.nodeId);
  await mkdir(join(directory, home, "data"), { recursive: true, mode: DIRECTORY_MODE });
  const publicKey = await createKeyFile(join(directory, home, "key.pem"));
  files.push(join(home, "key.pem"));
  const options: Partial<NodeOptions> = {
    formatVersion: FORMAT_VERSION,
    nodeId: node.nodeId,
    cluster: "../../cluster.json",
    keyFile: "key.pem",
    listen: { host: node.host, port: node.port },
    dataDir: "data",
    durability: "fsync",
  };
  await writeJson(directory, join(home, "node.json"), options, files);
  return publicKey;
}

async function writeClient(directory: string, files: string[]): Promise<string> {
  await mkdir(join(directory, "client"), { mode: DIRECTORY_MODE });
  const publicKey = await createKeyFile(join(directory, "client", "key.pem"));
  files.push(join("client", "key.pem"));
  const client: ClientFile = { formatVersion: FORMAT_VERSION, cluster: "../cluster.json", keyFile: "key.pem" };
  await writeJson(directory, join("client", "client.json"), client, files);
  return publicKey;
}

async function writeJson(directory: string, path: string, value: unknown, files: string[]): Promise<void> {
  await writeFile(join(directory, path), `${JSON.stringify(value, null, 2)}\n`, { flag: "wx" });
  files.push(path);
}
