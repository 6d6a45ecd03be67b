/** How nodes begin and end: in a process, in several threads, where something is in the way, and twice. */
import test, { type ExecutionContext } from "ava";
import { spawn, type ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { ByzantineError, ByzantineNode, MessageCrypto, type ByzantineNodeOptions } from "../../dist/index.js";
import { add, TestCluster } from "./cluster.ts";
import { totals } from "./machine.mjs";
import { freeBasePort } from "./ports.ts";

/** What the product promises of the end of a process, measured from the call of `shutdown`. */
const GONE_WITHIN_MS = 2_000;

/** The options of one node of a cluster whose others never start. */
async function alone(): Promise<ByzantineNodeOptions> {
  const keys = Array.from({ length: 4 }, () => MessageCrypto.generateKeyPair());
  const base = await freeBasePort(4);
  const nodes = keys.map(({ publicKey }, i) => ({ nodeId: `node-${i}`, host: "127.0.0.1", port: base + i, publicKey }));
  return { nodeId: "node-0", nodes, key: keys[0]!.privateKey, stateMachine: totals, durability: "none" };
}

function node(t: ExecutionContext, options: ByzantineNodeOptions): ByzantineNode {
  const made = new ByzantineNode(options);
  t.teardown(async () => made.shutdown());
  return made;
}

/** Lines of a program's standard output, as they come. */
async function* linesOf(child: ChildProcess): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of child.stdout!.setEncoding("utf8")) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

for (const execution of ["inline", "worker", "caller"]) {
  test.serial(`a process whose nodes were shut down ends by itself (${execution})`, async (t) => {
    const program = fileURLToPath(new URL("./four-nodes.mjs", import.meta.url));
    const child = spawn(process.execPath, ["--no-warnings", program, String(await freeBasePort(4)), execution], {
      stdio: ["ignore", "pipe", "inherit"],
      // One that stays must fail the test, not hold it.
      timeout: 60_000,
      killSignal: "SIGKILL",
    });
    t.teardown(() => child.kill("SIGKILL"));
    const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
    const lines: string[] = [];
    let calledAt = 0;
    for await (const line of linesOf(child)) {
      lines.push(line);
      if (line === "shutdown") calledAt = performance.now();
    }
    t.deepEqual([await exit, lines], [0, ["result 5", "shutdown"]]);
    const tookMs = performance.now() - calledAt;
    t.true(tookMs < GONE_WITHIN_MS, `${tookMs} ms`);
  });
}

test.serial("initialize and shutdown are idempotent, and nothing starts after the end", async (t) => {
  const options = await alone();
  const made = node(t, options);
  t.is(made.port, 0);
  t.throws(() => made.getMetrics(), { code: "CLOSED" });
  await Promise.all([made.initialize(), made.initialize()]);
  await made.initialize();
  t.is(made.port, options.nodes[0]!.port);
  await Promise.all([made.shutdown(), made.shutdown()]);
  await made.shutdown();
  t.is(made.port, 0);
  await t.throwsAsync(made.initialize(), { code: "CLOSED" });
  for (const call of [made.stateDigest(), made.getStats(), made.submitRequest(new Uint8Array(1))]) {
    const error = await t.throwsAsync<ByzantineError>(call, { instanceOf: ByzantineError, code: "CLOSED" });
    t.is(error!.executed, "no");
  }
});

test.serial("a node that never started can be shut down, and one that is still starting", async (t) => {
  const never = node(t, await alone());
  await never.shutdown();
  await t.throwsAsync(never.initialize(), { code: "CLOSED" });
  const starting = node(t, await alone());
  const initialized = starting.initialize();
  await starting.shutdown();
  await initialized.catch((error: unknown) => t.is((error as ByzantineError).code, "CLOSED"));
  await starting.shutdown();
  await t.throwsAsync(starting.initialize(), { code: "CLOSED" });
});

test.serial("shutdown does not wait for a cluster that its client cannot reach", async (t) => {
  const made = node(t, await alone());
  await made.initialize();
  const pending = made.submitRequest(totals.operation("add", { amount: 1 }));
  const aborted = made.submitRequest(totals.operation("add", { amount: 1 }), { signal: AbortSignal.abort() });
  t.is((await t.throwsAsync<ByzantineError>(aborted, { code: "ABORTED" }))!.executed, "no");
  const calledAt = performance.now();
  await made.shutdown();
  t.true(performance.now() - calledAt < GONE_WITHIN_MS);
  t.is((await t.throwsAsync<ByzantineError>(pending, { code: "CLOSED" }))!.executed, "no");
});

