/** Execution of opaque state: commands wait for its promises in their order, and what is installed is restored first. */
import test, { type ExecutionContext } from "ava";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageChannel } from "node:worker_threads";
import { ByzantineNode, initDataDir, MessageCrypto } from "../../dist/index.js";
import type { ByzantineNodeOptions, OperationContext } from "../../dist/index.js";
import { initDataDir as initDirectory } from "../../dist/native/data-dir.js";
import { ExecutionHost, type ExecutionCommand, type ExecutionOutcome } from "../../dist/node/execution-host.js";
import { InlineExecution, RemoteExecution, serveExecution } from "../../dist/node/execution-port.js";
import { Snapshots } from "../../dist/node/snapshots.js";
import { everyone, setOf, without } from "../../dist/protocol/types.js";
import type { AgreedTime, Digest, ReplicaId, Run, Sequence, SessionId, View } from "../../dist/protocol/types.js";
import { Executor } from "../../dist/state/executor.js";
import { OpaqueMap } from "../process/opaque-map.mjs";
import { eventually, freeBasePort } from "../process/ports.ts";
import { ALICE, bytes, digestOf, MEMBERS, open, payloadOf, text } from "../state/driver.ts";
import { NodeHasher } from "../state/node-hasher.ts";

const INTERVAL = 2;
const SELF = 3 as ReplicaId;
const hasher = new NodeHasher();
const sources = without(everyone(4), setOf(SELF));

/** A machine whose operations end when the test says so. */
class GatedMap extends OpaqueMap {
  readonly #open: (() => void)[] = [];
  gated = false;

