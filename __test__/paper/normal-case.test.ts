/** OSDI'99 §4.2, normal-case operation: three phases, what they accept, and what they prove. */
import test from "ava";
import type { AgreedTime, Digest, View } from "../../dist/protocol/types.js";
import { Prng } from "../../dist/testing/prng.js";
import { digest as voteDigest, forms } from "../contract/vote-tables.ts";
import { batchOf, Cluster, ofType } from "../protocol/cluster-of-cores.ts";
import { at, backup, bundle, digestOf, primary, replicas, WALL_CLOCK, type Scripted } from "../protocol/scripted.ts";

/** Backup 3 with sequences 1 … 4 stable: h = 4, H = 12. */
function afterCheckpoint(): Scripted {
  const core = backup();
  for (const sequence of [1, 2, 3, 4]) core.commitBatch(sequence, `batch ${sequence}`);
  core.checkpointed(4, "root");
  for (const from of [0, 1]) core.checkpoint(from, 4, "root");
  return core;
}

test("§4.2: a request takes one PRE-PREPARE to each backup, PREPAREs of all backups and COMMITs of all replicas", (t) => {
  const cluster = new Cluster();
  cluster.request("a");
  cluster.deliver();
  const sent = (type: "prePrepare" | "prepare" | "commit"): string[] =>
    cluster.letters
      .filter(ofType(type))
      .map(({ from, to }) => `${from}→${to}`)
      .sort();
  const pairs = (senders: readonly number[]): string[] =>
    senders.flatMap((from) => [0, 1, 2, 3].filter((to) => to !== from).map((to) => `${from}→${to}`));
  t.deepEqual(sent("prePrepare"), pairs([0]));
  t.deepEqual(sent("prepare"), pairs([1, 2, 3]));
  t.deepEqual(sent("commit"), pairs([0, 1, 2, 3]));
  t.true(cluster.members.every(({ id }) => cluster.executed(id).join() === "a"));
});

test("§4.2: the primary assigns consecutive sequence numbers, and PRE-PREPARE names requests by digest alone", (t) => {
  const core = primary({ pipelineDepth: 8 });
  for (const name of ["a", "b", "c"]) core.request(bundle(name));
  core.step({ kind: "assembled", view: 0 as View, sequence: at(2), digest: digestOf("second") });
  t.deepEqual(core.sent("prePrepare")[0]?.message, {
    type: "prePrepare",
    view: 0 as View,
    sequence: at(2),
    digest: digestOf("second"),
    time: WALL_CLOCK as AgreedTime,
    bundles: [digestOf("b")],
  });
});

const preprepares = [
  { name: "one of its view between the watermarks", given: {}, accepted: true },
  { name: "one at the high watermark", given: { sequence: 12 }, accepted: true },
  { name: "none at the low watermark", given: { sequence: 4 }, accepted: false },
  { name: "none above the high watermark", given: { sequence: 13 }, accepted: false },
  { name: "none of a lower view", given: { view: 0, current: 1 }, accepted: false },
  { name: "none of a higher view", given: { view: 4 }, accepted: false },
  { name: "none of a replica that is not the primary of the view", given: { from: 1 }, accepted: false },
];
for (const { name, given, accepted } of preprepares) {
  test(`§4.2: a backup accepts PRE-PREPARE: ${name}`, (t) => {
    const core = afterCheckpoint();
    const { sequence = 5, view = 0, from = 0, current = 0 } = given;
    if (current === 1) core.enterView(1);
    const content = { digest: digestOf("batch"), time: WALL_CLOCK as AgreedTime, bundles: [] };
    core.control(from, { type: "prePrepare", view: view as View, sequence: at(sequence), ...content });
    t.is(core.sent("prepare").length, accepted ? 1 : 0);
    t.is(core.core.inspect().slots.get(at(sequence))?.proposal?.digest, accepted ? digestOf("batch") : undefined);
  });
}

test("§4.2: a backup accepts no PRE-PREPARE for a view and sequence that it accepted one with another digest for", (t) => {
  const core = backup();
  core.propose(1, "first");
  core.propose(1, "second");
  t.is(core.sent("prepare").length, 0);
  t.deepEqual(core.ignored(), ["conflictingProposal"]);
  core.votes("prepare", 1, "second", 1, 2);
  t.is(core.sent("commit").length, 0);
  core.votes("prepare", 1, "first", 1);
  t.is(core.sent("commit")[0]?.message.digest, digestOf("first"));
});

test("§4.2: a backup that accepts PRE-PREPARE sends PREPARE with its view, sequence and digest to all other replicas", (t) => {
  const core = backup();
  core.propose(2, "batch");
  const { to, message } = core.sent("prepare")[0]!;
  t.is(to, replicas(0, 1, 2));
  t.deepEqual(message, { type: "prepare", view: 0 as View, sequence: at(2), digest: digestOf("batch") });
});

