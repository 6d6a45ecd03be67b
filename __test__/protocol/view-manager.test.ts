import test from "ava";
import type { ViewChange } from "../../dist/protocol/messages.js";
import { newViewName, NULL_BATCH } from "../../dist/protocol/new-view.js";
import type { AgreedTime, Digest, ReplicaId, View } from "../../dist/protocol/types.js";
import {
  at,
  backup,
  bundle,
  certificate,
  digestOf,
  newView,
  primary,
  replicas,
  stable,
  stableByOthers,
  status,
  viewChange,
  WALL_CLOCK,
  Scripted,
} from "./scripted.ts";

const waiting = bundle("waiting", { client: "impatient" });

/** Replica 3 has left view 0 by its timer, and its VIEW-CHANGE has the digest "ours". */
function left(options = {}): Scripted {
  const core = backup(options);
  core.request(waiting);
  core.timesOut();
  core.sealed(1, "ours");
  return core;
}

function forgotten(core: Scripted, what: "viewChange" | "newView"): Digest[] {
  return core.of("forget").flatMap((action) => (action.what === what ? [...action.digests] : []));
}

test("leaving a view is sealed, recorded and then sent, once", (t) => {
  const core = backup();
  core.request(waiting);
  core.timesOut();
  t.is(core.of("seal").length, 1);
  t.is(core.sent("viewChange").length, 0, "not before it has its bytes");
  core.sealed(1, "ours");
  const [record] = core.of("persist");
  t.deepEqual(record?.record, { type: "viewLeft", target: 1 as View, cause: "timeout", message: digestOf("ours") });
  t.deepEqual(core.sent("viewChange")[0], {
    kind: "send",
    to: replicas(0, 1, 2),
    message: viewChange(1, "ours"),
    after: record!.lsn,
  });
  core.sealed(1, "sealed twice");
  t.is(core.of("send").length, 0);
  t.deepEqual(forgotten(core, "viewChange"), [digestOf("sealed twice")]);
});

test("the window names the view that is left and the one that is asked for", (t) => {
  const core = backup();
  core.request(waiting);
  core.timesOut();
  t.deepEqual(core.of("window"), [{ kind: "window", low: at(0), high: at(12), view: 0 as View, pending: 1 as View }]);
});

test("a VIEW-CHANGE is sent again in the same bytes: to who comes, to who shows that it lacks it, and while the view waits", (t) => {
  const core = left();
  core.step({ kind: "link", peer: 2 as ReplicaId, up: true });
  t.deepEqual(
    core.sent("viewChange").map(({ to, message }) => [to, message.digest]),
    [[replicas(2), digestOf("ours")]],
  );
  core.control(1, status({ mode: "viewChange", view: 1, viewChanges: replicas(1) }));
  t.deepEqual(
    core.sent("viewChange").map(({ to, message }) => [to, message.digest]),
    [[replicas(1), digestOf("ours")]],
  );
  core.pass(1_000);
  t.true(core.sent("viewChange").every(({ message }) => message.digest === digestOf("ours")));
  t.true(core.sent("viewChange").length > 0);
});

test("a VIEW-CHANGE is not sent again to who shows that it has it", (t) => {
  const core = left();
  for (const from of [0, 1, 2])
    core.control(from, status({ mode: "viewChange", view: 1, viewChanges: replicas(3, from) }));
  core.pass(2_000);
  t.is(core.sent("viewChange").length, 0);
  t.true(core.sent("status").length > 0);
  t.is(core.sent("status")[0]?.message.viewChanges, replicas(3));
});

