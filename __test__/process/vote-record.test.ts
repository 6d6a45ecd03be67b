/** The checker of votes: what it finds in histories that contradict themselves, and that it finds nothing in others. */
import test from "ava";
import { VoteRecord, type BindingMessage, type Passage } from "./vote-record.ts";

const FIRST: Passage = { sender: 3, receiver: 0, connection: 1 };
const AGAIN: Passage = { sender: 3, receiver: 0, connection: 2 };
const ELSEWHERE: Passage = { sender: 3, receiver: 1, connection: 1 };
const OTHER: Passage = { sender: 2, receiver: 0, connection: 1 };

type Said = readonly [Passage, BindingMessage];

function contradictionsOf(history: readonly Said[]): readonly string[] {
  const record = new VoteRecord();
  for (const [passage, message] of history) record.add(passage, message);
  return record.contradictions;
}

function vote(
  type: "prePrepare" | "prepare" | "commit",
  view: number,
  sequence: number,
  digest: string,
): BindingMessage {
  return { type, view, sequence, digest };
}

function leave(target: number, digest = `left for ${target}`): BindingMessage {
  return { type: "viewChange", target, digest };
}

for (const [what, history] of Object.entries<readonly Said[]>({
  "a vote that is repeated after a restart, and to others": [
    [FIRST, vote("prepare", 0, 7, "a")],
    [AGAIN, vote("prepare", 0, 7, "a")],
    [ELSEWHERE, vote("commit", 0, 7, "a")],
  ],
  "another batch at the same sequence in a later view": [
    [FIRST, vote("prepare", 0, 7, "a")],
    [AGAIN, leave(1)],
    [AGAIN, vote("prepare", 1, 7, "b")],
  ],
  "other votes of other replicas": [
    [FIRST, vote("prepare", 0, 7, "a")],
    [OTHER, vote("prepare", 0, 7, "b")],
    [OTHER, leave(1, "of replica 2")],
    [FIRST, leave(1, "of replica 3")],
  ],
  "a vote that a view change overtook on its way": [
    [FIRST, leave(1)],
    [FIRST, vote("commit", 0, 7, "a")],
  ],
  "a vote in the view that was left for": [
    [FIRST, leave(1)],
    [AGAIN, vote("commit", 1, 7, "a")],
  ],
})) {
  test(`${what}: no contradiction`, (t) => {
    t.deepEqual(contradictionsOf(history), []);
  });
}

for (const [what, history, found] of [
  ["two PREPAREs", [vote("prepare", 0, 7, "a"), vote("prepare", 0, 7, "b")], /view 0 at 7: prepare with b .*after a/],
  ["two PRE-PREPAREs", [vote("prePrepare", 4, 7, "a"), vote("prePrepare", 4, 7, "b")], /view 4 at 7: prePrepare/],
  ["two COMMITs", [vote("commit", 0, 7, "a"), vote("commit", 0, 7, "b")], /view 0 at 7: commit/],
  ["a COMMIT to what was not prepared", [vote("prepare", 0, 7, "a"), vote("commit", 0, 7, "b")], /commit with b/],
  [
    "two CHECKPOINTs",
    [
      { type: "checkpoint", sequence: 8, digest: "a" },
      { type: "checkpoint", sequence: 8, digest: "b" },
    ],
    /checkpoint 8/,
  ],
  [
    "two batches executed at one sequence",
    [
      { type: "decided", sequence: 8, digest: "a" },
      { type: "decided", sequence: 8, digest: "b" },
    ],
    /decided 8/,
  ],
  ["two VIEW-CHANGEs", [leave(1, "a"), leave(1, "b")], /viewChange of replica 3 to view 1/],
  [
    "two NEW-VIEWs",
    [
      { type: "newView", view: 3, digest: "a" },
      { type: "newView", view: 3, digest: "b" },
    ],
    /newView 3/,
  ],
  ["a PREPARE in a view that was left", [leave(2), vote("prepare", 1, 7, "a")], /prepare in view 1 .*left for 2/],
  ["a COMMIT in a view that was left", [leave(1), vote("commit", 0, 7, "a")], /commit in view 0 .*left for 1/],
] as const) {
  test(`${what} of two incarnations contradict each other`, (t) => {
    const [before, after] = history;
    const contradictions = contradictionsOf([
      [FIRST, before],
      [AGAIN, after],
    ]);
    t.is(contradictions.length, 1);
    t.regex(contradictions[0]!, found);
  });
}

test("a view that was left long ago stays left", (t) => {
  const record = new VoteRecord();
  for (const target of [5, 1, 2]) record.add({ ...FIRST, connection: target === 5 ? 1 : 2 }, leave(target));
  record.add({ ...FIRST, connection: 3 }, vote("commit", 4, 7, "a"));
  t.is(record.contradictions.length, 1);
  t.is(record.votesOf(3), 1);
  t.is(record.size, 4);
});
