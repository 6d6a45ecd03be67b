/** Every oracle goes red on a history that breaks its invariant, and stays silent on one that does not. */
import test from "ava";
import { allCheckers } from "../../dist/testing/checkers/index.js";
import { checkDeterminism } from "../../dist/testing/checkers/determinism.js";
import { StoreModel } from "../../dist/testing/checkers/store-model.js";
import type { AgreedTime } from "../../dist/protocol/types.js";
import { batchDigest } from "../../dist/testing/hashing.js";
import { History } from "../../dist/testing/history.js";
import type { Ending, Observation, Setting, Violation, VoteFact } from "../../dist/testing/history.js";

const setting: Setting = { n: 4, f: 1, window: 4, honest: [0, 1, 2], timeoutMs: 1000, durable: true };
/** What the null batch is known by. */
const NULL = batchDigest({ time: 0 as AgreedTime, bundles: [] });
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
const entered = (replica: number, view: number): Observation => ({ kind: "entered", replica, view });
const changed = (replica: number, view: number): Observation => ({
  kind: "viewChanged",
  replica,
  view,
  cause: "timeout",
});
const viewLeft = (replica: number, view: number, target: number, cause = "fenced", at = 0): Observation => ({
  kind: "viewLeft",
  replica,
  view,
  target,
  cause,
  at,
});
type Prepared = Extract<Observation, { kind: "viewChange" }>["prepared"][number];
const prepared = (sequence: number, digest: string, view = 0, signers = [0, 1, 2]): Prepared => ({
  view,
  sequence,
  digest,
  signers,
});
/** "May vote in view 0 up to 3". */
const leaseOf = (replica: number): Observation => ({
  kind: "durable",
  replica,
  lsn: 1,
  record: { type: "lease", view: 0, through: 3 },
});
const leftFor = (replica: number, target: number, message = `${replica}>${target}`): Observation => ({
  kind: "durable",
  replica,
  lsn: 1,
  record: { type: "viewLeft", target, message },
});
/** The VIEW-CHANGE of `signer` for `target`, as `replica` verified it or, where it is its own, sent it. */
const viewChange = (
  replica: number,
  signer: number,
  target: number,
  shown: readonly Prepared[] = [],
  stableAt = 0,
): Observation => ({
  kind: "viewChange",
  replica,
  how: replica === signer ? "sent" : "verified",
  signer,
  target,
  digest: `${signer}>${target}`,
  stable: stableAt === 0 ? undefined : { sequence: stableAt, digest: "s", signers: [0, 1, 2] },
  prepared: shown,
});
const newView = (
  replica: number,
  view: number,
  first: number,
  batches: readonly string[],
  from: readonly number[] = [0, 2, 3],
): Observation => ({
  kind: "newView",
  replica,
  how: "accepted",
  view,
  first,
  batches,
  viewChanges: from.map((sender) => ({ from: sender, digest: `${sender}>${view}` })),
});
const accused = (by: number, digest: string, type: "prepare" | "viewChange" = "prepare"): Observation => ({
  kind: "accused",
  replica: 0,
  by,
  type,
  digest,
});
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
  ...[0, 1, 2].flatMap((from): Observation[] => {
    const commit = vote("commit", sequence, digest);
    if (from !== replica) return [accepted(replica, from, commit)];
    return [
      { kind: "durable", replica, lsn: 1, record: { type: "prepared", view: 0, sequence, digest } },
      emitted(replica, commit),
      { kind: "left", replica, vote: commit, what: "commit", after: 1, durable: 1 },
    ];
  }),
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
/** A vote of `replica`, by a record that is durable. */
const leftVote = (replica: number, v: Vote): Observation => ({ ...left(v, 1, 1), replica }) as Observation;

interface Case {
  readonly invariant: number;
  readonly name: string;
  readonly history: readonly Observation[];
  readonly ending?: Ending;
}

