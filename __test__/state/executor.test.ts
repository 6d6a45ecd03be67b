import test from "ava";
import { createHash } from "node:crypto";
import type { AgreedTime, Sequence } from "../../dist/protocol/types.js";
import { hexOf } from "../../dist/codec/digest.js";
import type { OperationContext, StateMachine, StateView } from "../../dist/state/interfaces.js";
import { HaltExecution, RESULT_BYTES_MAX } from "../../dist/state/operation.js";
import { OperationError } from "../../dist/state/operation-error.js";
import { ALICE, BOB, bytes, digestOf, Driver, entriesOf, logMachine, payloadOf, text } from "./driver.ts";

/** A driver with a session whose operations are run by `execute`. */
function driverOf(
  execute: StateMachine["execute"],
  query?: StateMachine["query"],
): { driver: Driver; run: (...operations: string[]) => string[] } {
  const driver = new Driver({ stateMachine: query === undefined ? { execute } : { execute, query } });
  const session = driver.open();
  let next = 1;
  const run = (...operations: string[]): string[] => {
    const first = next;
    next += operations.length;
    return entriesOf(driver.run({ session, first, operations }));
  };
  return { driver, run };
}

/** What misbehaving code does, by operation. */
const misdeeds: Record<string, (state: StateView) => unknown> = {
  refuse() {
    throw new OperationError("NOT_ENOUGH_MONEY", "told to nobody");
  },
  throw() {
    throw new Error("anything");
  },
  throwUndefined() {
    throw undefined;
  },
  throwTrap() {
    throw new Proxy(
      {},
      {
        getPrototypeOf() {
          throw new Error("from the trap");
        },
      },
    );
  },
  changedCode() {
    const error = new OperationError("FINE");
    Object.defineProperty(error, "code", { value: "not fine" });
    throw error;
  },
  noResult: () => undefined,
  textResult: () => "text",
  promise: () => Promise.resolve(new Uint8Array(1)),
  longResult: () => new Uint8Array(RESULT_BYTES_MAX + 1),
  longKey: (state) => state.set(new Uint8Array(1025), bytes("v")),
  textKey: (state) => state.set("key" as never, bytes("v")),
  textValue: (state) => state.set(bytes("key"), "v" as never),
  badLength: () => new Uint8Array(-1),
  writeWhileWalking(state) {
    for (const [key] of state.range()) state.delete(key);
    return bytes("never");
  },
};

test("an operation that does not succeed leaves no write and gives one constant result", (t) => {
  const { driver, run } = driverOf((state, operation) => {
    const name = text(operation);
    if (name === "fill") {
      for (const key of ["a", "b", "c"]) state.set(bytes(key), bytes("1"));
      return bytes("filled");
    }
    state.set(bytes("a"), bytes("2"));
    state.delete(bytes("b"));
    state.set(bytes("b"), bytes("back"));
    state.delete(bytes("c"));
    state.set(bytes("d"), bytes("new"));
    state.delete(bytes("d"));
    state.set(bytes("e"), bytes("new"));
    state.set(bytes("e"), bytes("newer"));
    return misdeeds[name]!(state) as Uint8Array;
  });
  run("fill");
  const entries = (): string[][] => [...driver.executor.view().range()].map((entry) => entry.map(text));
  const before = entries();
  for (const name of Object.keys(misdeeds)) {
    const [entry] = run(name);
    const expected = name === "refuse" ? "refused NOT_ENOUGH_MONEY" : "failed";
    t.is(entry?.slice(entry.indexOf(" ") + 1), expected, name);
    t.deepEqual(entries(), before, name);
  }
  t.is(driver.executor.view().size, 3);
});

test("a full stack stops the executor and not the operation alone", (t) => {
  const deeper = (n: number): number => deeper(n + 1) + 1;
  const { driver, run } = driverOf(() => Uint8Array.of(deeper(0)));
  const error = t.throws(() => run("x"), { instanceOf: HaltExecution });
  t.is(error?.sequence, 2);
  t.true(error?.cause instanceof RangeError);
  t.throws(() => driver.run(), { name: "AssertionError" });
});

test("what user code does to prototypes changes no root", (t) => {
  const polluter = (on: boolean): StateMachine => ({
    execute(state, operation) {
      if (on) {
        for (const name of ["limit", "reverse", "gte", "prefix", "status", "tentative", "from"]) {
          Reflect.defineProperty(Object.prototype, name, { value: bytes("zzz"), configurable: true });
        }
      }
      const walked = [...state.range({})].length;
      state.set(bytes(`${text(operation)} __proto__`), bytes(String(walked)));
      return bytes(String(walked));
    },
  });
  const outcome = (on: boolean): unknown[] => {
    try {
      const driver = new Driver({ stateMachine: polluter(on) });
      const session = driver.open();
      const batch = driver.run({ session, first: 1, operations: ["a", "b", "c"] });
      return [entriesOf(batch), driver.root(), [...driver.executor.view().range()].length];
    } finally {
      for (const name of ["limit", "reverse", "gte", "prefix", "status", "tentative", "from"]) {
        Reflect.deleteProperty(Object.prototype, name);
      }
    }
  };
  t.deepEqual(outcome(true), outcome(false));
  t.deepEqual(outcome(true)[0], ["1 ok 0", "2 ok 1", "3 ok 2"]);
});