  override execute = async (operation: Uint8Array, context: OperationContext): Promise<Uint8Array> => {
    if (this.gated) await new Promise<void>((resolve) => this.#open.push(resolve));
    return OpaqueMap.prototype.execute.call(this, operation, context);
  };

  /** Lets the operation that waits end, once there is one. */
  async pass(): Promise<void> {
    (await eventually("an operation that waits", () => this.#open.shift()))();
  }
}

class Hosted {
  readonly machine: OpaqueMap;
  readonly executor: Executor;
  readonly host: ExecutionHost;
  readonly #outcomes: ExecutionOutcome[] = [];

  constructor(machine: OpaqueMap = new OpaqueMap(), snapshots?: Snapshots) {
    this.machine = machine;
    const from = snapshots?.load(hasher)?.version;
    const options = { stateMachine: machine, hasher, members: MEMBERS, checkpointInterval: INTERVAL };
    this.executor = new Executor({ ...options, ...(from && { from }) });
    this.host = new ExecutionHost(this.executor, { hasher, sources, snapshots });
  }

  /** Gives commands; what they led to at once. */
  take(...commands: readonly ExecutionCommand[]): ExecutionOutcome[] {
    const outcomes: ExecutionOutcome[] = [];
    for (const command of commands) this.host.take(command, outcomes);
    return outcomes;
  }

  /** Works until nothing is awaited and nothing is left to do; all outcomes since the last call. */
  async settled(): Promise<ExecutionOutcome[]> {
    do {
      this.host.work(this.#outcomes);
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.host.busy || this.host.awaiting);
    return this.#outcomes.splice(0);
  }

  async executed(...commands: readonly ExecutionCommand[]): Promise<ExecutionOutcome[]> {
    return [...this.take(...commands), ...(await this.settled())];
  }

  /** What state transfer has to say now. */
  work(): ExecutionOutcome[] {
    const outcomes: ExecutionOutcome[] = [];
    this.host.work(outcomes);
    return outcomes.map((outcome) =>
      outcome.kind === "stateNodes"
        ? { ...outcome, message: { ...outcome.message, nodes: outcome.message.nodes.slice() } }
        : outcome,
    );
  }
}

function batch(sequence: number, operation = `set key${sequence} ${sequence}`, run = 0): ExecutionCommand {
  const session = 1 as SessionId;
  const payload =
    sequence === 1
      ? payloadOf(open(ALICE, 1, 1_000))
      : payloadOf({ session, first: sequence - 1, operations: [operation] });
  const bundles = [{ digest: digestOf(1_000 + sequence), payload }];
  return {
    kind: "batch",
    run: run as Run,
    batch: { sequence: sequence as Sequence, timeMs: 1 as AgreedTime, digest: digestOf(sequence), bundles },
    wantOperations: false,
    taken: 0 as Sequence,
  };
}

const checkpoint = (sequence: number): ExecutionCommand => ({
  kind: "checkpoint",
  run: 0 as Run,
  sequence: sequence as Sequence,
});
const inspect = (id: number, question?: string): ExecutionCommand => ({
  kind: "inspect",
  id,
  question: question === undefined ? undefined : bytes(question),
});
const answer: ExecutionCommand = {
  kind: "answer",
  client: ALICE,
  session: 1 as SessionId,
  firstSequence: 1,
  count: 1,
  view: 0 as View,
};
const install = (run: number, sequence: number, digest: Digest): ExecutionCommand => ({
  kind: "install",
  installation: { run: run as Run, sequence: sequence as Sequence, digest, distrustOwn: false },
});

/** Outcomes, readable. */
function shown(outcomes: readonly ExecutionOutcome[]): string[] {
  return outcomes.map((outcome) => {
    if (outcome.kind === "inspected") return `inspected ${outcome.id} at ${outcome.inspection.sequence}`;
    return "sequence" in outcome ? `${outcome.kind} ${outcome.sequence}` : outcome.kind;
  });
}

test("commands wait for a batch that waits, in their order, and peers do not", async (t) => {
  const machine = new GatedMap();
  const hosted = new Hosted(machine);
  await hosted.executed(batch(1));
  machine.gated = true;
  const at = { from: 0 as ReplicaId, sequence: 1 as Sequence };
  const items = [{ path: new Uint8Array(0), deep: true }];
  t.deepEqual(hosted.take(batch(2), checkpoint(2), inspect(1), batch(3), answer, inspect(2, "key3")), []);
  const fetch = { type: "stateFetch", sequence: at.sequence, request: 1, bytesMax: 1, items } as const;
  const fetches = Array.from({ length: 5 }, (): ExecutionCommand => ({
    kind: "stateFetch",
    from: at.from,
    message: fetch,
  }));
  t.deepEqual(shown(hosted.take(...fetches)), ["refused"], "the fifth is one too many, now");
  t.true(hosted.host.awaiting);
  t.is(hosted.executor.lastExecuted, 1 as Sequence);
  await machine.pass();
  await machine.pass();
  const outcomes = await hosted.settled();
  t.deepEqual(shown(outcomes.filter(({ kind }) => kind !== "stateNodes" && kind !== "checkpointed")), [
    "executed 2",
    "inspected 1 at 2",
    "executed 3",
    "answered",
    "inspected 2 at 3",
  ]);
  t.deepEqual(shown(outcomes.filter(({ kind }) => kind === "checkpointed")), ["checkpointed 2"]);
  const last = outcomes.find((outcome) => outcome.kind === "inspected" && outcome.id === 2);
  if (last?.kind !== "inspected" || last.inspection.answer?.ok !== true) throw new Error("no answer");
  t.is(text(last.inspection.answer.value), "3");
});

test("retries that wait for an answer are bounded", async (t) => {
  const machine = new GatedMap();
  const hosted = new Hosted(machine);
  await hosted.executed(batch(1));
  machine.gated = true;
  hosted.take(batch(2), ...Array.from({ length: 1_500 }, () => answer));
  await machine.pass();
  t.is((await hosted.settled()).filter(({ kind }) => kind === "answered").length, 1_024);
  t.is(hosted.take(answer).length, 1);
});

test("an operation that rejects ends execution by name, and nothing behind it is executed", async (t) => {
  const hosted = new Hosted();
  const outcomes = await hosted.executed(batch(1), batch(2, "break"), batch(3), inspect(1));
  t.deepEqual(shown(outcomes), ["executed 1", "failed 2"]);
  const [, failed] = outcomes;
  if (failed?.kind !== "failed") throw new Error("it went on");
  t.regex(failed.reason, /an operation failed, and its writes cannot be undone: Error: broken/);
  t.deepEqual(await hosted.executed(batch(3)), []);
});

test("what is closed ends what is under way and executes nothing more", async (t) => {
  const machine = new GatedMap();
  const hosted = new Hosted(machine);
  await hosted.executed(batch(1));
  machine.gated = true;
  hosted.take(batch(2), batch(3));
  let ended = false;
  const closed = hosted.host.close().then(() => (ended = true));
  machine.gated = false;
  hosted.take(batch(4));
  t.deepEqual([ended, machine.entries.size], [false, 0]);
  await machine.pass();
  await closed;
  t.deepEqual([...machine.entries.keys()], ["key2"]);
});

/** A host after batches 1 … 4 with the root there. */
async function source(): Promise<{ from: Hosted; root: Digest }> {
  const from = new Hosted();
  const outcomes = await from.executed(batch(1), batch(2), batch(3), batch(4), checkpoint(4));
  const checkpointed = outcomes.find(({ kind }) => kind === "checkpointed");
  if (checkpointed?.kind !== "checkpointed") throw new Error("no root");
  return { from, root: checkpointed.digest };
}

/** Passes state transfer messages until the state is installed. */
function transferred(from: Hosted, to: Hosted): void {
  for (;;) {
    for (const outcome of to.work()) {
      if (outcome.kind === "installed") return;
      if (outcome.kind !== "stateFetch") continue;
      from.take({ kind: "stateFetch", from: SELF, message: outcome.message });
      for (let answered = false; !answered;) {
        for (const given of from.work()) {
          if (given.kind !== "stateNodes") continue;
          answered = true;
          to.take({ kind: "stateNodes", from: outcome.to, message: given.message });
        }
      }
    }
  }
}

test("a state that was installed is restored before anything else is executed", async (t) => {
  const { from, root } = await source();
  const late = new Hosted();
  await late.executed(batch(1), batch(2, "set stale 1"));
  late.take(install(1, 4, root));
  transferred(from, late);
  t.true(late.host.awaiting, "the restore is under way");
  t.deepEqual(late.take(batch(5, "get key4", 1), inspect(1)), []);
  const outcomes = await late.settled();
  t.deepEqual(shown(outcomes), ["executed 5", "inspected 1 at 5"]);
  const [fifth] = outcomes;
  if (fifth?.kind !== "executed") throw new Error("not executed");
  t.is(text(fifth.replies[0]!.entries[0]!.result), "4");
  t.is(late.machine.restores, 1);
  t.deepEqual([...late.machine.entries].sort(), [...from.machine.entries].sort());
  await from.executed(batch(5, "get key4"));
  await from.executed(batch(6), checkpoint(6));
  await late.executed(batch(6, undefined, 1));
  t.is(late.executor.current().digest, from.executor.current().digest);
});

test("a machine that restores another state ends execution by name", async (t) => {
  const { from, root } = await source();
  const late = new Hosted(Object.assign(new OpaqueMap(), { restore: async () => {} }));
  late.take(install(1, 4, root));
  transferred(from, late);
  const [failed] = (await late.executed(batch(5, undefined, 1))).filter(({ kind }) => kind === "failed");
  if (failed?.kind !== "failed") throw new Error("it went on");
  t.like(failed, { run: 1, sequence: 4 });
  t.regex(failed.reason, /restored from its snapshot it has another digest/);
  t.deepEqual(await late.executed(batch(5, undefined, 1)), []);
});

test("a core that replays what its state has just replaced gets nothing, and may ask for a state again", async (t) => {
  const { from, root } = await source();
  const late = new Hosted();
  await late.executed(batch(1), batch(2));
  late.take(install(1, 4, root));
  transferred(from, late);
  // Given before the core has heard that the state is there.
  const crossed = [3, 4, 5].map((sequence) => batch(sequence, undefined, 2));
  t.deepEqual(shown((await late.executed(...crossed)).filter(({ kind }) => kind !== "snapshotted")), []);
  late.take(install(3, 4, root));
  t.deepEqual(shown((await late.settled()).filter(({ kind }) => kind === "installed")), ["installed 4"]);
  t.deepEqual(shown(await late.executed(batch(5, undefined, 3))), ["executed 5"]);
});

test("execution in the reactor's thread keeps it awake, elsewhere it wakes it when a promise settles", async (t) => {
  const inline = new InlineExecution(new Hosted().host);
  inline.give(batch(1));
  inline.give(batch(2));
  const outcomes: ExecutionOutcome[] = [];
  inline.collect(outcomes);
  t.true(inline.busy, "although it has nothing to say yet");
  while (outcomes.length < 2) {
    t.true(inline.busy);
    inline.collect(outcomes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.deepEqual(shown(outcomes), ["executed 1", "executed 2"]);

  const machine = new GatedMap();
  const hosted = new Hosted(machine);
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  let wakes = 0;
  serveExecution(port2, hosted.host, () => wakes++);
  machine.gated = true;
  const remote = new RemoteExecution(port1);
  for (const sequence of [1, 2]) remote.give(batch(sequence));
  const received: ExecutionOutcome[] = [];
  remote.collect(received);
  await machine.pass();
  await eventually("both batches", () => {
    remote.collect(received);
    return received.length === 2;
  });
  t.deepEqual(shown(received), ["executed 1", "executed 2"]);
  t.is(wakes, 2);
});

const OWNER = { clusterId: new Uint8Array(32).fill(1), epoch: 0, replicaKey: new Uint8Array(32).fill(2) };

function directory(t: ExecutionContext): string {
  const dir = mkdtempSync(join(tmpdir(), "byzantine-opaque-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A snapshot of sequence 2 in a new directory, and the machine as it was there. */
async function snapshotted(t: ExecutionContext): Promise<{ dir: string; machine: OpaqueMap }> {
  const dir = directory(t);
  initDirectory(dir, OWNER, false);
  const hosted = new Hosted(new OpaqueMap(), new Snapshots(dir, OWNER));
  await hosted.executed(batch(1), batch(2), checkpoint(2));
  const { sequence, digest } = hosted.executor.current();
  const outcomes = hosted.take({ kind: "stable", sequence, digest });
  while (!outcomes.some(({ kind }) => kind === "snapshotted")) {
    hosted.host.work(outcomes);
    if (!hosted.host.busy) await sleep(1);
  }
  return { dir, machine: hosted.machine };
}

test("a process begins from its snapshot: the machine as it is, or restored where it is behind or beyond", async (t) => {
  const { dir, machine } = await snapshotted(t);
  const copy = (applied: number, ...more: [string, string][]): OpaqueMap =>
    Object.assign(new OpaqueMap(), { applied, entries: new Map([...machine.entries, ...more]) });
  for (const [own, restores] of [
    [copy(2), 0],
    [new OpaqueMap(), 1],
    [copy(3, ["key3", "3"]), 1],
  ] as const) {
    const next = new Hosted(own, new Snapshots(dir, OWNER));
    await next.host.prepare();
    t.like(next.host.start, { sequence: 2, lastApplied: own.applied });
    t.deepEqual(next.take({ kind: "begin" }, batch(3, "get key2")), []);
    const [third] = await next.settled();
    if (third?.kind !== "executed") throw new Error("not executed");
    t.is(text(third.replies[0]!.entries[0]!.result), "2");
    t.is(own.restores, restores);
    t.deepEqual([...own.entries], [...machine.entries]);
  }
});

/** Options of one node whose peers never come. */
async function alone(stateMachine: ByzantineNodeOptions["stateMachine"]): Promise<ByzantineNodeOptions> {
  const keys = Array.from({ length: 4 }, () => MessageCrypto.generateKeyPair());
  const base = await freeBasePort(4);
  const nodes = keys.map(({ publicKey }, i) => ({ nodeId: `node-${i}`, host: "127.0.0.1", port: base + i, publicKey }));
  return { nodeId: "node-0", nodes, key: keys[0]!.privateKey, stateMachine, durability: "none" };
}

test("a machine ahead of everything that its node knows is refused before the node starts", async (t) => {
  const machine = Object.assign(new OpaqueMap(), { applied: 5, entries: new Map([["a", "1"]]) });
  const dataDir = directory(t);
  const options = await alone(machine);
  initDataDir({ ...options, durability: "fsync", dataDir });
  for (const given of [options, { ...options, durability: "fsync", dataDir } as const]) {
    const node = new ByzantineNode(given);
    t.teardown(async () => node.shutdown());
    const error = await t.throwsAsync(node.initialize(), { code: "DATA_DIR" });
    t.like((error as { data?: object }).data, { reason: "ahead", lastApplied: 5, known: 0 });
  }
  t.deepEqual([machine.restores, machine.entries.size], [0, 1], "its data is untouched");
});

test("a machine that lacks a method, or has no sequence, is refused by name", async (t) => {
  const options = await alone(Object.assign(new OpaqueMap(), { digest: undefined }) as never);
  t.throws(() => new ByzantineNode(options), { code: "INVALID_CONFIG", message: /method digest/ });
  const broken = await alone(Object.assign(new OpaqueMap(), { lastApplied: () => -1 }));
  await t.throwsAsync(new ByzantineNode(broken).initialize(), {
    code: "INVALID_CONFIG",
    message: /lastApplied of an opaque state machine/,
  });
  const lacking = new URL("data:text/javascript,export default { opaque: true, execute() {} }");
  for (const execution of ["inline", "worker"] as const) {
    const node = new ByzantineNode({ ...(await alone(lacking)), execution });
    await t.throwsAsync(node.initialize(), { code: "INVALID_CONFIG", message: /method digest/ });
  }
});
