/** A replica's snapshots on a real disk: written while it goes on, found again by the next process. */
import test, { type ExecutionContext } from "ava";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { initDataDir } from "../../dist/native/native.js";
import { ExecutionHost, type ExecutionCommand, type ExecutionOutcome } from "../../dist/node/execution-host.js";
import { Snapshots } from "../../dist/node/snapshots.js";
import { everyone, setOf, without, ZERO_DIGEST } from "../../dist/protocol/types.js";
import type { AgreedTime, Digest, ReplicaId, Run, Sequence, SessionId } from "../../dist/protocol/types.js";
import { Executor } from "../../dist/state/executor.js";
import { ALICE, digestOf, logMachine, MEMBERS, open, payloadOf } from "../state/driver.ts";
import { NodeHasher } from "../state/node-hasher.ts";

const OWNER = { clusterId: new Uint8Array(32).fill(1), epoch: 0, replicaKey: new Uint8Array(32).fill(2) };
const hasher = new NodeHasher();
const sources = without(everyone(4), setOf(3 as ReplicaId));

/** Who may write to a directory. */
const begun = new Map<string, Process[]>();

/** One process of a replica that executes. */
class Process {
  readonly executor: Executor;
  readonly host: ExecutionHost;

  constructor(dir: string) {
    const snapshots = new Snapshots(dir, OWNER);
    const from = snapshots.load(hasher)?.version;
    this.executor = new Executor({ stateMachine: logMachine, hasher, members: MEMBERS, ...(from && { from }) });
    this.host = new ExecutionHost(this.executor, { hasher, sources, snapshots });
    begun.set(dir, [...(begun.get(dir) ?? []), this]);
  }

  /** Executes one batch more, takes its checkpoint and has it certified with the root `digest`, its own by default. */
  checkpoint(digest?: Digest): ExecutionOutcome[] {
    const sequence = (this.executor.lastExecuted + 1) as Sequence;
    const payload =
      sequence === 1
        ? payloadOf(open(ALICE, 1, 1_000))
        : payloadOf({ session: 1 as SessionId, first: sequence - 1, operations: [`operation ${sequence}`] });
    const bundles = [{ digest: digestOf(1_000 + sequence), payload }];
    const batch = { sequence, timeMs: 1 as AgreedTime, digest: digestOf(sequence), bundles };
    const run = 0 as Run;
    const outcomes: ExecutionOutcome[] = [];
    const commands: ExecutionCommand[] = [
      { kind: "batch", run, batch, wantOperations: false, taken: 0 as Sequence },
      { kind: "checkpoint", run, sequence },
    ];
    for (const command of commands) this.host.take(command, outcomes);
    while (!outcomes.some(({ kind }) => kind === "checkpointed")) this.host.work(outcomes);
    this.host.take({ kind: "stable", sequence, digest: digest ?? this.executor.current().digest }, outcomes);
    return outcomes;
  }

  /** Works until nothing is left to write. */
  async settled(): Promise<Sequence[]> {
    const outcomes: ExecutionOutcome[] = [];
    for (;;) {
      this.host.work(outcomes);
      if (this.host.deadline === undefined && !this.host.busy) break;
      if (!this.host.busy) await sleep(Math.max(0, (this.host.deadline ?? 0) - performance.now()));
    }
    return outcomes.flatMap((outcome) => (outcome.kind === "snapshotted" ? [outcome.sequence] : []));
  }
}

function directory(t: ExecutionContext): string {
  const dir = mkdtempSync(join(tmpdir(), "byzantine-snapshots-"));
  t.teardown(async () => {
    // A thread of the addon that still writes would put its file beside those that are removed.
    for (const process of begun.get(dir) ?? []) await process.settled();
    rmSync(dir, { recursive: true });
  });
  initDataDir(dir, OWNER, false);
  return dir;
}

const files = (dir: string): string[] => readdirSync(dir).filter((name) => /^snapshot-.*\.state$/u.test(name));

test("the certified state is durable beside execution, and the next process goes on from it", async (t) => {
  const dir = directory(t);
  const first = new Process(dir);
  first.checkpoint();
  t.deepEqual(files(dir), [], "nobody waited for the disk");
  t.deepEqual(await first.settled(), [1 as Sequence]);
  const { digest } = first.executor.current();
  const second = new Process(dir);
  t.is(second.host.start.sequence, 1 as Sequence);
  t.is(second.host.start.sessions.length, 1);
  t.is(second.executor.current().digest, digest);
  second.checkpoint();
  t.is(second.executor.lastExecuted, 2 as Sequence);
});

test("a state that is not the certified one is not written down", async (t) => {
  const dir = directory(t);
  const process = new Process(dir);
  process.checkpoint(ZERO_DIGEST);
  t.deepEqual(await process.settled(), []);
  t.deepEqual(files(dir), []);
});

test("a damaged snapshot is told of and removed, and the one before it is used", async (t) => {
  const dir = directory(t);
  for (const sequence of [1, 2]) {
    const process = new Process(dir);
    process.checkpoint();
    t.deepEqual(await process.settled(), [sequence as Sequence]);
  }
  const newest = join(dir, files(dir).sort().at(-1)!);
  const content = readFileSync(newest);
  content[content.length - 40]! ^= 1;
  writeFileSync(newest, content);
  const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
  const third = new Process(dir);
  t.is(third.host.start.sequence, 1 as Sequence);
  t.regex((await warned).message, /snapshot of sequence 2 is not used/);
  t.is(files(dir).length, 1);
});

test("what was not written to its end never was", async (t) => {
  const dir = directory(t);
  new Process(dir).checkpoint();
  t.is(new Process(dir).host.start.sequence, 0 as Sequence);
});
