import test from "ava";
import type { AgreedTime, Digest, Lsn, View } from "../../dist/protocol/types.js";
import { at, backup, bundle, digestOf, primary, replicas, stableByOthers, WALL_CLOCK } from "./scripted.js";

const view = 0 as View;

test("an idle primary proposes a request at once and sends its body before the proposal", (t) => {
  const core = primary();
  core.request(bundle("a"));
  const [assemble] = core.of("assemble");
  t.deepEqual(assemble?.bundles, [digestOf("a")]);
  core.step({ kind: "assembled", view, sequence: at(1), digest: digestOf("batch") });
  t.deepEqual(
    core.actions.map((action) => (action.kind === "send" ? action.message.type : action.kind)),
    ["forward", "prePrepare"],
  );
  t.is(core.sent("prePrepare")[0]?.to, replicas(1, 2, 3));
});

test("requests that arrive while the pipeline is full share the next batch", (t) => {
  const core = primary({ pipelineDepth: 1 });
  core.request(bundle("a"));
  core.step({ kind: "assembled", view, sequence: at(1), digest: digestOf("one") });
  for (const name of ["b", "c", "d"])
    t.is(core.request(bundle(name)).filter(({ kind }) => kind === "assemble").length, 0);
  core.votes("prepare", 1, "one", 1, 2);
  core.votes("commit", 1, "one", 1, 2);
  t.deepEqual(core.of("assemble")[0]?.bundles, ["b", "c", "d"].map(digestOf));
});

test("the more instances are under way, the more must wait for another: many small batches would cost what few cost", (t) => {
  const core = primary({ pipelineDepth: 8, batchBytesMax: 1000 });
  const taken = (name: string, bytes = 100): number | undefined => {
    core.request(bundle(name, { bytes }));
    const bundles = core.of("assemble")[0]?.bundles;
    if (bundles !== undefined) core.step({ kind: "assembled", view, sequence: at(++sequence), digest: digestOf(name) });
    return bundles?.length;
  };
  let sequence = 0;
  const small = Array.from({ length: 7 }, (_, i) => taken(`small ${i}`));
  t.deepEqual(
    small,
    [1, 1, undefined, 2, undefined, undefined, 3],
    "one under way needs one, two need two, three three",
  );
  t.is(taken("as large as a batch", 1000), 1, "a whole batch needs nothing else");
});

test("a bundle that is small among those of others gets no instance of its own while one is under way", (t) => {
  const core = primary({ pipelineDepth: 8 });
  const taken = (name: string, bytes: number): readonly Digest[] | undefined => {
    core.request(bundle(name, { bytes }));
    const bundles = core.of("assemble")[0]?.bundles;
    if (bundles !== undefined) core.step({ kind: "assembled", view, sequence: at(++sequence), digest: digestOf(name) });
    return bundles;
  };
  let sequence = 0;
  t.deepEqual(taken("small 1", 100), [digestOf("small 1")], "with none under way anything goes at once");
  t.deepEqual(taken("small 2", 100), [digestOf("small 2")], "among small ones it is none");
  t.deepEqual(taken("large 1", 4000), undefined, "two under way need two");
  t.deepEqual(taken("large 2", 4000), ["large 1", "large 2"].map(digestOf));
  for (const name of ["large 3", "large 4"]) t.is(taken(name, 1024), undefined);
  t.is(taken("small 3", 100), undefined, "three under way need three, and this is none");
  t.deepEqual(taken("large 5", 1024), ["large 3", "large 4", "small 3", "large 5"].map(digestOf), "it rides along");
});

test("clients take turns: a flood of one does not delay the other's first request", (t) => {
  const core = primary({ pipelineDepth: 1, batchBundlesMax: 2 });
  core.request(bundle("first"));
  core.step({ kind: "assembled", view, sequence: at(1), digest: digestOf("one") });
  for (const i of [1, 2, 3, 4, 5, 6])
    core.request(bundle(`flood ${i}`, { client: digestOf("flooder") as string, bytes: 40_000 / 8 }));
  for (let i = 0; i < 20; i++) core.request(bundle(`big ${i}`, { client: digestOf("flooder") as string, bytes: 900 }));
  core.request(bundle("other", { client: digestOf("other") as string }));
  const seen: Digest[] = [];
  for (let sequence = 1; sequence <= 8 && !seen.includes(digestOf("other")); sequence++) {
    const name = sequence === 1 ? "one" : `batch ${sequence}`;
    core.votes("prepare", sequence, name, 1, 2);
    core.votes("commit", sequence, name, 1, 2);
    const assembled = core.of("assemble")[0];
    seen.push(...(assembled?.bundles ?? []));
    core.step({ kind: "assembled", view, sequence: at(sequence + 1), digest: digestOf(`batch ${sequence + 1}`) });
  }
  t.true(seen.includes(digestOf("other")));
  t.true(seen.length < 26, "the flood had not been served completely before the other client's turn");
});

