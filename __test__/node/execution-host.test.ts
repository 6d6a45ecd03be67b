/** The commands of a core to its execution: runs that end, states that are installed, checkpoints that come too late. */
import test from "ava";
import { everyone, setOf, without, ZERO_DIGEST } from "../../dist/protocol/types.js";
import type { AgreedTime, Digest, ReplicaId, Run, Sequence, SessionId, View } from "../../dist/protocol/types.js";
import { ExecutionHost } from "../../dist/node/execution-host.js";
import type { ExecutionCommand, ExecutionOutcome } from "../../dist/node/execution-host.js";
import { Executor } from "../../dist/state/executor.js";
import { ALICE, digestOf, logMachine, MEMBERS, open, payloadOf } from "../state/driver.ts";
import { NodeHasher } from "../state/node-hasher.ts";

const OPEN = payloadOf(open(ALICE, 1, 1_000));
const SELF = 3 as ReplicaId;

class Hosted {
  readonly executor = new Executor({ stateMachine: logMachine, hasher: new NodeHasher(), members: MEMBERS });
  readonly host = new ExecutionHost(this.executor, {
    hasher: new NodeHasher(),
    sources: without(everyone(4), setOf(SELF)),
    snapshots: undefined,
  });

  /** What the commands lead to at once. */
  take(...commands: readonly ExecutionCommand[]): ExecutionOutcome[] {
    const outcomes: ExecutionOutcome[] = [];
    for (const command of commands) this.host.take(command, outcomes);
    return outcomes;
  }

  /** And what comes after, as long as there is something to do. */
  work(): ExecutionOutcome[] {
    const outcomes: ExecutionOutcome[] = [];
    do {
      const some: ExecutionOutcome[] = [];
      this.host.work(some);
      outcomes.push(...some.map(kept));
    } while (this.host.busy);
    return outcomes;
  }
}

/** An answer in memory of its own: the host uses that of its answers again. */
function kept(outcome: ExecutionOutcome): ExecutionOutcome {
  if (outcome.kind !== "stateNodes") return outcome;
  return { ...outcome, message: { ...outcome.message, nodes: outcome.message.nodes.slice() } };
}

function batch(sequence: number, run = 0, taken = 0): ExecutionCommand {
  const bundle =
    sequence === 1
      ? OPEN
      : payloadOf({ session: 1 as SessionId, first: sequence - 1, operations: [`operation ${sequence}`] });
  return {
    kind: "batch",
    run: run as Run,
    batch: {
      sequence: sequence as Sequence,
      timeMs: 1 as AgreedTime,
      digest: digestOf(sequence),
      bundles: [{ digest: digestOf(1_000 + sequence), payload: bundle }],
    },
    wantOperations: false,
    taken: taken as Sequence,
  };
}

const checkpoint = (sequence: number, run = 0): ExecutionCommand => ({
  kind: "checkpoint",
  run: run as Run,
  sequence: sequence as Sequence,
});
const install = (run: number, sequence: number, digest: Digest): ExecutionCommand => ({
  kind: "install",
  installation: { run: run as Run, sequence: sequence as Sequence, digest, distrustOwn: false },
});
const stable = (sequence: number): ExecutionCommand => ({
  kind: "stable",
  sequence: sequence as Sequence,
  digest: ZERO_DIGEST,
});
const kinds = (outcomes: readonly ExecutionOutcome[]): string[] => outcomes.map(({ kind }) => kind);

/** The root after batches 1 … `count`. */
function rootAfter(count: number): Digest {
  const { host, executor } = new Hosted();
  for (let sequence = 1; sequence <= count; sequence++) host.take(batch(sequence), []);
  executor.freeze(count as Sequence);
  return executor.root(count as Sequence);
}

/** Passes state transfer messages between two hosts until nothing is left to say. */
function exchanged(from: Hosted, to: Hosted): ExecutionOutcome[] {
  const others: ExecutionOutcome[] = [];
  for (let outcomes = to.work(); outcomes.length > 0; outcomes = to.work()) {
    for (const outcome of outcomes) {
      if (outcome.kind !== "stateFetch") {
        others.push(outcome);
        continue;
      }
      from.take({ kind: "stateFetch", from: SELF, message: outcome.message });
      for (const answer of from.work()) {
        if (answer.kind === "stateNodes") to.take({ kind: "stateNodes", from: outcome.to, message: answer.message });
      }
    }
  }
  return others;
}

