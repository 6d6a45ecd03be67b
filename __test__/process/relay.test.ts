/** The cluster over UDP that the test itself carries: what passes the relays is QUIC, and nothing passes beside them. */
import test, { type ExecutionContext } from "ava";
import type { ByzantineNode } from "../../dist/index.js";
import { add, TestCluster } from "./cluster.ts";
import { totals } from "./machine.mjs";
import { eventually } from "./ports.ts";
import { Relay, type Datagram } from "./relay.ts";

interface RelayedCluster {
  readonly cluster: TestCluster;
  readonly relays: readonly Relay[];
  /** Tells every relay what to drop from now on. */
  drop(which: (datagram: Datagram) => boolean): void;
  /** Whether a datagram belongs to a link between two replicas. */
  betweenReplicas(datagram: Datagram): boolean;
}

const EVERYTHING = (): boolean => true;
const NOTHING = (): boolean => false;

async function relayed(t: ExecutionContext): Promise<RelayedCluster> {
  const relays = await Promise.all([0, 1, 2, 3].map(async (replica) => Relay.open(replica)));
  // After the nodes' own teardown, which is registered later and runs earlier.
  t.teardown(() => relays.forEach((relay) => relay.close()));
  const cluster = await TestCluster.start(t, {
    ports: relays.map(({ port }) => port),
    own: () => ({ listen: { host: "127.0.0.1", port: 0 } }),
  });
  const listening = cluster.running.map(({ port }) => port);
  relays.forEach((relay, i) => relay.aim(listening[i]!));
  return {
    cluster,
    relays,
    drop: (which) => relays.forEach((relay) => (relay.drops = which)),
    betweenReplicas: ({ from }) => listening.includes(from),
  };
}

/** Waits until every node has published numbers that are at least `forMs` younger than now. */
async function timePasses(nodes: readonly ByzantineNode[], forMs: number): Promise<void> {
  const until = Date.now() + forMs;
  await eventually("fresh numbers of all nodes", () => nodes.every((node) => node.getMetrics().takenAtMs >= until));
}

function connectedPeers(node: ByzantineNode): number {
  return Object.values(node.getMetrics().peers).filter(({ connected }) => connected).length;
}

function executed({ cluster }: RelayedCluster): number[] {
  return cluster.running.map((node) => node.getMetrics().lastExecuted);
}

test.serial("every link begins with a QUIC v1 long header", async (t) => {
  const { cluster, relays, betweenReplicas } = await relayed(t);
  t.is(await add(await cluster.client(), 5), 5);
  await eventually("all replicas connected", () => cluster.running.every((node) => connectedPeers(node) === 3));
  const beginnings = relays.flatMap((relay) => relay.beginnings);
  for (const { bytes } of beginnings) {
    t.is(bytes[0]! & 0xc0, 0xc0, "a long header with the fixed bit");
    t.deepEqual([...bytes.subarray(1, 5)], [0, 0, 0, 1], "version 1");
    t.true(bytes.length >= 1200, "an Initial fills its datagram");
  }
  t.true(beginnings.filter(betweenReplicas).length >= 6, "each pair of replicas passes a relay");
  t.true(beginnings.filter((first) => !betweenReplicas(first)).length >= 4, "the client passes all of them");
  await cluster.settled(1);
});

test.serial("dropping everything stops commits, and letting go resumes them", async (t) => {
  const stage = await relayed(t);
  const { cluster, drop } = stage;
  const client = await cluster.client();
  t.is(await add(client, 1), 1);
  const { sequence } = await cluster.settled(1);
  drop(EVERYTHING);
  let settled = false;
  const pending = add(client, 2).finally(() => (settled = true));
  await timePasses(cluster.running, 2_000);
  t.deepEqual([settled, executed(stage)], [false, [sequence, sequence, sequence, sequence]]);
  t.true(stage.relays.every(({ dropped }) => dropped > 0));
  drop(NOTHING);
  t.is(await pending, 3);
  await cluster.settled(sequence + 1);
  t.deepEqual(await cluster.totals(), [3, 3, 3, 3]);
});

test.serial(
  "a silence that outlasts every connection ends in new connections and in the pending operation",
  async (t) => {
    const stage = await relayed(t);
    const { cluster, drop } = stage;
    const client = await cluster.client();
    t.is(await add(client, 1), 1);
    const { sequence } = await cluster.settled(1);
    drop(EVERYTHING);
    const pending = add(client, 2);
    await timePasses(cluster.running, 500);
    await eventually("all connections given up", () => cluster.running.every((node) => connectedPeers(node) === 0));
    t.deepEqual(executed(stage), [sequence, sequence, sequence, sequence]);
    drop(NOTHING);
    t.is(await pending, 3);
    await eventually("all replicas connected", () => cluster.running.every((node) => connectedPeers(node) === 3));
    await cluster.settled(sequence + 1);
    t.deepEqual(await cluster.totals(), [3, 3, 3, 3]);
  },
);

test.serial("an operation whose replies are lost is sent again and executed once", async (t) => {
  const { cluster, drop, betweenReplicas } = await relayed(t);
  const client = await cluster.client();
  t.is(await add(client, 1), 1);
  drop((datagram) => !betweenReplicas(datagram) && !datagram.toReplica);
  const pending = add(client, 2);
  await eventually("the operation executed without an answer", async () =>
    (await cluster.totals()).every((total) => total === 3),
  );
  await eventually("the client tries again", () => client.statistics().retries >= 1);
  drop(NOTHING);
  t.is(await pending, 3);
  t.is(totals.result("add", await client.submit(totals.operation("add", { amount: 4 }))), 7);
  await cluster.settled();
  t.deepEqual(await cluster.totals(), [7, 7, 7, 7]);
});