const unsound: readonly { name: string; fields: Partial<ViewChange> }[] = [
  { name: "for view 0", fields: { target: 0 as View } },
  { name: "with a certificate of its own target view", fields: { prepared: [certificate(1, "a", { view: 1 })] } },
  { name: "with too few signers", fields: { prepared: [certificate(1, "a", { signers: [0, 1] })] } },
  { name: "without the primary's signature", fields: { prepared: [certificate(1, "a", { signers: [1, 2, 3] })] } },
  {
    name: "at or below its own stable checkpoint",
    fields: { stable: stable(4, "root"), prepared: [certificate(4, "a")] },
  },
  { name: "above its window", fields: { prepared: [certificate(9, "a")] } },
  { name: "with two certificates for one sequence", fields: { prepared: [certificate(1, "a"), certificate(1, "b")] } },
  { name: "out of order", fields: { prepared: [certificate(2, "b"), certificate(1, "a")] } },
  { name: "with a checkpoint of too few", fields: { stable: stable(4, "root", [0, 1]) } },
  { name: "with a checkpoint between intervals", fields: { stable: stable(5, "root") } },
  { name: "with a prepared certificate for its checkpoint", fields: { stable: certificate(4, "root") } },
  { name: "with a checkpoint certificate for a batch", fields: { prepared: [{ ...stable(1, "a") }] } },
];
for (const { name, fields } of unsound) {
  test(`a VIEW-CHANGE ${name} counts for nothing and is let go of, and the others count`, (t) => {
    const core = backup();
    core.control(0, { ...viewChange(1, "false"), ...fields });
    t.deepEqual(core.ignored(), ["invalidViewChange"]);
    t.deepEqual(forgotten(core, "viewChange"), [digestOf("false")]);
    core.control(1, viewChange(1, "sound"));
    t.is(core.of("viewLeft").length, 0, "one sound VIEW-CHANGE moves nobody");
    core.control(2, viewChange(1, "sound too"));
    t.is(core.of("viewLeft").length, 1);
  });
}

test("what is decided below a stable checkpoint and waits for its execution is no part of our VIEW-CHANGE", (t) => {
  const core = backup();
  core.propose(3, "batch 3");
  for (const phase of ["prepare", "commit"] as const) core.votes(phase, 3, "batch 3", 1, 2);
  stableByOthers(core, 4, "root");
  t.not(core.core.inspect().slots.get(at(3))?.decision, undefined);
  for (const from of [1, 2]) core.control(from, viewChange(1, `of ${from}`));
  t.deepEqual(core.of("seal")[0]?.message, {
    type: "viewChange",
    target: 1 as View,
    stable: stable(4, "root"),
    prepared: [],
  });
});

test("a replica that is primary again goes on right above O, whatever it proposed in its earlier view", (t) => {
  const core = primary({ pipelineDepth: 8 });
  for (const [index, name] of ["a", "b", "c"].entries()) {
    core.request(bundle(name, { client: name }));
    core.step({ kind: "assembled", view: 0 as View, sequence: at(index + 1), digest: digestOf(`batch ${name}`) });
  }
  for (const from of [2, 3]) core.control(from, viewChange(4, `of ${from}`, { prepared: [certificate(1, "batch a")] }));
  core.sealed(4, "ours");
  t.deepEqual(core.sent("newView")[0]?.message.batches, [digestOf("batch a")]);
  t.deepEqual(
    core.of("assemble").map(({ sequence, bundles }) => [sequence, bundles]),
    [[at(2), [digestOf("b"), digestOf("c")]]],
  );
});

test("nobody's VIEW-CHANGE comes from outside in our own name", (t) => {
  const core = backup();
  core.control(3, viewChange(1, "ours?"));
  t.deepEqual(core.ignored(), ["invalidViewChange"]);
});

test("of each sender the VIEW-CHANGE for the highest view is kept, and the one that it replaces is let go of", (t) => {
  const core = backup();
  core.control(0, viewChange(1, "first"));
  core.control(0, viewChange(7, "second"));
  t.deepEqual(forgotten(core, "viewChange"), [digestOf("first")]);
  core.control(0, viewChange(6, "third"));
  t.deepEqual(core.ignored(), ["staleViewChange"]);
  t.deepEqual(forgotten(core, "viewChange"), [digestOf("third")]);
  core.control(0, viewChange(7, "fourth"));
  t.deepEqual(core.ignored(), ["staleViewChange"]);
  t.deepEqual([...core.core.inspect().viewChanges.values()], [viewChange(7, "second")]);
});

test("the primary's own VIEW-CHANGE is joined at once, and with it the next view comes after four message delays", (t) => {
  const core = backup();
  core.control(1, viewChange(1, "of 1"));
  t.is(core.of("viewLeft").length, 0);
  core.control(0, viewChange(1, "of the primary"));
  t.deepEqual(core.of("viewLeft"), [{ kind: "viewLeft", view: 0 as View, target: 1 as View, cause: "joined" }]);
  const alone = backup();
  alone.control(0, viewChange(1, "of the primary"));
  t.like(alone.of("viewLeft")[0], { target: 1 as View, cause: "handOver" });
});

