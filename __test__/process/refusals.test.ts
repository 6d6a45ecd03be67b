/** What a peer or a client may not do: refused, counted by reason, shown by getMetrics, while three honest replicas go on. */
import test, { type ExecutionContext } from "ava";
import { MessageCrypto, type ByzantineNode, type NodeMetrics } from "../../dist/index.js";
import { FalseBackup } from "../attack/false-backup.ts";
import { FalseClient, forged } from "../attack/false-client.ts";
import { buildRawPeer, dialRaw, frame, hello } from "../attack/raw-peer.ts";
import { add, TestCluster } from "./cluster.ts";
import { totals } from "./machine.mjs";
import { eventually } from "./ports.ts";

/** Its replica does not run: programs have its key. */
const FALSE = 3;
const HONEST = [0, 1, 2];
/** Forgeries of a client that a replica looks at before it cuts it off: four, or the sixteen that shared a batch. */
const FORGERIES_MAX = 16;

let rawPeer = "";
test.before(async () => {
  rawPeer = await buildRawPeer();
});

async function threeOfFour(t: ExecutionContext): Promise<TestCluster> {
  const cluster = await TestCluster.start(t, { running: HONEST });
  await cluster.client().then(async (client) => add(client, 1));
  return cluster;
}

async function falseBackup(t: ExecutionContext, cluster: TestCluster): Promise<FalseBackup> {
  const backup = new FalseBackup(cluster.config, cluster.keys[FALSE]!.privateKey, FALSE);
  t.teardown(async () => backup.close());
  await eventually("the program connected", () =>
    cluster.running.every((node) => node.getMetrics().peers[`node-${FALSE}`]?.connected === true),
  );
  return backup;
}

async function falseClient(t: ExecutionContext, cluster: TestCluster): Promise<FalseClient> {
  const client = new FalseClient(cluster.config, MessageCrypto.generateKeyPair());
  t.teardown(async () => client.close());
  await eventually("the program connected", () => HONEST.every((replica) => client.transport.peers.includes(replica)));
  return client;
}

async function counted(
  node: ByzantineNode,
  what: string,
  count: (metrics: NodeMetrics) => number | undefined,
): Promise<void> {
  await eventually(`${node.nodeId} counts ${what}`, () => (count(node.getMetrics()) ?? 0) > 0);
}

/** The cluster goes on, and nothing of the attack has reached its state. */
async function goesOn(t: ExecutionContext, cluster: TestCluster, total: number): Promise<void> {
  const { sequence } = await cluster.settled();
  t.is(await add(await cluster.client(), 100), total + 100);
  await cluster.settled(sequence + 1);
  t.deepEqual(await cluster.totals(), [total + 100, total + 100, total + 100]);
}

test.serial("a peer with an unknown key", async (t) => {
  const [admitted, stranger] = [MessageCrypto.generateKeyPair(), MessageCrypto.generateKeyPair()];
  const cluster = await TestCluster.start(t, {
    running: HONEST,
    shared: { clients: [{ name: "admitted", publicKey: admitted.publicKey }] },
  });
  const { publicKey: shown, privateKey: key } = stranger;
  t.regex(await dialRaw({ program: rawPeer, port: cluster.node(0).port, shown, key }), /invalid peer certificate/);
  await counted(cluster.node(0), "the connection", ({ connectionsRefused }) => connectionsRefused["unknownKey"]);
  await counted(cluster.node(0), "the rejection", ({ rejected }) => rejected["notMember"]);
  t.is(await add(await cluster.client(admitted.privateKey), 3), 3);
});

test.serial("a client that speaks as a replica", async (t) => {
  const cluster = await threeOfFour(t);
  const { publicKey: shown, privateKey: key } = MessageCrypto.generateKeyPair();
  t.regex(await dialRaw({ program: rawPeer, port: cluster.node(0).port, shown, key }), /wrongRole/);
  await counted(cluster.node(0), "the connection", ({ connectionsRefused }) => connectionsRefused["wrongRole"]);
  await counted(cluster.node(0), "the rejection", ({ rejected }) => rejected["notMember"]);
  await goesOn(t, cluster, 1);
});

