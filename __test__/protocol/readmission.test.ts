/** The way back of a replica whose disk was wiped: silence, RECOVER counted by itself, and one window more. */
import test from "ava";
import type { Action } from "../../dist/protocol/core.js";
import type { ReplicaId, View } from "../../dist/protocol/types.js";
import { at, digestOf, newView, OPTIONS, Scripted, stable, viewChange, WALL_CLOCK } from "./scripted.ts";

const ME = 3 as ReplicaId;
const { window } = OPTIONS;
const BINDING = new Set(["prePrepare", "prepare", "commit", "viewChange", "newView", "complaint"]);

function wiped(): Scripted {
  return new Scripted({ me: ME }, { type: "wiped" });
}

/** RECOVER of replica `replica`, executed with the batch at `sequence`. */
function recovered(core: Scripted, sequence: number, fields: { replica?: number; nonce?: number; view?: number } = {}) {
  const { replica = ME, nonce = WALL_CLOCK, view = 0 } = fields;
  const mark = { replica: replica as ReplicaId, nonce, view: view as View, sequence: at(sequence) };
  const none = { opened: [], executed: [], acknowledged: [], expired: [] };
  const sessions = { ...none, recovered: [{ mark, sequence: at(sequence) }] };
  return core.step({ kind: "executed", run: core.core.inspect().run, through: at(sequence), sessions });
}

/** The others decide the batch at `sequence`, and this replica counts their COMMITs. */
function decidedByVotes(core: Scripted, sequence: number): void {
  core.propose(sequence, `b${sequence}`);
  core.votes("prepare", sequence, `b${sequence}`, 1, 2);
  core.votes("commit", sequence, `b${sequence}`, 0, 1, 2);
}

function decidedByClaims(core: Scripted, sequence: number): void {
  for (const from of [0, 1]) core.decided(from, sequence, `b${sequence}`);
}

function stableAt(core: Scripted, sequence: number): readonly Action[] {
  core.checkpoint(0, sequence, `s${sequence}`);
  core.checkpoint(1, sequence, `s${sequence}`);
  return core.checkpoint(2, sequence, `s${sequence}`);
}

function binding(actions: readonly Action[]): string[] {
  return actions.flatMap((action) =>
    action.kind === "send" && BINDING.has(action.message.type) ? [action.message.type] : [],
  );
}

/** Decides and executes up to `through`, each batch with a RECOVER in it, with checkpoints in between. */
function goOn(core: Scripted, first: number, through: number): void {
  for (let sequence = first; sequence <= through; sequence++) {
    decidedByVotes(core, sequence);
    recovered(core, sequence);
    if (sequence % OPTIONS.checkpointInterval === 0) stableAt(core, sequence);
  }
}

test("a replica with a wiped disk sends RECOVER, executes what others decide, and votes for nothing", (t) => {
  const core = wiped();
  const asked = core.tickAfter(1);
  t.deepEqual(
    asked.filter(({ kind }) => kind === "recover"),
    [{ kind: "recover", nonce: WALL_CLOCK, view: 0, attempt: 1 } as Action],
  );
  const all: Action[] = [];
  core.propose(1, "b1");
  all.push(...core.actions, ...core.votes("prepare", 1, "b1", 1, 2));
  all.push(...core.votes("commit", 1, "b1", 0, 1, 2));
  t.true(all.some(({ kind }) => kind === "execute"));
  all.push(...recovered(core, 1), ...core.pass(60_000));
  t.deepEqual(binding(all), []);
  t.true(all.filter(({ kind }) => kind === "recover").length > 60, "it asks again until it is heard");
});

test("it does not count its own votes", (t) => {
  const core = wiped();
  core.propose(1, "b1");
  core.votes("prepare", 1, "b1", 1);
  t.is(core.core.inspect().slots.get(at(1))?.prepared, undefined);
  core.votes("prepare", 1, "b1", 2);
  core.votes("commit", 1, "b1", 0, 1);
  t.is(core.core.inspect().slots.get(at(1))?.decision, undefined);
});

test("it votes again with a stable checkpoint one window above the RECOVER that it counted, and its journal says so", (t) => {
  const core = wiped();
  core.tickAfter(1);
  goOn(core, 1, window);
  t.truthy(core.core.inspect().amnesia, "one sequence is missing");
  goOn(core, window + 1, window + 4);
  t.is(core.core.inspect().amnesia, undefined);
  t.deepEqual(
    core.records.at(-1)?.record.type === "lease" || core.records.some(({ record }) => record.type === "readmitted"),
    true,
  );
  core.propose(window + 5, "next");
  t.deepEqual(binding(core.actions), ["prepare"]);
  const again = core.restarted({ wiped: true });
  t.is(again.core.inspect().amnesia, undefined);
  const before = new Scripted({ me: ME }, { type: "wiped" });
  before.tickAfter(1);
  goOn(before, 1, window);
  t.truthy(before.restarted({ wiped: true }).core.inspect().amnesia);
});

