/** Four nodes whose state is a plain Map of each: agreed on, fetched by who was away, and there again after a restart. */
import test, { type ExecutionContext } from "ava";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByzantineClient, ByzantineNode, initDataDir, MessageCrypto } from "../../dist/index.js";
import type { ByzantineNodeOptions, NodeConfig, StateTransferEvent } from "../../dist/index.js";
import { OpaqueMap } from "./opaque-map.mjs";
import { eventually, freeBasePort } from "./ports.ts";

// Every node whose state ends with its process warns of it; lifecycle.test.ts shows that.
process.removeAllListeners("warning");

const N = 4;
const INTERVAL = 4;
/** Batches that are gone from replay: the window below the stable checkpoint, and the checkpoints that were missed. */
const BEYOND_REPLAY = 6 * INTERVAL;
/** Nobody is faulty here; a loaded machine must not look so. */
const PATIENCE_MS = 60_000;
const MODULE = new URL("./opaque-map.mjs", import.meta.url);
/** The replica that is away: its machine is an object of the test, and outlives its node as a database does. */
const AWAY = 3;

class Cluster {
  readonly #t: ExecutionContext;
  readonly #base: Omit<ByzantineNodeOptions, "nodeId" | "key" | "stateMachine">;
  readonly #keys: readonly string[];
  readonly #directory: string;
  readonly nodes: ByzantineNode[] = [];
  /** What the replicas said of themselves, by replica. */
  readonly transfers: (StateTransferEvent & { readonly replica: number })[] = [];
  readonly diverged: number[] = [];
  client!: ByzantineClient;

  private constructor(t: ExecutionContext, nodes: readonly NodeConfig[], keys: readonly string[], directory: string) {
    this.#t = t;
    const clusterId = MessageCrypto.generateKeyPair().publicKey;
    this.#base = { nodes, clusterId, checkpointInterval: INTERVAL, viewChangeTimeoutMs: PATIENCE_MS };
    this.#keys = keys;
    this.#directory = directory;
  }

  static async open(t: ExecutionContext): Promise<Cluster> {
    const keys = Array.from({ length: N }, () => MessageCrypto.generateKeyPair());
    const base = await freeBasePort(N);
    const nodes = keys.map(({ publicKey }, i) => ({
      nodeId: `node-${i}`,
      host: "127.0.0.1",
      port: base + i,
      publicKey,
    }));
    const directory = await mkdtemp(join(tmpdir(), "byzantine-opaque-"));
    const secrets = keys.map(({ privateKey }) => privateKey);
    const cluster = new Cluster(t, nodes, secrets, directory);
    t.teardown(async () => {
      await Promise.all(cluster.nodes.map(async (node) => node.shutdown()));
      await rm(directory, { recursive: true, force: true });
    });
    return cluster;
  }

