import test from "ava";
import * as fc from "fast-check";
import { defineStateMachine } from "../../dist/state/define.js";
import { OperationError } from "../../dist/state/operation-error.js";
import { BIGINT_BYTES_MAX, decodeValue, encodeValue, VALUE_DEPTH_MAX } from "../../dist/state/value.js";
import type { Value } from "../../dist/state/value.js";
import { bytes, Driver, text } from "./driver.ts";

const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    fc.maxSafeInteger(),
    fc.bigInt(),
    fc.string({ unit: "grapheme" }),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "toString")), tie("value"), {
      maxKeys: 5,
      noNullPrototype: false,
    }),
  ),
})).value;

/** The same with null prototypes throughout, as decoded objects have. */
function bare(one: Value): Value {
  if (Array.isArray(one)) return one.map(bare);
  if (typeof one !== "object" || one === null || one instanceof Uint8Array) return one;
  const copy = Object.create(null) as Record<string, Value>;
  for (const [name, property] of Object.entries(one)) copy[name] = bare(property as Value);
  return copy;
}

test("values come back as they were", (t) => {
  fc.assert(fc.property(value, (one) => void t.deepEqual(sorted(decodeValue(encodeValue(one))), sorted(bare(one)))));
  t.pass();
});

/** Objects as lists of their properties: the order in which names were added does not count. */
function sorted(one: Value | undefined): unknown {
  if (Array.isArray(one)) return one.map(sorted);
  if (typeof one !== "object" || one === null || one instanceof Uint8Array) return one;
  const names = Object.keys(one).sort();
  return {
    prototype: Object.getPrototypeOf(one) as unknown,
    names,
    properties: names.map((name) => sorted((one as Record<string, Value>)[name])),
  };
}

test("bytes that are decoded are encoded to the same bytes", (t) => {
  let decodable = 0;
  const flipped = fc.tuple(value, fc.nat(), fc.nat({ max: 255 })).map(([one, at, byte]) => {
    const encoded = encodeValue(one);
    encoded[at % encoded.length] = byte;
    return encoded;
  });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 30 }), flipped), (input) => {
      const decoded = decodeValue(input);
      if (decoded === undefined) return;
      decodable++;
      t.deepEqual(encodeValue(decoded), input);
    }),
    { numRuns: 3000 },
  );
  t.true(decodable > 100);
});

test("what has no canonical bytes is refused in both directions", (t) => {
  class Instance {
    readonly field = 1;
  }
  let deep: Value = null;
  for (let i = 0; i <= VALUE_DEPTH_MAX; i++) deep = [deep];
  const cycle: unknown[] = [];
  cycle.push(cycle);
  const refused: unknown[] = [
    NaN,
    Infinity,
    undefined,
    [undefined],
    Array.from({ length: 2, 1: 1 }),
    () => 1,
    Symbol("s"),
    { [Symbol("s")]: 1 },
    new Date(0),
    new Map(),
    new Instance(),
    "\ud800",
    { "\udc00": 1 },
    deep,
    cycle,
    2n ** BigInt(8 * BIGINT_BYTES_MAX),
    new Uint8Array(1024 * 1024),
    "x".repeat(1024 * 1024),
  ];
  for (const one of refused) t.throws(() => encodeValue(one), { code: "INVALID_ARGUMENT" }, typeof one);
  const float = (number: number): Uint8Array => Uint8Array.of(5, ...new Uint8Array(new Float64Array([number]).buffer));
  t.is(decodeValue(float(0.5)), 0.5);
  const undecodable = [
    float(-0),
    float(7),
    float(NaN),
    float(Infinity),
    Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 32, 0),
    Uint8Array.of(),
    Uint8Array.of(11),
    Uint8Array.of(0, 0),
    Uint8Array.of(6, 1, 0, 0),
    Uint8Array.of(6, 0, 2, 0, 1, 0),
    Uint8Array.of(7, 1, 0, 0, 0, 0xff),
    Uint8Array.of(7, 3, 0, 0, 0, 0xed, 0xa0, 0x80),
    Uint8Array.of(9, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(10, 2, 0, 0, 0, 1, 0, 0, 0, 0x62, 0, 1, 0, 0, 0, 0x61, 0),
    Uint8Array.of(10, 2, 0, 0, 0, 1, 0, 0, 0, 0x61, 0, 1, 0, 0, 0, 0x61, 0),
    Uint8Array.from(
      Array.from({ length: VALUE_DEPTH_MAX + 1 }, () => [9, 1, 0, 0, 0])
        .flat()
        .concat(0),
    ),
  ];
  t.not(
    decodeValue(
      Uint8Array.from(
        Array.from({ length: VALUE_DEPTH_MAX }, () => [9, 1, 0, 0, 0])
          .flat()
          .concat(0),
      ),
    ),
    undefined,
  );
  for (const one of undecodable) t.is(decodeValue(one), undefined, Buffer.from(one).toString("hex"));
});