test("a backup sends PREPARE only when every named body is held", (t) => {
  const core = backup();
  core.propose(1, "batch", ["a", "b"]);
  t.deepEqual(core.of("pin")[0]?.bundles, [digestOf("a"), digestOf("b")]);
  t.is(core.sent("prepare").length, 0);
  core.request(bundle("a"), 0);
  t.is(core.sent("prepare").length, 0);
  core.request(bundle("b"), 0);
  t.is(core.sent("prepare").length, 1);
});

test("a missing body is fetched from the primary first and then from everyone", (t) => {
  const core = backup();
  core.propose(1, "batch", ["a"]);
  core.tickAfter(40);
  t.is(core.of("fetch")[0]?.from, replicas(0));
  core.tickAfter(80);
  t.is(core.of("fetch")[0]?.from, replicas(0, 1, 2));
  core.request(bundle("a"), 1);
  core.tickAfter(10_000);
  t.is(core.of("fetch").length, 0);
});

test("the primary's PRE-PREPARE is its PREPARE: prepared needs Q with it, and COMMIT follows once", (t) => {
  const core = backup();
  core.propose(1, "batch");
  t.is(core.sent("prepare").length, 1);
  t.is(core.sent("commit").length, 0);
  core.votes("prepare", 1, "batch", 1);
  t.is(core.sent("commit").length, 1);
  core.votes("prepare", 1, "batch", 1, 2);
  t.is(core.sent("commit").length, 0);
});

test("own vote and the primary's are not enough to be prepared", (t) => {
  const core = backup();
  core.propose(1, "batch");
  t.is(core.sent("commit").length, 0);
  core.votes("prepare", 1, "batch", 0, 3);
  t.is(core.sent("commit").length, 0, "the primary and ourselves counted once, whoever reports them");
});

test("COMMIT rests on the record of its certificate, PREPARE on a lease", (t) => {
  const core = backup();
  core.propose(1, "batch");
  t.is(core.sent("prepare")[0]?.after, 1 as Lsn);
  core.votes("prepare", 1, "batch", 1);
  const [record] = core.of("persist");
  t.is(record?.record.type, "prepared");
  t.is(core.sent("commit")[0]?.after, record?.lsn);
  t.true(core.actions.indexOf(record!) < core.actions.indexOf(core.sent("commit")[0]!));
});

test("votes for another digest count nothing", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "other", 1, 2);
  t.is(core.sent("commit").length, 0);
  core.votes("prepare", 1, "batch", 1);
  core.votes("commit", 1, "other", 0, 1, 2);
  t.is(core.of("execute").length, 0);
});

test("a commit certificate needs Q with our own COMMIT", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.votes("prepare", 1, "batch", 1);
  core.votes("commit", 1, "batch", 1);
  t.is(core.of("execute").length, 0);
  core.votes("commit", 1, "batch", 1, 2);
  t.is(core.of("execute").length, 1);
});

test("COMMITs before PREPAREs before the PRE-PREPARE end in the same execution", (t) => {
  const core = backup();
  core.votes("commit", 1, "batch", 0, 1, 2);
  core.votes("prepare", 1, "batch", 1, 2);
  t.is(core.of("execute").length, 0);
  core.propose(1, "batch");
  t.is(core.of("execute")[0]?.digest, digestOf("batch"));
});

test("decisions out of order are executed in order", (t) => {
  const core = backup();
  for (const sequence of [2, 1]) {
    core.propose(sequence, `batch ${sequence}`);
    core.votes("prepare", sequence, `batch ${sequence}`, 1, 2);
    core.votes("commit", sequence, `batch ${sequence}`, 1, 2);
  }
  t.deepEqual(
    core.of("execute").map(({ sequence }) => sequence),
    [at(1), at(2)],
  );
});

