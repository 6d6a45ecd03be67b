/** How fast the replicated state is: the map, its roots, and batches through sessions and a state machine. */
import test from "ava";
import { createHash } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Bench } from "tinybench";
import { Writer } from "../dist/codec/bytes.js";
import { writeBundle } from "../dist/codec/client.js";
import { digestAt } from "../dist/codec/digest.js";
import type { AgreedTime, ClientKey, Digest, Sequence, SessionId } from "../dist/protocol/types.js";
import { defineStateMachine } from "../dist/state/define.js";
import { Executor } from "../dist/state/executor.js";
import type { Hasher, StateMachine } from "../dist/state/interfaces.js";
import { ReplicatedMap } from "../dist/state/replicated-map.js";
import { encodeSystemOperation } from "../dist/state/system-operation.js";

const ENTRIES = 100_000;
const CHANGED = 6_400;
const BUNDLE = 64;
const OPERATION_BYTES = 128;
const TIME = 1_000_000 as AgreedTime;
const CLIENT = digestAt(new Uint8Array(32).fill(1), 0) as string as ClientKey;

const hasher: Hasher = {
  hashMany(input, ends, count, output) {
    for (let i = 0, start = 0; i < count; start = ends[i++]!) {
      output.set(createHash("sha256").update(input.subarray(start, ends[i]!)).digest(), 32 * i);
    }
  },
};

/** Keys as they come: spread over all bytes, 16 bytes long. */
function keyOf(n: number): Uint8Array {
  return new Uint8Array(createHash("sha256").update(String(n)).digest().subarray(0, 16));
}

function filled(): { map: ReplicatedMap; keys: Uint8Array[] } {
  const keys = Array.from({ length: ENTRIES }, (_, n) => keyOf(n));
  const map = new ReplicatedMap();
  for (const key of keys) map.set(key, new Uint8Array(32));
  return { map, keys };
}

async function printed(bench: Bench, log: (line: string) => void): Promise<void> {
  await bench.run();
  for (const { name, result } of bench.tasks) {
    if (result.state !== "completed") throw new Error(`${name} did not complete: ${result.state}`);
    const perSecond = Math.round(result.throughput.mean).toLocaleString("en-US");
    log(`${name.padEnd(44)} ${perSecond.padStart(12)} /s   ${(result.latency.mean * 1000).toFixed(2)} µs`);
  }
}

test.serial("map of 100,000 entries", async (t) => {
  const { map, keys } = filled();
  const value = new Uint8Array(32);
  let n = 0;
  const next = (): Uint8Array => keys[(n = (n + 7919) % ENTRIES)]!;
  const bench = new Bench({ time: 500, warmupTime: 200 });
  bench.add("get", () => void map.get(next()));
  bench.add("set, existing key", () => map.set(next(), value));
  bench.add("delete and set again", () => {
    const key = next();
    map.delete(key);
    map.set(key, value);
  });
  bench.add("freeze, then set 64", () => {
    map.freeze();
    for (let i = 0; i < 64; i++) map.set(next(), value);
  });
  bench.add("range of 100", () => {
    for (const [key] of map.range({ gte: next(), limit: 100 })) n += key.length & 1;
  });
  await printed(bench, (line) => t.log(line));
  t.pass();
});

test.serial("root of 100,000 entries", (t) => {
  const { map, keys } = filled();
  const timed = (name: string, run: () => void): void => {
    const start = performance.now();
    run();
    t.log(`${name.padEnd(44)} ${(performance.now() - start).toFixed(1)} ms`);
  };
  timed("first root", () => map.freeze().root(hasher));
  for (let round = 0; round < 3; round++) {
    timed(`${CHANGED} changed entries: set`, () => {
      for (let i = 0; i < CHANGED; i++) map.set(keys[(i * 7919 + round) % ENTRIES]!, Uint8Array.of(round, i, i >> 8));
    });
    const version = map.freeze();
    timed(`${CHANGED} changed entries: root`, () => version.root(hasher));
  }
  for (let i = 0; i < 64; i++) map.set(keys[i]!, Uint8Array.of(i));
  const version = map.freeze();
  timed("64 changed entries: root", () => version.root(hasher));
  t.pass();
});