test("a primary that asks for a view beyond the next one is not joined alone", (t) => {
  const core = backup();
  core.control(0, viewChange(2, "of the primary"));
  t.is(core.of("viewLeft").length, 0);
});

test("NEW-VIEW may come before the VIEW-CHANGEs that it names, which are fetched unless they come by themselves", (t) => {
  const core = left();
  core.control(1, newView(1, { 0: "of 0", 1: "of 1", 3: "ours" }));
  t.is(core.of("viewChanged").length, 0);
  core.control(0, viewChange(1, "of 0"));
  core.pass(50);
  t.deepEqual(
    core.of("fetch").map(({ what, digest }) => [what, digest]),
    [["viewChange", digestOf("of 1")]],
  );
  core.control(1, viewChange(1, "of 1"));
  t.is(core.of("viewChanged").length, 1);
  core.pass(5_000);
  t.is(core.of("fetch").length, 0);
});

test("a named VIEW-CHANGE counts although its sender has asked for a higher view since", (t) => {
  const core = left();
  core.control(0, viewChange(1, "0 for 1"));
  core.control(1, newView(1, { 0: "0 for 1", 1: "1 for 1", 3: "ours" }));
  core.control(0, viewChange(2, "0 for 2"));
  t.deepEqual(forgotten(core, "viewChange"), []);
  core.control(1, viewChange(1, "1 for 1"));
  t.is(core.core.inspect().view, 1 as View);
});

test("a named VIEW-CHANGE that a liar has replaced before is fetched from others", (t) => {
  const core = left();
  core.control(0, viewChange(1, "what 0 told us"));
  core.control(1, viewChange(1, "of 1"));
  core.control(1, newView(1, { 0: "what 0 told the primary", 1: "of 1", 3: "ours" }));
  core.pass(50);
  t.is(core.of("fetch")[0]?.digest, digestOf("what 0 told the primary"));
  core.control(0, viewChange(1, "what 0 told the primary"));
  t.is(core.core.inspect().view, 1 as View);
});

test("a NEW-VIEW that names VIEW-CHANGEs as each other's is refused, although all of them are here", (t) => {
  const core = new Scripted({ me: 0 as ReplicaId });
  for (const [from, name] of [
    [1, "a"],
    [2, "b"],
    [3, "c"],
  ] as const)
    core.control(from, viewChange(2, name));
  core.control(2, newView(2, { 1: "a", 2: "c", 3: "b" }));
  core.control(3, viewChange(2, "c"));
  core.control(2, viewChange(2, "b"));
  t.is(core.core.inspect().view, 0 as View);
  t.is(core.core.inspect().awaited.size, 0, "it is not waited for any more");
});

test("what a NEW-VIEW names is kept as long as its view is installed, and let go of after the next", (t) => {
  const core = left();
  core.control(0, viewChange(1, "0 for 1"));
  core.control(1, viewChange(1, "1 for 1"));
  core.control(1, newView(1, { 0: "0 for 1", 1: "1 for 1", 3: "ours" }));
  t.deepEqual(forgotten(core, "viewChange"), []);
  t.deepEqual([...core.core.inspect().named.keys()], ["0 for 1", "1 for 1", "ours"].map(digestOf));
  core.enterView(2);
  t.deepEqual(forgotten(core, "viewChange").sort(), ["0 for 1", "1 for 1", "ours"].map(digestOf));
  t.deepEqual(forgotten(core, "newView"), [newViewName(1 as View)]);
});

test("entering a view is recorded with the VIEW-CHANGEs that it rests on, and votes in it rest on a lease of it", (t) => {
  const core = backup();
  core.propose(1, "batch");
  core.enterView(1, [certificate(1, "batch")]);
  const records = core.of("persist");
  const { record } = records[0]!;
  t.is(record.type, "viewEntered");
  if (record.type !== "viewEntered") return;
  t.is(record.newView.view, 1 as View);
  t.deepEqual(
    record.newView.viewChanges.map(({ digest }) => digest),
    ["0 to 1", "1 to 1", "2 to 1"].map(digestOf),
  );
  t.like(records[1]?.record, { type: "lease", view: 1 as View });
  t.is(core.sent("prepare")[0]?.after, records[1]!.lsn);
});

