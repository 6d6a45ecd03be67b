/** Four replica processes and a client on loopback, for the benchmarks. */
import { fork, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freeBasePort } from "../../__test__/process/ports.ts";
import { ByzantineClient, type NodeMetrics } from "../../dist/index.js";

const CLI = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const REPLICA = fileURLToPath(new URL("./replica.mjs", import.meta.url));

/** What one replica process says of itself. */
export interface Sample {
  readonly state: { readonly sequence: number; readonly digest: string };
  readonly cpuMicroseconds: number;
  readonly residentBytes: number;
  readonly bytesSent: number;
  readonly turns: number;
  readonly batches: number;
  readonly operations: number;
  readonly broadcastMs: { readonly p50: number; readonly p95: number; readonly p99: number };
  /** Undefined where nothing is durable. */
  readonly journal: NodeMetrics["journal"];
}

export class BenchCluster implements AsyncDisposable {
  readonly #directory: string;
  readonly #children: readonly ChildProcess[];
  readonly client: ByzantineClient;
  #nextId = 1;

  private constructor(directory: string, children: readonly ChildProcess[], client: ByzantineClient) {
    this.#directory = directory;
    this.#children = children;
    this.client = client;
  }

  /** @param parent Where the data directories lie: on the disk that is measured. */
  static async start(n: number, durability: "fsync" | "none" = "none", parent = tmpdir()): Promise<BenchCluster> {
    const directory = mkdtempSync(join(parent, "byzantine-bench-"));
    const port = String(await freeBasePort(n));
    const init = spawnSync(process.execPath, [CLI, "init", "-n", String(n), "--base-port", port, directory]);
    if (init.status !== 0) throw new Error(String(init.stderr));
    const files = readdirSync(join(directory, "nodes")).map((id) => join(directory, "nodes", id, "node.json"));
    for (const file of files) {
      const options = JSON.parse(readFileSync(file, "utf8")) as object;
      writeFileSync(file, JSON.stringify({ ...options, durability }));
    }
    const children = files.map((file) => fork(REPLICA, [file], { execArgv: ["--no-warnings"] }));
    await Promise.all(children.map(async (child) => new Promise((resolve) => child.once("message", resolve))));
    const client = await ByzantineClient.connect(join(directory, "client", "client.json"));
    return new BenchCluster(directory, children, client);
  }

  async sample(ask: "sample" | "block" | "unblock" = "sample"): Promise<Sample[]> {
    return Promise.all(this.#children.map(async (child) => this.#ask(child, ask)));
  }

  /** Whether all replicas hold the same state once they have met; a benchmark of a cluster that diverges is worth nothing. */
  async agrees(): Promise<boolean> {
    for (let attempt = 0; attempt < 200; attempt++) {
      const states = (await this.sample()).map(({ state }) => state);
      if (states.every(({ sequence }) => sequence === states[0]?.sequence)) {
        return states.every(({ digest }) => digest === states[0]?.digest);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    const ended = this.#children.map(async (child) => new Promise((resolve) => child.once("exit", resolve)));
    for (const child of this.#children) child.disconnect();
    await Promise.all(ended);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #ask(child: ChildProcess, ask: string): Promise<Sample> {
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const onMessage = (message: Sample & { readonly id: number }): void => {
        if (message.id !== id) return;
        child.off("message", onMessage);
        resolve(message);
      };
      child.on("message", onMessage);
      child.send({ id, ask });
    });
  }
}

/** Latencies of one measured stretch, in milliseconds. */
export interface Measured {
  readonly operations: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Keeps `inFlight` operations of `payloadBytes` in flight for so long: a closed loop on one client session. */
export async function measure(
  client: ByzantineClient,
  {
    inFlight,
    payloadBytes,
    seconds,
  }: { readonly inFlight: number; readonly payloadBytes: number; readonly seconds: number },
): Promise<Measured> {
  const operation = new Uint8Array(payloadBytes).fill(7);
  const latencies: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1000;
  const loop = async (): Promise<void> => {
    while (performance.now() < end) {
      const sent = performance.now();
      await client.submit(operation);
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  const elapsed = (performance.now() - start) / 1000;
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { operations: sorted.length, seconds: elapsed, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
