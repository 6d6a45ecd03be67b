/** A primary that lies about the order, with its real key: three honest replicas and clients that know nothing of it. */
import test from "ava";
import type { Commit, NodeEvents } from "../../dist/index.js";
import { EquivocatingPrimary, type Story, type TakenBundle } from "../attack/equivocating-primary.ts";
import { add, TestCluster } from "./cluster.ts";
import { eventually } from "./ports.ts";

type Evidence = NodeEvents["evidence"][0];

/** Two bundles at one sequence; in each story at most one batch can gather a quorum. */
const STORIES: readonly { readonly name: string; tell(a: TakenBundle, b: TakenBundle): Story }[] = [
  {
    name: "one replica hears another order",
    tell: (a, b) => [
      { to: [1], batch: [a, b] },
      { to: [2, 3], batch: [b, a] },
    ],
  },
  {
    name: "another replica is the odd one, and hears of one operation twice",
    tell: (a, b) => [
      { to: [1, 2], batch: [b, a] },
      { to: [3], batch: [a] },
      { to: [3], batch: [a, b] },
    ],
  },
  {
    name: "everybody hears both orders, not in the same order",
    tell: (a, b) => [
      { to: [1, 3], batch: [a, b] },
      { to: [2], batch: [b, a] },
      { to: [2], batch: [a, b] },
      { to: [1, 3], batch: [b, a] },
    ],
  },
  {
    name: "one replica hears of nothing at all",
    tell: (a, b) => [
      { to: [2], batch: [] },
      { to: [1, 3], batch: [a, b] },
    ],
  },
];

/** Batch digest by sequence, as one replica's listener saw them. */
function seenBy(cluster: TestCluster, replica: number): Map<number, Commit> {
  const commits = cluster.commits.get(replica)!.filter((commit) => commit.type === "commit");
  return new Map(commits.map((commit) => [commit.sequence, commit]));
}

test.serial("no two honest replicas execute different operations at one sequence", async (t) => {
  const cluster = await TestCluster.start(t, { running: [1, 2, 3] });
  const primary = new EquivocatingPrimary(cluster.config, cluster.keys[0]!.privateKey);
  t.teardown(async () => primary.close());
  const evidence: Evidence[] = [];
  for (const node of cluster.running) node.on("evidence", (event) => evidence.push(event));
  const [left, right] = [await cluster.client(), await cluster.client()];

  let total = 0;
  for (const [round, { name, tell }] of STORIES.entries()) {
    const amounts = [10 ** round, 2 * 10 ** round] as const;
    total += amounts[0] + amounts[1];
    const results = Promise.all([add(left, amounts[0]), add(right, amounts[1])]);
    const [a, b] = await eventually(`bundles of both clients (${name})`, () => {
      const distinct = primary.waiting.filter(
        (bundle, i, all) => all.findIndex((x) => x.client === bundle.client) === i,
      );
      return distinct.length === 2 && distinct;
    });
    primary.waiting.length = 0;
    primary.tell(tell(a!, b!));
    t.true((await results).includes(total), name);
  }
  await cluster.settled(primary.sequence);
  t.deepEqual(await cluster.totals(), [total, total, total]);

  const streams = [1, 2, 3].map((replica) => seenBy(cluster, replica));
  for (let sequence = 1; sequence <= primary.sequence; sequence++) {
    const [first, ...others] = streams.map((stream) => stream.get(sequence));
    t.truthy(first, `sequence ${sequence}`);
    for (const other of others) t.deepEqual(other, first, `sequence ${sequence}`);
  }
  t.true(evidence.length > 0, "two proposals at one sequence are seen");
  for (const { nodeId, type } of evidence) t.deepEqual([nodeId, type], ["node-0", "prePrepare"]);
});

test.serial("where no batch has a quorum, the next primary orders what was asked", async (t) => {
  const cluster = await TestCluster.start(t, { running: [1, 2, 3], shared: { viewChangeTimeoutMs: 4_000 } });
  const primary = new EquivocatingPrimary(cluster.config, cluster.keys[0]!.privateKey);
  t.teardown(async () => primary.close());
  const [left, right] = [await cluster.client(), await cluster.client()];
  const results = Promise.all([add(left, 1), add(right, 2)]);
  const [a, b] = await eventually("bundles of both clients", () => primary.waiting.length >= 2 && primary.waiting);
  primary.tell([
    { to: [1], batch: [a!] },
    { to: [2], batch: [b!] },
    { to: [3], batch: [a!, b!] },
  ]);
  t.true((await results).includes(3));
  await cluster.settled(primary.sequence);
  t.deepEqual(await cluster.totals(), [3, 3, 3]);
  for (const node of cluster.running) {
    const { metrics } = await node.getStats();
    t.true(metrics.view >= 1);
    t.not(metrics.primary, "node-0");
  }
});

test.serial("an operation that the primary orders again and again is executed once", async (t) => {
  const cluster = await TestCluster.start(t, { running: [1, 2, 3] });
  const primary = new EquivocatingPrimary(cluster.config, cluster.keys[0]!.privateKey);
  t.teardown(async () => primary.close());
  const client = await cluster.client();
  const everybody = [1, 2, 3];
  const next = async (): Promise<TakenBundle> => eventually("a bundle", () => primary.waiting.shift());
  const first = add(client, 1);
  const a = await next();
  primary.tell([{ to: everybody, batch: [a] }]);
  t.is(await first, 1);
  primary.tell([{ to: everybody, batch: [a] }]);
  const second = add(client, 10);
  const b = await next();
  primary.tell([{ to: everybody, batch: [a, b] }]);
  t.is(await second, 11);
  await cluster.settled(primary.sequence);
  t.deepEqual(await cluster.totals(), [11, 11, 11]);
});
