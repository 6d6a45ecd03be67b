import test from "ava";
import * as fc from "fast-check";
import type { Sequence } from "../../dist/protocol/types.js";
import type { StateMachine } from "../../dist/state/interfaces.js";
import { OperationError } from "../../dist/state/operation-error.js";
import { bytes, clientKey, Driver, open, payloadOf, text } from "./driver.ts";

const clients = [clientKey(1), clientKey(2), clientKey(3)];
const bundle = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("open" as const),
      client: fc.nat({ max: 2 }),
      nonce: fc.nat({ max: 4 }),
      ahead: fc.nat({ max: 3000 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("bundle" as const),
      client: fc.nat({ max: 2 }),
      forged: fc.nat({ max: 9 }).map((n) => n === 0),
      session: fc.integer({ min: 1, max: 5 }),
      first: fc.integer({ min: 1, max: 20 }),
      acknowledged: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat({ max: 12 }) }),
      operations: fc.array(fc.constantFrom("a", "b", "refuse", "throw", "large"), { minLength: 1, maxLength: 6 }),
    }),
  },
);
const batches = fc.array(fc.record({ bundles: fc.array(bundle, { maxLength: 6 }), passed: fc.nat({ max: 1000 }) }), {
  minLength: 4,
  maxLength: 20,
});
const machine: StateMachine = {
  execute(state, operation, context) {
    const key = operation.slice(0, 1);
    state.set(key, bytes(`${text(state.get(key) ?? bytes(""))}${context.index}`));
    if (text(operation) === "refuse") throw new OperationError("REFUSED");
    if (text(operation) === "throw") throw new Error("no");
    return text(operation) === "large" ? new Uint8Array(300) : bytes(`${context.sequence} ${context.index}`);
  },
};
const limits = {
  sessionsMax: 4,
  sessionsPerClientMax: 2,
  opensMax: 6,
  opensPerClientMax: 3,
  window: 12,
  resultBytesMax: 1000,
};
type Batches = typeof batches extends fc.Arbitrary<infer T> ? T : never;

/** A driver with two sessions of each of the first two clients: 1 … 4. */
function prepared(): Driver {
  const driver = new Driver({ stateMachine: machine, limits });
  for (const client of [0, 0, 1, 1]) driver.open(clients[client], driver.executor.lastExecuted + 10);
  return driver;
}

function payloads(driver: Driver, batch: Batches[number]): Uint8Array[] {
  driver.timeMs += batch.passed;
  return batch.bundles.map((one): Uint8Array => {
    if (one.kind === "open") return payloadOf(open(clients[one.client]!, one.nonce, driver.timeMs + one.ahead));
    const owner = clients[(one.session - 1) >> 1]!;
    return payloadOf({ ...one, client: one.forged ? clients[one.client]! : owner });
  });
}

test("executors that are fed the same batches agree: one that goes on, one that undoes and repeats, one that starts from a version", (t) => {
  fc.assert(
    fc.property(batches, fc.nat(), (all, nth) => {
      const options = { stateMachine: machine, limits };
      const steady = prepared();
      const undoing = prepared();
      let restored = prepared();
      for (const [i, batch] of all.entries()) {
        const expected = steady.raw(payloads(steady, batch));
        const sequence = expected.sequence;
        const bundles = payloads(undoing, batch);
        undoing.raw(bundles, true);
        undoing.raw(bundles, true);
        undoing.executor.undo((sequence - 1) as Sequence);
        t.deepEqual(undoing.raw(bundles, true), expected);
        undoing.executor.commit(sequence);
        t.deepEqual(restored.raw(payloads(restored, batch)), expected);
        t.is(undoing.root(), steady.root());
        t.is(restored.root(), steady.root());
        if (i % 5 === nth % 5) {
          const next = new Driver({ ...options, from: restored.executor.version(sequence) });
          next.timeMs = restored.timeMs;
          restored = next;
        }
      }
    }),
    { numRuns: 80 },
  );
  t.pass();
});

test("each operation of a session executes at most once, and is answered alike while its result is kept", (t) => {
  let duplicates = 0;
  fc.assert(
    fc.property(batches, (all) => {
      const driver = prepared();
      const executed = new Map<string, string>();
      for (const batch of all) {
        const result = driver.raw(payloads(driver, batch));
        for (const { client, session, sequence, status, result: bytesOf } of result.operations) {
          const id = `${session} ${sequence}`;
          duplicates--;
          if (executed.has(id)) throw new Error(`${id} executed twice`);
          executed.set(id, `${client} ${status} ${text(bytesOf)}`);
        }
        for (const { client, session, entries } of result.replies) {
          for (const { sequence, status, result: bytesOf } of entries) {
            if (session === 0 || !["ok", "refused", "failed"].includes(status)) continue;
            duplicates++;
            t.is(`${client} ${status} ${text(bytesOf)}`, executed.get(`${session} ${sequence}`) ?? "never executed");
          }
        }
      }
    }),
    { numRuns: 80 },
  );
  t.true(duplicates > 300, String(duplicates));
});