test.serial("a peer that shows a member's key without having it", async (t) => {
  const cluster = await threeOfFour(t);
  const shown = cluster.keys[FALSE]!.publicKey;
  const { privateKey } = MessageCrypto.generateKeyPair();
  await dialRaw({ program: rawPeer, port: cluster.node(1).port, shown, key: privateKey });
  await counted(cluster.node(1), "the connection", ({ connectionsRefused }) => connectionsRefused["keyNotProven"]);
  await counted(cluster.node(1), "the rejection", ({ rejected }) => rejected["badHandshake"]);
  t.is(cluster.node(1).getMetrics().peers[`node-${FALSE}`]?.connects, 0);
  t.is(cluster.node(1).getMetrics().rejectedByPeer[`node-${FALSE}`], undefined, "the member is not to blame");
  await goesOn(t, cluster, 1);
});

for (const { name, length } of [
  { name: "more than its lane allows", length: 0xffffffff },
  { name: "nothing", length: 0 },
]) {
  test.serial(`a frame that claims a length of ${name}`, async (t) => {
    const cluster = await threeOfFour(t);
    const { publicKey: shown, privateKey: key } = cluster.keys[FALSE]!;
    const bytes = Buffer.concat([hello(cluster.config), frame(0x26, new Uint8Array(16), length)]);
    const end = await dialRaw({
      program: rawPeer,
      port: cluster.node(2).port,
      shown,
      key,
      streams: [{ lane: "control", bytes }],
    });
    t.regex(end, /lyingLength/);
    await counted(cluster.node(2), "the connection", ({ connectionsRefused }) => connectionsRefused["lyingLength"]);
    await counted(
      cluster.node(2),
      "its sender",
      ({ rejectedByPeer }) => rejectedByPeer[`node-${FALSE}`]?.["frameTooLong"],
    );
    await goesOn(t, cluster, 1);
  });
}

test.serial("a client whose key is not listed", async (t) => {
  const admitted = MessageCrypto.generateKeyPair();
  const cluster = await TestCluster.start(t, {
    running: HONEST,
    shared: { clients: [{ name: "admitted", publicKey: admitted.publicKey }] },
  });
  const stranger = new FalseClient(cluster.config, MessageCrypto.generateKeyPair());
  t.teardown(async () => stranger.close());
  await counted(cluster.node(0), "the connection", ({ connectionsRefused }) => connectionsRefused["unknownKey"]);
  t.deepEqual(stranger.transport.peers, []);
  t.is(await add(await cluster.client(admitted.privateKey), 3), 3);
});

test.serial("a client with a forged signature", async (t) => {
  const cluster = await threeOfFour(t);
  const client = await falseClient(t, cluster);
  client.sendAll(forged(client.opening(7)));
  for (const node of cluster.running) {
    await counted(node, "the signature", ({ rejectedByPeer }) => rejectedByPeer["clients"]?.["badSignature"]);
  }
  t.is(client.replies.length, 0);
  await goesOn(t, cluster, 1);
});

test.serial("a client that forges again and again is cut off by every replica, and nobody else is", async (t) => {
  const cluster = await threeOfFour(t);
  const honest = await cluster.client();
  const forger = await falseClient(t, cluster);
  t.is(await add(honest, 1), 2);
  // More than any replica hears before it cuts the client off.
  for (let nonce = 1; nonce <= 100; nonce++) forger.sendAll(forged(forger.opening(nonce)));
  for (const node of cluster.running) {
    await counted(node, "the cut", ({ connectionsRefused }) => connectionsRefused["barred"]);
    const forgeries = node.getMetrics().rejectedByPeer["clients"]?.["badSignature"] ?? 0;
    t.true(forgeries >= 4 && forgeries <= FORGERIES_MAX, `${forgeries} forgeries were looked at`);
  }
  await eventually("nobody is connected to it", () => forger.transport.peers.length === 0);
  t.is(forger.replies.length, 0);
  t.is(await add(honest, 1), 3);
  await goesOn(t, cluster, 3);
});

