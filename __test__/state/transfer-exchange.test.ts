/** State transfer between executors: what is installed is the whole state, and the replica goes on from there. */
import test from "ava";
import type { StateFetch, StateNodes } from "../../dist/protocol/messages.js";
import { setOf } from "../../dist/protocol/types.js";
import type { Digest, Instant, ReplicaId, Run, Sequence } from "../../dist/protocol/types.js";
import type { StateMachine } from "../../dist/state/interfaces.js";
import { StateExchange } from "../../dist/state/transfer/state-exchange.js";
import type { ExchangeOutput } from "../../dist/state/transfer/state-exchange.js";
import { ALICE, BOB, bytes, Driver, entriesOf, open, sessionOf, text } from "./driver.ts";
import { NodeHasher } from "./node-hasher.ts";

/** "key value" sets, "key" deletes; returns what was there. */
const store: StateMachine = {
  execute(state, operation) {
    const [key, value] = text(operation).split(" ");
    const before = state.get(bytes(key!)) ?? bytes("nothing");
    if (value === undefined) state.delete(bytes(key!));
    else state.set(bytes(key!), bytes(value));
    return before;
  },
};

class Member {
  readonly driver: Driver;
  readonly exchange: StateExchange;
  readonly outcomes: ExchangeOutput[] = [];

  constructor(id: number, n: number, answerBytes = 1_024) {
    this.driver = new Driver({ stateMachine: store });
    const sources = Array.from({ length: n }, (_, other) => other as ReplicaId).filter((other) => other !== id);
    const { executor } = this.driver;
    this.exchange = new StateExchange({ executor, hasher: new NodeHasher(), sources: setOf(...sources), answerBytes });
  }

  /** Executes the same at the same place as the others. */
  checkpoint(now: Instant): { sequence: Sequence; digest: Digest } {
    const sequence = this.driver.executor.lastExecuted;
    this.driver.executor.freeze(sequence);
    const digest = this.driver.executor.root(sequence);
    this.exchange.stable(sequence, now);
    return { sequence, digest };
  }
}

/** Members whose messages take a millisecond. */
class Cluster {
  now = 0 as Instant;
  readonly members: readonly Member[];
  #flying: { readonly at: number; readonly run: () => void }[] = [];
  /** Changes or drops what is sent; nothing else is between the members. */
  pass: (from: number, to: number, kind: "stateFetch" | "stateNodes", message: StateFetch | StateNodes) => boolean =
    () => true;

  constructor(n: number, answerBytes?: number) {
    this.members = Array.from({ length: n }, (_, id) => new Member(id, n, answerBytes));
  }

  /** Lets time pass until nothing more happens, or for so long. */
  settle(forMs = 60_000): void {
    const until = this.now + forMs;
    while (this.now <= until) {
      for (const [id, member] of this.members.entries()) this.#work(id, member);
      const next = this.#next();
      if (next === undefined || next > until) return;
      this.now = Math.max(this.now, next) as Instant;
      const due = this.#flying.filter(({ at }) => at <= this.now);
      this.#flying = this.#flying.filter(({ at }) => at > this.now);
      for (const { run } of due) run();
      for (const { exchange } of this.members)
        if ((exchange.deadline(this.now) ?? Infinity) <= this.now) exchange.tick(this.now);
    }
  }

