/** OSDI'99 §4.5, liveness: when replicas start view changes, and when they do not. */
import test from "ava";
import type { ReplicaId, View } from "../../dist/protocol/types.js";
import { Cluster, crossing, ofType } from "../protocol/cluster-of-cores.ts";
import { backup, bundle, certificate, newView, viewChange } from "../protocol/scripted.ts";

const TIMEOUT_MS = 5_000;
const waiting = bundle("waiting", { client: "impatient" });

test("§4.5: a backup that waits for a request to be executed starts a view change after the timeout", (t) => {
  const core = backup();
  core.request(waiting);
  t.is(core.timesOutAfter(), TIMEOUT_MS);
});

test("§4.5: a backup that waits for nothing starts no view change", (t) => {
  t.is(backup().timesOutAfter(), undefined);
});

test("§4.5: the timer stops when the request is executed, and starts again if another is waited for", (t) => {
  const core = backup();
  core.request(waiting);
  core.pass(3_000);
  core.request(bundle("next", { client: "impatient", firstSequence: 2 }));
  core.propose(1, "batch", ["waiting"]);
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 1, 2);
  core.executed(1);
  t.is(core.timesOutAfter(), TIMEOUT_MS, "counted from the execution of the first");
  const satisfied = backup();
  satisfied.request(waiting);
  satisfied.propose(1, "batch", ["waiting"]);
  satisfied.votes("prepare", 1, "batch", 1, 2);
  satisfied.votes("commit", 1, "batch", 1, 2);
  satisfied.executed(1);
  t.is(satisfied.timesOutAfter(), undefined);
});

test("§4.5: who asks for v+1 waits for 2f+1 VIEW-CHANGEs before its timer starts", (t) => {
  const core = backup();
  core.request(waiting);
  core.timesOut();
  core.sealed(1, "ours for 1");
  core.control(0, viewChange(1, "0 for 1"));
  t.is(core.timesOutAfter(), undefined, "2f are too few");
  core.control(2, viewChange(1, "2 for 1"));
  t.is(core.timesOutAfter(), TIMEOUT_MS);
});

test("§4.5: the timeout doubles with every view whose NEW-VIEW does not come", (t) => {
  const core = backup({ n: 7, f: 2, me: 6 as ReplicaId });
  core.request(waiting);
  const pauses: (number | undefined)[] = [core.timesOutAfter()];
  for (const from of [1, 2]) core.complain(from);
  for (let target = 1; target <= 4; target++) {
    core.sealed(target, `ours for ${target}`);
    for (const from of [0, 1, 2, 3]) core.control(from, viewChange(target, `${from} for ${target}`));
    pauses.push(core.timesOutAfter());
  }
  t.deepEqual(
    pauses,
    [1, 1, 2, 4, 8].map((times) => times * TIMEOUT_MS),
  );
});

test("§4.5: a new view in which nothing is executed ends like one whose NEW-VIEW does not come, and the next gets twice the time", (t) => {
  const core = backup();
  core.request(waiting);
  core.pass(TIMEOUT_MS);
  core.enterView(1);
  t.is(core.timesOutAfter(), TIMEOUT_MS);
  core.complain(2);
  core.sealed(2, "ours for 2");
  for (const from of [0, 1]) core.control(from, viewChange(2, `${from} for 2`));
  t.is(core.timesOutAfter(), 2 * TIMEOUT_MS);
});

test("§4.5: after views that brought nothing, progress brings the timeout down again", (t) => {
  const cluster = new Cluster({ n: 7, f: 2 });
  const away = cluster.drop(crossing(0, 1));
  cluster.request("a");
  cluster.passTimeout();
  cluster.drop(ofType("complaint"));
  cluster.pass(2.1 * TIMEOUT_MS);
  t.is(cluster.core(3).view().view, 2 as View);
  const raised = cluster.core(3).inspect().suspicion.attempts;
  t.true(raised > 0);
  away();
  for (let i = 0; i < 20; i++) {
    cluster.request(`request ${i}`);
    cluster.pass(TIMEOUT_MS);
  }
  t.is(cluster.core(3).inspect().suspicion.attempts, 0);
});

test("§4.5: f+1 VIEW-CHANGEs of others for higher views are joined at the smallest of them, although no timer ran out", (t) => {
  const core = backup();
  core.control(0, viewChange(5, "0 for 5"));
  t.is(core.of("viewLeft").length, 0);
  core.control(2, viewChange(3, "2 for 3"));
  t.like(core.of("viewLeft")[0], { target: 3 as View, cause: "joined" });
});

test("§4.5: f+1 VIEW-CHANGEs are joined by a replica that waits for a lower view, too", (t) => {
  const core = backup();
  core.request(waiting);
  core.timesOut();
  core.sealed(1, "ours for 1");
  core.control(0, viewChange(2, "0 for 2"));
  core.control(1, viewChange(4, "1 for 4"));
  t.deepEqual(
    core.of("viewLeft").map(({ target }) => target as number),
    [2],
  );
});

test("§4.5: VIEW-CHANGEs for the current view or below move nobody", (t) => {
  const core = backup();
  core.enterView(4, [certificate(1, "batch")]);
  for (const from of [0, 1, 2]) core.control(from, viewChange(4, `${from} again for 4`));
  for (const from of [0, 1, 2]) core.control(from, viewChange(2, `${from} for 2`));
  t.is(core.core.inspect().pending, undefined);
  t.is(core.timesOutAfter(), undefined);
});

test("§4.5: f replicas that ask for view after view force none", (t) => {
  const cluster = new Cluster({ n: 7, f: 2 });
  cluster.corrupt(5, 6);
  for (let target = 1; target <= 30; target++) {
    for (const liar of [5, 6])
      cluster.say(liar, [0, 1, 2, 3, 4], viewChange(target * liar, `${liar} for ${target * liar}`));
    cluster.run(`request ${target}`);
    cluster.pass(500);
  }
  for (const { core, id } of cluster.honest) {
    t.is(core.view().view, 0 as View);
    t.is(cluster.executed(id).length, 30);
  }
});

test("§4.5: a primary is faulty for at most f views in a row: after f silent ones requests are executed", (t) => {
  const cluster = new Cluster({ n: 7, f: 2 });
  cluster.drop(crossing(0, 1));
  cluster.request("a");
  cluster.passTimeout();
  cluster.pass(TIMEOUT_MS + 500);
  for (const id of [2, 3, 4, 5, 6]) {
    t.is(cluster.core(id).view().view, 2 as View);
    t.deepEqual(cluster.executed(id), ["a"]);
  }
});

test("§4.5: a primary that sends a wrong NEW-VIEW is left like one that sends none", (t) => {
  const cluster = new Cluster();
  cluster.run("a");
  cluster.corrupt(1);
  const away = cluster.drop(crossing(0));
  cluster.request("b", [2, 3]);
  cluster.passTimeout();
  away();
  cluster.say(1, [0, 2, 3], viewChange(1, "1 for 1"));
  const named: Record<number, string> = {};
  const asked = [2, 3].map((from) => [from, cluster.sentBy(from, "viewChange")[0]!.digest] as const);
  for (const [from, digest] of asked) named[from] = digest;
  cluster.say(1, [0, 2, 3], newView(1, { ...named, 1: "1 for 1" }, []));
  cluster.pass(4 * TIMEOUT_MS);
  for (const id of [0, 2, 3]) {
    t.is(cluster.core(id).view().view, 2 as View);
    t.deepEqual(cluster.executed(id), ["a", "b"]);
  }
});
