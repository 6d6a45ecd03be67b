/** The parts of the simulator by themselves. */
import test from "ava";
import type { DurableRecord, Input } from "../../dist/protocol/core.js";
import type { Lsn } from "../../dist/protocol/types.js";
import { Disk } from "../../dist/testing/ports/disk.js";
import type { JournalEntry } from "../../dist/testing/ports/journal.js";
import { Outbox } from "../../dist/testing/ports/outbox.js";
import { Network } from "../../dist/testing/network.js";
import type { LinkLaw } from "../../dist/testing/network.js";
import { withPoisonedGlobals } from "../../dist/testing/poison.js";
import { Prng } from "../../dist/testing/prng.js";
import { Scheduler } from "../../dist/testing/scheduler.js";
import { ddmin, shrink } from "../../dist/testing/shrink.js";
import { planOf, runPlan, storeWorld } from "../../dist/testing/simulate.js";
import { simulate } from "../../dist/testing/index.js";
import { formatTrace, parseTrace, TRACE_LINES_MAX } from "../../dist/testing/trace-file.js";
import type { Plan } from "../../dist/testing/plan.js";
import type { RunResult } from "../../dist/testing/world.js";

const law: LinkLaw = { delayMinMs: 1, delayMeanMs: 0, delayMaxMs: 10, loss: 0, duplicate: 0, ordered: false };

test("events run in order of time, and of scheduling where times are equal", (t) => {
  const scheduler = new Scheduler();
  const ran: string[] = [];
  const prng = new Prng(1n);
  const expected: [number, number][] = [];
  for (let index = 0; index < 500; index++) {
    const at = prng.below(50);
    expected.push([at, index]);
    scheduler.at(at, () => ran.push(`${at}/${index}`));
  }
  while (scheduler.step(100));
  expected.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  t.deepEqual(
    ran,
    expected.map(([at, index]) => `${at}/${index}`),
  );
});

test("a scheduler stops at its limit and goes on from there", (t) => {
  const scheduler = new Scheduler();
  let ran = 0;
  scheduler.after(5, () => ran++);
  t.false(scheduler.step(4));
  t.is(scheduler.now, 4);
  t.true(scheduler.step(5));
  t.is(ran, 1);
});

test("streams split from a seed depend on its name alone", (t) => {
  const root = new Prng(7n);
  const before = root.split("net").next();
  root.next();
  t.is(root.split("net").next(), before);
  t.not(root.split("disk").next(), before);
  t.not(new Prng(8n).split("net").next(), before);
  t.not(new Prng(7n + (1n << 40n)).split("net").next(), before);
});

test("random numbers keep to their range", (t) => {
  const prng = new Prng(3n);
  const seen = new Set<number>();
  for (let index = 0; index < 1000; index++) seen.add(prng.between(2, 5));
  t.deepEqual([...seen].sort(), [2, 3, 4, 5]);
  t.false(prng.chance(0));
  t.deepEqual([...prng.shuffled([1, 2, 3, 4])].sort(), [1, 2, 3, 4]);
});

function network(change: Partial<LinkLaw> = {}): { scheduler: Scheduler; net: Network; heard: string[] } {
  const scheduler = new Scheduler();
  const net = new Network(scheduler, new Prng(5n), 3, () => ({ ...law, ...change }));
  const heard: string[] = [];
  for (const node of [0, 1, 2]) net.attach(node, (from, bytes) => heard.push(`${from}>${node}:${bytes[0]}`));
  return { scheduler, net, heard };
}

function drain(scheduler: Scheduler): void {
  while (scheduler.step(scheduler.now + 1000));
}

test("a cut link loses messages one way, also those under way", (t) => {
  const { scheduler, net, heard } = network();
  net.send(0, 1, Uint8Array.of(1));
  net.cut(0, 1);
  net.send(0, 1, Uint8Array.of(2));
  net.send(1, 0, Uint8Array.of(3));
  drain(scheduler);
  t.deepEqual(heard, ["1>0:3"]);
});