  optionsOf(replica: number, stateMachine: URL | OpaqueMap): ByzantineNodeOptions {
    const own = { nodeId: `node-${replica}`, key: this.#keys[replica]!, stateMachine };
    const dataDir = join(this.#directory, `node-${replica}`);
    return { ...this.#base, ...own, durability: "fsync", dataDir };
  }

  init(replica: number): void {
    initDataDir(this.optionsOf(replica, MODULE));
  }

  async start(replica: number, options: ByzantineNodeOptions): Promise<ByzantineNode> {
    const node = new ByzantineNode(options);
    this.nodes[replica] = node;
    node.on("stateTransfer", (event) => this.transfers.push({ ...event, replica }));
    node.on("diverged", () => this.diverged.push(replica));
    await node.initialize();
    return node;
  }

  async connect(): Promise<void> {
    const cluster = this.nodes[0]!.cluster;
    const key = MessageCrypto.generateKeyPair().privateKey;
    this.client = await ByzantineClient.connect({
      cluster,
      key,
      connectTimeoutMs: PATIENCE_MS,
      timeoutMs: PATIENCE_MS,
    });
    this.#t.teardown(async () => this.client.close());
  }

  async submit(operation: string): Promise<string> {
    return Buffer.from(await this.client.submit(Buffer.from(operation))).toString();
  }

  /** So many batches of one operation each. */
  async write(name: string, count: number): Promise<void> {
    for (let n = 0; n < count; n++) await this.submit(`set ${name}${n} ${n}`);
  }

  /** Waits until these replicas have executed the same sequence, and compares their roots there. */
  async agreed(...replicas: readonly number[]): Promise<void> {
    const states = await eventually("all replicas at one sequence", async () => {
      const all = await Promise.all(replicas.map(async (replica) => this.nodes[replica]!.stateDigest()));
      return all.every(({ sequence }) => sequence === all[0]!.sequence) && all;
    });
    for (const { digest } of states) this.#t.is(digest, states[0]!.digest);
  }

  /** Executes until a checkpoint, so that what is compared holds the machines' own digests. */
  async toCheckpoint(...replicas: readonly number[]): Promise<void> {
    do await this.submit("set last 1");
    while ((await this.nodes[0]!.stateDigest()).sequence % INTERVAL !== 0);
    await this.agreed(...replicas);
  }

  async answer(replica: number, name: string): Promise<string> {
    return Buffer.from((await this.nodes[replica]!.queryLocal(Buffer.from(name))).answer).toString();
  }
}

test.serial(
  "a replica that was away fetches opaque state, in any place of execution, and starts from its own disk",
  async (t) => {
    const cluster = await Cluster.open(t);
    const machine = new OpaqueMap();
    for (let replica = 0; replica < N; replica++) cluster.init(replica);
    await Promise.all([
      cluster.start(0, { ...cluster.optionsOf(0, MODULE), execution: "inline" }),
      cluster.start(1, { ...cluster.optionsOf(1, MODULE), execution: "worker" }),
      cluster.start(2, cluster.optionsOf(2, new OpaqueMap())),
      cluster.start(AWAY, cluster.optionsOf(AWAY, machine)),
    ]);
    await cluster.connect();
    t.is(await cluster.submit("set a 1"), "");
    t.is(await cluster.submit("set a 2"), "1");
    await t.throwsAsync(cluster.submit("refuse"), { code: "OPERATION_REFUSED" });
    await cluster.toCheckpoint(0, 1, 2, AWAY);
    t.is(machine.restores, 0);
    for (let replica = 0; replica < N; replica++) t.is(await cluster.answer(replica, "a"), "2");

    await cluster.nodes[AWAY]!.shutdown();
    const left = machine.applied;
    await cluster.write("missed", BEYOND_REPLAY);
    await cluster.start(AWAY, cluster.optionsOf(AWAY, machine));
    await eventually("its state is fetched", () => cluster.transfers.some(({ phase }) => phase === "finished"));
    await cluster.toCheckpoint(0, 1, 2, AWAY);
    t.true(machine.restores > 0);
    t.true(machine.applied > left);
    t.is(machine.entries.get(`missed${BEYOND_REPLAY - 1}`), String(BEYOND_REPLAY - 1));
    t.is(await cluster.submit("get a"), "2");

    // A machine that lives in memory alone comes back from the snapshot and the journal, one that kept its data as well.
    const { checkpoints } = cluster.nodes[AWAY]!.getMetrics();
    t.true(checkpoints.stable > 0);
    for (const again of [new OpaqueMap(), machine]) {
      await cluster.nodes[AWAY]!.shutdown();
      await cluster.start(AWAY, cluster.optionsOf(AWAY, again));
      await cluster.toCheckpoint(0, 1, 2, AWAY);
      t.deepEqual(again.entries.get("a"), "2");
      t.is(await cluster.answer(AWAY, "missed0"), "0");
    }

    await cluster.nodes[AWAY]!.shutdown();
    const { applied } = machine;
    const { restores } = machine;
    machine.applied = applied + 1_000;
    const error = await t.throwsAsync(cluster.start(AWAY, cluster.optionsOf(AWAY, machine)), { code: "DATA_DIR" });
    const { reason, known } = (error as { data?: { reason?: string; known?: number } }).data ?? {};
    t.is(reason, "ahead");
    t.true((known as number) >= applied, `the journal knows of ${known}, ${applied} was applied`);
    t.is(machine.restores, restores, "its data is untouched");
  },
);

test.serial(
  "a machine that holds something else diverges alone and aloud, and gets the state of the others",
  async (t) => {
    const cluster = await Cluster.open(t);
    const machines = Array.from({ length: N }, () => new OpaqueMap());
    await Promise.all(
      machines.map(async (machine, replica) => {
        cluster.init(replica);
        return cluster.start(replica, cluster.optionsOf(replica, machine));
      }),
    );
    await cluster.connect();
    await cluster.submit("set a 1");
    await cluster.toCheckpoint(0, 1, 2, 3);
    machines[2]!.entries.set("a", "another");
    await cluster.write("more", INTERVAL);
    await eventually("its state is replaced", () => cluster.transfers.some(({ phase }) => phase === "finished"));
    await cluster.toCheckpoint(0, 1, 2, 3);
    t.deepEqual([...new Set(cluster.diverged)], [2]);
    t.deepEqual([...new Set(cluster.transfers.map(({ replica }) => replica))], [2]);
    for (const machine of machines) t.is(machine.entries.get("a"), "1");
    t.deepEqual(
      machines.map(({ restores }) => restores > 0),
      [false, false, true, false],
    );
  },
);
