/** A cluster of real processes on loopback: one per replica, honest or not, and clients in the process of the test. */
import type { ExecutionContext } from "ava";
import { fork, type ChildProcess } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ByzantineClient, MessageCrypto, resolveCluster } from "../../dist/index.js";
import type { ClusterConfig, ClusterOptions, NodeConfig, NodeMetrics } from "../../dist/index.js";
import type { FaultPlan } from "../attack/byzantine-replica.ts";
import { eventually, freeBasePort } from "./ports.ts";
import { ask, type Account, type Answers, type Question, type ReplicaPlan, type Standing } from "./questions.ts";

export interface ReplicasPlan {
  readonly n: number;
  /** Options that all share. */
  readonly shared?: Partial<ClusterOptions>;
  /** What is wrong with a replica, by its number. */
  readonly faults?: Readonly<Record<number, readonly FaultPlan[]>>;
  /** Whether the faults act from the start; default true. */
  readonly attacking?: boolean;
  /** Replicas whose key and place are kept for another program. */
  readonly absent?: readonly number[];
  /** Whether they keep what they executed, and their core's inputs; default true. */
  readonly recorded?: boolean;
}

/** What ends processes: a test's context. */
export type Owner = Pick<ExecutionContext, "teardown">;

const HONEST = fileURLToPath(new URL("./replica-process.ts", import.meta.url));
const BYZANTINE = fileURLToPath(new URL("../attack/byzantine-process.ts", import.meta.url));
/** Views change and replicas catch up in seconds; a machine under load takes its time. Reached only by a failure. */
const PATIENCE_MS = 180_000;

/** Where the cores' inputs are kept at the end of a test (for `byzantine-quic replay`), if anywhere. */
const RECORDINGS = process.env["BYZANTINE_RECORDINGS"];

class ReplicaProcess {
  readonly child: ChildProcess;
  readonly ready: Promise<unknown>;
  #nextId = 1;

  constructor(plan: ReplicaPlan) {
    this.child = fork(plan.faults.length === 0 ? HONEST : BYZANTINE, {
      execArgv: ["--import=tsx", "--no-warnings", "--enable-source-maps"],
      serialization: "advanced",
    });
    this.ready = new Promise((resolve, reject) => {
      this.child.once("message", resolve);
      this.child.once("exit", (code) => reject(new Error(`replica ${plan.me} ended with ${code}`)));
    });
    // Who awaits it hears of it; a process that is killed later is none of its business.
    this.ready.catch(() => {});
    this.child.send(plan);
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q]> {
    return ask(this.child, question, this.#nextId++);
  }
}

export class Replicas {
  readonly cluster: ClusterConfig;
  readonly keys: readonly { readonly privateKey: string; readonly publicKey: string }[];
  readonly #owner: Owner;
  readonly #processes = new Map<number, ReplicaProcess>();
  /** Honest ones that answer: not killed, not stopped. */
  readonly #alive = new Set<number>();

  private constructor(owner: Owner, keys: Replicas["keys"], cluster: ClusterConfig) {
    this.#owner = owner;
    this.keys = keys;
    this.cluster = cluster;
  }