test("two faults of one link end separately", (t) => {
  const { scheduler, net, heard } = network();
  net.cut(0, 1);
  net.cut(0, 1);
  net.mend(0, 1);
  net.send(0, 1, Uint8Array.of(1));
  net.mend(0, 1);
  net.send(0, 1, Uint8Array.of(2));
  drain(scheduler);
  t.deepEqual(heard, ["0>1:2"]);
});

test("a clogged link holds messages and lets them go", (t) => {
  const { scheduler, net, heard } = network();
  net.clog(0, 1);
  net.send(0, 1, Uint8Array.of(1));
  drain(scheduler);
  t.deepEqual(heard, []);
  net.unclog(0, 1);
  drain(scheduler);
  t.deepEqual(heard, ["0>1:1"]);
});

test("an ordered link keeps order, another one does not", (t) => {
  const bytes = Array.from({ length: 50 }, (_, index) => Uint8Array.of(index));
  const order = (ordered: boolean): string[] => {
    const { scheduler, net, heard } = network({ ordered, delayMeanMs: 5 });
    for (const message of bytes) net.send(0, 1, message);
    drain(scheduler);
    return heard;
  };
  t.deepEqual(
    order(true),
    bytes.map((message) => `0>1:${message[0]}`),
  );
  t.notDeepEqual(order(false), order(true));
});

test("loss and duplication are counted", (t) => {
  const { scheduler, net, heard } = network({ loss: 0.5, duplicate: 0.5 });
  for (let index = 0; index < 200; index++) net.send(0, 1, Uint8Array.of(index));
  drain(scheduler);
  t.is(heard.length, 200 - net.counters.lost + net.counters.duplicated);
  t.true(net.counters.lost > 50 && net.counters.duplicated > 20);
});

test("the real clock and real randomness throw inside of a simulation, and work after it", (t) => {
  for (const forbidden of [() => Math.random(), () => Date.now(), () => performance.now()]) {
    t.throws(() => withPoisonedGlobals(forbidden), { message: /inside of a simulation/ });
    t.notThrows(forbidden);
  }
});

test("ddmin finds the pair that fails together", (t) => {
  const items = Array.from({ length: 40 }, (_, index) => index);
  t.deepEqual(
    ddmin(items, (list) => list.includes(7) && list.includes(31)),
    [7, 31],
  );
  t.deepEqual(
    ddmin(items, () => true),
    [],
  );
});

test("shrinking keeps the violated invariant and takes away what it does not need", (t) => {
  const plan = planOf(5n, { faultCount: 6, faults: ["partition", "cut", "clog"], operations: 20 });
  const needed = plan.faults[1];
  const violates = (invariant: number): RunResult => ({
    violation: { invariant, name: "stub", message: "", step: 0 },
    events: 0,
    simulatedMs: 0,
    log: "",
    coverage: {},
    used: [],
    livenessSkipped: undefined,
    executed: 0,
  });
  const run = (candidate: Plan): RunResult =>
    candidate.operations.length < 3
      ? violates(2)
      : candidate.faults.includes(needed!)
        ? violates(1)
        : { ...violates(1), violation: undefined };
  const shrunk = shrink(plan, violates(1), run);
  t.deepEqual(shrunk.plan.faults, [needed!]);
  t.is(shrunk.plan.operations.length, 3);
  t.is(shrunk.plan.options.loss, 0);
  t.is(shrunk.result.violation?.invariant, 1);
});

test("a trace is short and comes back as the same plan", (t) => {
  for (const seed of [1n, 2n, 3n]) {
    const plan: Plan = { ...planOf(seed, { operations: 200 }), muted: { except: [1, 2] } };
    const text = formatTrace(plan, "why");
    t.true(text.trimEnd().split("\n").length <= TRACE_LINES_MAX, `${text.split("\n").length} lines`);
    t.deepEqual(parseTrace(text), plan);
  }
});

