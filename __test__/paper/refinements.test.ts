/**
 * The refinements of "Practical Byzantine Fault Tolerance and Proactive Recovery" (TOCS'02) that are used here: batching under a
 * sliding window, separate transmission of requests, digest replies, status messages, and turns for clients.
 */
import test from "ava";
import type { Message } from "../protocol/cluster-of-cores.ts";
import { Cluster, crossing, ofType } from "../protocol/cluster-of-cores.ts";
import { at, backup, bundle, digestOf, primary, replicas, status, type Scripted } from "../protocol/scripted.ts";
import { digestOf as replyDigest, ok, Rig, text } from "../client/rig.ts";
import type { View } from "../../dist/protocol/types.js";

const view = 0 as View;

function decide(core: Scripted, sequence: number, name: string): void {
  core.votes("prepare", sequence, name, 1, 2);
  core.votes("commit", sequence, name, 1, 2);
}

test("TOCS'02, request batching: an idle primary proposes at once, a busy one gathers what comes into one batch", (t) => {
  const core = primary({ pipelineDepth: 1 });
  core.request(bundle("a"));
  t.deepEqual(core.of("assemble")[0]?.bundles, [digestOf("a")]);
  core.step({ kind: "assembled", view, sequence: at(1), digest: digestOf("batch 1") });
  for (const name of ["b", "c", "d"]) {
    core.request(bundle(name));
    t.is(core.of("assemble").length, 0);
  }
  decide(core, 1, "batch 1");
  t.deepEqual(core.of("assemble")[0]?.bundles, ["b", "c", "d"].map(digestOf));
});

test("TOCS'02, request batching: batches end at their bounds in requests and bytes, a single request always fits", (t) => {
  const sizes = (options: { batchBundlesMax?: number; batchBytesMax?: number }, bytes: number): number[] => {
    const core = primary({ pipelineDepth: 1, ...options });
    core.request(bundle("first"));
    core.step({ kind: "assembled", view, sequence: at(1), digest: digestOf("batch 1") });
    for (let i = 0; i < 4; i++) core.request(bundle(`r${i}`, { bytes, client: `client ${i}` }));
    const counts: number[] = [];
    for (let sequence = 1; sequence <= 4; sequence++) {
      decide(core, sequence, `batch ${sequence}`);
      const [assembled] = core.of("assemble");
      if (assembled === undefined) break;
      counts.push(assembled.bundles.length);
      core.step({ kind: "assembled", view, sequence: at(sequence + 1), digest: digestOf(`batch ${sequence + 1}`) });
    }
    return counts;
  };
  t.deepEqual(sizes({ batchBundlesMax: 3 }, 100), [3, 1]);
  t.deepEqual(sizes({ batchBytesMax: 1_000 }, 450), [2, 2]);
  t.deepEqual(sizes({ batchBytesMax: 1_000 }, 5_000), [1, 1, 1, 1]);
});

test("TOCS'02, sliding window: several instances run in parallel, bounded by the window", (t) => {
  const core = primary({ pipelineDepth: 3, batchBundlesMax: 1 });
  for (let i = 0; i < 6; i++) core.request(bundle(`r${i}`, { client: `client ${i}` }));
  t.deepEqual([...core.core.inspect().assembling.keys()], [1, 2, 3].map(at));
  for (const sequence of [1, 2, 3])
    core.step({ kind: "assembled", view, sequence: at(sequence), digest: digestOf(`batch ${sequence}`) });
  decide(core, 2, "batch 2");
  t.is(core.of("assemble").length, 0, "sequence 1 is still under way");
  decide(core, 1, "batch 1");
  t.deepEqual(
    core.of("assemble").map(({ sequence }) => sequence),
    [4, 5].map(at),
  );
});

test("TOCS'02, separate request transmission: proposals name requests by digest, and bodies travel beside them", (t) => {
  const cluster = new Cluster();
  cluster.request("a", [0]);
  cluster.deliver();
  const bodies = cluster.letters.filter(ofType("bundle"));
  t.deepEqual(
    bodies.map(({ from, to }) => [from, to]),
    [1, 2, 3].map((to) => [0, to]),
  );
  t.true(cluster.letters.indexOf(bodies[0]!) < cluster.letters.findIndex(ofType("prePrepare")));
  t.deepEqual(cluster.sentBy(0, "prePrepare")[0]?.bundles as readonly string[] | undefined, ["a"]);
});

test("TOCS'02, separate request transmission: a replica without a body fetches it from whoever has it", (t) => {
  const cluster = new Cluster();
  cluster.drop(({ from, to, message }) => message.type === "bundle" && from === 0 && to === 3);
  cluster.request("a", [0, 1]);
  cluster.pass(1_000);
  t.deepEqual(cluster.executed(3), ["a"]);
  t.true(cluster.letters.some(({ from, to, message }) => message.type === "bundle" && from !== 0 && to === 3));
  t.is(cluster.core(3).view().view, view);
});