  /** Starts the processes; the owner's teardown kills them. */
  static async start(owner: Owner, plan: ReplicasPlan): Promise<Replicas> {
    const keys = Array.from({ length: plan.n }, () => MessageCrypto.generateKeyPair());
    const base = await freeBasePort(plan.n);
    const nodes: NodeConfig[] = keys.map(({ publicKey }, i) => ({
      nodeId: `node-${i}`,
      host: "127.0.0.1",
      port: base + i,
      publicKey,
    }));
    const clusterId = MessageCrypto.generateKeyPair().publicKey;
    const replicas = new Replicas(owner, keys, resolveCluster({ clusterId, nodes, ...plan.shared }));
    owner.teardown(async () => replicas.#end());
    for (const me of keys.keys()) if (plan.absent?.includes(me) !== true) replicas.#fork(me, plan);
    await Promise.all([...replicas.#processes.values()].map(async ({ ready }) => ready));
    return replicas;
  }

  /** Honest replicas that run now. */
  get alive(): readonly number[] {
    return [...this.#alive];
  }

  /** A client with a key of its own. */
  async client(): Promise<ByzantineClient> {
    const client = await ByzantineClient.connect({
      cluster: this.cluster,
      key: MessageCrypto.generateKeyPair().privateKey,
      connectTimeoutMs: PATIENCE_MS,
      timeoutMs: PATIENCE_MS,
    });
    this.#owner.teardown(async () => client.close());
    return client;
  }

  /** Ends a replica at once, with whatever it was about to do. */
  async kill(replica: number): Promise<void> {
    const { child } = this.#process(replica);
    this.#alive.delete(replica);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  /** Ends a replica in order: it hands over what others wait for, and its process ends. */
  async shutDown(replica: number): Promise<void> {
    const process = this.#process(replica);
    this.#alive.delete(replica);
    await process.ask("shutdown");
    process.child.kill("SIGKILL");
  }

  stop(replica: number): void {
    this.#alive.delete(replica);
    this.#process(replica).child.kill("SIGSTOP");
  }

  resume(replica: number): void {
    this.#process(replica).child.kill("SIGCONT");
    this.#alive.add(replica);
  }

  /** The process of a replica. */
  pidOf(replica: number): number {
    return this.#process(replica).child.pid ?? 0;
  }

  async metrics(replica: number): Promise<NodeMetrics> {
    return this.#process(replica).ask("metrics");
  }

  /** Lets the faults of a Byzantine replica act, or not. */
  async attack(replica: number, on: boolean): Promise<void> {
    return this.#process(replica).ask(on ? "attack" : "behave");
  }

  async account(replica: number): Promise<Account> {
    return this.#process(replica).ask("account");
  }

  /** Processor time of all honest replicas that run, in milliseconds. */
  async cpuMs(): Promise<number> {
    const all = await Promise.all(this.alive.map(async (replica) => this.#process(replica).ask("cpuMs")));
    return all.reduce((sum, ms) => sum + ms, 0);
  }

  async recording(replica: number): Promise<string | undefined> {
    return this.#process(replica).ask("recording");
  }

  /** Metrics of the given replicas as soon as all of them fulfil the condition. */
  async until(
    what: string,
    condition: (metrics: NodeMetrics, replica: number) => boolean,
    of: readonly number[] = this.alive,
  ): Promise<NodeMetrics[]> {
    const probe = async (): Promise<NodeMetrics[] | false> => {
      const all = await Promise.all(of.map(async (replica) => this.metrics(replica)));
      return all.every((metrics, i) => condition(metrics, of[i]!)) && all;
    };
    return eventually(what, probe, PATIENCE_MS);
  }

  /** Waits until all honest replicas that run have executed the same sequence; what they hold there. */
  async settled(): Promise<Standing[]> {
    return eventually(
      "all replicas at one sequence",
      async () => {
        const all = await Promise.all(this.alive.map(async (replica) => this.#process(replica).ask("standing")));
        return all.every(({ sequence, total }) => sequence === all[0]!.sequence && !Number.isNaN(total)) && all;
      },
      PATIENCE_MS,
    );
  }

  #fork(me: number, plan: ReplicasPlan): void {
    const faults = plan.faults?.[me] ?? [];
    const key = this.keys[me]!.privateKey;
    const { recorded = true, attacking = true } = plan;
    this.#processes.set(me, new ReplicaProcess({ cluster: this.cluster, me, key, recorded, faults, attacking }));
    if (faults.length === 0) this.#alive.add(me);
  }

  #process(replica: number): ReplicaProcess {
    const found = this.#processes.get(replica);
    if (found === undefined) throw new Error(`replica ${replica} does not run`);
    return found;
  }

  async #end(): Promise<void> {
    if (RECORDINGS !== undefined) await Promise.all(this.alive.map(async (replica) => this.#keep(replica, RECORDINGS)));
    for (const { child } of this.#processes.values()) child.kill("SIGKILL");
  }

  async #keep(replica: number, directory: string): Promise<void> {
    const text = await this.recording(replica).catch(() => undefined);
    if (text === undefined) return;
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, `${this.cluster.clusterId.slice(0, 8)}-${replica}.jsonl`), text);
  }
}