test.serial("memory of an entry", (t) => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const used = (): number => {
    collect();
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  const kept = new ReplicatedMap();
  for (let n = 0; n < ENTRIES; n++) kept.set(keyOf(n), new Uint8Array(32));
  t.log(`${((used() - before) / kept.size).toFixed(0)} bytes per entry of 16 + 32 bytes`);
  t.pass();
});

/** 65,536 counters of four bytes. */
const rawCounter: StateMachine = {
  execute(state, operation) {
    const key = Uint8Array.of(operation[0]!, operation[1]!);
    const before = state.get(key);
    const total = new Uint8Array(4);
    for (let i = 0, carry = 1; i < 4; i++, carry >>>= 8) {
      carry += before?.[i] ?? 0;
      total[i] = carry;
    }
    state.set(key, total);
    return total;
  },
};

const typedCounter = defineStateMachine({
  name: "counter",
  operations: {
    add(state, args: { amount: number; padding: Uint8Array }) {
      const total = (state.get<number>("total") ?? 0) + args.amount;
      state.set("total", total);
      return total;
    },
  },
});

/** Operations per second of one client with bundles of 64, executed in batches of `perBatch` bundles, four in flight. */
function executed(
  stateMachine: StateMachine,
  operation: (n: number) => Uint8Array,
  perBatch: number,
  tentative: boolean,
): number {
  const executor = new Executor({ stateMachine, hasher, members: [] });
  const writer = new Writer(16 * 1024);
  const payload = (session: number, first: number, operations: readonly Uint8Array[]): Uint8Array => {
    writer.reset();
    const acknowledgedThrough = session === 0 ? 0 : Math.max(0, first - 1 - 4 * BUNDLE * perBatch);
    writeBundle(writer, {
      client: CLIENT,
      session: session as SessionId,
      firstSequence: first,
      acknowledgedThrough,
      operations,
    });
    return writer.copy();
  };
  const digest = CLIENT as string as Digest;
  const run = (payloads: readonly Uint8Array[]): void => {
    const sequence = (executor.lastExecuted + 1) as Sequence;
    const bundles = payloads.map((one) => ({ digest, payload: one }));
    executor.execute({ sequence, timeMs: TIME, digest, bundles, tentative });
    executor.commit(sequence);
    if (sequence % 100 !== 0) return;
    executor.freeze(sequence);
    while (executor.hashSlice(sequence, 1000) === undefined);
    executor.release((sequence - 100) as Sequence);
  };
  run([payload(0, 1, [encodeSystemOperation({ kind: "open", expiryMs: TIME + 1000 })])]);
  const batches = 600_000 / BUNDLE / perBatch;
  let first = 1;
  const payloads = Array.from({ length: batches }, () =>
    Array.from({ length: perBatch }, () => {
      const one = payload(
        1,
        first,
        Array.from({ length: BUNDLE }, (_, i) => operation(first + i)),
      );
      first += BUNDLE;
      return one;
    }),
  );
  const quarter = Math.floor(batches / 4);
  for (const one of payloads.slice(0, quarter)) run(one);
  const start = performance.now();
  for (const one of payloads.slice(quarter)) run(one);
  return ((batches - quarter) * perBatch * BUNDLE) / ((performance.now() - start) / 1000);
}

test.serial("operations of 128 bytes in bundles of 64, a checkpoint every 100 batches", (t) => {
  const padded = new Uint8Array(OPERATION_BYTES);
  const raw = (n: number): Uint8Array => {
    padded[0] = n;
    padded[1] = n >> 8;
    return padded;
  };
  const encoded = typedCounter.operation("add", { amount: 1, padding: new Uint8Array(OPERATION_BYTES - 64) });
  for (const [name, machine, operation] of [
    ["counters in bytes", rawCounter, raw],
    ["typed counter", typedCounter, () => encoded],
  ] as const) {
    for (const perBatch of [1, 8]) {
      for (const tentative of [false, true]) {
        const rate = executed(machine, operation, perBatch, tentative);
        const what = `${name}, ${perBatch} per batch${tentative ? ", tentative" : ""}`;
        t.log(
          `${what.padEnd(44)} ${Math.round(rate).toLocaleString("en-US").padStart(12)} op/s   ${(1e6 / rate).toFixed(2)} µs`,
        );
      }
    }
  }
  t.pass();
});