test("a user's own state machine is simulated, and one that is not deterministic is caught", (t) => {
  const options = { n: 4, f: 1, byzantine: [], repertoires: [], faultCount: 0, loss: 0, checkpointInterval: 1 };
  const operations = Array.from({ length: 12 }, (_, index) => `add ${index}`);
  const key = Uint8Array.of(1);
  const counter = (step: () => number) => ({
    execute: (state: {
      get(k: Uint8Array): Uint8Array | undefined;
      set(k: Uint8Array, v: Uint8Array): void;
    }): Uint8Array => {
      const next = Uint8Array.of((state.get(key)?.[0] ?? 0) + step());
      state.set(key, next);
      return next;
    },
  });
  t.is(simulate({ seed: 1n, machine: counter(() => 1), operations, options }).violation, undefined);
  let calls = 0;
  const strange = simulate({ seed: 1n, machine: counter(() => (++calls % 3 === 0 ? 2 : 1)), operations, options });
  t.is(strange.violation?.invariant, 11, strange.violation?.message);
  t.throws(() => simulate({ seed: 1n, machine: counter(() => 1), operations: ["a", "a"] }), { instanceOf: RangeError });
});

/** A record that names nothing. */
function lease(lsn: number): JournalEntry {
  const record = { type: "lease", view: 0, through: 1 } as unknown as DurableRecord;
  return { lsn: lsn as Lsn, record, certificate: undefined, bodies: [], viewChanges: [], newView: undefined };
}

function disk(journal = false): { scheduler: Scheduler; disk: Disk; inputs: Input[]; groups: number[] } {
  const scheduler = new Scheduler();
  const inputs: Input[] = [];
  const groups: number[] = [];
  const made = new Disk(scheduler, new Prng(1n), {
    meanMs: 5,
    journal,
    onDurable: (records) => groups.push(records.length),
    onInput: (input) => inputs.push(input),
  });
  return { scheduler, disk: made, inputs, groups };
}

test("a disk acknowledges what one write took, and then what came meanwhile in one group", (t) => {
  const { scheduler, disk: made, inputs, groups } = disk();
  for (let lsn = 1; lsn <= 4; lsn++) made.append(lease(lsn));
  t.is(made.durableThrough, 0 as Lsn);
  drain(scheduler);
  t.deepEqual(groups, [1, 3]);
  t.deepEqual(
    inputs,
    [1, 4].map((upTo) => ({ kind: "persisted", upTo: upTo as Lsn })),
  );
});

test("a crash loses what was not acknowledged, keeps a prefix of it, or loses the disk", (t) => {
  for (const mode of ["kept", "torn", "lost"] as const) {
    const { scheduler, disk: made, inputs } = disk(true);
    t.is(made.recover().type, "genesis");
    made.append(lease(1));
    drain(scheduler);
    for (let lsn = 2; lsn <= 9; lsn++) made.append(lease(lsn));
    made.crash(mode);
    drain(scheduler);
    t.is(inputs.length, 1, "nobody hears of a write that was under way");
    const through = made.durableThrough as number;
    if (mode === "kept") t.is(through, 1);
    if (mode === "torn") t.true(through >= 1 && through <= 9);
    if (mode === "lost") t.is(through, 0);
    t.is(made.recover().type, mode === "lost" ? "wiped" : "journal");
  }
});

test("a disk with a journal gives back every record that it acknowledged, and nothing when it was lost", (t) => {
  for (const mode of ["kept", "lost"] as const) {
    const { scheduler, disk: made } = disk(true);
    t.is(made.recover().type, "genesis");
    for (const lsn of [1, 2, 3]) made.append(lease(lsn));
    drain(scheduler);
    made.append(lease(4));
    made.crash(mode);
    const state = made.recover();
    if (mode === "lost") t.is(state.type, "wiped");
    else
      t.deepEqual(
        state.type === "journal" && state.entries.map(({ lsn }) => lsn),
        [1, 2, 3].map((lsn) => lsn as Lsn),
      );
  }
});

