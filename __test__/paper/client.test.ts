/** OSDI'99 §4.1, the client, and what replicas owe it. */
import test from "ava";
import type { SessionId } from "../../dist/protocol/types.js";
import { ok, Rig, text } from "../client/rig.ts";
import { Cluster, crossing } from "../protocol/cluster-of-cores.ts";
import { backup, bundle, digestOf, replicas } from "../protocol/scripted.ts";
import { Driver, entriesOf } from "../state/driver.ts";

/** A client with an open session and one operation in flight, of client sequence 2. */
function asking(options: { n?: number; f?: number } = {}): { rig: Rig; id: number; result: () => string | undefined } {
  const rig = new Rig(options);
  rig.open();
  const id = rig.submit("operation");
  rig.pass(0);
  const result = (): string | undefined => {
    const end = rig.settled.get(id);
    return end?.kind === "resolve" ? text(end.result) : undefined;
  };
  return { rig, id, result };
}

test("§4.1: a client sends its request to what it believes is the primary", (t) => {
  const { rig } = asking();
  t.deepEqual(
    rig.sends.map(({ to }) => to),
    [replicas(0)],
  );
});

test("§4.1: a client learns the view, and so the primary, from the replies", (t) => {
  const { rig } = asking();
  for (const replica of [1, 2]) rig.reply(replica, 7, [ok(2, "result")], { view: 6 });
  rig.submit("next");
  rig.pass(0);
  t.is(rig.sends.at(-1)?.to, replicas(2));
});

test("§4.1: a client accepts a result from f+1 replicas with the same result, and no fewer", (t) => {
  const { rig, result } = asking();
  rig.reply(3, 7, [ok(2, "lie")]);
  rig.reply(3, 7, [ok(2, "lie")]);
  rig.reply(0, 7, [ok(2, "result")]);
  t.is(result(), undefined);
  rig.reply(1, 7, [ok(2, "result")]);
  t.is(result(), "result");
});

test("§4.1: a client that has no result soon enough sends its request to all replicas", (t) => {
  const { rig } = asking();
  const bytes = rig.payloads.get(rig.sends[0]!.bundle);
  rig.pass(60_000);
  const again = rig.sends.slice(1);
  t.true(again.some(({ to }) => to === replicas(0, 1, 2, 3)));
  t.true(
    again.every(({ bundle: handle }) => rig.payloads.get(handle) === bytes),
    "the same bytes each time",
  );
});

test("§4.1: the primary of view v is replica v mod |R|, and views are numbered consecutively", (t) => {
  const cluster = new Cluster({ n: 5 });
  const proposers: number[] = [];
  for (let view = 0; view <= 6; view++) {
    const fallen = view % 5;
    cluster.run(`in view ${view}`);
    proposers.push(cluster.letters.findLast(({ message }) => message.type === "prePrepare")?.from ?? -1);
    const back = cluster.drop(crossing(fallen));
    cluster.request(`after view ${view}`);
    cluster.pass(20_000);
    back();
    for (const { id } of cluster.members) if (id !== fallen) cluster.connect(fallen, id);
    cluster.pass(20_000);
    t.deepEqual(
      cluster.members.map(({ core }) => core.view().view as number),
      Array.from({ length: 5 }, () => view + 1),
    );
  }
  t.deepEqual(proposers, [0, 1, 2, 3, 4, 0, 1]);
});

test("§4.1: a replica that has executed a request already sends its reply again", (t) => {
  const core = backup();
  core.request(bundle("a"), 0);
  core.propose(1, "batch", ["a"]);
  core.votes("prepare", 1, "batch", 1, 2);
  core.votes("commit", 1, "batch", 1, 2);
  const session = 1 as SessionId;
  const sessions = {
    opened: [{ session, client: bundle("a").client }],
    executed: [{ session, first: 1, last: 1 }],
    acknowledged: [],
    expired: [],
    recovered: [],
  };
  core.step({ kind: "executed", run: 0 as never, through: 1 as never, sessions });
  t.is(core.of("reply")[0]?.sequence as number | undefined, 1);
  core.request(bundle("a"), undefined, true);
  t.is(core.of("answer")[0]?.bundle.digest, digestOf("a"));
  t.is(core.of("forward").length, 0);
});

test("§4.1: a backup that gets a request from a client relays it to the primary", (t) => {
  const cluster = new Cluster();
  cluster.request("a", [2]);
  cluster.pass(200);
  t.deepEqual(
    cluster.members.map(({ id }) => cluster.executed(id)),
    Array.from({ length: 4 }, () => ["a"]),
  );
  t.is(cluster.core(0).view().view as number, 0);
});

test("§4.1: a request is executed once for its timestamp, however often and wherever it is sent", (t) => {
  const cluster = new Cluster();
  cluster.request("a", undefined, { firstSequence: 1 });
  cluster.request("b", undefined, { firstSequence: 2 });
  cluster.deliver();
  cluster.request("a", undefined, { firstSequence: 1 });
  cluster.request("another form of a", [0], { firstSequence: 1 });
  cluster.deliver();
  cluster.run("c");
  t.deepEqual(cluster.executed(1), ["a", "b", "c"]);
});

test("§4.1: the state keeps the reply of the last request of each client, and what was acknowledged is not executed again", (t) => {
  const driver = new Driver();
  const session = driver.open();
  t.deepEqual(entriesOf(driver.run({ session, first: 1, operations: ["x"] })), ["1 ok 1"]);
  t.deepEqual(entriesOf(driver.run({ session, first: 1, operations: ["x"] })), ["1 ok 1"]);
  driver.run({ session, first: 2, acknowledged: 1, operations: ["y"] });
  t.deepEqual(entriesOf(driver.run({ session, first: 1, operations: ["x"] })), ["1 forgotten"]);
  t.is(driver.log(), "x;y;");
});
