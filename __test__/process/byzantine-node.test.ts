/** View changes, checkpoints and evidence as a user of the API sees them: events, questions, numbers. */
import test, { type ExecutionContext } from "ava";
import { MessageType, type BodyName } from "../../dist/codec/messages.js";
import { ByzantineNode, MessageCrypto, type Evidence, type NodeEvents } from "../../dist/index.js";
import { DoubleVoter } from "../attack/double-voter.ts";
import { EquivocatingPrimary } from "../attack/equivocating-primary.ts";
import { FalseClient, forged } from "../attack/false-client.ts";
import { add, TestCluster } from "./cluster.ts";
import { totals } from "./machine.mjs";
import { eventually } from "./ports.ts";

const INTERVAL = 4;
const shared = { viewChangeTimeoutMs: 4_000, checkpointInterval: INTERVAL };

/** What a user's listeners heard, by node. */
function listen<Name extends keyof NodeEvents>(cluster: TestCluster, name: Name): Map<string, NodeEvents[Name][0][]> {
  const heard = new Map<string, NodeEvents[Name][0][]>();
  for (const node of cluster.running) {
    const events: NodeEvents[Name][0][] = [];
    heard.set(node.nodeId, events);
    node.on(name, ((event: NodeEvents[Name][0]) => events.push(event)) as never);
  }
  return heard;
}

/** Both messages are of one type and differ, and the key that they accuse has signed both. */
function assertShows(t: ExecutionContext, cluster: TestCluster, { nodeId, type, messages }: Evidence): void {
  const { clusterId, epoch, nodes } = cluster.config;
  const crypto = new MessageCrypto({ clusterId: Buffer.from(clusterId, "hex"), epoch });
  const key = Buffer.from(nodes.find((node) => node.nodeId === nodeId)!.publicKey, "hex");
  t.is(messages.length, 2);
  for (const message of messages) t.true(crypto.verify({ key, type: MessageType[type as BodyName], ...message }));
  t.notDeepEqual(messages[0]!.payload, messages[1]!.payload);
}

test.serial("a user sees the view change that a primary causes by its end: event, questions, numbers", async (t) => {
  const cluster = await TestCluster.start(t, { shared });
  const viewChanges = listen(cluster, "viewChange");
  const evidence = listen(cluster, "evidence");
  const client = await cluster.client();
  t.is(await add(client, 1), 1);
  for (const [i, node] of cluster.running.entries()) {
    t.deepEqual([node.getCurrentView(), node.isPrimary()], [0, i === 0]);
    t.like(node.getMetrics(), { view: 0, primary: "node-0", viewChanges: {}, viewsLeft: {} });
  }
  await cluster.node(0).shutdown();
  const others = cluster.running.slice(1);
  t.is(await add(client, 1), 2);
  await eventually("all in view 1", () => others.every((node) => node.getCurrentView() === 1));
  t.deepEqual(
    others.map((node) => node.isPrimary()),
    [true, false, false],
  );
  for (const node of others) {
    const [event, ...more] = viewChanges.get(node.nodeId)!;
    t.deepEqual(more, []);
    t.like(event, { view: 1, primary: "node-1" });
    const { metrics, consensus } = await node.getStats();
    t.deepEqual(metrics.viewChanges, { [event!.cause]: 1 }, "counted under the cause that the event names");
    t.deepEqual(metrics.viewsLeft, metrics.viewChanges);
    t.like(metrics, { view: 1, primary: "node-1", pendingView: undefined });
    t.like(consensus, { view: 1, pending: undefined });
    t.deepEqual(await node.evidence(), [], "to be silent is no lie that one can show");
  }
  t.deepEqual([...evidence.values()].flat(), []);
  t.deepEqual(
    viewChanges.get("node-0")!.map(({ view, cause }) => [view, cause]),
    [[1, "handOver"]],
    "it goes when another one leads",
  );
  const own = await cluster.node(2).submitRequest(totals.operation("add", { amount: 1 }));
  t.is(totals.result("add", own), 3, "a node's own client finds the new primary");
});

