/** OSDI'99 §4.4, view changes, second part: what a backup requires of NEW-VIEW, and what follows from it. */
import test from "ava";
import type { NewView } from "../../dist/protocol/messages.js";
import { NULL_BATCH } from "../../dist/protocol/new-view.js";
import type { Sequence, View } from "../../dist/protocol/types.js";
import { batchOf, Cluster, crossing, ofType } from "../protocol/cluster-of-cores.ts";
import {
  at,
  backup,
  certificate,
  digestOf,
  expired,
  newView,
  viewChange,
  type Scripted,
} from "../protocol/scripted.ts";

const TIMEOUT_MS = 5_000;

/** Replica 3 holds these VIEW-CHANGEs for view 1 of 0, 1 and 2: "a" prepared at 1, nothing at 2, "c" of views 0 at 3. */
function holding(): Scripted {
  const core = backup();
  for (const [sequence, name] of [
    [1, "a"],
    [3, "c"],
  ] as const)
    core.propose(sequence, name);
  expired(core);
  core.sealed(1, "ours");
  core.control(0, viewChange(1, "of 0", { prepared: [certificate(1, "a")] }));
  core.control(1, viewChange(1, "of 1", { prepared: [certificate(3, "c")] }));
  core.control(2, viewChange(1, "of 2"));
  return core;
}

const V = { 0: "of 0", 1: "of 1", 2: "of 2" };
const O = ["a", NULL_BATCH, "c"];
const newViews: readonly { name: string; given: NewView; from?: number; accepted: boolean }[] = [
  { name: "whose O is the one that follows from V", given: newView(1, V, O), accepted: true },
  {
    name: "in other words: whose V names three others",
    given: newView(1, { 0: "of 0", 1: "of 1", 3: "ours" }, O),
    accepted: true,
  },
  { name: "not one that leaves out a batch of O", given: newView(1, V, ["a", NULL_BATCH]), accepted: false },
  { name: "not one that leaves out all of O", given: newView(1, V, []), accepted: false },
  { name: "not one in another order", given: newView(1, V, ["c", NULL_BATCH, "a"]), accepted: false },
  {
    name: "not one with a null request over a prepared one",
    given: newView(1, V, [NULL_BATCH, NULL_BATCH, "c"]),
    accepted: false,
  },
  { name: "not one with a request in place of a null one", given: newView(1, V, ["a", "b", "c"]), accepted: false },
  { name: "not one with another batch", given: newView(1, V, ["x", NULL_BATCH, "c"]), accepted: false },
  { name: "not one with more than max-s", given: newView(1, V, [...O, "d"]), accepted: false },
  { name: "not one that begins elsewhere", given: newView(1, V, O, 2), accepted: false },
  {
    name: "not one of a replica that is not the primary of its view",
    given: newView(1, V, O),
    from: 2,
    accepted: false,
  },
  {
    name: "not one with fewer than 2f+1 VIEW-CHANGEs",
    given: newView(1, { 0: "of 0", 1: "of 1" }, O),
    accepted: false,
  },
  {
    name: "not one that names a sender twice instead of a third",
    given: {
      ...newView(1, V, O),
      viewChanges: [...newView(1, { 0: "of 0", 1: "of 1" }).viewChanges, newView(1, { 1: "of 1" }).viewChanges[0]!],
    },
    accepted: false,
  },
];
for (const { name, given, from = 1, accepted } of newViews) {
  test(`§4.4: a backup accepts NEW-VIEW: ${name}`, (t) => {
    const core = holding();
    core.control(from, given);
    t.is(core.of("viewChanged").length, accepted ? 1 : 0);
    t.is(core.core.inspect().view, (accepted ? 1 : 0) as View);
    if (accepted) return;
    core.control(1, newView(1, V, O));
    t.is(core.core.inspect().view, 1 as View, "a wrong one does not stand in the way of the right one");
  });
}

test("§4.4: a backup does not take one replica's VIEW-CHANGE for another's, whoever names it so", (t) => {
  const core = holding();
  core.control(1, newView(1, { 0: "of 0", 1: "of 2", 3: "ours" }, ["a"]));
  core.pass(100);
  t.is(core.of("fetch")[0]?.digest, digestOf("of 2"), "a VIEW-CHANGE of 1 with that digest would be taken");
  core.control(2, viewChange(1, "of 2"));
  t.deepEqual(core.ignored(), ["invalidNewView"]);
  t.is(core.core.inspect().view, 0 as View);
});