test("a RECOVER that was only claimed, or ordered in another view than it names, does not count", (t) => {
  const claimed = wiped();
  claimed.tickAfter(1);
  decidedByClaims(claimed, 1);
  recovered(claimed, 1);
  t.is(claimed.core.inspect().amnesia?.orderedAt, undefined);
  t.is(claimed.of("recover").length, 1, "it asks once more at once");
  const elsewhere = wiped();
  elsewhere.tickAfter(1);
  elsewhere.enterView(1);
  elsewhere.propose(1, "b1", [], { view: 1 });
  elsewhere.votesIn(1, "prepare", 1, "b1", 0, 2);
  elsewhere.votesIn(1, "commit", 1, "b1", 0, 1, 2);
  recovered(elsewhere, 1, { view: 0 });
  t.is(elsewhere.core.inspect().amnesia?.orderedAt, undefined);
  t.is(elsewhere.of("recover")[0]?.view, 1 as View);
});

test("a nonce that was used before is left behind", (t) => {
  const core = wiped();
  core.tickAfter(1);
  decidedByVotes(core, 1);
  recovered(core, 1, { nonce: WALL_CLOCK + 50 });
  t.is(core.core.inspect().amnesia?.orderedAt, undefined);
  t.is(core.of("recover")[0]?.nonce, WALL_CLOCK + 51);
});

test("a RECOVER of an earlier life proves nothing, although its COMMITs are counted", (t) => {
  const core = wiped();
  core.tickAfter(1);
  decidedByVotes(core, 1);
  recovered(core, 1, { nonce: WALL_CLOCK - 50 });
  t.is(core.core.inspect().amnesia?.orderedAt, undefined);
});

test("a COMMIT that it kept back leaves when it is readmitted", (t) => {
  const core = wiped();
  core.tickAfter(1);
  goOn(core, 1, window + 3);
  core.propose(window + 5, "open");
  core.votes("prepare", window + 5, "open", 1, 2);
  decidedByVotes(core, window + 4);
  recovered(core, window + 4);
  const actions = stableAt(core, window + 4);
  t.deepEqual(
    binding(actions).filter((type) => type === "commit"),
    ["commit"],
  );
});

test("it never enters a view that it would lead, and follows into one that rests on its own forgotten VIEW-CHANGE", (t) => {
  const core = wiped();
  core.tickAfter(1);
  core.control(ME, newView(3, { 0: "a", 1: "b", 2: "c" }));
  for (const [from, name] of [
    [0, "a"],
    [1, "b"],
    [2, "c"],
  ] as const)
    core.control(from, viewChange(3, name));
  t.is(core.core.inspect().view, 0 as View);
  recovered(core, 0);
  core.control(1, newView(5, { 0: "d", 2: "e", [ME]: "mine" }));
  for (const [from, name] of [
    [0, "d"],
    [2, "e"],
    [ME, "mine"],
  ] as const)
    core.control(from, viewChange(5, name));
  t.is(core.core.inspect().view, 5 as View);
});

test("others refuse what it asked for before: above the view of its RECOVER, and below its sequence", (t) => {
  const core = new Scripted({ me: 0 as ReplicaId });
  core.control(ME, viewChange(2, "kept"));
  t.truthy(core.core.inspect().viewChanges.get(ME));
  decidedByClaims(new Scripted({ me: 0 as ReplicaId }), 1);
  for (const from of [1, 2]) core.decided(from, 1, "b1");
  recovered(core, 1);
  t.is(core.core.inspect().viewChanges.get(ME), undefined, "what was held is let go of");
  core.control(ME, viewChange(2, "old"));
  t.is(core.core.inspect().viewChanges.get(ME), undefined);
  core.control(2, newView(2, { 1: "x", 2: "y", [ME]: "old" }));
  for (const [from, name] of [
    [1, "x"],
    [2, "y"],
    [ME, "old"],
  ] as const)
    core.control(from, viewChange(2, name));
  t.is(core.core.inspect().view, 0 as View);
  core.control(ME, viewChange(2, "new", { stable: stable(4, "s4") }));
  t.is(core.core.inspect().viewChanges.get(ME)?.digest, digestOf("new"));
});