test("a view or a walk that is kept does nothing after its operation", (t) => {
  let kept: StateView | undefined;
  let walk: Iterator<unknown> | undefined;
  const { driver, run } = driverOf((state, operation) => {
    if (text(operation) === "resume") {
      walk?.next();
      return bytes("resumed");
    }
    state.set(bytes(text(operation)), bytes("v"));
    kept = state;
    walk = state.range();
    walk.next();
    return bytes("kept");
  });
  run("a");
  for (const use of [
    () => kept?.get(bytes("a")),
    () => kept?.has(bytes("a")),
    () => kept?.set(bytes("b"), bytes("v")),
    () => kept?.delete(bytes("a")),
    () => kept?.range(),
    () => kept?.size,
    () => walk?.next(),
  ]) {
    t.throws(use, { code: "CLOSED" });
  }
  t.deepEqual(run("c", "resume"), ["2 ok kept", "3 failed"]);
  t.is(driver.executor.view().size, 2);
});

test("an operation sees its own entries alone, in order, from both ends", (t) => {
  const seen: unknown[] = [];
  const { run } = driverOf((state, operation) => {
    for (const name of text(operation)) state.set(bytes(name), bytes(name.toUpperCase()));
    seen.push([...state.range()].map((entry) => entry.map(text).join("")));
    seen.push([...state.range({ reverse: true, limit: 2 })].map(([key]) => text(key)));
    seen.push([...state.range({ gte: bytes("b"), lt: bytes("d") })].map(([key]) => text(key)));
    seen.push([...state.range({ prefix: bytes("c") })].map(([key]) => text(key)));
    seen.push(state.size, state.has(bytes("a")), state.get(new Uint8Array(2000)), state.delete(bytes("none")));
    return bytes("");
  });
  t.deepEqual(run("dbca"), ["1 ok"]);
  t.deepEqual(seen, [["aA", "bB", "cC", "dD"], ["d", "c"], ["b", "c"], ["c"], 4, true, undefined, false]);
});

test("the context is agreed: sequence, place, client, time that never decreases, randomness per operation", (t) => {
  const seen: OperationContext[] = [];
  const random: string[] = [];
  const driver = new Driver({
    stateMachine: {
      execute(_, __, context) {
        seen.push(context);
        random.push(Buffer.from(context.random).toString("hex"));
        return bytes("");
      },
    },
  });
  const [alice, bob] = [driver.open(ALICE), driver.open(BOB)];
  driver.run(
    { session: alice, first: 1, operations: ["a", "b"] },
    { session: alice, first: 1, operations: ["a", "b"] },
    { client: BOB, session: bob, first: 1, operations: ["c"] },
  );
  driver.timeMs -= 500;
  driver.run({ session: alice, first: 3, operations: ["d"] });
  t.deepEqual(
    seen.map(({ sequence, index, client, timestampMs }) => [sequence, index, client, timestampMs]),
    [
      [3, 0, hexOf(ALICE), 1_000_000],
      [3, 1, hexOf(ALICE), 1_000_000],
      [3, 4, hexOf(BOB), 1_000_000],
      [4, 0, hexOf(ALICE), 1_000_000],
    ],
  );
  const preimage = Buffer.concat([Buffer.of(0x20), Buffer.from(hexOf(digestOf(3)), "hex"), Buffer.of(4, 0, 0, 0)]);
  t.is(random[2], createHash("sha256").update(preimage).digest("hex"));
  t.is(new Set(random).size, 4);
});

test("results and stored values are copies: memory that user code uses again changes neither", (t) => {
  const scratch = new Uint8Array(100);
  const { driver, run } = driverOf((state, operation) => {
    scratch.fill(operation[0]!);
    state.set(operation, scratch.subarray(0, 10));
    return scratch.subarray(0, 3);
  });
  t.deepEqual(run("x", "y"), ["1 ok xxx", "2 ok yyy"]);
  t.is(text(driver.executor.view().get(bytes("x"))!), "xxxxxxxxxx");
});

test("user code that looks at the memory behind an operation sees its own bundle", (t) => {
  const seen: number[] = [];
  const driver = new Driver({
    stateMachine: {
      execute(_, operation) {
        seen.push(operation.buffer.byteLength);
        operation.fill(0);
        return bytes("");
      },
    },
  });
  const session = driver.open();
  const payload = payloadOf({ session, first: 1, operations: ["abc"] });
  const turn = new Uint8Array(5000);
  turn.set(payload, 77);
  driver.raw([turn.subarray(77, 77 + payload.length)]);
  t.deepEqual(seen, [payload.length]);
  t.deepEqual(turn.subarray(77, 77 + payload.length), payload);
});

test("a payload that is no bundle does nothing", (t) => {
  const driver = new Driver();
  const session = driver.open();
  const payload = payloadOf({ session, first: 1, operations: ["a"] });
  const batch = driver.raw([payload.subarray(1), Uint8Array.of(...payload, 0), new Uint8Array(0), payload]);
  t.is(batch.replies.length, 1);
  t.is(driver.log(), "a;");
});

