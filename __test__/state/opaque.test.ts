/** State that cannot live in the map: exactly once, agreed on by its digest, transferred and restored by its chunks. */
import test from "ava";
import type { AgreedTime, Sequence } from "../../dist/protocol/types.js";
import type { ExecutedBatch } from "../../dist/state/batch-record.js";
import { Executor } from "../../dist/state/executor.js";
import { VALUE_BYTES_MAX, type OpaqueStateMachine, type OperationContext } from "../../dist/state/interfaces.js";
import { HaltExecution } from "../../dist/state/operation.js";
import { missingMethod } from "../../dist/state/opaque-state.js";
import { OpaqueMap } from "../process/opaque-map.mjs";
import { ALICE, bytes, digestOf, entriesOf, MEMBERS, open, payloadOf, sessionOf, text } from "./driver.ts";
import type { BundleFields } from "./driver.ts";
import { NodeHasher } from "./node-hasher.ts";

const INTERVAL = 4;
const CHUNKS = Uint8Array.of(8);

/** Feeds an executor with an opaque machine batch after batch; a session is open. */
class Feed<M extends OpaqueStateMachine> {
  readonly machine: M;
  readonly executor: Executor;
  session = 0;
  #next = 1;

  constructor(machine: M, from?: Executor) {
    this.machine = machine;
    const version = from?.version(from.lastExecuted);
    this.executor = new Executor({
      stateMachine: machine,
      hasher: new NodeHasher(),
      members: MEMBERS,
      checkpointInterval: INTERVAL,
      ...(version && { from: version }),
    });
  }

  static async open<M extends OpaqueStateMachine>(machine: M): Promise<Feed<M>> {
    const feed = new Feed(machine);
    feed.session = sessionOf(await feed.batch(open(ALICE, 77, 1_001_000)));
    return feed;
  }

  async batch(...bundles: readonly BundleFields[]): Promise<ExecutedBatch> {
    const sequence = (this.executor.lastExecuted + 1) as Sequence;
    return this.executor.run({
      sequence,
      timeMs: 1_000_000 as AgreedTime,
      digest: digestOf(sequence),
      bundles: bundles.map((bundle, i) => ({ digest: digestOf(1000 + i), payload: payloadOf(bundle) })),
    });
  }

  /** A batch of these operations; what each came to. */
  async run(...operations: string[]): Promise<string[]> {
    const first = this.#next;
    this.#next += operations.length;
    const { replies } = await this.batch({ session: this.session, first, operations });
    return replies[0]!.entries.map(({ status, result }) => `${status} ${text(result)}`.trim());
  }

  /** Empty batches until the end of an interval. */
  async fill(): Promise<this> {
    do await this.batch();
    while (this.executor.lastExecuted % INTERVAL !== 0);
    return this;
  }

  root(): string {
    this.executor.freeze(this.executor.lastExecuted);
    return this.executor.root(this.executor.lastExecuted);
  }

  /** The chunks in the map, as they lie there. */
  chunks(): Uint8Array[] {
    this.executor.freeze(this.executor.lastExecuted);
    return [...this.executor.version(this.executor.lastExecuted).range({ prefix: CHUNKS })].map(([, chunk]) => chunk);
  }
}

/** A machine of which one method is another. */
function altered(methods: Partial<OpaqueStateMachine>): OpaqueMap {
  return Object.assign(new OpaqueMap(), methods);
}

test("an operation of opaque state executes once, one after another, and is answered again from the table", async (t) => {
  const seen: string[] = [];
  let inside = 0;
  const machine = altered({
    async execute(operation: Uint8Array, { sequence, index }: OperationContext) {
      t.is(++inside, 1);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
      seen.push(`${sequence}.${index} ${text(operation)}`);
      return bytes(`done ${text(operation)}`);
    },
  });
  const feed = await Feed.open(machine);
  const { session } = feed;
  const twice = { session, first: 1, operations: ["a", "b"] };
  const batch = await feed.batch(twice, twice, { session, first: 2, operations: ["b", "c"] });
  t.deepEqual(
    [0, 1, 2].map((reply) => entriesOf(batch, reply)),
    [
      ["1 ok done a", "2 ok done b"],
      ["1 ok done a", "2 ok done b"],
      ["2 ok done b", "3 ok done c"],
    ],
  );
  t.deepEqual(entriesOf(await feed.batch(twice)), ["1 ok done a", "2 ok done b"]);
  t.deepEqual(seen, ["2.0 a", "2.1 b", "2.5 c"]);
});

test("while a batch waits the last executed one is the one before, and no other begins", async (t) => {
  const feed = await Feed.open(new OpaqueMap());
  const batch = feed.run("set a 1");
  t.is(feed.executor.lastExecuted, 1 as Sequence);
  await t.throwsAsync(feed.batch(), { name: "AssertionError" });
  t.deepEqual(await batch, ["ok"]);
  t.is(feed.executor.lastExecuted, 2 as Sequence);
});

