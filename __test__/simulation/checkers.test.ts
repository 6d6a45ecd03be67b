/** Every oracle goes red on a history that breaks its invariant, and stays silent on one that does not. */
import test from "ava";
import { allCheckers, alwaysCheckers } from "../../dist/testing/checkers/index.js";
import { checkDeterminism } from "../../dist/testing/checkers/determinism.js";
import { StoreModel } from "../../dist/testing/checkers/store-model.js";
import { History } from "../../dist/testing/history.js";
import type { Ending, Observation, Setting, VoteFact } from "../../dist/testing/history.js";

const setting: Setting = { n: 4, f: 1, window: 4, honest: [0, 1, 2], durable: true };
const quiet: Ending = { core: [], lastExecuted: [], at: 100 };

type Vote = Omit<VoteFact, "type"> & { readonly type: VoteFact["type"] };
const vote = (type: VoteFact["type"], sequence: number, digest: string, view = 0): Vote => ({
  type,
  view,
  sequence,
  digest,
});
const signed = (signer: number, v: Vote): Observation => ({ kind: "signed", signer, vote: v });
const emitted = (replica: number, v: Vote, bodiesHeld = true): Observation => ({
  kind: "emitted",
  replica,
  vote: v,
  after: 0,
  bodiesHeld,
});
const accepted = (replica: number, from: number, v: Vote): Observation => ({
  kind: "accepted",
  replica,
  from,
  vote: v,
});
const executed = (replica: number, sequence: number, digest: string): Observation => ({
  kind: "executed",
  replica,
  sequence,
  digest,
  bundles: [],
});
const batch = (digest: string): Observation => ({ kind: "batch", digest, bundles: [] });
const invoked = (operation: string, at = 0): Observation => ({ kind: "invoked", client: "c", operation, at });
const returned = (operation: string, result: string, at = 10, status = "ok"): Observation => ({
  kind: "returned",
  client: "c",
  operation,
  status,
  result,
  at,
});
const applied = (replica: number, sequence: number, operation: string, index = 0): Observation => ({
  kind: "applied",
  replica,
  sequence,
  index,
  client: "c",
  operation,
  identity: operation.split(" ")[0] ?? "",
});
/** Three replicas commit a digest before `replica`, which executes it. */
const committed = (replica: number, sequence: number, digest: string): Observation[] => [
  batch(digest),
  ...[0, 1, 2].map((from) =>
    from === replica
      ? emitted(from, vote("commit", sequence, digest))
      : accepted(replica, from, vote("commit", sequence, digest)),
  ),
  executed(replica, sequence, digest),
];
const stable = (replica: number, sequence: number, digest: string): Observation => ({
  kind: "stable",
  replica,
  sequence,
  digest,
});
const checkpointed = (replica: number, sequence: number, digest: string): Observation => ({
  kind: "checkpointed",
  replica,
  sequence,
  digest,
});
const certificate = (
  signers: readonly number[],
  digest = "d",
  phase: "prepare" | "checkpoint" = "prepare",
): Observation => ({
  kind: "certificate",
  replica: 1,
  phase,
  view: 0,
  sequence: 1,
  digest,
  signers,
});
const left = (v: Vote | undefined, after: number, durable: number): Observation => ({
  kind: "left",
  replica: 1,
  vote: v,
  what: "message",
  after,
  durable,
});

interface Case {
  readonly invariant: number;
  readonly name: string;
  readonly history: readonly Observation[];
  readonly ending?: Ending;
}

