/** What a node does for its user: operations, commits, numbers, and a thread of its own. */
import test, { type ExecutionContext } from "ava";
import { Worker } from "node:worker_threads";
import { MessageCrypto, type ByzantineError, type Commit, type CommitGap } from "../../dist/index.js";
import { add, TestCluster } from "./cluster.ts";
import { totals } from "./machine.mjs";
import { eventually } from "./ports.ts";

const KIB = 1024;

/** What a node of the test's cluster submits through its own session. */
async function addBy(cluster: TestCluster, replica: number, amount: number): Promise<number> {
  const result = await cluster.node(replica).submitRequest(totals.operation("add", { amount }));
  return totals.result("add", result);
}

/** Sequences of a stream of commits; gaps fail the test. */
function sequencesOf(t: ExecutionContext, commits: readonly (Commit | CommitGap)[]): number[] {
  return commits.map((commit) => {
    t.is(commit.type, "commit");
    return commit.type === "commit" ? commit.sequence : Number.NaN;
  });
}

test.serial(
  "a state machine inline, in a worker and on the caller's thread: equal results, equal digests",
  async (t) => {
    const places = ["inline", "worker", "caller", "inline"] as const;
    const cluster = await TestCluster.start(t, {
      shared: { checkpointInterval: 4 },
      own: (i) => (places[i] === "caller" ? { stateMachine: totals } : { execution: places[i]! }),
    });
    const client = await cluster.client();
    for (let i = 1; i <= 12; i++) t.is(await add(client, 1), i);
    await cluster.settled(13);
    t.deepEqual(await cluster.totals(), [12, 12, 12, 12]);
    const stable = await eventually("a stable checkpoint everywhere", () => {
      const checkpoints = cluster.running.map((node) => node.getMetrics().checkpoints);
      return checkpoints.every(({ stable }) => stable >= 12) && checkpoints;
    });
    for (const { stableDigest } of stable) t.is(stableDigest, stable[0]!.stableDigest);
  },
);

test.serial("an operation that refuses or breaks is an error of its kind, and leaves nothing behind", async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client();
  t.is(await add(client, 7), 7);
  const before = await cluster.settled(2);
  const refused = await t.throwsAsync<ByzantineError>(client.submit(totals.operation("refuse")), {
    code: "OPERATION_REFUSED",
  });
  t.deepEqual([refused!.executed, refused!.data["code"]], ["no", "NOT_TODAY"]);
  const failed = await t.throwsAsync<ByzantineError>(client.submit(totals.operation("fail")), {
    code: "OPERATION_FAILED",
  });
  t.is(failed!.executed, "no");
  await t.throwsAsync(client.submit(Buffer.from("no operation")), { code: "OPERATION_REFUSED" });
  const { sequence } = await cluster.settled(before.sequence + 3);
  t.is(sequence, before.sequence + 3, "they were ordered");
  t.deepEqual(await cluster.totals(), [7, 7, 7, 7]);
  t.is(await add(client, 1), 8);
});

test.serial("commits come in order, once, with what was executed, alike on every replica", async (t) => {
  const cluster = await TestCluster.start(t);
  const late: (Commit | CommitGap)[] = [];
  const client = await cluster.client();
  const results = await Promise.all(Array.from({ length: 40 }, async () => add(client, 1)));
  t.deepEqual(
    results.sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  const { sequence } = await cluster.settled();
  const unsubscribe = cluster.node(0).onCommit((commit) => late.push(commit));
  const streams = await eventually("all commits", () => {
    const streams = [0, 1, 2, 3].map((replica) => cluster.commits.get(replica)!);
    return streams.every((stream) => stream.length === sequence) && streams;
  });
  for (const stream of streams) {
    t.deepEqual(
      sequencesOf(t, stream),
      Array.from({ length: sequence }, (_, i) => i + 1),
    );
    t.deepEqual(stream, streams[0]!);
  }
  const operations = streams[0]!.flatMap((commit) => (commit.type === "commit" ? commit.operations : []));
  const adds = operations.filter(({ session }) => session !== 0);
  t.deepEqual(
    adds.map(({ result }) => totals.result("add", result)),
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
  t.deepEqual(new Set(adds.map(({ clientSequence }) => clientSequence)).size, 40);

  t.is(await add(client, 1), 41);
  await eventually("the next commit", () => late.length === 1);
  unsubscribe();
  t.is(await add(client, 1), 42);
  await eventually("the other listener", () => streams[0]!.length === sequence + 2);
  t.deepEqual(sequencesOf(t, late), [sequence + 1]);
});

test.serial("an iterator of commits begins where it is told, says what is missing, and ends", async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client();
  t.is(await add(client, 1), 1);
  const { sequence } = await cluster.settled(2);
  const ending = new AbortController();
  const node = cluster.node(1);
  const next = node.commits({ signal: ending.signal });
  const past = node.commits({ from: 1 });
  const future = node.commits({ from: sequence + 2 });
  await add(client, 1);
  await add(client, 1);
  const first = await next.next();
  t.like(first.value, { type: "commit", sequence: sequence + 1 });
  t.deepEqual((await past.next()).value, { type: "gap", from: 1, to: sequence });
  t.like((await past.next()).value, { type: "commit", sequence: sequence + 1 });
  t.like((await future.next()).value, { type: "commit", sequence: sequence + 2 });
  const waiting = future.next();
  ending.abort();
  t.true((await next.next()).done);
  for await (const commit of past) {
    t.like(commit, { type: "commit", sequence: sequence + 2 });
    break;
  }
  t.true((await past.next()).done);
  await node.shutdown();
  t.true((await waiting).done, "shutdown ends who waits");
  t.true((await node.commits().next()).done);
});

test.serial("a node submits for its own program, and an aborted operation says what is known", async (t) => {
  const cluster = await TestCluster.start(t);
  t.deepEqual(
    await Promise.all([0, 1, 2, 3].map(async (i) => addBy(cluster, i, 1))).then((all) => all.sort()),
    [1, 2, 3, 4],
  );
  const controller = new AbortController();
  const pending = cluster.node(2).submitRequest(totals.operation("add", { amount: 1 }), { signal: controller.signal });
  controller.abort();
  const error = await t.throwsAsync<ByzantineError>(pending, { code: "ABORTED" });
  t.true(["no", "unknown"].includes(error!.executed));
  await t.throwsAsync(
    cluster.node(2).submitRequest(totals.operation("add", { amount: 1 }), { signal: AbortSignal.abort() }),
    {
      code: "ABORTED",
    },
  );
  await t.throwsAsync(cluster.node(2).submitRequest(new Uint8Array(257 * KIB)), { code: "INVALID_ARGUMENT" });
});

test.serial("long operations and long results travel whole", async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client();
  const bytes = new Uint8Array(64 * KIB).fill(3);
  const sizes = [0, 64, 65, 4 * KIB, 64 * KIB];
  const results = await Promise.all(
    sizes.map(async (answerBytes, i) =>
      client.submit(totals.operation("keep", { key: `key-${i}`, bytes, answerBytes, answer: i })),
    ),
  );
  for (const [i, size] of sizes.entries()) {
    t.deepEqual(totals.result("keep", results[i]!), new Uint8Array(size).fill(i), `${size} bytes`);
  }
  await cluster.settled();
});