test.serial(
  "a client that signs two bundles for one sequence is cut off by all, whichever of them it told them",
  async (t) => {
    const cluster = await threeOfFour(t);
    const honest = await cluster.client();
    const client = await falseClient(t, cluster);
    client.sendAll(client.opening(7));
    await eventually("the session", () => client.answers(0, 7).size === HONEST.length);
    const opened = client.answers(0, 7).get(0)!;
    const session = "result" in opened ? Number(Buffer.from(opened.result).readBigUInt64LE()) : 0;
    const idle = totals.operation("add", { amount: 0 });
    const [one, other] = [client.bundle(session, 1, idle), client.bundle(session, 1, totals.operation("refuse"))];
    // Whoever got the other one learns of the first from the primary, and tells all.
    for (const replica of HONEST) client.send(replica, "bundle", replica === 1 ? other : one);
    for (const node of cluster.running) {
      await counted(
        node,
        "the contradiction",
        ({ rejectedByPeer }) => rejectedByPeer["clients"]?.["conflictingBundle"],
      );
      await counted(node, "the cut", ({ connectionsRefused }) => connectionsRefused["barred"]);
    }
    await eventually("nobody is connected to it", () => client.transport.peers.length === 0);
    t.is(await add(honest, 1), 2);
    await goesOn(t, cluster, 2);
  },
);

test.serial("a bundle that its own client sends again is answered again and executed once", async (t) => {
  const cluster = await threeOfFour(t);
  const client = await falseClient(t, cluster);
  client.sendAll(client.opening(7));
  await eventually("the session", () => client.answers(0, 7).size === HONEST.length);
  const opened = client.answers(0, 7).get(0)!;
  const session = "result" in opened ? Number(Buffer.from(opened.result).readBigUInt64LE()) : 0;
  const bundle = client.bundle(session, 1, totals.operation("add", { amount: 5 }));
  client.sendAll(bundle);
  const answered = (): boolean => client.answers(session, 1).size === HONEST.length;
  await eventually("the result", answered);
  client.replies.length = 0;
  client.sendAll(bundle);
  await eventually("the same result", answered);
  for (const entry of client.answers(session, 1).values()) {
    t.is("result" in entry && totals.result("add", entry.result), 6);
  }
  await goesOn(t, cluster, 6);
});

test.serial("a captured bundle, replayed by a backup and by another client", async (t) => {
  const cluster = await threeOfFour(t);
  const backup = await falseBackup(t, cluster);
  t.is(await add(await cluster.client(), 5), 6);
  await eventually("the capture", () => backup.captured.length > 0);
  const { sequence } = await cluster.settled();
  backup.replay();
  const thief = await falseClient(t, cluster);
  for (const bundle of backup.captured) thief.sendAll(bundle);
  for (const node of cluster.running) {
    await counted(node, "the thief", ({ rejectedByPeer }) => rejectedByPeer["clients"]?.["wrongClient"]);
    await counted(node, "the repetition", ({ rejectedByPeer }) => rejectedByPeer[`node-${FALSE}`]?.["duplicate"]);
  }
  t.is(thief.replies.length, 0, "the thief learns nothing");
  t.is((await cluster.settled()).sequence, sequence, "nothing was ordered again");
  await goesOn(t, cluster, 6);
});

test.serial("a vote that another member signed", async (t) => {
  const cluster = await threeOfFour(t);
  const backup = await falseBackup(t, cluster);
  backup.stealVotes(1);
  const client = await cluster.client();
  let total = 1;
  // A vote that comes when its batch is decided already is not looked at, so several are passed on.
  await eventually("both others count a vote", async () => {
    total = await add(client, 1);
    return [0, 2].every((replica) => {
      const { rejectedByPeer } = cluster.node(replica).getMetrics();
      return (rejectedByPeer[`node-${FALSE}`]?.["wrongSigner"] ?? 0) > 0;
    });
  });
  t.true(backup.stolen > 0);
  await goesOn(t, cluster, total);
});

test.serial("a PRE-PREPARE of a backup", async (t) => {
  const cluster = await threeOfFour(t);
  const backup = await falseBackup(t, cluster);
  const { sequence } = await cluster.settled();
  backup.usurp(sequence + 1);
  for (const node of cluster.running) {
    await counted(node, "the proposal", ({ rejectedByPeer }) => rejectedByPeer[`node-${FALSE}`]?.["notPrimary"]);
  }
  t.is((await cluster.settled()).sequence, sequence);
  await goesOn(t, cluster, 1);
});

test.serial("a message that counts more than it holds", async (t) => {
  const cluster = await threeOfFour(t);
  const backup = await falseBackup(t, cluster);
  backup.miscount(1);
  for (const node of cluster.running) {
    await counted(node, "the message", ({ rejectedByPeer }) => rejectedByPeer[`node-${FALSE}`]?.["malformed"]);
  }
  await goesOn(t, cluster, 1);
});