test("§4.4: a VIEW-CHANGE for another view does not count in V, whoever names it", (t) => {
  const core = expired();
  core.sealed(1, "ours");
  core.control(0, viewChange(2, "of 0 for view 2"));
  core.control(2, viewChange(1, "of 2"));
  core.control(1, newView(1, { 0: "of 0 for view 2", 2: "of 2", 3: "ours" }));
  t.is(core.of("viewChanged").length, 0);
  t.true(core.ignored().includes("invalidNewView"));
});

test("§4.4: a backup that accepts NEW-VIEW sends PREPARE for each batch of O and is in the new view", (t) => {
  const core = holding();
  core.control(1, newView(1, V, O));
  t.deepEqual(
    core.sent("prepare").map(({ message }) => message),
    [
      { type: "prepare", view: 1 as View, sequence: at(1), digest: digestOf("a") },
      { type: "prepare", view: 1 as View, sequence: at(2), digest: NULL_BATCH.digest },
      { type: "prepare", view: 1 as View, sequence: at(3), digest: digestOf("c") },
    ],
  );
  core.propose(4, "d", [], { view: 1 });
  t.is(core.sent("prepare")[0]?.message.sequence, at(4), "the normal case goes on above max-s");
});

test("§4.4: replicas redo the protocol between min-s and max-s and execute nothing again", (t) => {
  const cluster = new Cluster();
  cluster.run("a", "b");
  const lost = cluster.drop(({ to, message }) => message.type === "commit" && to !== 3);
  cluster.run("c");
  t.deepEqual(
    cluster.members.map(({ id }) => cluster.executed(id).join("")),
    ["ab", "ab", "ab", "abc"],
  );
  lost();
  cluster.drop(crossing(0));
  cluster.request("d", [1, 2, 3]);
  cluster.pass(2 * TIMEOUT_MS);
  for (const id of [1, 2, 3]) {
    t.deepEqual(cluster.executed(id), ["a", "b", "c", "d"]);
    t.deepEqual(
      cluster
        .member(id)
        .of("execute")
        .map(({ sequence }) => sequence),
      [1, 2, 3, 4].map(at),
      "each sequence was executed once",
    );
  }
  const redone = cluster.letters
    .filter(ofType("prepare"))
    .map(({ message }) => message as { view: View; sequence: Sequence });
  t.deepEqual(
    [...new Set(redone.filter(({ view }) => view === 1).map(({ sequence }) => sequence))].sort(),
    [1, 2, 3, 4].map(at),
  );
});

test("§4.4: what one replica executed keeps its sequence in the next view, although the old primary would have it otherwise", (t) => {
  const cluster = new Cluster();
  // Only replica 3 hears enough COMMITs; then it falls silent together with nobody else, and the primary lies.
  cluster.drop(({ to, message }) => message.type === "commit" && to !== 3);
  cluster.run("a");
  t.deepEqual(cluster.executed(3), ["a"]);
  cluster.corrupt(0);
  cluster.drop(crossing(3));
  cluster.say(0, [1, 2], viewChange(1, "I prepared nothing"));
  cluster.request("b", [1, 2]);
  cluster.pass(2 * TIMEOUT_MS);
  const { batches, viewChanges } = cluster.sentBy(1, "newView")[0]!;
  t.true(viewChanges.some(({ from }) => from === 0));
  t.is(batches[0], batchOf(["a"]).digest);
});

test("§4.4: a replica that misses a request named by O gets it from another, and votes then", (t) => {
  const cluster = new Cluster();
  const away = cluster.drop(crossing(3));
  cluster.drop(ofType("commit"));
  cluster.request("a", [0, 1, 2]);
  cluster.deliver();
  away();
  cluster.drop(crossing(0));
  cluster.connect(1, 3);
  cluster.connect(2, 3);
  cluster.pass(1.5 * TIMEOUT_MS);
  t.is(cluster.core(3).view().view, 1 as View);
  t.true(cluster.sentBy(3, "prepare").some(({ view, digest }) => view === 1 && digest === batchOf(["a"]).digest));
  t.true(cluster.sentBy(3, "fetch").some(({ kind }) => kind === "bundle" || kind === "batch"));
});

test("§4.4: a replica that misses the stable checkpoint of the new view gets it from another", (t) => {
  const cluster = new Cluster({ historyBytesMax: 0 });
  const away = cluster.drop(crossing(3));
  for (let i = 1; i <= 30; i++) cluster.run(`request ${i}`);
  away();
  cluster.drop(crossing(0));
  cluster.request("last");
  cluster.pass(4 * TIMEOUT_MS);
  t.true(cluster.core(3).view().view >= 1);
  t.true(cluster.member(3).of("install").length > 0);
  t.deepEqual(cluster.executed(3), cluster.executed(1));
  t.is(cluster.executed(3).length, 31);
});