test.serial("a client that restarts with its key is a new session, not a replay", async (t) => {
  const cluster = await TestCluster.start(t);
  const key = cluster.keys[0]!.privateKey;
  for (let start = 1; start <= 4; start++) {
    const client = await cluster.client(key);
    t.is(await add(client, 1), start);
    t.is(client.statistics().sessionsOpened, 1);
    await client.close();
  }
  t.is(await addBy(cluster, 0, 1), 5, "the node's own client has the same key");
  await cluster.settled();
});

test.serial("a caller's thread that is blocked leaves its replicas committing", async (t) => {
  const cluster = await TestCluster.start(t);
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const { privateKey: key } = MessageCrypto.generateKeyPair();
  const worker = new Worker(new URL("./client-thread.mjs", import.meta.url), {
    workerData: { cluster: cluster.config, key, shared },
  });
  t.teardown(async () => worker.terminate());
  await eventually("the first result", () => Atomics.load(shared, 0) > 0);
  const before = Atomics.load(shared, 0);
  const blockedAt = performance.now();
  // From here to the end of the loop nothing else runs in this thread, which made all four nodes.
  for (let seen = before; seen < before + 20 || performance.now() < blockedAt + 500; seen = Atomics.load(shared, 0)) {
    if (Atomics.wait(shared, 0, seen, 60_000) === "timed-out") break;
  }
  t.true(Atomics.load(shared, 0) >= before + 20);
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  Atomics.store(shared, 1, 1);
  await ended;
  const total = Atomics.load(shared, 0);
  await cluster.settled(total + 1);
  t.deepEqual(await cluster.totals(), [total, total, total, total]);
});

test.serial("numbers about a node: complete, of the right node, and counted once", async (t) => {
  const cluster = await TestCluster.start(t, { shared: { checkpointInterval: 4 } });
  const client = await cluster.client();
  for (let i = 1; i <= 8; i++) await add(client, 1);
  const { sequence } = await cluster.settled(9);
  const node = cluster.node(1);
  const { metrics, transport } = await node.getStats();
  t.like(metrics, {
    view: 0,
    primary: "node-0",
    lastExecuted: sequence,
    batchesExecuted: sequence,
    operationsExecuted: 9,
  });
  t.deepEqual(Object.keys(metrics.peers).sort(), ["node-0", "node-2", "node-3"]);
  for (const peer of Object.values(metrics.peers)) {
    t.true(peer.connected && peer.connects >= 1 && peer.bytesSent > 0 && peer.bytesReceived > 0);
    t.is(typeof peer.rttMs, "number");
  }
  t.true(metrics.latencyMs.p50 > 0 && metrics.latencyMs.p50 <= metrics.latencyMs.p95 && metrics.throughput > 0);
  const { prePrepare, commit, decided } = metrics.messages;
  t.is(prePrepare?.sent, 0);
  // What was lost between the connections of the first moments comes again: as a proposal, or as DECIDED.
  const received = (prePrepare?.received ?? 0) + (decided?.received ?? 0);
  t.true(received >= sequence, `${received} of ${sequence} batches`);
  t.true((commit?.sent ?? 0) > 0);
  t.is(metrics.clients.connected, 1);
  t.deepEqual(metrics.window, { used: sequence - metrics.checkpoints.stable, size: 8 });
  t.like(transport, { refused: [] });
  t.deepEqual([cluster.node(0).isPrimary(), node.isPrimary(), node.getCurrentView()], [true, false, 0]);
  t.true(Date.now() - node.getMetrics().takenAtMs < 60_000);
});

test.serial("one native call per turn, and a bounded number of objects", async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client();
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 50 }, async () => add(client, 1)));
  for (const node of cluster.running) {
    const { metrics, transport } = await node.getStats();
    const { turns, crossings } = metrics;
    const reactor = transport["reactor"] as { readonly objectsMade: number; readonly crossings: number };
    // Numbers are asked for a few times per second, beside the turns.
    t.true(crossings >= turns && crossings <= turns + 2, `${crossings} crossings in ${turns} turns`);
    t.true(reactor.objectsMade <= crossings, `${reactor.objectsMade} objects in ${crossings} crossings`);
  }
});
