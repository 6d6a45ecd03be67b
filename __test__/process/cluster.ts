/** Real replicas on loopback within the test's process; each has its own thread and its own UDP socket. */
import type { ExecutionContext } from "ava";
import { ByzantineClient, ByzantineNode, MessageCrypto, resolveCluster } from "../../dist/index.js";
import type { ByzantineNodeOptions, ClusterConfig, Commit, CommitGap, NodeConfig } from "../../dist/index.js";
import { totals } from "./machine.mjs";
import { eventually, freeBasePort } from "./ports.ts";

// Every node warns that it keeps nothing; lifecycle.test.ts shows that, the others need not print it.
process.removeAllListeners("warning");

export interface ClusterPlan {
  /** Replicas that run; default all. The keys of the others are free for programs that attack. */
  readonly running?: readonly number[];
  /** Options that all nodes share. */
  readonly shared?: Partial<ByzantineNodeOptions>;
  /** Options of one node. */
  readonly own?: (replica: number) => Partial<ByzantineNodeOptions>;
  /** The ports under which the replicas are reached; default free ones, where they listen too. */
  readonly ports?: readonly number[];
}

const N = 4;
/** Where a test says nothing of view changes, a loaded machine must not look like a faulty primary. */
const PATIENCE_MS = 30_000;
const MACHINE = new URL("./machine.mjs", import.meta.url);

export class TestCluster {
  readonly keys: readonly { readonly privateKey: string; readonly publicKey: string }[];
  readonly config: ClusterConfig;
  /** By replica number; undefined where it does not run. */
  readonly nodes: (ByzantineNode | undefined)[] = [];
  /** What each running replica told its listener, in order. */
  readonly commits = new Map<number, (Commit | CommitGap)[]>();
  readonly #t: ExecutionContext;

  private constructor(t: ExecutionContext, keys: TestCluster["keys"], config: ClusterConfig) {
    this.#t = t;
    this.keys = keys;
    this.config = config;
  }

  /** Starts the nodes; the test's teardown ends them. */
  static async start(t: ExecutionContext, plan: ClusterPlan = {}): Promise<TestCluster> {
    const keys = Array.from({ length: N }, () => MessageCrypto.generateKeyPair());
    const base = plan.ports === undefined ? await freeBasePort(N) : 0;
    const nodes: NodeConfig[] = keys.map(({ publicKey }, i) => ({
      nodeId: `node-${i}`,
      host: "127.0.0.1",
      port: plan.ports?.[i] ?? base + i,
      publicKey,
    }));
    const clusterId = MessageCrypto.generateKeyPair().publicKey;
    const { checkpointInterval, limits, sessions, clients } = plan.shared ?? {};
    const config = resolveCluster({ clusterId, nodes, checkpointInterval, limits, sessions, clients });
    const cluster = new TestCluster(t, keys, config);
    t.teardown(async () => cluster.#shutdown());
    for (const i of plan.running ?? keys.keys()) {
      const node = new ByzantineNode({ ...cluster.optionsOf(i), ...plan.shared, ...plan.own?.(i) });
      cluster.nodes[i] = node;
      const commits: (Commit | CommitGap)[] = [];
      cluster.commits.set(i, commits);
      node.onCommit((commit) => commits.push(commit));
    }
    await Promise.all(cluster.running.map(async (node) => node.initialize()));
    return cluster;
  }

  get running(): ByzantineNode[] {
    return this.nodes.filter((node) => node !== undefined);
  }

  node(replica: number): ByzantineNode {
    const node = this.nodes[replica];
    if (node === undefined) throw new Error(`replica ${replica} does not run`);
    return node;
  }

  /** The options of one member, with the machine of `machine.mjs` inline. */
  optionsOf(replica: number): ByzantineNodeOptions {
    return {
      nodeId: `node-${replica}`,
      nodes: this.config.nodes,
      clusterId: this.config.clusterId,
      key: this.keys[replica]!.privateKey,
      stateMachine: MACHINE,
      durability: "none",
      viewChangeTimeoutMs: PATIENCE_MS,
    };
  }

  /** A client with a new key, or with the given one. */
  async client(key = MessageCrypto.generateKeyPair().privateKey): Promise<ByzantineClient> {
    const client = await ByzantineClient.connect({
      cluster: this.config,
      key,
      connectTimeoutMs: 60_000,
      timeoutMs: 60_000,
    });
    this.#t.teardown(async () => client.close());
    return client;
  }

  /** Waits until all running replicas have executed the same sequence, at least `sequence`; the digests must then be equal. */
  async settled(sequence = 0): Promise<{ readonly sequence: number; readonly digest: string }> {
    const states = await eventually("all replicas at one sequence", async () => {
      const states = await Promise.all(this.running.map(async (node) => node.stateDigest()));
      const [first] = states;
      return states.every((state) => state.sequence === first!.sequence && state.sequence >= sequence) && states;
    });
    for (const { digest } of states) this.#t.is(digest, states[0]!.digest);
    return states[0]!;
  }

  /** What each running replica holds as the total. */
  async totals(): Promise<number[]> {
    const answers = this.running.map(async (node) => node.queryLocal(totals.question("total")));
    return (await Promise.all(answers)).map(({ answer }) => totals.answer("total", answer));
  }

  async #shutdown(): Promise<void> {
    await Promise.all(this.running.map(async (node) => node.shutdown()));
  }
}

/** `total := total + amount`, and the total after it. */
export async function add(to: { submit(operation: Uint8Array): Promise<Uint8Array> }, amount: number): Promise<number> {
  return totals.result("add", await to.submit(totals.operation("add", { amount })));
}
