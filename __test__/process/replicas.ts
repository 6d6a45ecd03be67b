/** A cluster of real processes on loopback: one per replica, honest or not, and clients in the process of the test. */
import type { ExecutionContext } from "ava";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByzantineClient, initDataDir, MessageCrypto, resolveCluster } from "../../dist/index.js";
import type { ByzantineNodeOptions, ClusterConfig, ClusterOptions, NodeConfig, NodeMetrics } from "../../dist/index.js";
import type { FaultPlan } from "../attack/byzantine-replica.ts";
import type { Killer, KillPlan, Trouble } from "./killer.ts";
import { eventually, freeBasePort } from "./ports.ts";
import type { Account, Standing } from "./questions.ts";
import { ReplicaChild } from "./replica-child.ts";
import { Wiretap } from "./wiretap.ts";

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
  /** Replicas that are marked for a first start, which is the test's to begin. */
  readonly asleep?: readonly number[];
  /** Whether they keep what they executed, and their core's inputs; default true. */
  readonly recorded?: boolean;
  /** Whether honest ones have a journal, in a directory that is removed at the end, and can be started again. */
  readonly durable?: boolean;
  /** Whether everything between the replicas passes a tap. */
  readonly tapped?: boolean;
  /** Who can end them at a point of their writing and sending. They are durable then. */
  readonly killer?: Killer;
}

interface Places {
  readonly directory: string | undefined;
  readonly wiretap: Wiretap | undefined;
}

/** What ends processes: a test's context. */
export type Owner = Pick<ExecutionContext, "teardown">;

/** Views change and replicas catch up in seconds; a machine under load takes its time. Reached only by a failure. */
const PATIENCE_MS = 180_000;

/** Where the cores' inputs are kept at the end of a test (for `byzantine-quic replay`), if anywhere. */
const RECORDINGS = process.env["BYZANTINE_RECORDINGS"];

export class Replicas {
  readonly cluster: ClusterConfig;
  readonly keys: readonly { readonly privateKey: string; readonly publicKey: string }[];
  readonly #owner: Owner;
  readonly #plan: ReplicasPlan;
  readonly #directory: string | undefined;
  readonly #wiretap: Wiretap | undefined;
  readonly #processes = new Map<number, ReplicaChild>();
  /** Honest ones that answer: not killed, not stopped. */
  readonly #alive = new Set<number>();

  private constructor(owner: Owner, plan: ReplicasPlan, parts: Pick<Replicas, "keys" | "cluster"> & Places) {
    this.#owner = owner;
    this.#plan = plan;
    this.keys = parts.keys;
    this.cluster = parts.cluster;
    this.#directory = parts.directory;
    this.#wiretap = parts.wiretap;
  }