const accepts: readonly { name: string; given: { view?: number; sequence?: number }; reason?: string }[] = [
  { name: "of the current view between the watermarks", given: {} },
  { name: "of a lower view: none", given: { view: 0 }, reason: "wrongView" },
  { name: "of a higher view: none", given: { view: 2 }, reason: "wrongView" },
  { name: "at the low watermark: none", given: { sequence: 4 }, reason: "belowWindow" },
  { name: "far above the high watermark: none", given: { sequence: 17 }, reason: "aboveWindow" },
];
for (const phase of ["prepare", "commit"] as const) {
  for (const { name, given, reason } of accepts) {
    test(`§4.2: replicas accept ${phase.toUpperCase()}s ${name}`, (t) => {
      const core = afterCheckpoint();
      core.enterView(1);
      const { view = 1, sequence = 5 } = given;
      core.votesIn(view, phase, sequence, "batch", 0, 2);
      t.deepEqual(core.ignored(), reason === undefined ? [] : [reason]);
      const slot = core.core.inspect().slots.get(at(sequence));
      const votes = phase === "prepare" ? slot?.prepares : slot?.commits;
      t.is(votes?.get(digestOf("batch")), reason === undefined ? replicas(0, 2) : undefined);
    });
  }
}

for (const { name, make } of forms) {
  test(`§4.2: a PREPARE counts only with the signature of its sender (${name} vote table)`, (t) => {
    const table = make();
    table.window(0, 8, 0);
    const digest = voteDigest("A");
    table.prepare(1, { sequence: 1, digest, signedBy: 2 });
    table.prepare(2, { sequence: 1, digest });
    t.deepEqual(table.settle().votes, ["prepare 0/1 A {2}"]);
    table.prepare(1, { sequence: 1, digest });
    t.deepEqual(table.settle().votes, ["prepare 0/1 A {1,2}"]);
  });
}

/** n = 7, f = 2: prepared needs the PRE-PREPARE and 2f = 4 PREPAREs of different backups, ours (6) among them. */
const preparedCases: readonly { name: string; given: (core: Scripted) => void; prepared: boolean }[] = [
  {
    name: "with 2f PREPAREs of different backups",
    given: (core) => core.votes("prepare", 1, "batch", 1, 2, 3),
    prepared: true,
  },
  { name: "not with 2f−1", given: (core) => core.votes("prepare", 1, "batch", 1, 2), prepared: false },
  {
    name: "not with the same PREPAREs many times",
    given: (core) => {
      for (let times = 0; times < 5; times++) core.votes("prepare", 1, "batch", 1, 2);
    },
    prepared: false,
  },
  {
    name: "not with a PREPARE of the primary beside its PRE-PREPARE",
    given: (core) => core.votes("prepare", 1, "batch", 0, 1, 2),
    prepared: false,
  },
  {
    name: "not with PREPAREs of another digest among them",
    given: (core) => {
      core.votes("prepare", 1, "batch", 1, 2);
      core.votes("prepare", 1, "other", 3, 4, 5);
    },
    prepared: false,
  },
  {
    name: "not with PREPAREs for another sequence among them",
    given: (core) => {
      core.votes("prepare", 1, "batch", 1, 2);
      core.votes("prepare", 2, "batch", 3, 4, 5);
    },
    prepared: false,
  },
  {
    name: "not with COMMITs instead",
    given: (core) => core.votes("commit", 1, "batch", 0, 1, 2, 3, 4),
    prepared: false,
  },
];
for (const { name, given, prepared } of preparedCases) {
  test(`§4.2: prepared(m, v, n, i) holds ${name}`, (t) => {
    const core = backup({ n: 7, f: 2, me: 6 as never });
    core.propose(1, "batch");
    given(core);
    t.is(core.core.inspect().slots.get(at(1))?.prepared !== undefined, prepared);
    t.is(core.sent("commit").length, prepared ? 1 : 0);
  });
}

test("§4.2: without the PRE-PREPARE nothing is prepared, however many PREPAREs there are", (t) => {
  const core = backup();
  core.votes("prepare", 1, "batch", 0, 1, 2);
  t.is(core.sent("commit").length, 0);
  core.propose(1, "batch");
  t.is(core.sent("commit").length, 1);
});

test("§4.2: without the request itself nothing is prepared", (t) => {
  const core = backup();
  core.propose(1, "batch", ["a"]);
  core.votes("prepare", 1, "batch", 1, 2);
  t.is(core.sent("commit").length, 0);
  core.request(bundle("a"), 0);
  t.is(core.sent("commit").length, 1);
});

test("§4.2: a primary is prepared with 2f PREPAREs of backups", (t) => {
  const core = primary();
  core.request(bundle("a"));
  core.step({ kind: "assembled", view: 0 as View, sequence: at(1), digest: digestOf("batch") });
  core.votes("prepare", 1, "batch", 1);
  t.is(core.sent("commit").length, 0);
  core.votes("prepare", 1, "batch", 2);
  t.is(core.sent("commit").length, 1);
});

test("§4.2: whoever is prepared sends COMMIT with view, sequence and digest to all other replicas", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "batch", 1);
  const { to, message } = core.sent("commit")[0]!;
  t.is(to, replicas(0, 1, 2));
  t.deepEqual(message, { type: "commit", view: 0 as View, sequence: at(1), digest: digestOf("batch") });
});