test("minus zero is zero, undefined properties are absent, a byte order mark is text", (t) => {
  t.deepEqual(encodeValue(-0), encodeValue(0));
  t.deepEqual(encodeValue({ a: undefined, b: 1 }), encodeValue({ b: 1 }));
  t.is(decodeValue(encodeValue("\ufeffx")), "\ufeffx");
});

test("equal objects have equal bytes whatever the order of their properties", (t) => {
  t.deepEqual(
    encodeValue({ a: 1, b: 2, é: 3, "\u{10000}": 4, "\uffff": 5 }),
    encodeValue({ "\uffff": 5, "\u{10000}": 4, é: 3, b: 2, a: 1 }),
  );
});

test("names of prototypes are plain data, and a polluted prototype is not", (t) => {
  const decoded = decodeValue(encodeValue(JSON.parse('{"__proto__":{"admin":true}}') as Value)) as Record<
    string,
    Value
  >;
  t.is(Object.getPrototypeOf(decoded), null);
  t.deepEqual(Object.keys(decoded), ["__proto__"]);
  t.is((decoded as { admin?: unknown }).admin, undefined);
  const before = encodeValue({ a: 1 });
  Reflect.defineProperty(Object.prototype, "polluted", { value: 1, enumerable: true, configurable: true });
  try {
    t.deepEqual(encodeValue({ a: 1 }), before);
    t.is((decodeValue(before) as { polluted?: unknown }).polluted, undefined);
  } finally {
    Reflect.deleteProperty(Object.prototype, "polluted");
  }
});

const counter = defineStateMachine({
  name: "counter",
  operations: {
    add(state, args: { amount: number }, context) {
      if (typeof args?.amount !== "number") throw new OperationError("AMOUNT_MISSING");
      const total = (state.get<number>("total") ?? 0) + args.amount;
      state.set("total", total);
      state.set(`history/${context.sequence}/${context.index}`, { amount: args.amount, by: context.client });
      return { total };
    },
    reset(state) {
      for (const [key] of Array.from(state.entries())) state.delete(key);
    },
    count: (state) => [...state.entries({ prefix: "history/" })].length === state.size - 1,
  },
  queries: {
    total: (state) => state.get<number>("total") ?? 0,
    last(state, args: { count: number }): number[] {
      const entries = state.entries<{ amount: number }>({ prefix: "history/", reverse: true, limit: args.count });
      return [...entries].map(([, { amount }]) => amount);
    },
  },
});

test("a typed state machine runs, and its callers get typed results and answers", (t) => {
  const driver = new Driver({ stateMachine: counter });
  const session = driver.open();
  const operations = [
    counter.operation("add", { amount: 5 }),
    counter.operation("add", { amount: 0.5 }),
    counter.operation("count"),
    counter.operation("reset"),
    counter.operation("add", { amount: -2 }),
    counter.operation("add", { amount: 9 }),
  ];
  const results = driver.run({ session, first: 1, operations }).replies[0]!.entries.map(({ result }) => result);
  const total: number = counter.result("add", results[1]!).total;
  t.is(total, 5.5);
  t.is(counter.result("count", results[2]!), true);
  t.is(counter.result("reset", results[3]!), null);
  const ask = (question: Uint8Array): Uint8Array => driver.executor.query(question).result;
  t.is(counter.answer("total", ask(counter.question("total"))), 7);
  t.deepEqual(counter.answer("last", ask(counter.question("last", { count: 2 }))), [9, -2]);
});

test("operations that nobody defined are refused, whatever their names", (t) => {
  const driver = new Driver({ stateMachine: counter });
  const session = driver.open();
  const operations = [
    encodeValue(["constructor", null]),
    encodeValue(["__proto__", null]),
    encodeValue(["add", null]),
    encodeValue(["add"]),
    encodeValue({ name: "add" }),
    bytes("junk"),
  ];
  const { entries } = driver.run({ session, first: 1, operations }).replies[0]!;
  t.deepEqual(
    entries.map(({ status, result }) => `${status} ${text(result)}`),
    [
      "refused UNKNOWN_OPERATION",
      "refused UNKNOWN_OPERATION",
      "refused AMOUNT_MISSING",
      "refused MALFORMED_OPERATION",
      "refused MALFORMED_OPERATION",
      "refused MALFORMED_OPERATION",
    ],
  );
  t.throws(() => counter.operation("toString" as "add", { amount: 1 }), { code: "INVALID_ARGUMENT" });
  t.throws(() => counter.result("add", bytes("junk")), { code: "INVALID_ARGUMENT" });
  t.throws(() => defineStateMachine({ name: "x", operations: { a: 1 as never } }), {
    code: "INVALID_CONFIG",
    message: /operations\.a/,
  });
});

test("an OperationError has a code that a reply can carry", (t) => {
  t.is(new OperationError("A_B").message, "A_B");
  for (const code of ["", "a", "A B", "A".repeat(65), 5 as never])
    t.throws(() => new OperationError(code), { instanceOf: TypeError });
});