  #next(): number | undefined {
    const times = this.#flying.map(({ at }) => at);
    for (const { exchange } of this.members) times.push(exchange.deadline(this.now) ?? Infinity);
    const next = Math.min(...times);
    return next === Infinity ? undefined : next;
  }

  #work(id: number, { exchange, outcomes }: Member): void {
    while (exchange.ready(this.now)) {
      exchange.work(32, this.now);
      this.#carry(id, exchange.take(), outcomes);
    }
    this.#carry(id, exchange.take(), outcomes);
  }

  #carry(id: number, outputs: readonly ExchangeOutput[], outcomes: ExchangeOutput[]): void {
    for (const given of outputs) {
      // A source uses the memory of its answers again.
      const output =
        given.kind === "stateNodes"
          ? { ...given, message: { ...given.message, nodes: given.message.nodes.slice() } }
          : given;
      if (output.kind !== "stateFetch" && output.kind !== "stateNodes") {
        outcomes.push(output);
        continue;
      }
      if (!this.pass(id, output.to, output.kind, output.message)) continue;
      this.#flying.push({ at: this.now + 1, run: () => this.#arrive(id, output) });
    }
  }

  #arrive(from: number, output: Extract<ExchangeOutput, { kind: "stateFetch" | "stateNodes" }>): void {
    const { exchange } = this.members[output.to]!;
    if (output.kind === "stateFetch") exchange.onFetch(from as ReplicaId, output.message, this.now);
    else exchange.onNodes(from as ReplicaId, output.message, this.now);
  }
}

/** The first members execute the same batches; returns the sessions of Alice and Bob. */
function worked(drivers: readonly Driver[], entries = 200): { alice: number; bob: number } {
  const each = drivers.map((driver) => {
    const alice = sessionOf(driver.run(open(ALICE, 1, driver.timeMs + 1000)));
    const bob = sessionOf(driver.run(open(BOB, 2, driver.timeMs + 1000)));
    for (let first = 1; first <= entries; first += 10) {
      const operations = Array.from({ length: 10 }, (_, i) => `key${first + i} ${"x".repeat((first * i) % 90)}`);
      driver.run({ client: ALICE, session: alice, first, operations });
    }
    driver.run({ client: BOB, session: bob, first: 5, operations: ["bob 1"] });
    driver.run({ client: BOB, session: bob, first: 1, acknowledged: 0, operations: ["bob 2"] });
    return { alice, bob };
  });
  return each[0]!;
}

function certify(cluster: Cluster, members = 3): { sequence: Sequence; digest: Digest } {
  const all = cluster.members.slice(0, members).map((member) => member.checkpoint(cluster.now));
  if (new Set(all.map(({ digest }) => digest)).size !== 1) throw new Error("the members differ");
  return all[0]!;
}

const RUN = 1 as Run;
const drivers = (cluster: Cluster, count = 3): Driver[] => cluster.members.slice(0, count).map(({ driver }) => driver);

test("an installed state has the certified root, its sessions answer duplicates, and execution goes on alike", (t) => {
  const cluster = new Cluster(4);
  const { alice, bob } = worked(drivers(cluster));
  const { sequence, digest } = certify(cluster);
  const late = cluster.members[3]!;
  late.exchange.install({ run: RUN, sequence, digest, distrustOwn: false }, cluster.now);
  t.true(late.exchange.installing);
  cluster.settle();
  t.false(late.exchange.installing);
  const [installed] = late.outcomes;
  if (installed?.kind !== "installed") throw new Error(`it is ${installed?.kind}`);
  t.deepEqual([installed.run, installed.sequence, installed.digest], [RUN, sequence, digest]);
  t.deepEqual(installed.sessions as unknown, [
    { session: alice, client: ALICE, acknowledgedThrough: 0, executed: [[1, 200]] },
    {
      session: bob,
      client: BOB,
      acknowledgedThrough: 0,
      executed: [
        [1, 1],
        [5, 5],
      ],
    },
  ]);
  const { executor } = late.driver;
  t.deepEqual([executor.lastExecuted, executor.lastCommitted], [sequence, sequence]);
  t.is(text(executor.view().get(bytes("bob"))!), "2");
  const again = { client: BOB, session: bob, first: 5, operations: ["bob 3"] };
  const replies = [...drivers(cluster), late.driver].map((driver) => entriesOf(driver.run(again)));
  t.deepEqual(
    replies,
    Array.from({ length: 4 }, () => ["5 ok nothing"]),
    "a duplicate is answered, not executed",
  );
  for (const driver of [...drivers(cluster), late.driver]) {
    driver.run({ client: ALICE, session: alice, first: 201, acknowledged: 150, operations: ["key7", "key9 new"] });
  }
  t.is(late.driver.root(), cluster.members[0]!.driver.root());
});