const committedCases: readonly { name: string; given: (core: Scripted) => void; committed: boolean }[] = [
  {
    name: "when prepared, with 2f+1 COMMITs of which ours may be one",
    given: (core) => {
      core.votes("prepare", 1, "batch", 1);
      core.votes("commit", 1, "batch", 0, 1);
    },
    committed: true,
  },
  {
    name: "not with 2f",
    given: (core) => {
      core.votes("prepare", 1, "batch", 1);
      core.votes("commit", 1, "batch", 0);
    },
    committed: false,
  },
  {
    name: "not with the same COMMITs many times",
    given: (core) => {
      core.votes("prepare", 1, "batch", 1);
      for (let times = 0; times < 3; times++) core.votes("commit", 1, "batch", 0, 3);
    },
    committed: false,
  },
  {
    name: "not with COMMITs for another digest",
    given: (core) => {
      core.votes("prepare", 1, "batch", 1);
      core.votes("commit", 1, "other", 0, 1, 2);
    },
    committed: false,
  },
  {
    name: "not before prepared",
    given: (core) => core.votes("commit", 1, "batch", 0, 1, 2),
    committed: false,
  },
];
for (const { name, given, committed } of committedCases) {
  test(`§4.2: committed-local(m, v, n, i) holds ${name}`, (t) => {
    const core = backup();
    core.propose(1, "batch");
    given(core);
    t.is(core.of("execute").length, committed ? 1 : 0);
  });
}

test("§4.2: a request is executed when all with lower sequence numbers have been, and answered then", (t) => {
  const core = backup();
  for (const sequence of [3, 2]) {
    core.propose(sequence, `batch ${sequence}`);
    core.votes("prepare", sequence, `batch ${sequence}`, 1, 2);
    core.votes("commit", sequence, `batch ${sequence}`, 1, 2);
    t.is(core.of("execute").length, 0);
  }
  core.propose(1, "batch 1");
  core.votes("prepare", 1, "batch 1", 1, 2);
  core.votes("commit", 1, "batch 1", 1, 2);
  t.deepEqual(
    core.of("execute").map(({ digest }) => digest),
    ["batch 1", "batch 2", "batch 3"].map(digestOf),
  );
  t.is(core.of("reply").length, 0);
  core.executed(2);
  t.deepEqual(
    core.of("reply").map(({ sequence }) => sequence),
    [at(1), at(2)],
  );
});

test("§4.2: replicas do not rely on ordered delivery", (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const prng = new Prng(BigInt(seed));
    const cluster = new Cluster({ pipelineDepth: 4, batchBundlesMax: 1, checkpointInterval: 16, window: 32 });
    const names = ["a", "b", "c", "d", "e", "f", "g"];
    for (const name of names) cluster.request(name);
    cluster.deliver((count) => (count === 0 ? 0 : prng.below(count)));
    for (const { id } of cluster.members) t.deepEqual(cluster.executed(id), cluster.executed(0), `seed ${seed}`);
    t.deepEqual([...cluster.executed(0)].sort(), names, `seed ${seed}`);
  }
});

/** What honest replicas have prepared at sequence 1 of view 0. */
function preparedAtOne(cluster: Cluster): Set<Digest> {
  const records = cluster.honest.flatMap((member) => member.of("persist").map(({ record }) => record));
  const certificates = records.flatMap((record) => (record.type === "prepared" ? [record.certificate] : []));
  return new Set(certificates.filter(({ view, sequence }) => view === 0 && sequence === 1).map(({ digest }) => digest));
}

test("§4.2: whatever a primary and f−1 backups say to whom, no two requests are prepared at one place of one view", (t) => {
  const outcomes = new Set<string>();
  const [a, b] = [batchOf(["a"]), batchOf(["b"])];
  for (let story = 0; story < 3 ** 5; story++) {
    // n = 7: 0 is a primary that says A to some, B to some and nothing to others, and 6 swears to each whatever it was told.
    const cluster = new Cluster({ n: 7, f: 2 });
    cluster.corrupt(0, 6);
    for (const name of ["a", "b"]) cluster.request(name);
    for (const id of [1, 2, 3, 4, 5]) {
      const told = [undefined, a, b][Math.floor(story / 3 ** (id - 1)) % 3];
      if (told === undefined) continue;
      const { digest, time, bundles } = told;
      const place = { view: 0 as View, sequence: at(1), digest };
      cluster.say(0, [id], { type: "prePrepare", ...place, time, bundles });
      cluster.say(6, [id], { type: "prepare", ...place });
      for (const liar of [0, 6]) cluster.say(liar, [id], { type: "commit", ...place });
    }
    cluster.deliver();
    const prepared = preparedAtOne(cluster);
    t.true(prepared.size <= 1, `${story}: ${[...prepared].join(" and ")}`);
    outcomes.add([...prepared][0] ?? "nothing");
  }
  t.deepEqual(outcomes, new Set(["nothing", a.digest, b.digest]));
});
