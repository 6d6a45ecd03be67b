/** Random networks and random liars: what the client delivers is right, and it delivers while n − f answer. */
import * as fc from "fast-check";
import test from "ava";
import type { Bundle, ReplyEntry } from "../../dist/codec/client.js";
import { membersOf } from "../../dist/protocol/types.js";
import {
  bytes,
  digestOf,
  ok,
  randomFrom,
  Rig,
  sessionBytes,
  status,
  text,
  type Circumstances,
  type Send,
} from "./rig.ts";

interface Weather {
  readonly seed: number;
  readonly n: number;
  readonly liars: readonly number[];
  /** Percent of messages, each way. */
  readonly loss: number;
  readonly duplication: number;
  readonly delayMs: number;
  readonly operations: number;
  readonly resultBytes: number;
}

const weather: fc.Arbitrary<Weather> = fc
  .record({
    seed: fc.integer(),
    n: fc.constantFrom(4, 5, 6, 7, 10),
    liarChoices: fc.array(fc.nat(9), { maxLength: 3 }),
    loss: fc.constantFrom(0, 0, 10, 40),
    duplication: fc.constantFrom(0, 30),
    delayMs: fc.constantFrom(1, 20, 300),
    operations: fc.integer({ min: 1, max: 30 }),
    resultBytes: fc.constantFrom(0, 8, 64, 65, 200),
  })
  .map(({ liarChoices, ...rest }) => {
    const f = Math.floor((rest.n - 1) / 3);
    return { ...rest, liars: [...new Set(liarChoices.map((choice) => choice % rest.n))].slice(0, f) };
  });

/** Replicas that agree by definition: what one honest replica receives is executed once, in one order. */
class Cluster {
  readonly rig: Rig;
  readonly f: number;
  readonly executions = new Map<string, string>();
  readonly #weather: Weather;
  readonly #draw: () => number;
  readonly #events: { readonly at: number; readonly run: () => void }[] = [];
  readonly #sessions = new Map<number, number>();
  readonly #batches = new Map<string, number>();
  #delivered = 0;

  constructor(given: Weather) {
    this.#weather = given;
    const random = randomFrom(given.seed);
    this.#draw = () => random() / Number.MAX_SAFE_INTEGER;
    this.f = Math.floor((given.n - 1) / 3);
    const limits = { bundlesInFlightMax: 3, windowOperations: 12, retryMsMax: 2_000 };
    this.rig = new Rig({ n: given.n, f: this.f, seed: given.seed, limits });
  }

