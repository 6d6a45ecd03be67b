/** Four replica processes for the example: started, asked, killed and stopped. */
import { fork, spawnSync, type ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Report } from "./replica.ts";

const CLI = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
const REPLICA = fileURLToPath(new URL("./replica.js", import.meta.url));
/** Below the ports that operating systems hand out by themselves. */
const PORTS = { first: 10_000, last: 30_000 };

async function isFree(port: number): Promise<boolean> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    socket.once("error", () => resolve(false));
    socket.bind(port, "127.0.0.1", () => socket.close(() => resolve(true)));
  });
}

async function freePorts(count: number): Promise<number> {
  for (;;) {
    const base = PORTS.first + Math.floor(Math.random() * (PORTS.last - PORTS.first - count));
    const free = await Promise.all(Array.from({ length: count }, async (_, i) => isFree(base + i)));
    if (free.every(Boolean)) return base;
  }
}

export class ExampleCluster implements AsyncDisposable {
  readonly directory: string;
  readonly #processes = new Map<string, ChildProcess>();

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Writes keys and configuration as a user would (`byzantine-quic init`), and starts a process per node. */
  static async start(n: number): Promise<ExampleCluster> {
    const directory = mkdtempSync(join(tmpdir(), "byzantine-counter-"));
    const basePort = String(await freePorts(n));
    const init = spawnSync(process.execPath, [CLI, "init", "-n", String(n), "--base-port", basePort, directory]);
    if (init.status !== 0) throw new Error(`init failed: ${String(init.stderr)}`);
    const cluster = new ExampleCluster(directory);
    const ids = readdirSync(join(directory, "nodes")).sort();
    await Promise.all(ids.map(async (id) => cluster.#start(id)));
    return cluster;
  }

  get clientFile(): string {
    return join(this.directory, "client", "client.json");
  }

  /** What every living replica holds. */
  async reports(): Promise<Report[]> {
    return Promise.all([...this.#processes.values()].map(async (child) => ask(child)));
  }

  /** Ends a replica without a word, as a power cut would. */
  async kill(nodeId: string): Promise<void> {
    const child = this.#processes.get(nodeId);
    this.#processes.delete(nodeId);
    const ended = new Promise((resolve) => child?.once("exit", resolve));
    child?.kill("SIGKILL");
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const children = [...this.#processes.values()];
    const ended = children.map(async (child) => new Promise((resolve) => child.once("exit", resolve)));
    for (const child of children) child.send("stop");
    await Promise.all(ended);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #start(nodeId: string): Promise<void> {
    const file = join(this.directory, "nodes", nodeId, "node.json");
    const child = fork(REPLICA, [file], { execArgv: ["--no-warnings"] });
    this.#processes.set(nodeId, child);
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", (code) => reject(new Error(`${nodeId} ended with code ${code}`)));
    });
  }
}

async function ask(child: ChildProcess): Promise<Report> {
  return new Promise((resolve, reject) => {
    child.once("message", (answer) => resolve(answer as Report));
    child.once("exit", () => reject(new Error("a replica ended while it was asked")));
    child.send("report");
  });
}
