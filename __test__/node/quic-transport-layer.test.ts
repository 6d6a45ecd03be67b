/** The transport by itself: programs with members' keys, and a client, speak over QUIC without any protocol. */
import test, { type ExecutionContext } from "ava";
import { helloFields } from "../../dist/codec/hello.js";
import { MessageCrypto, QuicTransportLayer, resolveCluster, type TransportMessage } from "../../dist/index.js";
import { eventually, freeBasePort } from "../process/ports.ts";

const STATUS = { lane: "control", type: 0x26 } as const;
const REPLY = { lane: "client", type: 0x11 } as const;
const BUNDLE = { lane: "client", type: 0x10 } as const;

interface Parties {
  /** Starts a member, or a client where no number is given. */
  start(me?: number, changed?: { readonly checkpointInterval: number }): QuicTransportLayer;
}

async function parties(t: ExecutionContext): Promise<Parties> {
  const keys = Array.from({ length: 4 }, () => MessageCrypto.generateKeyPair());
  const base = await freeBasePort(4);
  const nodes = keys.map(({ publicKey }, i) => ({ nodeId: `node-${i}`, host: "127.0.0.1", port: base + i, publicKey }));
  // An open transport does not keep a process alive; a test does.
  const alive = setInterval(() => undefined, 60_000);
  t.teardown(() => clearInterval(alive));
  return {
    start(me, changed = { checkpointInterval: 100 }) {
      const cluster = resolveCluster({ clusterId: "5a".repeat(32), nodes, ...changed });
      const layer = new QuicTransportLayer({
        clusterId: Buffer.from(cluster.clusterId, "hex"),
        epoch: cluster.epoch,
        maxFaults: cluster.maxFaults,
        members: keys.map(({ publicKey }, i) => ({
          key: Buffer.from(publicKey, "hex"),
          address: `127.0.0.1:${base + i}`,
        })),
        me,
        secretKeyPem: me === undefined ? MessageCrypto.generateKeyPair().privateKey : keys[me]!.privateKey,
        listenHost: me === undefined ? undefined : "127.0.0.1",
        listenPort: me === undefined ? undefined : base + me,
        hello: helloFields(cluster, (bytes) => MessageCrypto.sha256(bytes), me === undefined ? "client" : "replica"),
        limits: cluster.limits,
      });
      t.teardown(async () => layer.close());
      return layer;
    },
  };
}

/** Everything of one type that a layer gets. */
function heard(layer: QuicTransportLayer, type: number): TransportMessage[] {
  const messages: TransportMessage[] = [];
  layer.onMessage(type, (message) => messages.push(message));
  return messages;
}

test.serial("members know each other by their keys, and frames arrive from whom they say", async (t) => {
  const { start } = await parties(t);
  const layers = [start(0), start(1), start(2)] as const;
  const inboxes = layers.map((layer) => heard(layer, STATUS.type));
  await eventually("all connected", () => layers.every(({ peers }) => peers.length === 2));
  t.deepEqual(layers[1].peers, [0, 2]);
  layers[0].broadcast({ ...STATUS, payload: Buffer.from("all") });
  layers[2].send(1, { ...STATUS, payload: Buffer.from("one") });
  await eventually("the frames", () => inboxes[1]!.length === 2 && inboxes[2]!.length === 1);
  const texts = inboxes[1]!.map(({ from, payload }) => `${from} ${Buffer.from(payload).toString()}`);
  t.deepEqual(texts.sort(), ["0 all", "2 one"]);
  t.like(inboxes[2]![0], { from: 0, client: 0, lane: "control", type: STATUS.type });
  t.is(inboxes[0]!.length, 0);
});

test.serial("a client is answered on its own connection", async (t) => {
  const { start } = await parties(t);
  const member = start(3);
  const clients = [start(), start()] as const;
  const replies = clients.map((client) => heard(client, REPLY.type));
  member.onMessage(BUNDLE.type, ({ from, client, payload }) => {
    t.is(from, undefined);
    member.sendToClient(client, { ...REPLY, payload: Buffer.concat([Buffer.from("re "), payload]) });
  });
  await eventually("both connected", () => clients.every(({ peers }) => peers.includes(3)));
  clients.forEach((client, i) => client.send(3, { ...BUNDLE, payload: Buffer.from(`client ${i}`) }));
  await eventually("both answered", () => replies.every(({ length }) => length === 1));
  t.deepEqual(
    replies.map(([reply]) => Buffer.from(reply!.payload).toString()),
    ["re client 0", "re client 1"],
  );
});

test.serial("another configuration is refused by the name of its field", async (t) => {
  const { start } = await parties(t);
  const refusals: string[] = [];
  const other = start(1, { checkpointInterval: 50 });
  start(0).on("refused", (_, reason) => refusals.push(reason));
  await eventually("the refusal", () => refusals.length > 0 || other.statistics().refused.length > 0);
  const errors = other.statistics().peers.map(({ lastError }) => lastError ?? "");
  t.true(
    [...refusals, ...errors, ...other.statistics().refused.map(({ reason }) => reason)].some((text) =>
      /helloMismatch|checkpointInterval/.test(text),
    ),
  );
  t.deepEqual(other.peers, []);
});

test.serial("a member that closes is gone, and is found again when it comes back", async (t) => {
  const { start } = await parties(t);
  const staying = start(0);
  const changes: string[] = [];
  staying.on("peer", (peer, connected) => changes.push(`${peer} ${connected}`));
  const leaving = start(1);
  await eventually("the connection", () => staying.peers.includes(1));
  await leaving.close();
  await leaving.close();
  await eventually("the end", () => staying.peers.length === 0);
  start(1);
  await eventually("the connection again", () => staying.peers.includes(1));
  t.deepEqual([changes[0], changes.at(-1), changes.includes("1 false")], ["1 true", "1 true", true]);
});

test.serial("a handler that was taken off hears nothing more", async (t) => {
  const { start } = await parties(t);
  const [one, other] = [start(0), start(1)];
  const kept = heard(other, STATUS.type);
  let dropped = 0;
  const off = other.onMessage(STATUS.type, () => (dropped += 1));
  await eventually("the connection", () => one.peers.includes(1));
  one.send(1, { ...STATUS, payload: Buffer.from("1") });
  await eventually("the first", () => kept.length === 1);
  off();
  one.send(1, { ...STATUS, payload: Buffer.from("2") });
  await eventually("the second", () => kept.length === 2);
  t.is(dropped, 1);
});
