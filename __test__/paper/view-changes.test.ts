/** OSDI'99 §4.4, view changes: what VIEW-CHANGE says, and what the new primary makes of it. */
import test from "ava";
import type { CertificateName } from "../../dist/protocol/messages.js";
import { carriedOver, NULL_BATCH } from "../../dist/protocol/new-view.js";
import type { Digest, ReplicaId, View } from "../../dist/protocol/types.js";
import {
  at,
  backup,
  certificate,
  digestOf,
  expired,
  newView,
  replicas,
  stable,
  viewChange,
  type Scripted,
} from "../protocol/scripted.ts";

/** Replica 3 sees batch `name` at `sequence` prepared, and committed by nobody. */
function prepare(core: Scripted, sequence: number, name: string, view = 0): void {
  core.propose(sequence, name, [], { view });
  core.votesIn(view, "prepare", sequence, name, 0, 1, 2);
}

test("§4.4: a backup whose timer expires moves to view v+1, durably before it says so", (t) => {
  const core = expired();
  t.deepEqual(core.of("viewLeft"), [{ kind: "viewLeft", view: 0 as View, target: 1 as View, cause: "timeout" }]);
  core.sealed(1, "ours");
  const [record] = core.of("persist");
  t.like(record?.record, { type: "viewLeft", target: 1 as View });
  const { to, after } = core.sent("viewChange")[0]!;
  t.is(to, replicas(0, 1, 2));
  t.is(after, record!.lsn);
});

test("§4.4: VIEW-CHANGE carries the last stable checkpoint with its proof C, and a certificate for each message prepared above it", (t) => {
  const core = backup();
  for (const sequence of [1, 2, 3, 4]) core.commitBatch(sequence, `batch ${sequence}`);
  core.checkpointed(4, "root");
  for (const from of [0, 1]) core.checkpoint(from, 4, "root");
  prepare(core, 7, "seven");
  prepare(core, 5, "five");
  core.propose(6, "only proposed");
  core.votes("prepare", 8, "never proposed", 0, 1, 2);
  expired(core);
  const [{ message }] = core.of("seal") as [ReturnType<typeof core.of<"seal">>[number]];
  t.deepEqual(message, {
    type: "viewChange",
    target: 1 as View,
    stable: stable(4, "root", [0, 1, 3]),
    prepared: [certificate(5, "five", { signers: [0, 1, 2, 3] }), certificate(7, "seven", { signers: [0, 1, 2, 3] })],
  });
});

test("§4.4: before the first checkpoint there is no proof to carry", (t) => {
  t.deepEqual(expired().of("seal")[0]?.message, {
    type: "viewChange",
    target: 1 as View,
    stable: undefined,
    prepared: [],
  });
});

test("§4.4: what is prepared in several views is carried with the certificate of the highest", (t) => {
  const core = backup();
  prepare(core, 1, "batch");
  core.enterView(1, [certificate(1, "batch")]);
  const before = core.core.inspect().slots.get(at(1))?.prepared;
  t.is(before?.view, 0 as View, "not prepared again yet");
  core.votesIn(1, "prepare", 1, "batch", 0, 2);
  expired(core);
  t.deepEqual(core.of("seal")[0]?.message.prepared, [certificate(1, "batch", { view: 1, signers: [0, 1, 2, 3] })]);
});

test("§4.4: who has left a view sends no PREPARE and no COMMIT in it, but takes CHECKPOINTs, VIEW-CHANGEs and NEW-VIEWs", (t) => {
  const core = backup();
  core.propose(1, "batch 1");
  expired(core);
  core.propose(2, "batch 2");
  t.deepEqual(core.ignored(), ["viewChanging"]);
  core.votes("prepare", 1, "batch 1", 0, 1, 2);
  t.is(core.of("send").length, 0, "no COMMIT");
  for (const from of [0, 1, 2]) core.checkpoint(from, 4, "root");
  t.is(core.of("stable").length, 1);
  core.sealed(1, "ours");
  for (const from of [0, 1, 2]) core.control(from, viewChange(1, `of ${from}`));
  core.control(1, newView(1, { 0: "of 0", 1: "of 1", 2: "of 2" }));
  t.is(core.of("viewChanged").length, 1);
});

/** Replica 1, which is the primary of view 1, after its own VIEW-CHANGE "ours". */
function nextPrimary(options = {}): Scripted {
  const core = expired(backup({ me: 1 as ReplicaId, ...options }));
  core.sealed(1, "ours");
  return core;
}

test("§4.4: the primary of v+1 sends NEW-VIEW when it has 2f VIEW-CHANGEs of others beside its own, and not before", (t) => {
  const core = nextPrimary();
  core.control(2, viewChange(1, "of 2"));
  core.control(2, viewChange(1, "of 2 in other words"));
  core.control(3, viewChange(2, "of 3 for a higher view"));
  t.is(core.sent("newView").length, 0);
  core.control(0, viewChange(1, "of 0"));
  const { to, message } = core.sent("newView")[0]!;
  t.is(to, replicas(0, 2, 3));
  t.deepEqual(message, newView(1, { 0: "of 0", 1: "ours", 2: "of 2" }));
});