test("NEW-VIEW rests on the record of its view", (t) => {
  const core = backup({ me: 1 as ReplicaId });
  core.request(waiting);
  core.timesOut();
  core.sealed(1, "ours");
  for (const from of [0, 2]) core.control(from, viewChange(1, `of ${from}`));
  const entered = core.of("persist").find(({ record }) => record.type === "viewEntered");
  t.is(core.sent("newView")[0]?.after, entered!.lsn);
});

const stale: readonly { name: string; view: number }[] = [
  { name: "of the installed view", view: 2 },
  { name: "of a view behind", view: 1 },
];
for (const { name, view } of stale) {
  test(`a NEW-VIEW ${name} changes nothing`, (t) => {
    const core = backup();
    core.enterView(2);
    core.control(view % 4, newView(view, { 0: `0 to ${view}`, 1: `1 to ${view}`, 2: `2 to ${view}` }));
    t.deepEqual(core.ignored(), ["staleNewView"]);
    t.is(core.core.inspect().view, 2 as View);
    t.is(core.of("viewChanged").length, 0);
  });
}

test("the time for the next view runs on, whatever peers show meanwhile: a STATUS now and then would put it off for ever", (t) => {
  const core = left();
  for (const from of [1, 2]) core.control(from, viewChange(1, `${from} for 1`));
  const due = core.core.inspect().newViewTimer!;
  t.true(due > core.now + 2_000);
  while (due - core.now > 1_000) {
    core.pass(1_000);
    core.control(2, status({ mode: "viewChange", view: 1, viewChanges: replicas(1, 2, 3) }));
    t.deepEqual(core.ignored(), []);
  }
  core.pass(1_000);
  t.like(core.of("viewLeft")[0], { target: 2 as View });
});

test("a NEW-VIEW below the view that we have asked for comes too late", (t) => {
  const core = backup();
  for (const from of [0, 1]) core.control(from, viewChange(3, `${from} to 3`));
  core.sealed(3, "ours");
  core.control(1, newView(1, { 0: "a", 1: "b", 2: "c" }));
  t.deepEqual(core.ignored(), ["staleNewView"]);
});

test("a NEW-VIEW for a far view that names what nobody has stands in nobody's way", (t) => {
  const core = left();
  core.control(2, newView(6, { 0: "none", 1: "of", 2: "these" }));
  for (const from of [0, 1]) core.control(from, viewChange(1, `of ${from}`));
  core.control(1, newView(1, { 0: "of 0", 1: "of 1", 3: "ours" }));
  t.is(core.core.inspect().view, 1 as View);
});

test("what the next primary proposes before its NEW-VIEW is here waits for it", (t) => {
  const core = left();
  for (const from of [0, 1]) core.control(from, viewChange(1, `of ${from}`));
  core.propose(1, "fresh", [], { view: 1 });
  t.deepEqual(core.ignored(), []);
  t.is(core.sent("prepare").length, 0);
  core.control(1, newView(1, { 0: "of 0", 1: "of 1", 3: "ours" }));
  t.deepEqual(
    core.sent("prepare").map(({ message }) => [message.view, message.digest]),
    [[1 as View, digestOf("fresh")]],
  );
});

test("a new view tells its primary, its cause, and how much it carried over", (t) => {
  const core = left();
  core.control(0, viewChange(1, "of 0", { prepared: [certificate(3, "c")] }));
  core.control(1, viewChange(1, "of 1"));
  core.control(1, newView(1, { 0: "of 0", 1: "of 1", 3: "ours" }, [NULL_BATCH, NULL_BATCH, "c"]));
  t.deepEqual(core.of("viewChanged"), [
    { kind: "viewChanged", view: 1 as View, primary: 1 as ReplicaId, cause: "timeout", carried: 3, nulls: 2 },
  ]);
});

test("the content of a batch that O names and we do not know is fetched, checks itself, and is voted on then", (t) => {
  const core = backup();
  core.enterView(1, [certificate(1, "unknown")]);
  t.is(core.sent("prepare").length, 0);
  core.tickAfter(1);
  t.deepEqual(core.of("fetch"), [
    { kind: "fetch", what: "batch", digest: digestOf("unknown"), from: replicas(0, 1, 2) },
  ]);
  const content = { time: WALL_CLOCK as AgreedTime, bundles: [] };
  core.control(2, { type: "fetchedBatch", digest: digestOf("other"), ...content });
  t.deepEqual(core.ignored(), ["unknownBatch"]);
  core.control(2, { type: "fetchedBatch", digest: digestOf("unknown"), ...content });
  t.is(core.sent("prepare")[0]?.message.digest, digestOf("unknown"));
});