test("a root that others were faster to compute is let go of with its version", (t) => {
  const hosted = new Hosted();
  t.deepEqual(kinds(hosted.take(batch(1), checkpoint(1), batch(2), checkpoint(2), stable(2))), [
    "executed",
    "executed",
    "snapshotted",
  ]);
  const outcomes = hosted.work();
  t.deepEqual(outcomes as unknown, [{ kind: "checkpointed", run: 0, sequence: 2, digest: rootAfter(2) }]);
});

test("results that the core has not taken when it ends a run are given again under the next", (t) => {
  const hosted = new Hosted();
  const [, second] = hosted.take(batch(1), batch(2), checkpoint(2));
  hosted.take(install(1, 9, digestOf(9)));
  t.deepEqual(kinds(hosted.take(batch(2, 1))), [], "a state is awaited");
  const [again] = hosted.take(batch(2, 2, 1));
  t.deepEqual(again as unknown, { ...second, run: 2, again: true });
  t.is(hosted.executor.lastExecuted, 2 as Sequence);
  hosted.take(checkpoint(2, 2));
  t.deepEqual(hosted.work() as unknown, [{ kind: "checkpointed", run: 2, sequence: 2, digest: rootAfter(2) }]);
  const [third] = hosted.take(batch(3, 2, 2));
  t.like(third, { kind: "executed", run: 2, sequence: 3, again: false });
});

test("a state that was fetched is executed on, and what was executed before it is not asked for again", (t) => {
  const source = new Hosted();
  source.take(...[1, 2, 3, 4].map((sequence) => batch(sequence)), checkpoint(4));
  source.work();
  const late = new Hosted();
  late.take(batch(1), batch(2));
  late.take(install(1, 4, rootAfter(4)));
  t.deepEqual(kinds(late.take(batch(3), checkpoint(2))), [], "of an ended run");
  const outcomes = exchanged(source, late);
  t.like(outcomes[0], { kind: "installed", run: 1, sequence: 4, digest: rootAfter(4) });
  t.deepEqual(outcomes.slice(1) as unknown, [{ kind: "snapshotted", sequence: 4 }], "nothing is durable here");
  const [fifth] = late.take(batch(5, 1, 4));
  t.like(fifth, { kind: "executed", run: 1, sequence: 5 });
  late.take(checkpoint(5, 1));
  t.deepEqual(late.work() as unknown, [{ kind: "checkpointed", run: 1, sequence: 5, digest: rootAfter(5) }]);
});

test("an answer that nobody asked for and too many requests are refused", (t) => {
  const hosted = new Hosted();
  const nodes = { type: "stateNodes", request: 1, count: 0, nodes: new Uint8Array(0) } as const;
  const from = 0 as ReplicaId;
  t.deepEqual(hosted.take({ kind: "stateNodes", from, message: nodes }) as unknown, [
    { kind: "refused", from, reason: "unasked" },
  ]);
  const message = {
    type: "stateFetch",
    sequence: 1 as Sequence,
    request: 1,
    bytesMax: 1,
    items: [{ path: new Uint8Array(0), deep: true }],
  } as const;
  const fetches = Array.from({ length: 6 }, (): ExecutionCommand => ({ kind: "stateFetch", from, message }));
  t.deepEqual(hosted.take(...fetches) as unknown, [
    { kind: "refused", from, reason: "busy" },
    { kind: "refused", from, reason: "busy" },
  ]);
});

test("a retry is answered from the state that was installed", (t) => {
  const source = new Hosted();
  source.take(batch(1), batch(2), checkpoint(2));
  source.work();
  const late = new Hosted();
  late.take(install(1, 2, rootAfter(2)));
  exchanged(source, late);
  const session = 1 as SessionId;
  const [answered] = late.take({ kind: "answer", client: ALICE, session, firstSequence: 1, count: 1, view: 0 as View });
  if (answered?.kind !== "answered") throw new Error("no answer");
  t.like(answered.entries[0], { sequence: 1, status: "ok" });
});