const red: readonly Case[] = [
  {
    invariant: 1,
    name: "two replicas execute different batches at one sequence",
    history: [...committed(0, 1, "a"), ...committed(1, 1, "b")],
  },
  {
    invariant: 1,
    name: "a replica executes on two COMMITs of four",
    history: [
      batch("a"),
      emitted(0, vote("commit", 1, "a")),
      accepted(0, 1, vote("commit", 1, "a")),
      executed(0, 1, "a"),
    ],
  },
  {
    invariant: 1,
    name: "a replica counts COMMITs of two views together",
    history: [
      batch("a"),
      emitted(0, vote("commit", 1, "a")),
      accepted(0, 1, vote("commit", 1, "a")),
      accepted(0, 2, vote("commit", 1, "a", 1)),
      executed(0, 1, "a"),
    ],
  },
  {
    invariant: 1,
    name: "a replica executes on one DECIDED",
    history: [batch("a"), accepted(0, 1, vote("decided", 1, "a")), executed(0, 1, "a")],
  },
  {
    invariant: 2,
    name: "a replica leaves a sequence out",
    history: [...committed(0, 1, "a"), ...committed(0, 3, "b")],
  },
  {
    invariant: 2,
    name: "operations of a batch run out of order",
    history: [invoked("1 x"), invoked("2 x"), applied(0, 1, "1 x", 1), applied(0, 1, "2 x", 0)],
  },
  { invariant: 3, name: "an operation runs that its client never sent", history: [applied(0, 1, "1 put k0 1")] },
  {
    invariant: 3,
    name: "a backup prepares a batch whose body it lacks",
    history: [signed(0, vote("prePrepare", 1, "a")), emitted(1, vote("prepare", 1, "a"), false)],
  },
  {
    invariant: 3,
    name: "other bundles run than the digest covers",
    history: [{ kind: "batch", digest: "a", bundles: ["x"] }, ...committed(0, 1, "a").slice(1)],
  },
  {
    invariant: 4,
    name: "an operation runs twice",
    history: [invoked("1 x"), applied(0, 1, "1 x"), applied(0, 2, "1 x")],
  },
  {
    invariant: 4,
    name: "two forms of one client sequence run",
    history: [
      invoked("1 x"),
      { kind: "forked", client: "c", operation: "1 y" },
      applied(0, 1, "1 x"),
      applied(0, 2, "1 y"),
    ],
  },
  {
    invariant: 5,
    name: "two digests gather a quorum of signatures",
    history: ["a", "b"].flatMap((d) => [
      signed(0, vote("prePrepare", 1, d)),
      signed(1, vote("prepare", 1, d)),
      signed(3, vote("prepare", 1, d)),
    ]),
  },
  {
    invariant: 5,
    name: "a backup prepares what the primary never proposed",
    history: [signed(3, vote("prePrepare", 1, "a")), emitted(1, vote("prepare", 1, "a"))],
  },
  {
    invariant: 7,
    name: "a replica prepares two digests",
    history: [
      signed(0, vote("prePrepare", 1, "a")),
      signed(0, vote("prePrepare", 1, "b")),
      emitted(1, vote("prepare", 1, "a")),
      emitted(1, vote("prepare", 1, "b")),
    ],
  },
  { invariant: 8, name: "a COMMIT leaves before its record is durable", history: [left(vote("commit", 1, "a"), 2, 1)] },
  {
    invariant: 8,
    name: "a COMMIT leaves of which the disk knows nothing",
    history: [left(vote("commit", 1, "a"), 0, 5)],
  },
  {
    invariant: 8,
    name: "a PREPARE leaves above its lease",
    history: [
      { kind: "durable", replica: 1, lsn: 1, record: { type: "lease", view: 0, through: 3 } },
      left(vote("prepare", 4, "a"), 1, 1),
    ],
  },
  { invariant: 8, name: "a CHECKPOINT leaves without its record", history: [left(vote("checkpoint", 1, "a"), 0, 5)] },
  { invariant: 8, name: "a reply leaves early", history: [left(undefined, 3, 2)] },
  {
    invariant: 9,
    name: "a view goes back",
    history: [
      { kind: "entered", replica: 0, view: 2 },
      { kind: "entered", replica: 0, view: 1 },
    ],
  },
  {
    invariant: 9,
    name: "an acknowledgement goes back",
    history: [
      { kind: "acknowledged", replica: 0, session: 1, through: 4 },
      { kind: "acknowledged", replica: 0, session: 1, through: 3 },
    ],
  },
  { invariant: 10, name: "a replica votes above its window", history: [emitted(1, vote("commit", 5, "a"))] },
  {
    invariant: 10,
    name: "a replica votes below its window",
    history: [
      ...[0, 1, 2].map((from) => accepted(1, from, vote("checkpoint", 2, "s"))),
      stable(1, 2, "s"),
      emitted(1, vote("commit", 2, "a")),
    ],
  },
  { invariant: 11, name: "states differ at one sequence", history: [checkpointed(0, 2, "a"), checkpointed(1, 2, "b")] },
  {
    invariant: 11,
    name: "a checkpoint is stable on f+1 claims",
    history: [emitted(1, vote("checkpoint", 2, "s")), accepted(1, 0, vote("checkpoint", 2, "s")), stable(1, 2, "s")],
  },
  {
    invariant: 12,
    name: "a client accepts what no honest replica made",
    history: [invoked("1 x"), returned("1 x", "")],
  },
  {
    invariant: 12,
    name: "a healed replica never executes what a client saw",
    history: [invoked("1 get k0"), applied(0, 1, "1 get k0"), returned("1 get k0", "")],
    ending: {
      core: [0, 1],
      lastExecuted: [
        { replica: 0, sequence: 1, state: "s" },
        { replica: 1, sequence: 1, state: "s" },
      ],
      at: 100,
    },
  },
  {
    invariant: 12,
    name: "an operation runs that a client was told did not",
    history: [invoked("1 get k0"), returned("1 get k0", "", 10, "BUSY no"), applied(0, 1, "1 get k0")],
  },
  {
    invariant: 13,
    name: "a certificate has one signer too few",
    history: [signed(0, vote("prePrepare", 1, "d")), signed(1, vote("prepare", 1, "d")), certificate([0, 1])],
  },
  {
    invariant: 13,
    name: "a certificate names the same signer twice",
    history: [signed(0, vote("prePrepare", 1, "d")), signed(1, vote("prepare", 1, "d")), certificate([0, 1, 1])],
  },
  {
    invariant: 13,
    name: "a certificate names one who signed another digest",
    history: [
      signed(0, vote("prePrepare", 1, "d")),
      signed(1, vote("prepare", 1, "d")),
      signed(2, vote("prepare", 1, "e")),
      certificate([0, 1, 2]),
    ],
  },
  {
    invariant: 13,
    name: "a certificate lacks the proposal",
    history: [1, 2, 3].map((signer) => signed(signer, vote("prepare", 1, "d"))).concat(certificate([1, 2, 3])),
  },
  {
    invariant: 14,
    name: "a pool grows beyond its bound",
    history: [{ kind: "footprint", replica: 0, what: "bundles", size: 11, cap: 10 }],
  },
  {
    invariant: 15,
    name: "a repeated message changes the state",
    history: [{ kind: "redelivered", replica: 0, input: "votes", changed: true, emitted: [] }],
  },
  {
    invariant: 15,
    name: "a repeated message makes a vote leave",
    history: [{ kind: "redelivered", replica: 0, input: "votes", changed: false, emitted: ["send"] }],
  },
  {
    invariant: 17,
    name: "an operation never returns",
    history: [invoked("1 x")],
    ending: { core: [0, 1, 2], lastExecuted: [], at: 100 },
  },
  {
    invariant: 17,
    name: "healed replicas end in different states",
    history: [],
    ending: {
      core: [0, 1],
      lastExecuted: [
        { replica: 0, sequence: 3, state: "s" },
        { replica: 1, sequence: 2, state: "r" },
      ],
      at: 100,
    },
  },
  {
    invariant: 7,
    name: "a replica votes for two digests, one of them before a crash",
    history: [
      emitted(1, vote("commit", 1, "a")),
      { kind: "crashed", replica: 1 },
      { kind: "restarted", replica: 1, disk: "kept" },
      emitted(1, vote("commit", 1, "b")),
    ],
  },
  {
    invariant: 7,
    name: "a replica votes after it lost its disk, even as before",
    history: [
      emitted(1, vote("commit", 1, "a")),
      { kind: "restarted", replica: 1, disk: "wiped" },
      emitted(1, vote("commit", 1, "a")),
    ],
  },
  {
    invariant: 17,
    name: "a replica halts although its disk kept everything",
    history: [
      { kind: "restarted", replica: 0, disk: "kept" },
      { kind: "halted", replica: 0, reason: "WIPED_DISK" },
    ],
  },
  { invariant: 17, name: "an honest replica halts", history: [{ kind: "halted", replica: 0, reason: "whim" }] },
  { invariant: 18, name: "an honest replica is accused", history: [{ kind: "accused", replica: 0, by: 1 }] },
  {
    invariant: 19,
    name: "a result is not the model's",
    history: [
      invoked("1 put k0 5"),
      invoked("2 get k0"),
      applied(0, 1, "1 put k0 5"),
      applied(0, 2, "2 get k0"),
      returned("2 get k0", "4"),
    ],
  },
  {
    invariant: 19,
    name: "an operation stands after one that began when it had returned",
    history: [
      invoked("1 put k0 5", 0),
      applied(0, 2, "1 put k0 5"),
      returned("1 put k0 5", "7", 10),
      invoked("2 put k0 7", 20),
      applied(1, 1, "2 put k0 7"),
    ],
  },
];

