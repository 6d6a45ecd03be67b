/** OSDI'99 §4.6, non-determinism: the primary picks the time, agreement makes it everybody's. */
import test from "ava";
import type { OperationContext, StateMachine } from "../../dist/state/interfaces.js";
import type { View } from "../../dist/protocol/types.js";
import { batchOf, Cluster } from "../protocol/cluster-of-cores.ts";
import { backup, certificate, digestOf, primary, bundle, WALL_CLOCK } from "../protocol/scripted.ts";
import { bytes, Driver } from "../state/driver.ts";

test("§4.6: the primary proposes its time with the requests, never less than before", (t) => {
  const core = primary({ pipelineDepth: 8, batchBundlesMax: 1 });
  const times: number[] = [];
  for (const [ms, name] of [
    [10, "a"],
    [500, "b"],
  ] as const) {
    core.tickAfter(ms);
    core.request(bundle(name));
    times.push(core.of("assemble")[0]!.time);
  }
  core.step({ kind: "tick", wallClock: (WALL_CLOCK - 60_000) as never });
  core.request(bundle("c"));
  times.push(core.of("assemble")[0]!.time);
  t.deepEqual(times, [WALL_CLOCK + 10, WALL_CLOCK + 510, WALL_CLOCK + 510]);
});

test("§4.6: all replicas execute with the time that was agreed on, whatever their clocks say", (t) => {
  for (const skew of [-900, 0, 900]) {
    const core = backup();
    core.propose(1, "batch", [], { time: WALL_CLOCK + skew });
    core.votes("prepare", 1, "batch", 1, 2);
    core.votes("commit", 1, "batch", 1, 2);
    t.is(core.of("execute")[0]?.time as number | undefined, WALL_CLOCK + skew);
  }
});

test("§4.6: the digest covers the time: a primary that tells each backup another time gets nothing prepared", (t) => {
  const cluster = new Cluster();
  cluster.corrupt(0);
  cluster.request("a");
  for (const id of [1, 2, 3]) {
    const batch = batchOf(["a"], WALL_CLOCK + id);
    cluster.say(0, [id], { type: "prePrepare", view: 0 as View, sequence: 1 as never, ...batch });
  }
  cluster.deliver();
  for (const { core } of cluster.honest) t.is(core.inspect().slots.get(1 as never)?.prepared, undefined);
});

for (const [name, time, voted] of [
  ["within the bound", WALL_CLOCK + 1_000, true],
  ["too far ahead", WALL_CLOCK + 1_001, false],
  ["too far behind", WALL_CLOCK - 1_001, false],
] as const) {
  test(`§4.6: a backup checks the time against its own clock: ${name}`, (t) => {
    const core = backup();
    core.propose(1, "batch", [], { time });
    t.is(core.sent("prepare").length, voted ? 1 : 0);
  });
}

test("§4.6: a time that was too early for our clock is agreed with when the clock gets there", (t) => {
  const core = backup();
  core.propose(1, "batch", [], { time: WALL_CLOCK + 1_500 });
  core.tickAfter(400);
  t.is(core.sent("prepare").length, 0);
  core.tickAfter(100);
  t.is(core.sent("prepare").length, 1);
});

test("§4.6: f+1 replicas that vouch for a time outweigh our clock", (t) => {
  const core = backup({ n: 7, f: 2, me: 6 as never });
  core.propose(1, "batch", [], { time: 0 });
  core.votes("prepare", 1, "batch", 1);
  t.is(core.sent("prepare").length, 0, "the primary and one more may both lie");
  core.votes("prepare", 1, "batch", 1, 2);
  t.is(core.sent("prepare").length, 1);
});

test("§4.6: the time of a batch that a view change carries over is not questioned again", (t) => {
  const core = backup();
  core.propose(1, "batch", [], { time: 0 });
  t.is(core.sent("prepare").length, 0);
  core.enterView(1, [certificate(1, "batch")]);
  t.deepEqual(
    core.sent("prepare").map(({ message }) => message.digest),
    [digestOf("batch")],
  );
});

/** What operations were told, in order. */
function told(driver: (machine: StateMachine) => Driver): {
  contexts: OperationContext[];
  run: (timeMs: number) => void;
} {
  const contexts: OperationContext[] = [];
  const subject = driver({
    execute(_state, _operation, context) {
      contexts.push(context);
      return bytes("done");
    },
  });
  const session = subject.open();
  let first = 1;
  const run = (timeMs: number): void => {
    subject.timeMs = timeMs;
    subject.run({ session, first, operations: ["x", "y"] });
    first += 2;
  };
  return { contexts, run };
}

test("§4.6: time never runs backwards for the state machine, although primaries' clocks differ", (t) => {
  const { contexts, run } = told((stateMachine) => new Driver({ stateMachine }));
  for (const timeMs of [2_000_000, 1_500_000, 2_000_001]) run(timeMs);
  t.deepEqual(
    contexts.map(({ timestampMs }) => timestampMs),
    [2_000_000, 2_000_000, 2_000_000, 2_000_000, 2_000_001, 2_000_001],
  );
});

test("§4.6: randomness comes from what was agreed on: equal on all replicas, different for each operation", (t) => {
  const [one, other] = [1, 2].map(() => told((stateMachine) => new Driver({ stateMachine })));
  for (const { run } of [one!, other!]) for (const timeMs of [2_000_000, 2_000_001]) run(timeMs);
  const hex = ({ contexts }: { contexts: OperationContext[] }): string[] =>
    contexts.map(({ random }) => Buffer.from(random).toString("hex"));
  t.deepEqual(hex(one!), hex(other!));
  t.is(new Set(hex(one!)).size, 4);
});