  /** Starts the processes; the owner's teardown kills them. */
  static async start(owner: Owner, plan: ReplicasPlan): Promise<Replicas> {
    const { n, tapped = false } = plan;
    const keys = Array.from({ length: n }, () => MessageCrypto.generateKeyPair());
    const base = await freeBasePort(tapped ? 2 * n : n);
    const nodes: NodeConfig[] = keys.map(({ publicKey }, i) => ({
      nodeId: `node-${i}`,
      host: "127.0.0.1",
      port: base + i,
      publicKey,
    }));
    const clusterId = MessageCrypto.generateKeyPair().publicKey;
    const cluster = resolveCluster({ clusterId, nodes, ...plan.shared });
    const secrets = keys.map(({ privateKey }) => privateKey);
    const taps = keys.map((_, i) => base + n + i);
    const wiretap = tapped ? new Wiretap(cluster, secrets, taps) : undefined;
    const durable = plan.durable === true || plan.killer !== undefined;
    const directory = durable ? await realpath(await mkdtemp(join(tmpdir(), "byzantine-replicas-"))) : undefined;
    const replicas = new Replicas(owner, plan, { keys, cluster, directory, wiretap });
    owner.teardown(async () => replicas.#end());
    const present = [...keys.keys()].filter((me) => plan.absent?.includes(me) !== true);
    for (const me of present) replicas.#init(me);
    const awake = present.filter((me) => plan.asleep?.includes(me) !== true);
    await Promise.all(awake.map(async (me) => replicas.restart(me)));
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

  /**
   * Starts a replica, again where it ran before: on the same directory and port.
   * @param killed Where its life is to end.
   */
  async begin(replica: number, killed?: KillPlan): Promise<ReplicaChild> {
    const { killer, recorded = true, attacking = true, faults: all } = this.#plan;
    await this.#wiretap?.up(replica);
    const faults = all?.[replica] ?? [];
    const dataDir = this.#directory === undefined ? undefined : this.dataDir(replica);
    const cluster = this.#wiretap?.clusterOf(replica) ?? this.cluster;
    const key = this.keys[replica]!.privateKey;
    const environment = dataDir === undefined ? {} : killer?.environmentOf(dataDir);
    if (killed !== undefined && dataDir !== undefined) killer?.arm(dataDir, killed);
    const child = new ReplicaChild({ cluster, me: replica, key, dataDir, recorded, faults, attacking }, environment);
    this.#processes.set(replica, child);
    if (faults.length === 0) this.#alive.add(replica);
    void child.ended.then(() => {
      this.#alive.delete(replica);
      this.#wiretap?.down(replica);
    });
    return child;
  }

  /** The same, until it takes part. */
  async restart(replica: number): Promise<void> {
    await (
      await this.begin(replica)
    ).ready;
  }

  /** Ends a replica at once, with whatever it was about to do. */
  async kill(replica: number): Promise<void> {
    this.#alive.delete(replica);
    await this.#process(replica).kill();
  }

  /** Lets a replica end itself at a point of its writing and sending; resolves when it has. */
  async killAt(replica: number, plan: KillPlan): Promise<void> {
    const { process } = this.#process(replica);
    this.#plan.killer?.arm(this.dataDir(replica), plan);
    const hasEnded = (): boolean => process.exitCode !== null || process.signalCode !== null;
    await eventually(`the end of replica ${replica} ${JSON.stringify(plan)}`, hasEnded, PATIENCE_MS).catch(
      async (error: unknown) => {
        throw new Error(`${String(error)}\n${await this.whereAllAre()}`, { cause: error });
      },
    );
    if (process.signalCode !== "SIGKILL") throw new Error(`replica ${replica} ended with ${process.exitCode}`);
    await this.#process(replica).ended;
  }

  /** From now on a replica's disk is in trouble, until {@link relieve}. */
  trouble(replica: number, trouble: Trouble): void {
    this.#plan.killer?.arm(this.dataDir(replica), { ...trouble, k: 1 });
  }

  relieve(replica: number): void {
    this.#plan.killer?.relieve(this.dataDir(replica));
  }

  /** Ends a replica, and puts an empty disk in the place of its own, marked as that. */
  async loseDisk(replica: number): Promise<void> {
    await this.kill(replica);
    await rm(this.dataDir(replica), { recursive: true });
    this.#wiretap?.record.forgetViewChanges(replica);
    initDataDir(this.optionsOf(replica), { diskLost: true });
  }

  /** Ends a replica in order: it hands over what others wait for, and its process ends. */
  async shutDown(replica: number): Promise<void> {
    const process = this.#process(replica);
    this.#alive.delete(replica);
    await process.ask("shutdown");
    await process.kill();
  }

  /** Where a durable replica keeps its journal and snapshots. */
  dataDir(replica: number): string {
    return join(this.#directory ?? "", `node-${replica}`);
  }

  /** A durable replica's options, for a node within the process of the test. */
  optionsOf(replica: number): ByzantineNodeOptions {
    const { formatVersion: _, reads: __, ...shared } = this.cluster;
    const stateMachine = new URL("./machine.mjs", import.meta.url);
    const { nodeId } = this.cluster.nodes[replica]!;
    return { ...shared, nodeId, key: this.keys[replica]!.privateKey, stateMachine, dataDir: this.dataDir(replica) };
  }

  /** What hears all that the replicas say to each other. */
  get wiretap(): Wiretap {
    if (this.#wiretap === undefined) throw new Error("the replicas are not tapped");
    return this.#wiretap;
  }

  stop(replica: number): void {
    this.#alive.delete(replica);
    this.#process(replica).process.kill("SIGSTOP");
  }

  resume(replica: number): void {
    this.#process(replica).process.kill("SIGCONT");
    this.#alive.add(replica);
  }

  /** The process of a replica. */
  pidOf(replica: number): number {
    return this.#process(replica).pid;
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

  /** Waits until a replica has executed what the others had when this began. */
  async caughtUp(replica: number): Promise<void> {
    const others = this.alive.filter((other) => other !== replica);
    const all = await Promise.all(others.map(async (other) => this.metrics(other)));
    const target = Math.max(...all.map(({ lastExecuted }) => lastExecuted));
    await this.until("it is where the others were", ({ lastExecuted }) => lastExecuted >= target, [replica]);
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

  /** The mark of a first start. */
  #init(replica: number): void {
    if (this.#directory === undefined || this.#plan.faults?.[replica] !== undefined) return;
    initDataDir(this.optionsOf(replica));
  }

  /** In words, for who reads of a failure. */
  async whereAllAre(): Promise<string> {
    const all = this.alive.map(async (replica) => {
      const { view, pendingView, lastExecuted, checkpoints, stateTransfers } = await this.metrics(replica);
      return `replica ${replica}: ${JSON.stringify({ view, pendingView, lastExecuted, checkpoints, stateTransfers })}`;
    });
    return (await Promise.all(all)).join("\n");
  }

  #process(replica: number): ReplicaChild {
    const found = this.#processes.get(replica);
    if (found === undefined) throw new Error(`replica ${replica} does not run`);
    return found;
  }

  async #end(): Promise<void> {
    if (RECORDINGS !== undefined) await Promise.all(this.alive.map(async (replica) => this.#keep(replica, RECORDINGS)));
    await Promise.all([...this.#processes.values()].map(async (child) => child.kill()));
    await this.#wiretap?.close();
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
  }

  async #keep(replica: number, directory: string): Promise<void> {
    const text = await this.recording(replica).catch(() => undefined);
    if (text === undefined) return;
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, `${this.cluster.clusterId.slice(0, 8)}-${replica}.jsonl`), text);
  }
}