test("TOCS'02, digest replies: the whole result from one replica and its digest from others make f+1", (t) => {
  const rig = new Rig();
  rig.open();
  const long = "a long result ".repeat(40);
  const id = rig.submit("operation");
  rig.pass(0);
  rig.reply(1, 7, [replyDigest(2, long)]);
  rig.reply(2, 7, [replyDigest(2, long)]);
  t.is(rig.settled.size, 0, "digests alone are no result");
  rig.reply(3, 7, [ok(2, "a lie")]);
  t.is(rig.settled.size, 0);
  rig.reply(0, 7, [ok(2, long)]);
  const end = rig.settled.get(id);
  t.is(end?.kind === "resolve" ? text(end.result) : undefined, long);
});

/** What is lost on its way to replica 3, while one request is ordered. */
const losses: readonly Message["type"][][] = [
  ["prePrepare"],
  ["prepare"],
  ["commit"],
  ["bundle"],
  ["checkpoint"],
  ["prePrepare", "prepare", "commit", "bundle"],
];
for (const lost of losses) {
  test(`TOCS'02, status messages: ${lost.join(", ")} that a replica has lost are repaired without a view change`, (t) => {
    const cluster = new Cluster({ checkpointInterval: 2, window: 4 });
    const found = cluster.drop(({ to, message }) => to === 3 && lost.includes(message.type));
    cluster.request("a", [0, 1, 2]);
    cluster.request("b", [0, 1, 2]);
    cluster.deliver();
    found();
    cluster.pass(3_000);
    const { low, lastExecuted } = cluster.core(3).inspect();
    t.deepEqual(cluster.executed(3), ["a", "b"]);
    t.deepEqual([low, lastExecuted], [cluster.core(0).inspect().low, at(2)]);
    t.true(cluster.members.every(({ core }) => core.view().view === 0));
  });
}

test("TOCS'02, status messages: lost VIEW-CHANGEs and NEW-VIEWs are sent again", (t) => {
  const cluster = new Cluster();
  cluster.drop(crossing(0));
  const found = cluster.drop(ofType("viewChange", "newView"));
  cluster.request("a", [1, 2, 3]);
  cluster.passTimeout();
  cluster.pass(500);
  t.true(cluster.members.every(({ core }) => core.view().view === 0));
  found();
  cluster.pass(3_000);
  t.true([1, 2, 3].every((id) => cluster.core(id).view().view === 1));
  t.deepEqual(cluster.executed(2), ["a"]);
});

test("TOCS'02, status messages: they are sent while something is missing, ever more slowly, and not at rest", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  const before = cluster.letters.length;
  cluster.pass(60_000);
  t.is(cluster.letters.length, before + 12, "each tells each once how far it went");
  cluster.pass(60_000);
  t.is(cluster.letters.length, before + 12, "at rest nothing is sent");
  const core = backup();
  core.propose(1, "batch");
  const sent: number[] = [];
  while (core.now < 10_000) {
    core.tickAfter(50);
    if (core.sent("status").length > 0) sent.push(core.now);
  }
  const pauses = sent.slice(1).map((time, index) => time - sent[index]!);
  t.deepEqual(pauses, [200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
});

test("TOCS'02, status messages: an answer holds what its asker lacks, and no more", (t) => {
  const core = backup();
  core.propose(1, "batch 1");
  core.votes("prepare", 1, "batch 1", 1);
  core.propose(2, "batch 2");
  const answer = (shown: Parameters<typeof status>[0]): string[] => {
    core.now = (core.now + 100) as typeof core.now;
    core.control(1, status(shown));
    return core.of("send").map(({ message }) => `${message.type} ${"sequence" in message ? message.sequence : ""}`);
  };
  t.deepEqual(answer({}), ["prepare 1", "commit 1", "prepare 2"]);
  t.deepEqual(answer({ proposed: [true, true], prepared: [true, false] }), ["commit 1", "prepare 2"]);
  t.deepEqual(answer({ proposed: [true, true], prepared: [true, true], committed: [true, true] }), []);
});

test("TOCS'02, defenses: clients take turns, so that one who floods does not keep the others waiting", (t) => {
  const core = primary({ pipelineDepth: 1, batchBundlesMax: 2 });
  core.request(bundle("first"));
  core.step({ kind: "assembled", view, sequence: at(1), digest: digestOf("batch 1") });
  for (let i = 0; i < 8; i++) core.request(bundle(`flood ${i}`, { client: "flooder", bytes: 9_000, count: 500 }));
  core.request(bundle("single", { client: "other" }));
  decide(core, 1, "batch 1");
  core.step({ kind: "assembled", view, sequence: at(2), digest: digestOf("batch 2") });
  decide(core, 2, "batch 2");
  const served = [...core.core.inspect().slots.values()].flatMap(({ proposal }) => proposal?.bundles ?? []);
  const next = core.of("assemble").flatMap(({ bundles }) => bundles);
  t.true([...served, ...next].includes(digestOf("single")));
});

test("TOCS'02, request forwarding: a client that reaches backups alone is served, and no primary is blamed", (t) => {
  const cluster = new Cluster();
  for (let i = 0; i < 10; i++) {
    cluster.request(`request ${i}`, [1 + (i % 3)]);
    cluster.pass(500);
  }
  t.is(cluster.executed(0).length, 10);
  t.true(cluster.members.every(({ core }) => core.view().view === 0));
  t.deepEqual(cluster.member(1).of("forward")[0]?.to, replicas(0));
});