test("§4.4: nobody but the primary of v+1 sends NEW-VIEW", (t) => {
  const core = expired();
  core.sealed(1, "ours");
  for (const from of [0, 1, 2]) core.control(from, viewChange(1, `of ${from}`));
  t.is(core.sent("newView").length, 0);
});

const none: readonly CertificateName[] = [];
const selections: readonly {
  name: string;
  given: readonly (readonly [low: number, prepared: readonly CertificateName[]])[];
  first: number;
  batches: readonly (string | Digest)[];
}[] = [
  {
    name: "nothing where nothing was prepared",
    given: [
      [0, none],
      [0, none],
      [0, none],
    ],
    first: 1,
    batches: [],
  },
  {
    name: "what one replica prepared",
    given: [
      [0, [certificate(1, "a")]],
      [0, none],
      [0, none],
    ],
    first: 1,
    batches: ["a"],
  },
  {
    name: "the batch of the highest view, whoever has it",
    given: [
      [0, [certificate(1, "old", { view: 1 })]],
      [0, [certificate(1, "newest", { view: 5 })]],
      [0, [certificate(1, "newer", { view: 2 })]],
    ],
    first: 1,
    batches: ["newest"],
  },
  {
    name: "the highest view for each sequence apart",
    given: [
      [0, [certificate(1, "a1", { view: 2 }), certificate(2, "b0")]],
      [0, [certificate(1, "a0", { view: 1 }), certificate(2, "b1", { view: 3 })]],
      [0, none],
    ],
    first: 1,
    batches: ["a1", "b1"],
  },
  {
    name: "null requests in the gaps up to max-s",
    given: [
      [0, [certificate(2, "b")]],
      [0, [certificate(5, "e")]],
      [0, none],
    ],
    first: 1,
    batches: [NULL_BATCH.digest, "b", NULL_BATCH.digest, NULL_BATCH.digest, "e"],
  },
  {
    name: "from min-s on: nothing at or below the latest stable checkpoint",
    given: [
      [0, [certificate(3, "c"), certificate(4, "d"), certificate(6, "f")]],
      [4, none],
      [0, none],
    ],
    first: 5,
    batches: [NULL_BATCH.digest, "f"],
  },
  {
    name: "nothing where max-s lies below min-s",
    given: [
      [0, [certificate(3, "c")]],
      [4, none],
      [8, none],
    ],
    first: 9,
    batches: [],
  },
];
for (const { name, given, first, batches } of selections) {
  test(`§4.4: the new primary selects ${name}`, (t) => {
    const messages = given.map(([low, prepared], index) =>
      viewChange(7, `of ${index}`, { stable: low === 0 ? undefined : stable(low, `root ${low}`), prepared }),
    );
    const wanted = batches.map((batch) => (batch === NULL_BATCH.digest ? batch : digestOf(batch)));
    const inEveryOrder = [messages, messages.toReversed(), [...messages.slice(1), ...messages.slice(0, 1)]];
    for (const order of inEveryOrder) {
      const carried = carriedOver(order);
      t.is(carried.first, at(first));
      t.deepEqual(carried.batches, wanted);
    }
  });
}

test("§4.4: the new primary makes the latest stable checkpoint of the VIEW-CHANGEs its own, and discards what lies below", (t) => {
  const core = nextPrimary();
  core.control(2, viewChange(1, "of 2", { stable: stable(4, "root"), prepared: [certificate(5, "five")] }));
  core.control(0, viewChange(1, "of 0", { prepared: [certificate(3, "three")] }));
  t.deepEqual(core.sent("newView")[0]?.message, newView(1, { 0: "of 0", 1: "ours", 2: "of 2" }, ["five"], 5));
  const { low, slots } = core.core.inspect();
  t.is(low, at(4));
  t.deepEqual([...slots.keys()], [at(5)]);
});

test("§4.4: the new primary appends O to its log: its NEW-VIEW is its PRE-PREPARE and its PREPARE", (t) => {
  const core = backup({ me: 1 as ReplicaId });
  prepare(core, 1, "batch");
  expired(core);
  core.sealed(1, "ours");
  for (const from of [2, 3]) core.control(from, viewChange(1, `of ${from}`));
  t.deepEqual(core.sent("newView")[0]?.message.batches, [digestOf("batch")]);
  core.votesIn(1, "prepare", 1, "batch", 2);
  t.is(core.sent("commit").length, 0);
  core.votesIn(1, "prepare", 1, "batch", 2, 3);
  t.deepEqual(core.sent("commit")[0]?.message, {
    type: "commit",
    view: 1 as View,
    sequence: at(1),
    digest: digestOf("batch"),
  });
});