test("a replica that has installed serves the state itself, and keeps no older one", (t) => {
  const cluster = new Cluster(4);
  worked(drivers(cluster));
  const late = cluster.members[3]!;
  late.driver.run();
  late.checkpoint(cluster.now);
  const { sequence, digest } = certify(cluster);
  late.exchange.install({ run: RUN, sequence, digest, distrustOwn: false }, cluster.now);
  cluster.settle();
  t.is(late.driver.executor.hashedVersion(1 as Sequence), undefined);
  t.is(late.driver.executor.root(sequence), digest);
  late.exchange.onFetch(
    0 as ReplicaId,
    { type: "stateFetch", sequence, request: 1, bytesMax: 10, items: [{ path: new Uint8Array(0), deep: false }] },
    cluster.now,
  );
  late.exchange.work(1, cluster.now);
  const [answer] = late.exchange.take();
  t.is(answer?.kind === "stateNodes" ? answer.message.count : undefined, 1);
});

test("what a laggard holds is compared and not fetched", (t) => {
  const cluster = new Cluster(4);
  const { alice } = worked(
    cluster.members.map(({ driver }) => driver),
    1_000,
  );
  for (const driver of drivers(cluster)) driver.run({ session: alice, first: 1_001, operations: ["key3 other"] });
  const { sequence, digest } = certify(cluster);
  const late = cluster.members[3]!;
  late.exchange.install({ run: RUN, sequence, digest, distrustOwn: false }, cluster.now);
  cluster.settle();
  const [installed] = late.outcomes;
  if (installed?.kind !== "installed") throw new Error(`it is ${installed?.kind}`);
  t.true(installed.progress.nodes < 40, `${installed.progress.nodes} nodes`);
  t.true(installed.progress.reused > 900);
});

test("a replica that distrusts its own state fetches all of it", (t) => {
  const cluster = new Cluster(4);
  worked(cluster.members.map(({ driver }) => driver));
  const { sequence, digest } = certify(cluster);
  const late = cluster.members[3]!;
  t.is(late.driver.root(), digest);
  // Its digests are those of what it holds no more.
  const value = late.driver.executor.view().get(bytes("key19"))!;
  value.fill(value[0]! ^ 1, 0, 1);
  late.exchange.install({ run: RUN, sequence, digest, distrustOwn: true }, cluster.now);
  cluster.settle();
  const [installed] = late.outcomes;
  if (installed?.kind !== "installed") throw new Error(`it is ${installed?.kind}`);
  t.is(installed.progress.reused, 0);
  t.deepEqual(
    late.driver.executor.view().get(bytes("key19")),
    cluster.members[0]!.driver.executor.view().get(bytes("key19")),
  );
});

test("a state that is certified for a sequence which it is not of is refused, and the replica goes on as it was", (t) => {
  const cluster = new Cluster(4);
  worked(cluster.members.map(({ driver }) => driver));
  const { sequence, digest } = certify(cluster);
  const { exchange, outcomes, driver } = cluster.members[3]!;
  exchange.install({ run: RUN, sequence: (sequence + 1) as Sequence, digest, distrustOwn: false }, cluster.now);
  cluster.settle();
  t.deepEqual(outcomes, [{ kind: "installFailed", run: RUN, reason: "unavailable" }]);
  t.is(driver.executor.lastExecuted, sequence);
});