test("a null batch counts, keeps the time, and answers nobody", (t) => {
  const driver = new Driver();
  driver.open();
  const batch = driver.executor.execute({
    sequence: 2 as Sequence,
    timeMs: 0 as AgreedTime,
    digest: digestOf(2),
    bundles: [],
  });
  t.deepEqual(batch.replies, []);
  t.is(driver.executor.lastExecuted, 2 as Sequence);
  t.is(driver.executor.lastCommitted, 2 as Sequence);
  t.throws(
    () =>
      driver.executor.execute({ sequence: 4 as Sequence, timeMs: 0 as AgreedTime, digest: digestOf(4), bundles: [] }),
    {
      name: "AssertionError",
    },
  );
});

test("a view and a query show the last committed batch, whatever is tentative above it", (t) => {
  const driver = new Driver({
    stateMachine: { ...logMachine, query: (state, question) => state.get(question) ?? bytes("nothing") },
  });
  const session = driver.open();
  driver.run({ session, first: 1, operations: ["a"] });
  const view = driver.executor.view();
  driver.raw([payloadOf({ session, first: 2, operations: ["b"] })], true);
  driver.raw([payloadOf({ session, first: 3, operations: ["c"] })], true);
  const answer = (): string => {
    const { version, status, result } = driver.executor.query(bytes("log"));
    return `${version} ${status} ${text(result)}`;
  };
  t.is(answer(), "2 ok a;");
  driver.executor.commit(3 as Sequence);
  t.is(answer(), "3 ok a;b;");
  driver.executor.commit(4 as Sequence);
  t.is(answer(), "4 ok a;b;c;");
  t.is(text(view.get(bytes("log"))!), "a;");
  t.is(view.size, 1);
});

test("whatever a query throws becomes its answer", (t) => {
  const deeper = (n: number): number => deeper(n + 1) + 1;
  const asked = driverOf(
    () => bytes(""),
    (state, question) => {
      if (text(question) === "write") (state as StateView).set(bytes("a"), bytes("b"));
      if (text(question) === "refuse") throw new OperationError("NO_SUCH_THING");
      return Uint8Array.of(deeper(0));
    },
  ).driver.executor;
  t.is(asked.query(bytes("refuse")).status, "refused");
  t.is(asked.query(bytes("write")).status, "failed");
  t.is(asked.query(bytes("deep")).status, "failed");
  t.is(text(driverOf(() => bytes("")).driver.executor.query(bytes("x")).result), "NO_QUERIES");
});

test("undo returns to each tentative batch and to a frozen one, and executing again gives the same", (t) => {
  const driver = new Driver();
  const session = driver.open();
  driver.run({ session, first: 1, operations: ["a", "b"] });
  const frozen = driver.root();
  const bundles = [3, 4, 5].map((first) =>
    payloadOf({ session, first, acknowledged: first - 2, operations: [`${first}`] }),
  );
  const run = (): unknown[] =>
    bundles.map((payload) => driver.raw([payload], true)).map((batch) => [entriesOf(batch), batch.sessions]);
  const first = run();
  const root = driver.root();
  driver.executor.undo(4 as Sequence);
  t.is(driver.executor.lastExecuted, 4 as Sequence);
  t.deepEqual(entriesOf(driver.raw([bundles[0]!], true)), ["3 ok 3"], "sequence 3 was not undone");
  driver.executor.undo(2 as Sequence);
  t.is(driver.root(), frozen);
  t.deepEqual(run(), first);
  t.is(driver.root(), root);
  t.throws(() => driver.executor.undo(1 as Sequence), { name: "AssertionError" });
});

test("frozen versions keep their roots until they are released", (t) => {
  const driver = new Driver();
  const session = driver.open();
  const roots = [1, 2, 3, 4].map((first) => {
    driver.run({ session, first, operations: ["x"] });
    return driver.root();
  });
  t.is(new Set(roots).size, 4);
  t.deepEqual(
    [2, 3, 4, 5].map((sequence) => driver.executor.root(sequence as Sequence)),
    roots,
  );
  driver.executor.release(4 as Sequence);
  t.throws(() => driver.executor.root(3 as Sequence), { name: "AssertionError" });
  t.is(driver.executor.hashSlice(4 as Sequence, 1), roots[2]);
});

test("a checkpoint's root is computed in slices while batches go on", (t) => {
  const driver = new Driver({
    stateMachine: { execute: (state, operation) => (state.set(operation, operation), operation) },
  });
  const session = driver.open();
  driver.run({ session, first: 1, operations: Array.from({ length: 300 }, (_, i) => `key ${i}`) });
  const sequence = driver.executor.lastExecuted;
  driver.executor.freeze(sequence);
  let slices = 0;
  let root = driver.executor.hashSlice(sequence, 50);
  for (; root === undefined; slices++) {
    driver.run({ session, first: 1000 + slices, operations: [`later ${slices}`] });
    root = driver.executor.hashSlice(sequence, 50);
  }
  t.true(slices >= 5);
  t.is(root, driver.executor.root(sequence));
});
