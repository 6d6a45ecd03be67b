/** `byzantine-quic status`: asks every node of a cluster directory how it is. */
import { readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { resolveNodeOptions } from "../codec/nodeOptions.ts";
import { readJson } from "../node/node-files.ts";
import { adminSocketOf, askAdmin } from "../observability/admin-endpoint.ts";
import { ExitCode, onePositional } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";
import type { NodeStatus } from "./node.ts";

type Answer = NodeStatus | { readonly nodeId: string; readonly error: string };

export const status: Command = {
  name: "status",
  summary: "show how every node of a running cluster is",
  help: `Usage: byzantine-quic status [options] <directory>

Prints a table of the cluster's nodes: view, primary, last executed sequence, digest of the state there, stable checkpoint,
connected peers, messages rejected.

Options
  --json      print {"nodes": [...]}
  -h, --help  this text`,
  options: {},
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const directory = onePositional(args, "the directory of the cluster");
    const ids = (await readdir(join(directory, "nodes"))).sort();
    const answers = await Promise.all(ids.map(async (id) => ask(id, join(directory, "nodes", id, "node.json"))));
    if (io.json) io.out(JSON.stringify({ nodes: answers }));
    else for (const line of table(answers.map(rowOf))) io.out(line);
    return answers.every((answer) => !("error" in answer)) ? ExitCode.ok : ExitCode.failed;
  },
};

async function ask(nodeId: string, file: string): Promise<Answer> {
  try {
    const { dataDir } = resolveNodeOptions(await readJson(file));
    return (await askAdmin(adminSocketOf(resolve(dirname(file), dataDir)), "/status")) as NodeStatus;
  } catch (error) {
    return { nodeId, error: error instanceof Error ? error.message : String(error) };
  }
}

const HEADER = ["NODE", "VIEW", "PRIMARY", "EXECUTED", "DIGEST", "STABLE", "PEERS", "REJECTED"];

function rowOf(answer: Answer): string[] {
  if ("error" in answer) return [answer.nodeId, answer.error];
  const rejected = Object.values(answer.rejected).reduce((sum, count) => sum + count, 0);
  return [
    answer.nodeId,
    String(answer.view),
    answer.primary === answer.nodeId ? "itself" : answer.primary,
    String(answer.lastExecuted),
    answer.digest.slice(0, 16),
    String(answer.stable),
    `${answer.peers.connected}/${answer.peers.of}`,
    String(rejected),
  ];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const all = [HEADER, ...rows];
  const full = all.filter((row) => row.length === HEADER.length);
  const widths = HEADER.map((_, column) => Math.max(...full.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