/** A new process of a replica, to whose disk nothing was written but leases. */
function restarted(replica: number, disk: "kept" | "wiped"): Observation {
  return { kind: "restarted", replica, disk, snapshot: 0, low: 0, view: 0, clean: false };
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
    history: [
      ...[0, 1, 2].map(leaseOf),
      leftVote(0, vote("prePrepare", 1, "a")),
      leftVote(1, vote("prepare", 1, "a")),
      signed(3, vote("prepare", 1, "a")),
      signed(3, vote("prepare", 1, "b")),
      leftVote(2, vote("prepare", 1, "b")),
      leftVote(1, vote("prepare", 1, "b")),
    ],
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
  { invariant: 8, name: "a VIEW-CHANGE leaves before its record", history: [viewChange(1, 1, 1), leftFor(1, 1)] },
  {
    invariant: 8,
    name: "a NEW-VIEW leaves before its record",
    history: [
      ...[0, 2, 3].map((signer) => viewChange(1, signer, 1)),
      { ...newView(1, 1, 1, []), how: "sent" } as Observation,
    ],
  },
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
    history: [
      checkpointed(1, 2, "s"),
      emitted(1, vote("checkpoint", 2, "s")),
      accepted(1, 0, vote("checkpoint", 2, "s")),
      stable(1, 2, "s"),
    ],
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
      { kind: "durable", replica: 0, lsn: 1, record: { type: "lease", view: 0, through: 3 } },
      emitted(0, vote("prePrepare", 1, "a")),
      { kind: "left", replica: 0, vote: vote("prePrepare", 1, "a"), what: "prePrepare", after: 1, durable: 1 },
      { kind: "crashed", replica: 0 },
      restarted(0, "kept"),
      emitted(0, vote("prePrepare", 1, "b")),
    ],
  },
  {
    invariant: 7,
    name: "a replica votes again, as before, where a lease let it vote before it crashed",
    history: [leaseOf(0), restarted(0, "kept"), emitted(0, vote("prePrepare", 3, "a"))],
  },
  {
    invariant: 7,
    name: "a replica votes after it lost its disk, even as before",
    history: [emitted(1, vote("commit", 1, "a")), restarted(1, "wiped"), emitted(1, vote("commit", 1, "a"))],
  },
  {
    invariant: 7,
    name: "a replica is readmitted and votes where it may have voted before it lost its disk",
    history: [
      emitted(1, vote("commit", 3, "a")),
      restarted(1, "wiped"),
      { kind: "readmitted", replica: 1, sequence: 2 },
      emitted(1, vote("commit", 3, "a")),
    ],
  },
  {
    invariant: 17,
    name: "a replica halts although its disk kept everything",
    history: [restarted(0, "kept"), { kind: "halted", replica: 0, reason: "DISK_FAILED" }],
  },
  { invariant: 17, name: "an honest replica halts", history: [{ kind: "halted", replica: 0, reason: "whim" }] },
  {
    invariant: 18,
    name: "an honest replica is accused",
    history: [signed(1, vote("prepare", 1, "a")), signed(1, vote("prepare", 1, "b")), accused(1, "b")],
  },
  {
    invariant: 18,
    name: "a liar is accused of what excludes nothing",
    history: [signed(3, vote("prepare", 1, "a")), signed(3, vote("prepare", 2, "b")), accused(3, "b")],
  },
  {
    invariant: 18,
    name: "a liar is accused of two VIEW-CHANGEs that are for different views",
    history: [
      { kind: "signedView", signer: 3, type: "viewChange", view: 1, content: "x" },
      { kind: "signedView", signer: 3, type: "viewChange", view: 2, content: "y" },
      accused(3, "d", "viewChange"),
    ],
  },
  {
    invariant: 3,
    name: "the null batch runs something",
    history: [
      { kind: "batch", digest: NULL, bundles: ["x"] },
      ...committed(0, 1, NULL).slice(1, -1),
      { kind: "executed", replica: 0, sequence: 1, digest: NULL, bundles: ["x"] },
    ],
  },
  {
    invariant: 5,
    name: "another batch is prepared in a later view than the committed one",
    history: [
      ...committed(0, 1, "a").slice(1, -1),
      ...[0, 1, 2].map((signer) => signed(signer, vote(signer === 1 ? "prePrepare" : "prepare", 1, "b", 1))),
      { kind: "certificate", replica: 0, phase: "prepare", view: 1, sequence: 1, digest: "b", signers: [0, 1, 2] },
    ],
  },
  {
    invariant: 5,
    name: "a VIEW-CHANGE shows another batch than the one that is committed later in a lower view",
    history: [viewChange(0, 3, 2, [prepared(1, "b", 1)]), ...committed(0, 1, "a").slice(1, -1)],
  },
  {
    invariant: 6,
    name: "a NEW-VIEW leaves out what was committed",
    history: [...committed(0, 1, "a"), ...[0, 2, 3].map((signer) => viewChange(1, signer, 1)), newView(1, 1, 1, [])],
  },
  {
    invariant: 6,
    name: "a batch is committed that a later NEW-VIEW has replaced by null",
    history: [
      ...[0, 2, 3].map((signer) => viewChange(1, signer, 1, signer === 3 ? [prepared(2, "b")] : [])),
      newView(1, 1, 1, [NULL, "b"]),
      ...committed(0, 1, "a"),
    ],
  },
  {
    invariant: 6,
    name: "a NEW-VIEW rests on VIEW-CHANGEs that nobody has verified",
    history: [viewChange(1, 0, 1), viewChange(1, 2, 1), newView(1, 1, 1, [])],
  },
  {
    invariant: 6,
    name: "a NEW-VIEW rests on two of four",
    history: [viewChange(1, 0, 1), viewChange(1, 2, 1), newView(1, 1, 1, [], [0, 2, 2])],
  },
  {
    invariant: 6,
    name: "a NEW-VIEW rests on VIEW-CHANGEs for another view",
    history: [
      ...[0, 2, 3].map((signer) => viewChange(1, signer, 2)),
      { ...newView(1, 2, 1, []), view: 1 } as Observation,
    ],
  },
  {
    invariant: 6,
    name: "the lower view wins in a NEW-VIEW",
    history: [
      viewChange(0, 2, 2, [prepared(1, "a", 0)]),
      viewChange(0, 3, 2, [prepared(1, "b", 1)]),
      viewChange(0, 1, 2),
      newView(0, 2, 1, ["a"], [1, 2, 3]),
    ],
  },
  {
    invariant: 6,
    name: "a NEW-VIEW starts below the highest stable checkpoint",
    history: [...[0, 2, 3].map((signer) => viewChange(1, signer, 1, [], signer === 3 ? 2 : 0)), newView(1, 1, 1, [])],
  },
  {
    invariant: 6,
    name: "a NEW-VIEW believes a certificate of two",
    history: [
      ...[0, 2, 3].map((signer) => viewChange(1, signer, 1, signer === 3 ? [prepared(1, "a", 0, [0, 3])] : [])),
      newView(1, 1, 1, ["a"]),
    ],
  },
  {
    invariant: 6,
    name: "a NEW-VIEW believes a certificate of the view itself",
    history: [
      ...[0, 2, 3].map((signer) => viewChange(1, signer, 1, signer === 3 ? [prepared(1, "a", 1)] : [])),
      newView(1, 1, 1, ["a"]),
    ],
  },
  {
    invariant: 6,
    name: "a VIEW-CHANGE hides what its sender has committed",
    history: [leftFor(1, 1), emitted(1, vote("commit", 1, "a")), viewChange(1, 1, 1)],
  },
  {
    invariant: 6,
    name: "a VIEW-CHANGE shows the certificate of a lower view than its sender's COMMIT",
    history: [
      entered(1, 2),
      leftFor(1, 3),
      emitted(1, vote("commit", 1, "a", 2)),
      viewChange(1, 1, 3, [prepared(1, "a", 1)]),
    ],
  },
  {
    invariant: 7,
    name: "a replica sends two VIEW-CHANGEs for one view",
    history: [
      leftFor(1, 1),
      leftFor(1, 1, "other"),
      viewChange(1, 1, 1),
      { ...viewChange(1, 1, 1, [prepared(1, "a")]), digest: "other" } as Observation,
    ],
  },
  {
    invariant: 7,
    name: "a primary sends two NEW-VIEWs of one view",
    history: [
      leftFor(1, 1),
      { kind: "durable", replica: 1, lsn: 2, record: { type: "viewEntered", view: 1, viewChanges: [] } },
      ...[0, 1, 2, 3].map((signer) => viewChange(1, signer, 1)),
      { ...newView(1, 1, 1, [], [0, 1, 2]), how: "sent" } as Observation,
      { ...newView(1, 1, 1, [], [1, 2, 3]), how: "sent" } as Observation,
    ],
  },
  {
    invariant: 9,
    name: "a replica commits in a view that it has left",
    history: [viewLeft(1, 0, 1), emitted(1, vote("commit", 1, "a"))],
  },
  {
    invariant: 9,
    name: "a replica commits in a view that it has not entered",
    history: [emitted(1, vote("commit", 1, "a", 1))],
  },
  {
    invariant: 9,
    name: "a replica enters a lower view than it asked for",
    history: [viewLeft(1, 0, 2), changed(1, 1)],
  },
  { invariant: 9, name: "a replica asks for its own view", history: [changed(1, 2), viewLeft(1, 2, 2)] },
  {
    invariant: 11,
    name: "a replica signs a state that it never had",
    history: [checkpointed(1, 2, "s"), emitted(1, vote("checkpoint", 2, "r"))],
  },
  {
    invariant: 11,
    name: "a primary proposes without the state of its stable checkpoint",
    history: [
      ...[0, 1, 2].map((from) => accepted(0, from, vote("checkpoint", 2, "s"))),
      stable(0, 2, "s"),
      { kind: "chosen", replica: 0, view: 0, sequence: 3 },
    ],
  },
  {
    invariant: 11,
    name: "a wrong node becomes a part of a fetched state",
    history: [{ kind: "misfetched", replica: 0 }],
  },
  {
    invariant: 17,
    name: "a replica joins one other",
    history: [viewChange(1, 3, 5), viewLeft(1, 0, 5, "joined")],
  },
  {
    invariant: 17,
    name: "a replica joins higher than f+1 others ask",
    history: [viewChange(1, 3, 5), viewChange(1, 2, 2), viewLeft(1, 0, 5, "joined")],
  },
  {
    invariant: 17,
    name: "a replica leaves a view by its own timer alone",
    history: [{ kind: "complained", replica: 1, from: 1, view: 0 }, viewLeft(1, 0, 1, "timeout")],
  },
  {
    invariant: 17,
    name: "a replica believes one complaint",
    history: [{ kind: "complained", replica: 1, from: 3, view: 0 }, viewLeft(1, 0, 1, "complaints")],
  },
  {
    invariant: 17,
    name: "a replica believes complaints about two views",
    history: [
      { kind: "complained", replica: 1, from: 3, view: 0 },
      { kind: "complained", replica: 1, from: 2, view: 1 },
      viewLeft(1, 0, 1, "complaints"),
    ],
  },
  {
    invariant: 17,
    name: "a replica takes a backup's word for a hand-over",
    history: [viewChange(1, 3, 1), viewLeft(1, 0, 1, "handOver")],
  },
  {
    invariant: 17,
    name: "a replica goes past a view that two of four ask for",
    history: [viewChange(1, 3, 1), viewLeft(1, 0, 1), viewLeft(1, 0, 2, "timeout", 5000)],
  },
  {
    invariant: 17,
    name: "a replica waits less than its timeout for a NEW-VIEW",
    history: [viewChange(1, 3, 1), viewChange(1, 2, 1), viewLeft(1, 0, 1), viewLeft(1, 0, 2, "timeout", 800)],
  },
  {
    invariant: 17,
    name: "the second view that is waited for in vain gets no more time than the first",
    history: [
      viewChange(1, 3, 2),
      viewChange(1, 2, 2),
      viewLeft(1, 0, 1),
      viewLeft(1, 0, 2, "timeout", 1000),
      viewLeft(1, 0, 3, "timeout", 2000),
    ],
  },
  {
    invariant: 17,
    name: "replicas go on leaving honest primaries when all is calm",
    history: [
      { kind: "calm", core: [0, 1, 2] },
      viewLeft(1, 0, 1, "fenced", 0),
      changed(1, 1),
      viewLeft(1, 1, 2, "fenced", 5000),
    ],
  },
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