const calm = { byzantine: [], repertoires: [], n: 4, f: 1, loss: 0, duplicate: 0, slowLinks: 0, faultsMs: 2000 };

test("a replica that comes back to a wiped disk votes again when the others have gone on far enough", (t) => {
  const lines: string[] = [];
  const plan: Plan = {
    ...planOf(3n, { ...calm, operations: 20, thinkMs: 50, journal: false, checkpointInterval: 2, windowIntervals: 2 }),
    faults: [{ kind: "crash", atMs: 100, replica: 2, restartAtMs: 300 }],
  };
  const { violation, coverage, livenessSkipped } = runPlan(plan, {
    ...storeWorld,
    narrate: (line) => lines.push(line),
  });
  t.is(violation, undefined, violation?.message);
  t.is(livenessSkipped, undefined);
  t.deepEqual([coverage["restart"], coverage["wiped restart"]], [1, 1]);
  const own = lines.filter((line) => line.includes(" replica 2 <- ")).map((line) => line.split(" <- ")[1]);
  t.is(own.at(0), "recovered genesis");
  t.true(own.includes("recovered wiped"));
  t.is(coverage["readmitted"], 1);
});

test("what throws in a run is a violation of its seed, not the end of a run of many", (t) => {
  const narrate = (line: string): void => {
    if (line.includes("replica 2")) throw new Error("a port that refuses");
  };
  const { violation } = runPlan(planOf(3n, calm), { ...storeWorld, narrate });
  t.is(violation?.invariant, 0);
  t.regex(violation?.message ?? "", /a port that refuses/);
});

test("a replica crashes once at a time, and only one that is down comes back", (t) => {
  const faults: Plan["faults"] = [
    { kind: "crash", atMs: 100, replica: 2, restartAtMs: 300 },
    { kind: "crash", atMs: 200, replica: 2, restartAtMs: 400 },
  ];
  const { violation, coverage } = runPlan({ ...planOf(3n, { ...calm, operations: 20, thinkMs: 50 }), faults });
  t.is(violation, undefined, violation?.message);
  t.is(coverage["restart"], 1);
});

test("some crashed replicas come back after their crash, others never", (t) => {
  const seeds = Array.from({ length: 60 }, (_, seed) =>
    planOf(BigInt(seed), { ...calm, faults: ["crash"], faultCount: 3 }),
  );
  const crashes = seeds.flatMap(({ faults }) => faults).filter(({ kind }) => kind === "crash");
  const back = crashes.filter((fault) => fault.kind === "crash" && fault.restartAtMs !== undefined);
  t.true(back.length > 0 && back.length < crashes.length, `${back.length} of ${crashes.length}`);
  for (const fault of back) t.true(fault.kind === "crash" && (fault.restartAtMs ?? 0) > fault.atMs);
});

test("a disk that fails says so and acknowledges nothing more", (t) => {
  const { scheduler, disk: made, inputs } = disk();
  made.append(lease(1));
  made.fail("full");
  made.append(lease(2));
  drain(scheduler);
  t.deepEqual(inputs, [{ kind: "diskFailed", reason: "full" }]);
});

test("what rests on a record leaves when it is durable, and not after a crash", (t) => {
  let durable = 1;
  const left: number[] = [];
  const outbox = new Outbox(() => durable as Lsn);
  for (const after of [0, 1, 2, 3]) outbox.push(after as Lsn, () => left.push(after));
  t.deepEqual(left, [0, 1]);
  durable = 2;
  outbox.flush();
  t.deepEqual(left, [0, 1, 2]);
  outbox.clear();
  durable = 9;
  outbox.flush();
  t.deepEqual(left, [0, 1, 2]);
  t.is(outbox.size, 0);
});