test.serial("a taken port is named, and does not cost the node its epoch", async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), "byzantine-node-"));
  t.teardown(async () => rm(dataDir, { recursive: true, force: true }));
  const options = { ...(await alone()), dataDir };
  const taker = createSocket("udp4").unref();
  await new Promise<void>((resolve) => taker.bind(options.nodes[0]!.port, "127.0.0.1", resolve));
  const refused = node(t, options);
  const error = await t.throwsAsync<ByzantineError>(refused.initialize(), {
    instanceOf: ByzantineError,
    code: "LISTEN_FAILED",
  });
  t.regex(error!.message, new RegExp(String(options.nodes[0]!.port)));
  await new Promise<void>((resolve) => taker.close(resolve));
  await node(t, options).initialize();
});

test.serial("a second start from the same directory in one epoch is a wiped disk", async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), "byzantine-node-"));
  t.teardown(async () => rm(dataDir, { recursive: true, force: true }));
  const options = { ...(await alone()), dataDir };
  const first = node(t, options);
  await first.initialize();
  await first.shutdown();
  const error = await t.throwsAsync<ByzantineError>(node(t, options).initialize(), { code: "HALTED" });
  t.is(error!.data["reason"], "WIPED_DISK");
  await node(t, { ...options, epoch: 1 }).initialize();
});

test.serial("a state machine that cannot be loaded is a configuration error, wherever it runs", async (t) => {
  const options = await alone();
  for (const execution of ["inline", "worker"] as const) {
    const made = node(t, { ...options, stateMachine: new URL("./absent.mjs", import.meta.url), execution });
    const error = await t.throwsAsync<ByzantineError>(made.initialize(), {
      instanceOf: ByzantineError,
      code: "INVALID_CONFIG",
    });
    t.is(error!.data["field"], "stateMachine");
  }
});

for (const { name, change, field, accepted } of [
  { name: "too few members", change: { nodes: [] }, field: "nodes", accepted: /4 … 31/ },
  { name: "somebody else's name", change: { nodeId: "node-9" }, field: "nodeId", accepted: /one of the nodes/ },
  { name: "no patience", change: { viewChangeTimeoutMs: 1 }, field: "viewChangeTimeoutMs", accepted: /100 … 600000/ },
  { name: "too many faults", change: { maxFaults: 2 }, field: "maxFaults", accepted: /0 … 1/ },
  {
    name: "a batch without end",
    change: { limits: { batchBytesMax: 1e9 } },
    field: "limits.batchBytesMax",
    accepted: /4096 … 4194304/,
  },
  { name: "no state machine", change: { stateMachine: {} }, field: "stateMachine", accepted: /execute/ },
  { name: "an object in a worker", change: { execution: "worker" }, field: "execution", accepted: /"caller"/ },
  { name: "no key", change: { key: "" }, field: "key", accepted: /PKCS#8 PEM/ },
]) {
  test(`a configuration with ${name} names the field and the range`, async (t) => {
    const options = { ...(await alone()), ...change } as ByzantineNodeOptions;
    const error = t.throws<ByzantineError>(() => new ByzantineNode(options), {
      instanceOf: ByzantineError,
      code: "INVALID_CONFIG",
    });
    t.is(error!.data["field"], field);
    t.regex(String(error!.data["accepted"]), accepted);
    t.true(error!.message.includes(field));
  });
}

test("a node is durable unless told otherwise, and its absence is said aloud", async (t) => {
  const { durability: _none, dataDir: _dir, ...options } = await alone();
  for (const durability of [undefined, "fsync"] as const) {
    const asked = durability === undefined ? options : { ...options, durability };
    const error = t.throws<ByzantineError>(() => new ByzantineNode(asked), { code: "INVALID_CONFIG" });
    t.is(error!.data["field"], "dataDir");
  }
  const warned = new Promise<Error & { readonly code?: string }>((resolve) => process.once("warning", resolve));
  await node(t, { ...options, durability: "none" }).initialize();
  const warning = await warned;
  t.deepEqual([warning.name, warning.code], ["ByzantineWarning", "BYZANTINE_NOT_DURABLE"]);
  t.regex(warning.message, /durability "none".*wiped disk/);
});

test.serial("a node lives in a thread of the user's own", async (t) => {
  const cluster = await TestCluster.start(t, { running: [0, 1, 2] });
  const { stateMachine: _module, ...workerData } = cluster.optionsOf(3);
  const worker = new Worker(new URL("./worker-node.mjs", import.meta.url), { workerData });
  t.teardown(async () => worker.terminate());
  const ended = new Promise<number>((resolve) => worker.once("exit", resolve));
  const message = async (): Promise<unknown> => new Promise((resolve) => worker.once("message", resolve));
  t.is(await message(), "ready");
  t.is(await add(await cluster.client(), 1), 1);
  const answer = message();
  worker.postMessage(4);
  t.is(await answer, 5);
  t.is(await ended, 0, "the thread ends by itself");
});
