/** `byzantine-quic up`: runs all nodes of a cluster directory as child processes. */
import { fork, type ChildProcess } from "node:child_process";
import { readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { resolveCluster } from "../codec/cluster.ts";
import { resolveNodeOptions } from "../codec/nodeOptions.ts";
import { readJson } from "../node/node-files.ts";
import { ExitCode, onePositional, textOption } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";

/** How long a node may take to stop after it was asked to, before it is killed. */
const STOP_MS = 3_000;

const MAIN = fileURLToPath(new URL("./main.js", import.meta.url));

export const up: Command = {
  name: "up",
  summary: "run all nodes of a cluster as child processes",
  help: `Usage: byzantine-quic up [options] <directory>

Runs every node of a cluster that init wrote, with their logs on standard output, and ends them on Ctrl-C. A node that ends
by itself does not end the others: the cluster tolerates it.

The next start goes on where this one ended, however it ended. Where all nodes have durability "none" nothing is left to go on
from: each start is a new cluster then, the epoch in cluster.json grows by one, and the state is empty.

Options
  --state-machine <file>  module whose default export is the state machine (default: the counter of the examples)
  --json                  log lines as JSON; {"event": "up"} when all nodes take part
  -h, --help              this text`,
  options: { "state-machine": { type: "string" } },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const directory = onePositional(args, "the directory of the cluster");
    const ids = (await readdir(join(directory, "nodes"))).sort();
    if (!(await isDurable(directory, ids))) await beginEpoch(directory);
    const children = ids.map((id) =>
      start(join(directory, "nodes", id, "node.json"), textOption(args, "state-machine"), io),
    );
    const ends = children.map(
      async (child) => new Promise<number>((done) => child.once("exit", (code) => done(code ?? 1))),
    );
    const stop = (): void => stopAll(children);
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
    const ready = await Promise.race([allReady(children), Promise.all(ends).then(() => false)]);
    if (ready)
      io.out(io.json ? JSON.stringify({ event: "up", nodes: ids }) : `up: ${ids.length} nodes; Ctrl-C ends them`);
    const codes = await Promise.all(ends);
    return ready && codes.every((code) => code === 0) ? ExitCode.ok : ExitCode.failed;
  },
};

async function isDurable(directory: string, ids: readonly string[]): Promise<boolean> {
  const files = await Promise.all(ids.map(async (id) => readJson(join(directory, "nodes", id, "node.json"))));
  return files.some((file) => resolveNodeOptions(file).durability === "fsync");
}

/** Without a journal a restart would be a wiped disk; a new epoch is a new cluster, which the old one's messages cannot reach. */
async function beginEpoch(directory: string): Promise<void> {
  const path = join(directory, "cluster.json");
  const cluster = resolveCluster(await readJson(path));
  await writeFile(`${path}.next`, `${JSON.stringify({ ...cluster, epoch: cluster.epoch + 1 }, null, 2)}\n`);
  await rename(`${path}.next`, path);
}

function start(file: string, stateMachine: string | undefined, io: Io): ChildProcess {
  const options = [
    ...(stateMachine === undefined ? [] : ["--state-machine", stateMachine]),
    ...(io.json ? ["--json"] : []),
  ];
  // Its own process group: Ctrl-C reaches this process, which then ends the nodes in order.
  return fork(MAIN, ["node", ...options, file], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    detached: true,
    execArgv: ["--no-warnings"],
  });
}

async function allReady(children: readonly ChildProcess[]): Promise<true> {
  await Promise.all(children.map(async (child) => new Promise((done) => child.once("message", done))));
  return true;
}

function stopAll(children: readonly ChildProcess[]): void {
  for (const child of children) child.kill("SIGTERM");
  const timer = setTimeout(() => {
    for (const child of children) child.kill("SIGKILL");
  }, STOP_MS);
  timer.unref();
}