test("execution that hangs is given no more than a window ahead, whatever others make stable meanwhile", (t) => {
  const core = backup();
  const executing = (sequence: number): number[] => {
    const batch = `batch ${sequence}`;
    core.propose(sequence, batch);
    core.votes("prepare", sequence, batch, 1, 2);
    core.votes("commit", sequence, batch, 1, 2);
    return core.of("execute").map((action) => action.sequence);
  };
  const window = core.core.windowSize;
  for (let sequence = 1; sequence <= window; sequence++) t.deepEqual(executing(sequence), [sequence]);
  stableByOthers(core, 4, "root");
  t.deepEqual(executing(window + 1), []);
  core.executed(1);
  t.deepEqual(
    core.of("execute").map(({ sequence }) => sequence),
    [at(window + 1)],
  );
});

test("a backup ignores a second pre-prepare for the same view and sequence", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.propose(1, "batch");
  t.deepEqual(core.ignored(), ["alreadyProposed"]);
  core.propose(1, "other");
  t.deepEqual(core.ignored(), ["conflictingProposal"]);
  core.votes("prepare", 1, "batch", 1);
  t.is(core.sent("commit")[0]?.message.type, "commit");
});

const refusals = [
  { name: "from a replica that is not primary", view: 0, from: 1, sequence: 1, reason: "notPrimary" },
  { name: "of another view", view: 4, from: 0, sequence: 1, reason: "wrongView" },
  { name: "at the low watermark", view: 0, from: 0, sequence: 0, reason: "belowWindow" },
  { name: "far above the high watermark", view: 0, from: 0, sequence: 13, reason: "aboveWindow" },
];
for (const { name, view: proposedIn, from, sequence, reason } of refusals) {
  test(`a pre-prepare ${name} is ignored as ${reason}`, (t) => {
    const core = backup();
    core.control(from, {
      type: "prePrepare",
      view: proposedIn as View,
      sequence: at(sequence),
      digest: digestOf("batch"),
      time: WALL_CLOCK as AgreedTime,
      bundles: [],
    });
    t.deepEqual(core.ignored(), [reason]);
    t.is(core.of("send").length, 0);
  });
}

test("batches beyond the bounds and with a bundle twice get no vote", (t) => {
  const core = backup();
  core.propose(
    1,
    "many",
    Array.from({ length: 9 }, (_, i) => `b${i}`),
  );
  t.deepEqual(core.ignored(), ["batchTooLarge"]);
  core.propose(1, "twice", ["a", "a"]);
  t.deepEqual(core.ignored(), ["repeatedBundle"]);
  core.request(bundle("x", { bytes: 6_000 }), 0);
  core.request(bundle("y", { bytes: 6_000, firstSequence: 2 }), 0);
  core.propose(1, "heavy", ["x", "y"]);
  t.deepEqual(core.ignored(), ["batchTooLarge"]);
  t.is(core.sent("prepare").length, 0);
});

test("a proposal whose time is off gets our vote only when f+1 replicas vouch for it", (t) => {
  const core = backup();
  core.propose(1, "batch", [], { time: WALL_CLOCK + 5_000 });
  t.deepEqual(core.ignored(), ["badTime"]);
  t.is(core.sent("prepare").length, 0);
  core.votes("prepare", 1, "batch", 1);
  t.is(core.sent("prepare").length, 1);
});

test("a pre-prepare slightly above the high watermark waits for the window to move", (t) => {
  const core = backup();
  core.propose(9, "early");
  t.is(core.sent("prepare").length, 0);
  for (const sequence of [1, 2, 3, 4]) core.commitBatch(sequence, `batch ${sequence}`);
  for (const from of [0, 1, 2]) core.control(from, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  t.is(core.sent("prepare")[0]?.message.sequence, at(9));
});

test("a primary stops at the high watermark and goes on when the window moves", (t) => {
  const core = primary({ pipelineDepth: 8 });
  for (let i = 1; i <= 10; i++) {
    core.request(bundle(`request ${i}`, { firstSequence: i }));
    if (i <= 8) {
      core.step({ kind: "assembled", view, sequence: at(i), digest: digestOf(`batch ${i}`) });
      core.votes("prepare", i, `batch ${i}`, 1, 2);
      core.votes("commit", i, `batch ${i}`, 1, 2);
      core.executed(i);
    } else t.is(core.of("assemble").length, 0, `request ${i} waits`);
  }
  for (const from of [1, 2, 3]) core.control(from, { type: "checkpoint", sequence: at(4), digest: digestOf("root") });
  t.deepEqual(core.of("assemble")[0]?.bundles, [digestOf("request 9"), digestOf("request 10")]);
});
