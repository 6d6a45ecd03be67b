/** A recording is a run that can be had again. */
import test from "ava";
import { RecordedCore, parseRecording, replay } from "../../dist/observability/flight-recorder.js";
import type { Action, Input } from "../../dist/protocol/core.js";
import type { ReplicaOptions } from "../../dist/protocol/options.js";
import { Replica } from "../../dist/protocol/replica.js";
import { setOf, type Digest, type Instant, type ReplicaId } from "../../dist/protocol/types.js";

const options: ReplicaOptions = {
  n: 4,
  f: 1,
  me: 1 as ReplicaId,
  checkpointInterval: 2,
  window: 4,
  inFlightMax: 4,
  viewChangeTimeoutMs: 5000,
  batchBundlesMax: 4,
  batchBytesMax: 4096,
  poolBundlesMax: 16,
  poolBytesMax: 65_536,
  timeBoundMs: 500,
  pipelineDepth: 4,
  historyBytesMax: 65_536,
};

/** A digest with units that are no text, lone surrogates among them. */
function digest(number: number): Digest {
  return String.fromCharCode(0xd800, number, ...new Array<number>(14).fill(0xffff)) as Digest;
}

/** Null batches, one after another, through all phases. */
function inputs(count: number): Input[] {
  const list: unknown[] = [
    { kind: "recovered", state: { type: "genesis" }, wallClock: 0 },
    { kind: "persisted", upTo: 1 },
  ];
  for (let sequence = 1; sequence <= count; sequence++) {
    const place = { view: 0, sequence, digest: digest(sequence) };
    const votes = { kind: "votes", ...place, signers: setOf(0 as ReplicaId, 2 as ReplicaId) };
    list.push({ kind: "control", from: 0, message: { type: "prePrepare", ...place, time: 0, bundles: [] } });
    list.push({ ...votes, phase: "prepare" }, { ...votes, phase: "commit" });
    list.push({
      kind: "executed",
      run: 0,
      through: sequence,
      sessions: { opened: [], executed: [], acknowledged: [], expired: [] },
    });
    if (sequence % 2 !== 0) continue;
    list.push({ kind: "checkpointed", run: 0, sequence, digest: digest(1000 + sequence) });
    for (const from of [0, 2]) {
      list.push({ kind: "control", from, message: { type: "checkpoint", sequence, digest: digest(1000 + sequence) } });
    }
  }
  return list as Input[];
}

function record(
  list: readonly Input[],
  weightMax?: number,
): { readonly text: string; readonly actions: (readonly Action[])[] } {
  const core = new RecordedCore(new Replica(options), options, weightMax);
  const actions = list.map((input, index) => core.step(input, (index * 0.25) as Instant));
  return { text: core.recording(), actions };
}

test("a recording replays to the same actions", (t) => {
  const { text, actions } = record(inputs(6));
  const replayed = [...replay(parseRecording(text))];
  t.deepEqual(
    replayed.map((step) => step.actions),
    actions,
  );
  t.true(
    actions.flat().some(({ kind }) => kind === "stable"),
    "the run got as far as a stable checkpoint",
  );
});

test("a long run keeps a bounded tail that starts from a state, and still replays", (t) => {
  const list = inputs(40);
  const { text, actions } = record(list, 20);
  const { inputs: tail } = parseRecording(text);
  t.true(tail.length >= 20 && tail.length <= 42, `${tail.length} inputs`);
  const replayed = [...replay(parseRecording(text))];
  t.deepEqual(
    replayed.map((step) => step.actions),
    actions.slice(-tail.length),
  );
});

test("a proposal weighs as much as it names", (t) => {
  const bundles = Array.from({ length: 4 }, (_, index) => digest(index));
  const proposal = { type: "prePrepare", view: 0, sequence: 1, digest: digest(9), time: 0, bundles };
  const list = [
    ...inputs(0),
    ...Array.from({ length: 100 }, () => ({ kind: "control", from: 0, message: proposal })),
  ] as Input[];
  t.true(parseRecording(record(list, 20).text).inputs.length <= 10);
});

test("the wrapped core answers as itself", (t) => {
  const plain = new Replica(options);
  const core = new RecordedCore(new Replica(options), options);
  for (const [index, input] of inputs(3).entries()) {
    t.deepEqual(core.step(input, index as Instant), plain.step(input, index as Instant));
    t.is(core.deadline(), plain.deadline());
    t.deepEqual(core.room(), plain.room());
  }
});

test("text that is no recording is refused", (t) => {
  for (const text of ["", "{}", '{"format":"another"}\n', "not JSON"])
    t.throws(() => parseRecording(text), { instanceOf: SyntaxError });
});