test("a refusal is an answer, thrown or rejected, and so is a result that is none", async (t) => {
  const inner = new OpaqueMap();
  const machine = altered({
    execute(operation, context) {
      if (text(operation) === "number") return 5 as never;
      if (text(operation) === "long") return new Uint8Array(256 * 1024 + 1);
      return inner.execute(operation, context);
    },
  });
  const feed = await Feed.open(machine);
  t.deepEqual(await feed.run("refuse", "unknown", "number", "long", "set a 1", "get a"), [
    "refused NOT_TODAY",
    "refused UNKNOWN_OPERATION",
    "failed",
    "failed",
    "ok",
    "ok 1",
  ]);
});

test("the state is in the root at the end of an interval, however it came about", async (t) => {
  const [one, other] = [await Feed.open(new OpaqueMap()), await Feed.open(new OpaqueMap())];
  await one.run("set a 1", "set b 2", "set a 3");
  await other.run("set b 2", "set a 4", "set a 3");
  await one.fill();
  await other.fill();
  t.deepEqual(one.chunks(), other.chunks());
  t.deepEqual(Buffer.concat(one.chunks()), Buffer.concat(one.machine.chunks()));

  // What only one of them holds is not seen before the next interval ends, and then it is.
  const [wrong, right] = [await Feed.open(new OpaqueMap()), await Feed.open(new OpaqueMap())];
  await wrong.fill();
  await right.fill();
  wrong.machine.entries.set("a", "another");
  await wrong.batch();
  await right.batch();
  t.is(wrong.root(), right.root());
  await wrong.fill();
  await right.fill();
  t.not(wrong.root(), right.root());
});

test("of a snapshot only the chunks that changed are written, and those that are gone go", async (t) => {
  let chunks = ["a", "b", "c"];
  const scratch = new Uint8Array(1);
  const machine = altered({
    async *snapshot() {
      for (const chunk of chunks) {
        scratch.set(bytes(chunk));
        yield scratch;
      }
    },
  });
  const feed = await Feed.open(machine);
  await feed.fill();
  const before = feed.chunks();
  t.deepEqual(before.map(text), ["a", "b", "c"]);
  chunks = ["a", "B", "c"];
  await feed.fill();
  const after = feed.chunks();
  t.deepEqual(after.map(text), ["a", "B", "c"]);
  t.deepEqual(
    after.map((chunk, i) => chunk === before[i]),
    [true, false, true],
  );
  chunks = ["a"];
  await feed.fill();
  t.deepEqual(feed.chunks().map(text), ["a"]);
  chunks = [];
  await feed.fill();
  t.deepEqual(feed.chunks(), []);
});

const breaks: Record<string, { readonly methods: Partial<OpaqueStateMachine>; readonly message: RegExp }> = {
  "an operation that throws": {
    methods: {
      execute() {
        throw new Error("disk full");
      },
    },
    message: /batch 2: an operation failed, and its writes cannot be undone: Error: disk full/,
  },
  "an operation that rejects": {
    methods: { execute: async () => Promise.reject(new Error("disk full")) },
    message: /batch 2: an operation failed/,
  },
  "a digest of another length": {
    methods: { digest: () => new Uint8Array(31) },
    message: /batch 4: its digest has 32 bytes/,
  },
  "a digest that rejects": {
    methods: { digest: async () => Promise.reject(new Error("locked")) },
    message: /batch 4: its digest could not be taken: Error: locked/,
  },
  "an empty chunk": {
    methods: {
      async *snapshot() {
        yield new Uint8Array(0);
      },
    },
    message: /batch 4: its snapshot could not be taken: RangeError: a chunk has 1 to 1048576 bytes/,
  },
  "a chunk that is too long": {
    methods: {
      async *snapshot() {
        yield new Uint8Array(VALUE_BYTES_MAX);
        yield new Uint8Array(VALUE_BYTES_MAX + 1);
      },
    },
    message: /a chunk has 1 to 1048576 bytes/,
  },
  "a snapshot that throws": {
    methods: {
      snapshot() {
        throw new Error("no cursor");
      },
    },
    message: /its snapshot could not be taken: Error: no cursor/,
  },
};
for (const [name, { methods, message }] of Object.entries(breaks)) {
  test(`${name} stops the executor by name`, async (t) => {
    const feed = await Feed.open(altered(methods));
    await t.throwsAsync(
      async () => {
        await feed.run("set a 1");
        await feed.fill();
      },
      { instanceOf: HaltExecution, message },
    );
    await t.throwsAsync(feed.batch(), { name: "AssertionError" });
  });
}

test("opaque state is neither executed tentatively nor undone", async (t) => {
  const feed = await Feed.open(new OpaqueMap());
  const batch = { sequence: 2 as Sequence, timeMs: 0 as AgreedTime, digest: digestOf(2), bundles: [] };
  t.throws(() => feed.executor.run({ ...batch, tentative: true }), { name: "AssertionError" });
  feed.executor.freeze(1 as Sequence);
  await feed.batch();
  t.throws(() => feed.executor.undo(1 as Sequence), { name: "AssertionError" });
});