test("a newer certificate takes the place of the one that is on its way, under its own run", (t) => {
  const cluster = new Cluster(4);
  const { alice } = worked(drivers(cluster), 1_000);
  const first = certify(cluster);
  const late = cluster.members[3]!;
  late.exchange.install({ run: RUN, ...first, distrustOwn: false }, cluster.now);
  cluster.settle(6);
  t.deepEqual(late.outcomes, []);
  const { nodes } = late.exchange.progress!;
  t.true(nodes > 0);
  for (const driver of drivers(cluster)) driver.run({ session: alice, first: 1_001, operations: ["key3 other"] });
  const second = certify(cluster);
  late.exchange.install({ run: 2 as Run, ...second, distrustOwn: false }, cluster.now);
  cluster.settle();
  const [installed, ...more] = late.outcomes;
  t.deepEqual(more, []);
  if (installed?.kind !== "installed") throw new Error(`it is ${installed?.kind}`);
  t.deepEqual([installed.run, installed.sequence], [2, second.sequence] as never);
  t.is(late.driver.root(), second.digest);
});

test("a version that is being read survives the next checkpoints, and goes when nobody reads it", (t) => {
  const cluster = new Cluster(4);
  const { alice } = worked(drivers(cluster), 1_000);
  const { sequence, digest } = certify(cluster);
  const late = cluster.members[3]!;
  late.exchange.install({ run: RUN, sequence, digest, distrustOwn: false }, cluster.now);
  let next = 1_001;
  for (let round = 0; round < 5; round++) {
    cluster.settle(3);
    for (const driver of drivers(cluster))
      driver.run({ session: alice, first: next, operations: [`key${next} other`] });
    next++;
    certify(cluster);
  }
  t.deepEqual(late.outcomes, [], "it is still on its way");
  cluster.settle();
  t.is(late.outcomes[0]?.kind, "installed", "and arrives");
  t.is(late.driver.executor.lastExecuted, sequence);
  cluster.settle(60_000);
  for (const { driver } of cluster.members.slice(0, 3)) t.is(driver.executor.hashedVersion(sequence), undefined);
});

test("what was stable a moment ago can still be asked for, of the last few checkpoints", (t) => {
  const cluster = new Cluster(4);
  const [driver] = drivers(cluster);
  const [member] = cluster.members;
  const held = (): number[] =>
    Array.from({ length: 12 }, (_, sequence) => sequence).filter(
      (sequence) => driver!.executor.hashedVersion(sequence as Sequence) !== undefined,
    );
  for (let sequence = 1; sequence <= 8; sequence++) {
    driver!.run();
    member!.checkpoint(cluster.now);
  }
  t.deepEqual(held(), [4, 5, 6, 7, 8]);
  cluster.settle();
  t.deepEqual(held(), [8]);
});

test("a certificate whose state nobody holds any more fails, and the replica goes on as it was", (t) => {
  const cluster = new Cluster(4);
  const { alice } = worked(cluster.members.map(({ driver }) => driver));
  const late = cluster.members[3]!;
  const before = late.driver.root();
  for (const driver of drivers(cluster)) driver.run({ session: alice, first: 201, operations: ["key3 other"] });
  const old = certify(cluster);
  for (const driver of drivers(cluster)) driver.run({ session: alice, first: 202, operations: ["key3 more"] });
  certify(cluster);
  cluster.settle();
  late.exchange.install({ run: RUN, ...old, distrustOwn: false }, cluster.now);
  cluster.settle();
  t.deepEqual(late.outcomes, [{ kind: "installFailed", run: RUN, reason: "unavailable" }]);
  t.false(late.exchange.installing);
  t.is(late.driver.root(), before);
});

test("a source that is restarted in the middle is done without, and with again", (t) => {
  const cluster = new Cluster(3);
  worked(drivers(cluster, 2), 1_000);
  const { sequence, digest } = certify(cluster, 2);
  let down = false;
  cluster.pass = (from, to) => !(down && (from === 1 || to === 1));
  const late = cluster.members[2]!;
  late.exchange.install({ run: RUN, sequence, digest, distrustOwn: false }, cluster.now);
  cluster.settle(4);
  down = true;
  cluster.settle(20);
  down = false;
  cluster.settle();
  t.is(late.outcomes[0]?.kind, "installed");
});
