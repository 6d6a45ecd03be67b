/** Directories that a replica must not start from: refused by name, before anything was on the network. */
import test, { type ExecutionContext } from "ava";
import { createSocket, type Socket } from "node:dgram";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ByzantineError, ByzantineNode, initDataDir, MessageCrypto } from "../../dist/index.js";
import type { ByzantineNodeOptions } from "../../dist/index.js";
import { add } from "./cluster.ts";
import { totals } from "./machine.mjs";
import { eventually } from "./ports.ts";
import { emptyDirectory } from "./programs.ts";
import { Replicas } from "./replicas.ts";

/** The other members of a cluster are sockets that count what reaches them. */
interface Surroundings {
  /** Of member 0; its directory is not marked yet. */
  readonly options: ByzantineNodeOptions;
  datagrams: number;
}

async function listening(t: ExecutionContext): Promise<Socket> {
  const socket = createSocket("udp4");
  t.teardown(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return socket;
}

async function surrounded(t: ExecutionContext): Promise<Surroundings> {
  const keys = Array.from({ length: 4 }, () => MessageCrypto.generateKeyPair());
  const sockets = await Promise.all(keys.map(async () => listening(t)));
  const nodes = keys.map(({ publicKey }, i) => {
    return { nodeId: `node-${i}`, host: "127.0.0.1", port: sockets[i]!.address().port, publicKey };
  });
  const options: ByzantineNodeOptions = {
    nodeId: "node-0",
    nodes,
    clusterId: MessageCrypto.generateKeyPair().publicKey,
    key: keys[0]!.privateKey,
    listen: { host: "127.0.0.1", port: 0 },
    stateMachine: totals,
    dataDir: join(await emptyDirectory(t), "node-0"),
  };
  const surroundings: Surroundings = { options, datagrams: 0 };
  for (const socket of sockets) socket.on("message", () => (surroundings.datagrams += 1));
  return surroundings;
}

async function refused(t: ExecutionContext, options: ByzantineNodeOptions, reason: string): Promise<void> {
  const node = new ByzantineNode(options);
  t.teardown(async () => node.shutdown());
  const error = await t.throwsAsync<ByzantineError>(node.initialize(), {
    instanceOf: ByzantineError,
    code: "DATA_DIR",
  });
  t.is(error!.data["reason"], reason, error!.message);
  t.is(node.port, 0);
}

/** A node on a good directory in the same surroundings is heard: so would have been the refused one before it. */
async function assertWasSilent(t: ExecutionContext, surroundings: Surroundings): Promise<void> {
  t.is(surroundings.datagrams, 0);
  const options = { ...surroundings.options, dataDir: join(await emptyDirectory(t), "good") };
  initDataDir(options);
  const node = new ByzantineNode(options);
  t.teardown(async () => node.shutdown());
  await node.initialize();
  await eventually("datagrams of a node that starts", () => surroundings.datagrams > 0);
}

/** Of another member, of another cluster and of a later epoch. */
for (const [whose, changed] of [
  [
    "another replica",
    ({ nodes }) => ({ nodes: nodes.toReversed().map((node, i) => ({ ...node, nodeId: `node-${i}` })) }),
  ],
  ["another cluster", () => ({ clusterId: MessageCrypto.generateKeyPair().publicKey })],
  ["another epoch", () => ({ epoch: 1 })],
] as const satisfies readonly (readonly [string, (options: ByzantineNodeOptions) => Partial<ByzantineNodeOptions>])[]) {
  test(`the data directory of ${whose} is refused`, async (t) => {
    const surroundings = await surrounded(t);
    const { options } = surroundings;
    initDataDir({ ...options, ...changed(options) });
    await refused(t, options, "foreign");
    await assertWasSilent(t, surroundings);
  });
}

test("a directory without its marker counts as wiped: never marked, emptied, or with all but the marker", async (t) => {
  const surroundings = await surrounded(t);
  const { options } = surroundings;
  const dataDir = options.dataDir as string;
  mkdirSync(dataDir);
  await refused(t, options, "wiped");
  initDataDir(options);
  t.true(readdirSync(dataDir).includes("identity"));
  rmSync(join(dataDir, "identity"));
  await refused(t, options, "wiped");
  for (const name of readdirSync(dataDir)) rmSync(join(dataDir, name));
  await refused(t, options, "wiped");
  rmSync(dataDir, { recursive: true });
  await refused(t, options, "disk");
  await assertWasSilent(t, surroundings);
});

test("a damaged marker is refused", async (t) => {
  const surroundings = await surrounded(t);
  const { options } = surroundings;
  initDataDir(options);
  writeFileSync(join(options.dataDir as string, "identity"), "not what it was");
  await refused(t, options, "corrupt");
  await assertWasSilent(t, surroundings);
});

test("a data directory is marked once", async (t) => {
  const { options } = await surrounded(t);
  initDataDir(options);
  const error = t.throws<ByzantineError>(() => initDataDir(options), { instanceOf: ByzantineError, code: "DATA_DIR" });
  t.is(error!.data["reason"], "alreadyInitialized");
});

test.serial("a data directory that a running process owns is refused, and that process does not notice", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, recorded: false, durable: true });
  const client = await replicas.client();
  t.is(await add(client, 1), 1);
  const surroundings = await surrounded(t);
  const { nodes } = surroundings.options;
  const own = replicas.optionsOf(0);
  const elsewhere = own.nodes.map((node, i) => ({ ...node, port: nodes[i]!.port }));
  await refused(t, { ...own, nodes: elsewhere, listen: { host: "127.0.0.1", port: 0 } }, "inUse");
  await assertWasSilent(t, surroundings);
  t.is(await add(client, 1), 2);
  await replicas.settled();
  // What ends the process ends its hold.
  await replicas.kill(0);
  await replicas.restart(0);
  t.is(await add(client, 1), 3);
  t.deepEqual(
    (await replicas.settled()).map(({ total }) => total),
    [3, 3, 3, 3],
  );
});