/** An executor with a state, and one that continues from its map with another machine. */
async function continued(machine: OpaqueMap): Promise<{ feed: Feed<OpaqueMap>; next: Feed<OpaqueMap> }> {
  const feed = await Feed.open(new OpaqueMap());
  await feed.run("set a 1", "set b 2");
  await feed.fill();
  feed.executor.freeze(feed.executor.lastExecuted);
  return { feed, next: new Feed(machine, feed.executor) };
}

test("a machine that is restored holds the same, and the next root is the same", async (t) => {
  const machine = new OpaqueMap();
  machine.entries.set("stale", "entry");
  const { feed, next } = await continued(machine);
  await next.executor.opaque!.restore(4);
  t.deepEqual([...machine.entries].sort(), [...feed.machine.entries].sort());
  for (const each of [feed, next]) {
    await each.batch({ session: feed.session, first: 3, operations: ["set a 9"] });
    await each.fill();
  }
  t.is(next.root(), feed.root());
});

test("a machine that changes the chunks it is given changes nothing else", async (t) => {
  const machine = altered({
    async restore(chunks: AsyncIterable<Uint8Array>, sequence: number) {
      const kept: Uint8Array[] = [];
      for await (const chunk of chunks) kept.push(chunk);
      async function* copies(): AsyncGenerator<Uint8Array> {
        for (const chunk of kept) yield chunk.slice();
      }
      await OpaqueMap.prototype.restore.call(machine, copies(), sequence);
      for (const chunk of kept) chunk.fill(0);
    },
  });
  const { feed, next } = await continued(machine);
  await next.executor.opaque!.restore(4);
  t.deepEqual(next.chunks(), feed.chunks());
  t.true(feed.chunks().every((chunk) => chunk[0] !== 0));
});

test("a machine that restores something else stops by name", async (t) => {
  const { next } = await continued(altered({ restore: async () => {} }));
  await t.throwsAsync(next.executor.opaque!.restore(4), {
    instanceOf: HaltExecution,
    message: /restored from its snapshot it has another digest/,
  });
  const { next: throwing } = await continued(altered({ restore: async () => Promise.reject(new Error("no space")) }));
  await t.throwsAsync(throwing.executor.opaque!.restore(4), { message: /it could not be restored: Error: no space/ });
});

test("a process that starts restores what is not the state it continues from", async (t) => {
  const holding = (applied: number, ...entries: [string, string][]): OpaqueMap =>
    Object.assign(new OpaqueMap(), { applied, entries: new Map(entries) });
  const same: [string, string][] = [
    ["a", "1"],
    ["b", "2"],
  ];
  const table: [string, OpaqueMap, number][] = [
    ["the same", holding(4, ...same), 0],
    ["the same, since later batches had nothing for it", holding(2, ...same), 0],
    ["behind", holding(1, ["a", "1"]), 1],
    ["the sequence, but not the state", holding(4, ["a", "1"]), 1],
    ["ahead: its last batches are executed again", holding(6, ...same), 1],
    ["empty", holding(0), 1],
  ];
  for (const [name, machine, restores] of table) {
    const { next } = await continued(machine);
    await next.executor.opaque!.begin(4, machine.applied);
    t.is(machine.restores, restores, name);
    t.deepEqual([...machine.entries].sort(), same, name);
  }
  const fresh = new Feed(holding(0));
  await fresh.executor.opaque!.begin(0, 0);
  t.is(fresh.machine.restores, 0);
  const emptied = new Feed(holding(3, ["a", "1"]));
  await emptied.executor.opaque!.begin(0, 3);
  t.is(emptied.machine.restores, 1);
  t.deepEqual([emptied.machine.entries.size, emptied.machine.applied], [0, 0]);
});

test("lastApplied is a sequence", async (t) => {
  for (const value of [-1, 1.5, Number.NaN, "4", undefined]) {
    const feed = new Feed(altered({ lastApplied: () => value as number }));
    await t.throwsAsync(feed.executor.opaque!.lastApplied(), { message: /lastApplied of an opaque state machine/ });
  }
  t.is(await new Feed(altered({ lastApplied: async () => 7 })).executor.opaque!.lastApplied(), 7);
});

test("a query sees the state as it is, and whatever it throws is an answer", async (t) => {
  const feed = await Feed.open(new OpaqueMap());
  await feed.run("set a 1");
  const { opaque } = feed.executor;
  t.deepEqual(await opaque!.query(bytes("a")), { status: "ok", result: bytes("1") });
  const broken = new Feed(altered({ query: async () => Promise.reject(new Error("broken")) }));
  t.is((await broken.executor.opaque!.query(bytes("a"))).status, "failed");
  const without = new Feed(altered({ query: undefined as never }));
  t.is(text((await without.executor.opaque!.query(bytes("a"))).result), "NO_QUERIES");
});

test("what is missing of a state machine is named", (t) => {
  t.is(missingMethod(new OpaqueMap()), undefined);
  t.is(missingMethod({ execute: () => {} }), undefined);
  t.is(missingMethod({ opaque: true, execute: () => {} }), "digest");
  t.is(missingMethod(altered({ lastApplied: undefined as never })), "lastApplied");
  for (const none of [undefined, null, 5, {}]) t.is(missingMethod(none), "execute");
});