test.serial("numbers about checkpoints, the window, repairs and rejections", async (t) => {
  const cluster = await TestCluster.start(t, { running: [0, 1, 2], shared: { checkpointInterval: INTERVAL } });
  const checkpoints = listen(cluster, "checkpoint");
  const client = await cluster.client();
  for (let i = 1; i <= 2 * INTERVAL; i++) t.is(await add(client, 1), i);
  const { sequence } = await cluster.settled(2 * INTERVAL);
  const stable = sequence - (sequence % INTERVAL);
  await eventually("the checkpoint is stable", () =>
    cluster.running.every((node) => node.getMetrics().checkpoints.stable === stable),
  );
  for (const node of cluster.running) {
    const { metrics } = await node.getStats();
    const last = checkpoints.get(node.nodeId)!.at(-1);
    t.deepEqual(metrics.checkpoints, { latest: stable, stable, stableDigest: last!.digest });
    t.deepEqual(metrics.window, { used: sequence - stable, size: 2 * INTERVAL });
    t.is(last!.sequence, stable);
  }
  const late = new ByzantineNode({ ...cluster.optionsOf(3), checkpointInterval: INTERVAL });
  cluster.nodes[3] = late;
  await late.initialize();
  await cluster.settled(sequence);
  await eventually("somebody repeated what it missed", () =>
    cluster.running.some((node) => node.getMetrics().retransmissions > 0),
  );
  const intruder = new FalseClient(cluster.config, MessageCrypto.generateKeyPair());
  t.teardown(async () => intruder.close());
  await eventually("the intruder connected", () => intruder.transport.peers.length === 4);
  intruder.sendAll(forged(intruder.opening(1)));
  await eventually("the forged bundle is counted", () =>
    cluster.running.every((node) => node.getMetrics().rejectedByPeer["clients"]?.["badSignature"] === 1),
  );
  for (const node of cluster.running) t.is(node.getMetrics().rejected["badSignature"], 1);
});

test.serial(
  "an equivocating primary is replaced, and shown: two proposals at one sequence that it signed",
  async (t) => {
    const cluster = await TestCluster.start(t, { running: [1, 2, 3], shared });
    const primary = new EquivocatingPrimary(cluster.config, cluster.keys[0]!.privateKey);
    t.teardown(async () => primary.close());
    const events = listen(cluster, "evidence");
    const [left, right] = [await cluster.client(), await cluster.client()];
    const results = Promise.all([add(left, 1), add(right, 2)]);
    const [a, b] = await eventually("bundles of both clients", () => primary.waiting.length >= 2 && primary.waiting);
    primary.tell([
      { to: [1, 2, 3], batch: [a!] },
      { to: [1, 2, 3], batch: [b!] },
    ]);
    t.true((await results).includes(3), "both are executed, whoever orders them");
    for (const node of cluster.running) {
      const held = await eventually(`${node.nodeId} holds evidence`, async () => {
        const evidence = await node.evidence();
        return evidence.length > 0 && evidence;
      });
      for (const piece of held) {
        t.like(piece, { nodeId: "node-0", type: "prePrepare" });
        assertShows(t, cluster, piece);
      }
      t.deepEqual(
        events.get(node.nodeId),
        held.map(({ nodeId, type, digest }) => ({ nodeId, type, digest })),
        "an event for each piece",
      );
    }
    await cluster.settled();
    t.deepEqual(await cluster.totals(), [3, 3, 3]);
  },
);

test.serial("a backup that votes and signs twice is shown, and nobody else is", async (t) => {
  const cluster = await TestCluster.start(t, { running: [0, 1, 2], shared });
  const voter = new DoubleVoter(cluster.config, cluster.keys[3]!.privateKey, 3);
  t.teardown(async () => voter.close());
  const client = await cluster.client();
  for (let i = 1; i <= 2 * INTERVAL; i++) t.is(await add(client, 1), i);
  for (const node of cluster.running) {
    const held = await eventually(`${node.nodeId} holds evidence of both kinds`, async () => {
      const evidence = await node.evidence();
      return new Set(evidence.map(({ type }) => type)).size === 2 && evidence;
    });
    for (const piece of held) {
      t.is(piece.nodeId, "node-3");
      t.true(["prepare", "checkpoint"].includes(piece.type));
      assertShows(t, cluster, piece);
    }
  }
});
