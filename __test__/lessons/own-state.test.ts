/**
 * What our PBFT does and why, one test or more for each number: checkpoints and state (own-16 … own-19).
 *
 * Not built yet, and so without a test: what disks have to keep (own-16), fast reads (own-21) and tentative
 * execution (own-22).
 */
import test from "ava";
import { resolveCluster } from "../../dist/codec/cluster.js";
import { NULL_BATCH } from "../../dist/protocol/new-view.js";
import type { Digest, ReplicaId, View } from "../../dist/protocol/types.js";
import { options, refusal } from "../codec/configurations.ts";
import { Cluster, crossing } from "../protocol/cluster-of-cores.ts";
import {
  at,
  backup,
  bundle,
  certificate,
  digestOf,
  executedTo,
  primary,
  stable,
  viewChange,
} from "../protocol/scripted.ts";

const TIMEOUT_MS = 5_000;
const waiting = bundle("waiting", { client: "impatient" });

test("own-16: the interval counts sequences, null batches among them, and the window is at least two intervals", (t) => {
  const core = backup();
  core.enterView(1, [certificate(4, "d")]);
  core.control(1, { type: "fetchedBatch", digest: digestOf("d"), time: 0 as never, bundles: [] });
  for (let sequence = 1; sequence <= 4; sequence++) {
    const digest = sequence === 4 ? "d" : NULL_BATCH.digest;
    for (const phase of ["prepare", "commit"] as const) core.votesIn(1, phase, sequence, digest, 0, 1, 2);
  }
  t.is(core.of("checkpoint")[0]?.sequence, at(4));
  const { field, accepted } = refusal(() => resolveCluster(options({ windowIntervals: 1 })));
  t.deepEqual([field, accepted], ["windowIntervals", "an integer, 2 … 8"]);
});

test("own-17: with the certificate of a checkpoint but not its state a replica votes and changes view, and executes, answers and signs nothing", (t) => {
  const core = backup();
  for (const from of [0, 1, 2]) core.checkpoint(from, 4, "root");
  core.propose(5, "batch 5");
  t.is(core.sent("prepare").length, 1);
  for (const phase of ["prepare", "commit"] as const) core.votes(phase, 5, "batch 5", 1, 2);
  t.deepEqual([...core.of("execute"), ...core.of("reply"), ...core.sent("checkpoint")], []);
  for (const from of [1, 2]) core.control(from, viewChange(1, `of ${from}`));
  t.like(core.of("seal")[0]?.message, { stable: stable(4, "root") });
});

test("own-17: such a replica sends NEW-VIEW, but no PRE-PREPARE of its own before it has the state", (t) => {
  const core = backup({ me: 1 as ReplicaId });
  for (const from of [0, 2, 3]) core.checkpoint(from, 4, "root");
  core.request(waiting);
  for (const from of [0, 2]) core.control(from, viewChange(1, `of ${from}`));
  core.sealed(1, "ours");
  t.is(core.sent("newView").length, 1);
  t.is(core.of("assemble").length, 0);
  core.pass(1_000);
  core.installed(4, "root");
  t.deepEqual(core.of("assemble")[0]?.bundles, [digestOf("waiting")]);
});

test("own-17: a primary without the state hands over after one timeout", (t) => {
  const core = primary();
  for (const from of [1, 2, 3]) core.checkpoint(from, 4, "root");
  core.request(waiting);
  t.is(core.timesOutAfter(), TIMEOUT_MS);
});

test("own-18: when no root can reach Q any more by the high watermark, the replica stops with CHECKPOINT_DIVERGENCE", (t) => {
  const core = backup();
  for (const [from, root] of [
    [0, "a"],
    [1, "a"],
    [2, "b"],
  ] as const)
    core.checkpoint(from, 8, root);
  t.is(core.of("halt").length, 0, "our own root may make a quorum of a");
  executedTo(8, core);
  core.checkpointed(8, "b");
  const reason = core.of("halt")[0]?.reason;
  t.like(reason, { code: "CHECKPOINT_DIVERGENCE", sequence: at(8) });
  const claims = reason?.code === "CHECKPOINT_DIVERGENCE" ? reason.claims : [];
  const who = (root: Digest): number[] =>
    claims
      .filter(({ digest }) => digest === root)
      .map(({ by }) => by)
      .sort();
  t.deepEqual(
    [who(digestOf("a")), who(digestOf("b"))],
    [
      [0, 1],
      [2, 3],
    ],
  );
});

test("own-19: a short absence is replayed from the batches that others kept, a long one fetches the state", (t) => {
  for (const [absent, transfers] of [
    [6, 0],
    [40, 1],
  ] as const) {
    const cluster = new Cluster({ historyBytesMax: 2_000 });
    const away = cluster.drop(crossing(3));
    for (let i = 0; i < absent; i++) cluster.run(`request ${i}`);
    away();
    for (const id of [0, 1, 2]) cluster.connect(id, 3);
    cluster.pass(5_000);
    t.is(cluster.executed(3).length, absent);
    t.is(cluster.core(3).view().view, 0 as View);
    t.is(Math.min(1, cluster.member(3).of("install").length), transfers, `${absent} batches`);
  }
});