for (const { invariant, name, history, ending = quiet } of red) {
  test(`invariant ${invariant} goes red when ${name}`, (t) => {
    const judge = new History(allCheckers(setting, new StoreModel()));
    for (const observation of history) judge.see(observation);
    judge.finish(ending);
    t.is(judge.violation?.invariant, invariant, judge.violation?.message);
  });
}

test("invariant 20 goes red when two runs of one seed differ", (t) => {
  t.is(checkDeterminism("a1", "b2")?.invariant, 20);
  t.is(checkDeterminism("a1", "a1"), undefined);
});

test("a sound history is silent", (t) => {
  const digest = "a";
  const history: Observation[] = [
    invoked("1 put k0 5", 0),
    batch(digest),
    signed(0, vote("prePrepare", 1, digest)),
    ...[1, 2].map((replica) => signed(replica, vote("prepare", 1, digest))),
    ...[1, 2].map((replica) => emitted(replica, vote("prepare", 1, digest))),
    certificate([0, 1, 2], digest),
    ...[0, 1, 2].flatMap((replica) => [
      ...committed(replica, 1, digest),
      applied(replica, 1, "1 put k0 5"),
      checkpointed(replica, 1, "s"),
    ]),
    returned("1 put k0 5", ""),
    ...[0, 1, 2].map((from) => accepted(1, from, vote("checkpoint", 1, "s"))),
    stable(1, 1, "s"),
    { kind: "accused", replica: 1, by: 3 },
    { kind: "crashed", replica: 2 },
    { kind: "restarted", replica: 2, disk: "wiped" },
    { kind: "halted", replica: 2, reason: "WIPED_DISK" },
  ];
  const judge = new History(allCheckers(setting, new StoreModel()));
  for (const observation of history) judge.see(observation);
  judge.finish({
    core: [0, 1],
    lastExecuted: [0, 1].map((replica) => ({ replica, sequence: 1, state: "s" })),
    at: 20,
  });
  t.is(judge.violation, undefined);
});

test("every checker has a history that makes it red", (t) => {
  const reachable = new Set(red.map(({ invariant }) => invariant));
  for (const { invariant } of [...allCheckers(setting, undefined), ...alwaysCheckers(setting)])
    t.true(reachable.has(invariant));
});