  /** Runs until `done`, the client's deadlines and the messages in order of time. */
  run(untilMs: number, done: () => boolean): void {
    const end = this.rig.now + untilMs;
    for (let turns = 0; !done() && this.rig.now < end; turns++) {
      if (turns > 200_000) throw new Error(`no progress at ${this.rig.now}, ${JSON.stringify(this.rig.session.load)}`);
      this.#events.sort((a, b) => a.at - b.at);
      const next = Math.min(this.#events[0]?.at ?? Infinity, this.rig.session.deadline() ?? Infinity);
      if (next > end) return;
      this.rig.now = Math.max(this.rig.now, next);
      if (this.#events[0]?.at === next) this.#events.shift()!.run();
      else this.rig.tick();
      for (; this.#delivered < this.rig.sends.length; this.#delivered++) {
        this.#onSend(this.rig.sends[this.#delivered]!);
      }
    }
  }

  #onSend(send: Send): void {
    const bundle = this.rig.bundleOf(send);
    for (const replica of membersOf(send.to)) this.#travel(() => this.#onBundle(replica, bundle));
  }

  #onBundle(replica: number, bundle: Bundle): void {
    if (this.#weather.liars.includes(replica)) {
      this.#travel(() => this.#lie(replica, bundle));
      return;
    }
    const key = `${bundle.session}/${bundle.firstSequence}`;
    const repeated = this.#batches.has(key);
    if (!repeated) this.#batches.set(key, this.#batches.size + 1);
    const batch = this.#batches.get(key)!;
    const entries = bundle.operations.map((operation, index) => this.#execute(bundle, index, operation));
    // A repeated bundle is answered in full by the one it came to; a new one by all, long results by one of them.
    if (repeated) {
      this.#say(replica, bundle.session, entries, { batch });
      return;
    }
    for (let other = 0; other < this.#weather.n; other++) {
      if (this.#weather.liars.includes(other)) this.#travel(() => this.#lie(other, bundle));
      else this.#answer(other, bundle, entries, batch);
    }
  }

  #answer(
    replica: number,
    bundle: Bundle,
    entries: readonly (readonly [number, string | Uint8Array])[],
    batch: number,
  ): void {
    if (this.#draw() < 0.3) this.#say(replica, bundle.session, entries, { tentative: true, batch });
    this.#say(replica, bundle.session, entries, { batch }, true);
  }

  #say(
    replica: number,
    session: number,
    results: readonly (readonly [number, string | Uint8Array])[],
    circumstances: Circumstances,
    digests = false,
  ): void {
    const entries = results.map(([sequence, result]) =>
      digests && typeof result === "string" && bytes(result).length > 64 && sequence % this.#weather.n !== replica
        ? digestOf(sequence, result)
        : ok(sequence, result),
    );
    this.#travel(() => this.rig.reply(replica, session, entries, circumstances));
  }

  #execute(bundle: Bundle, index: number, operation: Uint8Array): readonly [number, string | Uint8Array] {
    const sequence = bundle.firstSequence + index;
    if (bundle.session === 0) {
      if (!this.#sessions.has(sequence)) this.#sessions.set(sequence, this.#sessions.size + 1);
      return [sequence, sessionBytes(this.#sessions.get(sequence)!)];
    }
    const key = `${bundle.session}/${sequence}`;
    const before = this.executions.get(key);
    if (before !== undefined && before !== text(operation)) throw new Error("one client sequence, two operations");
    this.executions.set(key, text(operation));
    return [sequence, resultOf(text(operation), this.#weather.resultBytes)];
  }

  #lie(replica: number, bundle: Bundle): void {
    const { session, firstSequence } = bundle;
    const at = firstSequence + Math.floor(this.#draw() * bundle.operations.length);
    const wrong = "w".repeat(this.#weather.resultBytes);
    const lies: readonly ReplyEntry[][] = [
      bundle.operations.map((_, index) => ok(firstSequence + index, wrong)),
      bundle.operations.map((_, index) => digestOf(firstSequence + index, wrong)),
      [status(at, "sessionExpired")],
      [status(at, "forgotten")],
      [status(at, "refused", wrong)],
      [ok(at + 1_000, wrong), ok(0, wrong)],
      [],
    ];
    const lie = lies[Math.floor(this.#draw() * lies.length)]!;
    const view = this.#draw() < 0.5 ? 0 : Number.MAX_SAFE_INTEGER;
    if (this.#draw() < 0.2) this.rig.busy(replica, bundle);
    else this.rig.reply(replica, session, lie, { view, tentative: this.#draw() < 0.3, batch: 1 });
  }

  #travel(run: () => void): void {
    const copies = this.#draw() * 100 < this.#weather.duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      if (this.#draw() * 100 < this.#weather.loss) continue;
      this.#events.push({ at: this.rig.now + this.#draw() * this.#weather.delayMs, run });
    }
  }
}

const resultOf = (operation: string, length: number): string => `${operation}=`.padEnd(length, "r");

function check(given: Weather): void {
  const cluster = new Cluster(given);
  const { rig } = cluster;
  const operations = new Map<number, string>();
  for (let i = 0; i < given.operations; i++) operations.set(rig.submit(`operation ${i}`), `operation ${i}`);
  cluster.run(600_000, () => rig.settled.size === operations.size);
  for (const [id, operation] of operations) {
    const end = rig.settled.get(id);
    if (end === undefined) throw new Error(`${operation} is not settled after ten minutes`);
    if (end.kind !== "resolve" || end.status !== "ok") throw new Error(`${operation}: ${JSON.stringify(end)}`);
    const expected = resultOf(operation, given.resultBytes);
    if (text(end.result) !== expected) throw new Error(`${operation}: ${text(end.result)}`);
  }
  const executed = [...cluster.executions.values()];
  if (new Set(executed).size !== executed.length) throw new Error("an operation has two client sequences");
  if (rig.session.load.heldBytes !== 0) throw new Error("bytes are held for nothing");
}

test("random loss, duplication, reordering and up to f liars: every operation resolves, with the right result", (t) => {
  fc.assert(fc.property(weather, check), { numRuns: 300 });
  t.pass();
});