test("the null batch needs no fetching and executes nothing", (t) => {
  const core = backup();
  core.enterView(1, [certificate(2, "b")]);
  core.votesIn(1, "prepare", 1, NULL_BATCH.digest, 0, 2);
  core.votesIn(1, "commit", 1, NULL_BATCH.digest, 0, 2);
  t.deepEqual(
    core.of("execute").map(({ sequence, bundles }) => [sequence, bundles]),
    [[at(1), []]],
  );
});

test("requests that the old view left behind are handed to the new primary, which proposes them", (t) => {
  const core = left();
  for (const from of [0, 1]) core.control(from, viewChange(1, `of ${from}`));
  core.control(1, newView(1, { 0: "of 0", 1: "of 1", 3: "ours" }));
  core.pass(100);
  t.deepEqual(core.of("forward"), [{ kind: "forward", bundle: digestOf("waiting"), to: replicas(1) }]);
  const next = backup({ me: 1 as ReplicaId });
  next.request(waiting);
  next.timesOut();
  next.sealed(1, "ours");
  for (const from of [0, 2]) next.control(from, viewChange(1, `of ${from}`));
  t.deepEqual(next.of("assemble")[0]?.bundles, [digestOf("waiting")]);
});

test("a replica that others have left behind fetches the NEW-VIEW of the view that they show", (t) => {
  const core = backup();
  core.control(1, status({ view: 6 }));
  t.deepEqual(core.of("fetch"), [
    { kind: "fetch", what: "newView", digest: newViewName(6 as View), from: replicas(1) },
  ]);
  core.control(2, newView(6, { 0: "0 to 6", 1: "1 to 6", 2: "2 to 6" }));
  core.pass(50);
  t.deepEqual(
    core.of("fetch").map(({ digest }) => digest),
    ["0 to 6", "1 to 6", "2 to 6"].map(digestOf),
  );
  for (const from of [0, 1, 2]) core.control(from, viewChange(6, `${from} to 6`));
  t.is(core.core.inspect().view, 6 as View);
});

test("a replica that is ahead tells who asks for a view behind", (t) => {
  const core = backup();
  core.enterView(2);
  core.control(0, status({ mode: "viewChange", view: 1 }));
  t.like(core.sent("status")[0], { to: replicas(0) });
  t.is(core.sent("status")[0]?.message.view, 2 as View);
});

test("the name of a NEW-VIEW is its view, also beyond 32 bits", (t) => {
  const views = [1, 2 ** 16, 2 ** 32 + 5, 2 ** 53 - 1];
  t.is(new Set(views.map((view) => newViewName(view as View))).size, 4);
  for (const view of views) {
    const name = newViewName(view as View);
    t.is(name.length, 16);
    t.is(
      [0, 1, 2, 3].reduce((sum, i) => sum + name.charCodeAt(i) * 2 ** (16 * i), 0),
      view,
    );
  }
});

test("more than f liars may bring replicas to the last view, where timers start again and nothing throws", (t) => {
  const last = (2 ** 53 - 1) as View;
  const core = backup({ n: 7, f: 2, me: 6 as ReplicaId });
  for (const from of [0, 1, 2, 4]) core.control(from, viewChange(last, `${from} to the last`));
  core.sealed(last, "ours to the last");
  t.like(core.core.inspect(), { pending: last, newViewTimer: core.now + 5_000 });
  core.pass(5_000);
  t.is(core.of("seal").length, 0);
  t.like(core.core.inspect(), { pending: last, newViewTimer: core.now + 5_000 });
  const primary = left();
  for (const from of [0, 1, 2]) primary.control(from, viewChange(last, `${from} to the last`));
  primary.sealed(last, "ours to the last");
  t.like(primary.core.inspect(), { view: last, pending: undefined });
  primary.pass(20_000);
  t.is(primary.of("seal").length, 0);
  t.true(primary.core.deadline()! > primary.now, "the timer of what waits has started again");
});

test("in the last view complaints, however often they come, change no view and make nobody more patient", (t) => {
  const last = (2 ** 53 - 1) as View;
  const core = backup();
  core.enterView(last);
  for (const from of [0, 2, 2]) core.control(from, { type: "complaint", view: last });
  t.like(core.core.inspect(), { view: last, pending: undefined, suspicion: { patience: 1, fallen: 0 } });
});