function violationOf(history: readonly Observation[], ending = quiet): Violation | undefined {
  const judge = new History(allCheckers(setting, new StoreModel()));
  for (const observation of history) judge.see(observation);
  judge.finish(ending);
  return judge.violation;
}

for (const { invariant, name, history, ending } of red) {
  test(`invariant ${invariant} goes red when ${name}`, (t) => {
    const violation = violationOf(history, ending);
    t.is(violation?.invariant, invariant, violation?.message);
  });
}

test("invariant 20 goes red when two runs of one seed differ", (t) => {
  t.is(checkDeterminism("a1", "b2")?.invariant, 20);
  t.is(checkDeterminism("a1", "a1"), undefined);
});

test("what was signed and never left is no vote: a process that comes back may sign something else", (t) => {
  const history = [
    signed(0, vote("prePrepare", 1, "a")),
    signed(3, vote("prepare", 1, "a")),
    signed(1, vote("prepare", 1, "a")),
    restarted(1, "kept"),
    ...[0, 1].map((replica) => leftVote(replica, vote("prepare", 1, "b"))),
    signed(3, vote("prepare", 1, "b")),
  ];
  t.not(violationOf(history)?.name, "certificate uniqueness");
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
    { kind: "signedView", signer: 3, type: "viewChange", view: 1, content: "x" },
    { kind: "signedView", signer: 3, type: "viewChange", view: 1, content: "y" },
    accused(3, "d", "viewChange"),
    // The primary of view 0 is left, and the next view starts with what was prepared above the stable checkpoint.
    ...[2, 3].flatMap((signer) => [0, 1].map((replica) => viewChange(replica, signer, 1, [prepared(2, "b")], 1))),
    viewLeft(0, 0, 1, "joined"),
    viewLeft(1, 0, 1, "timeout"),
    leftFor(1, 1),
    { kind: "durable", replica: 1, lsn: 2, record: { type: "viewEntered", view: 1, viewChanges: [] } },
    viewChange(1, 1, 1, [], 1),
    viewChange(0, 1, 1, [], 1),
    ...[0, 1].flatMap((replica) => [
      entered(replica, 1),
      changed(replica, 1),
      { ...newView(replica, 1, 2, ["b"], [1, 2, 3]), how: replica === 1 ? "sent" : "accepted" } as Observation,
    ]),
    { kind: "calm", core: [0, 1] },
    { kind: "crashed", replica: 2 },
    restarted(2, "wiped"),
    { kind: "readmitted", replica: 2, sequence: 4 },
  ];
  const violation = violationOf(history, {
    core: [0, 1],
    lastExecuted: [0, 1].map((replica) => ({ replica, sequence: 1, state: "s" })),
    at: 20,
  });
  t.is(violation, undefined, violation?.message);
});

test("every checker has a history that makes it red", (t) => {
  const reached = new Set(red.map(({ history, ending }) => violationOf(history, ending)?.name));
  for (const { name } of allCheckers(setting, undefined)) t.true(reached.has(name), name);
});
