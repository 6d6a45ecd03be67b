/** OSDI'99 §4.3, garbage collection: checkpoints, their proofs, and the water marks that they move. */
import test from "ava";
import type { View } from "../../dist/protocol/types.js";
import { Cluster, ofType } from "../protocol/cluster-of-cores.ts";
import { at, backup, bundle, digestOf, executedTo, primary, replicas, type Scripted } from "../protocol/scripted.ts";

test("§4.3: checkpoints are taken when a request with a sequence divisible by the constant is executed", (t) => {
  const core = backup();
  const taken: number[] = [];
  for (let sequence = 1; sequence <= 8; sequence++) {
    core.propose(sequence, `batch ${sequence}`);
    core.votes("prepare", sequence, `batch ${sequence}`, 1);
    core.votes("commit", sequence, `batch ${sequence}`, 0, 1);
    taken.push(...core.of("checkpoint").map((action) => action.sequence));
    core.executed(sequence);
  }
  t.deepEqual(taken, [4, 8]);
});

test("§4.3: a replica that takes a checkpoint multicasts CHECKPOINT with its sequence and the digest of the state", (t) => {
  const core = executedTo(4);
  core.checkpointed(4, "root");
  const { to, message } = core.sent("checkpoint")[0]!;
  t.is(to, replicas(0, 1, 2));
  t.deepEqual(message, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
});

const proofs: readonly { name: string; given: (core: Scripted) => void; stable: boolean }[] = [
  {
    name: "with 2f+1 CHECKPOINTs for one sequence and digest, our own among them",
    given: (core) => {
      core.checkpointed(4, "root");
      core.checkpoint(0, 4, "root");
      core.checkpoint(1, 4, "root");
    },
    stable: true,
  },
  {
    name: "not with 2f",
    given: (core) => {
      core.checkpointed(4, "root");
      core.checkpoint(0, 4, "root");
    },
    stable: false,
  },
  {
    name: "not with several of one replica",
    given: (core) => {
      core.checkpointed(4, "root");
      for (let times = 0; times < 3; times++) core.checkpoint(0, 4, "root");
    },
    stable: false,
  },
  {
    name: "not with other digests",
    given: (core) => {
      core.checkpointed(4, "root");
      core.checkpoint(0, 4, "root");
      core.checkpoint(1, 4, "other root");
      core.checkpoint(2, 4, "yet another");
    },
    stable: false,
  },
  {
    name: "not with other sequences",
    given: (core) => {
      core.checkpointed(4, "root");
      core.checkpoint(0, 4, "root");
      core.checkpoint(1, 8, "root");
      core.checkpoint(2, 8, "root");
    },
    stable: false,
  },
];
for (const { name, given, stable } of proofs) {
  test(`§4.3: a checkpoint is stable ${name}`, (t) => {
    const core = executedTo(4);
    given(core);
    t.is(core.core.inspect().low, at(stable ? 4 : 0));
    t.is(core.of("stable").length, stable ? 1 : 0);
  });
}

test("§4.3: a stable checkpoint keeps its proof: the signatures of the quorum", (t) => {
  const core = executedTo(4);
  core.checkpointed(4, "root");
  core.checkpoint(2, 4, "root");
  core.checkpoint(1, 4, "root");
  t.deepEqual(core.of("stable"), [
    { kind: "stable", sequence: at(4), digest: digestOf("root"), signers: replicas(1, 2, 3) },
  ]);
});

test("§4.3: a stable checkpoint discards PRE-PREPAREs, PREPAREs and COMMITs up to it, and earlier checkpoints", (t) => {
  const core = executedTo(5);
  core.checkpointed(4, "root 4");
  core.checkpoint(0, 4, "root 4");
  core.propose(6, "batch 6");
  for (let sequence = 6; sequence <= 8; sequence++) core.commitBatch(sequence, `batch ${sequence}`);
  core.checkpointed(8, "root 8");
  core.propose(9, "batch 9");
  for (const from of [0, 1]) core.checkpoint(from, 8, "root 8");
  const { slots, ownCheckpoints, checkpointClaims } = core.core.inspect();
  t.deepEqual([...slots.keys()], [at(9)]);
  t.deepEqual([...ownCheckpoints.keys()], [at(8)]);
  t.deepEqual(
    [...checkpointClaims.values()].flatMap((claims) => [...claims.keys()]),
    [8, 8, 8].map(at),
  );
  core.votes("commit", 8, "batch 8", 0, 1, 2);
  t.deepEqual(core.ignored(), ["belowWindow"]);
});

test("§4.3: an unstable checkpoint discards nothing", (t) => {
  const core = executedTo(4);
  core.checkpointed(4, "root");
  core.checkpoint(0, 4, "root");
  t.deepEqual([...core.core.inspect().slots.keys()], [1, 2, 3, 4].map(at));
});

test("§4.3: h is the stable checkpoint and H lies a window above it", (t) => {
  const core = executedTo(4);
  const votesAt = (sequence: number): number => {
    core.propose(sequence, `batch ${sequence}`);
    return core.sent("prepare").length;
  };
  t.is(votesAt(8), 1, "H = 8");
  t.is(votesAt(9), 0, "above H");
  core.checkpointed(4, "root");
  for (const from of [0, 1]) core.checkpoint(from, 4, "root");
  t.deepEqual(
    core.sent("prepare").map(({ message }) => message.sequence),
    [at(9)],
    "what waited above H is taken up",
  );
  t.is(votesAt(12), 1, "H = 12");
  t.is(votesAt(13), 0, "above H");
  t.is(votesAt(4), 0, "at h");
});

test("§4.3: a primary proposes up to H and goes on when a checkpoint is stable", (t) => {
  const core = primary({ pipelineDepth: 8, batchBundlesMax: 1 });
  for (let i = 1; i <= 10; i++) core.request(bundle(`request ${i}`, { firstSequence: i, client: `client ${i}` }));
  const assembled = core.core.inspect().assembling;
  t.is(Math.max(...assembled.keys()), 8);
  for (let i = 1; i <= 8; i++) {
    core.step({ kind: "assembled", view: 0 as View, sequence: at(i), digest: digestOf(`batch ${i}`) });
    core.votes("prepare", i, `batch ${i}`, 1, 2);
    core.votes("commit", i, `batch ${i}`, 1, 2);
    core.executed(i);
    t.is(core.of("assemble").length, 0, `nothing at ${i}: the window is full`);
  }
  for (const from of [1, 2, 3]) core.checkpoint(from, 4, "root");
  t.deepEqual(
    core.of("assemble").map(({ sequence }) => sequence),
    [at(9), at(10)],
  );
});

test("§4.3: replicas agree on every checkpoint, and their logs stay within the window", (t) => {
  const cluster = new Cluster({ batchBundlesMax: 1 });
  for (let i = 1; i <= 41; i++) {
    cluster.run(`request ${i}`);
    for (const { core } of cluster.members) t.true(core.inspect().slots.size <= 8);
  }
  for (const { core } of cluster.members) t.is(core.inspect().low, at(40));
  const roots = cluster.letters.filter(ofType("checkpoint")).map(({ message }) => JSON.stringify(message));
  t.is(new Set(roots).size, 10, "one root for each checkpoint");
});
