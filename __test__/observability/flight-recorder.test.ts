import test from "ava";
import { parseRecording, RecordedCore, replay } from "../../dist/observability/flight-recorder.js";
import type { Action, Input } from "../../dist/protocol/core.js";
import type { ReplicaOptions } from "../../dist/protocol/options.js";
import { Replica } from "../../dist/protocol/replica.js";
import type { AgreedTime, Instant, ReplicaId } from "../../dist/protocol/types.js";
import { bundle, OPTIONS as SCRIPTED, WALL_CLOCK } from "../protocol/scripted.ts";

const OPTIONS: ReplicaOptions = { ...SCRIPTED, me: 0 as ReplicaId };

interface Step {
  readonly now: Instant;
  readonly input: Input;
  readonly actions: readonly Action[];
}

/** A primary that is told of `requests` bundles; what went in and what came out. */
function flight(
  requests: number,
  weightMax?: number,
): { readonly core: RecordedCore; readonly steps: readonly Step[] } {
  const core = new RecordedCore(new Replica(OPTIONS), OPTIONS, weightMax);
  const steps: Step[] = [];
  const step = (input: Input): void => {
    const now = steps.length as Instant;
    steps.push({ now, input, actions: core.step(input, now) });
  };
  step({ kind: "recovered", state: { type: "genesis" }, wallClock: WALL_CLOCK as AgreedTime });
  for (let i = 1; i <= requests; i++) {
    step({ kind: "request", bundle: bundle(`bundle ${i}`, { firstSequence: i }), from: 1 as ReplicaId, again: false });
    step({ kind: "tick", wallClock: (WALL_CLOCK + i) as AgreedTime });
  }
  return { core, steps };
}

test("a recording run again does what the core did, action by action", (t) => {
  const { core, steps } = flight(10);
  t.true(steps.some(({ actions }) => actions.some(({ kind }) => kind === "assemble")));
  t.deepEqual([...replay(parseRecording(core.recording()))], [...steps]);
});

test("a long flight keeps its tail, and that runs from the state that it begins in", (t) => {
  const weightMax = 16;
  const { core, steps } = flight(100, weightMax);
  const kept = [...replay(parseRecording(core.recording()))];
  t.true(kept.length >= weightMax && kept.length <= 2 * weightMax, `${kept.length} inputs`);
  t.deepEqual(kept, steps.slice(-kept.length));
});

test("recording does not change what the core does", (t) => {
  const plain = new Replica(OPTIONS);
  for (const { now, input, actions } of flight(20, 4).steps) t.deepEqual(plain.step(input, now), [...actions]);
});

for (const text of ["", "{}\n", '{"format":"another 1"}\n', "no JSON\n"]) {
  test(`what is no recording is refused: ${JSON.stringify(text)}`, (t) => {
    t.throws(() => parseRecording(text), { instanceOf: SyntaxError });
  });
}
