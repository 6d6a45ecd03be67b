/**
 * The simulated execution port: the product's executor, some time after it is asked. Batches run in order; results wait here
 * until the core frees the replies.
 */
import { Writer } from "../../codec/bytes.ts";
import { writeBundle, type ReplyEntry } from "../../codec/client.ts";
import type { Action, Input, SessionChanges } from "../../protocol/core.ts";
import type { BundleRef, ResultEntry } from "../../protocol/messages.ts";
import type { ClientKey, Digest, ReplicaId, Run, Sequence, SessionId, View } from "../../protocol/types.ts";
import type { BundleReply } from "../../state/batch-record.ts";
import { Executor, type Batch } from "../../state/executor.ts";
import type { StateMachine } from "../../state/interfaces.ts";
import { hasher, resultDigest } from "../hashing.ts";
import type { Prng } from "../prng.ts";
import type { Surroundings } from "../surroundings.ts";
import { sealBody } from "../wire.ts";
import type { Body } from "./body-store.ts";
import type { MapVersion } from "../../state/replicated-map.ts";
import type { Disk } from "./disk.ts";
import { StatePort } from "./state-port.ts";

/** Results up to here always travel in full. WIRE.md §4. */
const SHORT_RESULT_BYTES = 64;

/** Roots kept for a core that asks again: more checkpoints than a window has. */
const ROOTS_MAX = 16;
/** Share of stable checkpoints that a snapshot is taken of. */
const SNAPSHOT_SHARE = 0.3;

type ReplyContent = { readonly batchSequence: Sequence; readonly view: View; readonly tentative: boolean };
type Leave = (client: number, frame: Uint8Array) => void;

export interface ExecutionOwner {
  readonly id: number;
  readonly honest: boolean;
  readonly prng: Prng;
  readonly onInput: (input: Input) => void;
  /** A message that binds nobody. */
  readonly leave: (to: number, name: "stateFetch" | "stateNodes", frame: Uint8Array) => void;
  /** The state to begin with, on this machine's disk. */
  readonly disk: Disk;
}

export class ExecutionPort {
  /** Fetching and serving of states. */
  readonly state: StatePort;
  private readonly around: Surroundings;
  private readonly owner: ExecutionOwner;
  private readonly executor: Executor;
  private readonly replies = new Map<Sequence, readonly BundleReply[]>();
  /** What batches changed until the core has taken it: it may discard that, and ask for them again under a later run. */
  private readonly sessions = new Map<Sequence, SessionChanges>();
  /** The same for checkpoints. */
  private readonly roots = new Map<Sequence, Digest>();
  private run = 0;
  /** One job after another: when the last of them ends. */
  private busyUntil = 0;
  private ended = false;
  private readonly writer = new Writer();

  constructor(around: Surroundings, owner: ExecutionOwner) {
    const { n } = around.options;
    const snapshot = owner.disk.newestSnapshot;
    this.around = around;
    this.owner = owner;
    this.executor = new Executor({
      stateMachine: this.watched(around.subject.machine),
      hasher,
      members: Array.from({ length: n }, (_, replica) => around.keyring.keyOf(replica)),
      ...(snapshot === undefined ? {} : { from: snapshot.version }),
    });
    if (snapshot !== undefined) this.freeze(snapshot.sequence);
    const { id, onInput, leave } = owner;
    const onInstalled = (input: Extract<Input, { kind: "installed" }>): void => this.installed(input);
    this.state = new StatePort(around, { id, executor: this.executor, onInput, leave, onInstalled });
  }

  /** Sequence of the last executed batch. */
  get executed(): Sequence {
    return this.executor.lastExecuted;
  }

  /** The root of the state after it, for comparison. */
  root(): string {
    this.executor.freeze(this.executor.lastExecuted);
    return this.executor.root(this.executor.lastExecuted);
  }

  execute(action: Extract<Action, { kind: "execute" }>, bodyOf: (digest: Digest) => Body | undefined): void {
    const { run, sequence, digest, time, bundles } = action;
    const payloads = bundles.map((bundle) => this.payloadOf(bundle, bodyOf));
    if (payloads.some((payload) => payload === undefined)) {
      this.around.history.fail(
        3,
        "validity",
        `replica ${this.owner.id} executes ${sequence} without holding its bodies`,
      );
      return;
    }
    const batch: Batch = { sequence, timeMs: time, digest, bundles: payloads as Batch["bundles"] };
    this.run = Math.max(this.run, run);
    this.state.supersede(run);
    this.work(() => {
      if (run === this.run && !this.state.installing) this.runBatch(run, batch);
    });
  }

  /** Fetches a state; batches of earlier runs are not executed any more. */
  install(action: Extract<Action, { kind: "install" }>): void {
    this.run = Math.max(this.run, action.run);
    this.state.install(action);
  }

  checkpoint(run: Run, sequence: Sequence): void {
    this.work(() => {
      if (!this.roots.has(sequence) && this.executor.lastExecuted === sequence) this.freeze(sequence);
      const digest = this.roots.get(sequence);
      // Its batch belonged to a run that ended before.
      if (digest !== undefined) this.owner.onInput({ kind: "checkpointed", run, sequence, digest });
    });
  }

  /** A checkpoint is stable. Where its state is ours it is written down now and then: always would hide what older snapshots show. */
  stable(sequence: Sequence, digest: Digest): void {
    this.state.stable(sequence);
    if (this.roots.get(sequence) !== digest || !this.owner.prng.chance(SNAPSHOT_SHARE)) return;
    const version = this.executor.hashedVersion(sequence);
    if (version !== undefined) this.write(sequence, version);
  }

  /** For the core of a process that starts. */
  get table(): Executor {
    return this.executor;
  }

  /** The replies of an executed batch, as frames. */
  reply(batchSequence: Sequence, view: View, tentative: boolean, leave: Leave): void {
    for (const { client, session, entries } of this.replies.get(batchSequence) ?? []) {
      this.send(client, session, entries, { batchSequence, view, tentative }, leave);
    }
    this.replies.delete(batchSequence);
    this.sessions.delete(batchSequence);
  }

  /** Answers a retried bundle from the session table. */
  answer({ client, session, firstSequence, count }: BundleRef, view: View, leave: Leave): void {
    this.around.coverage.hit("retry answered");
    this.work(() => {
      const entries = this.executor.answers(client, session, firstSequence, count);
      this.send(client, session, entries, { batchSequence: this.executor.lastExecuted, view, tentative: false }, leave);
    });
  }

  /** The process ended: jobs that wait are nobody's. */
  end(): void {
    this.ended = true;
    this.state.end();
  }

  /** What was made of the state before is nothing to the one that has taken its place. */
  private installed(input: Extract<Input, { kind: "installed" }>): void {
    const { sequence, digest } = input;
    this.replies.clear();
    this.sessions.clear();
    this.roots.clear();
    this.roots.set(sequence, digest);
    this.owner.onInput(input);
    this.write(sequence, this.executor.version(sequence));
    if (!this.owner.honest) return;
    this.around.history.see({ kind: "installed", replica: this.owner.id, sequence });
    this.around.history.see({ kind: "checkpointed", replica: this.owner.id, sequence, digest });
  }

  /** The tree of a version stays as it is; the executor may let go of the version meanwhile. */
  private write(sequence: Sequence, version: MapVersion): void {
    const { tree } = version;
    if (tree === undefined) return;
    this.owner.disk.writeSnapshot(sequence, this.executor.versionOf(tree), () =>
      this.owner.onInput({ kind: "snapshotted", sequence }),
    );
  }

  private freeze(sequence: Sequence): void {
    this.executor.freeze(sequence);
    const digest = this.executor.root(sequence);
    this.roots.set(sequence, digest);
    if (this.roots.size > ROOTS_MAX) this.roots.delete(this.roots.keys().next().value as Sequence);
    if (this.owner.honest) this.around.history.see({ kind: "checkpointed", replica: this.owner.id, sequence, digest });
  }

  private runBatch(run: Run, batch: Batch): void {
    const { sequence } = batch;
    const known = this.sessions.get(sequence);
    if (known !== undefined) return this.owner.onInput({ kind: "executed", run, through: sequence, sessions: known });
    const { replies, sessions } = this.executor.execute(batch);
    this.sessions.set(sequence, sessions);
    this.around.log.add(this.around.scheduler.now, "executed", this.owner.id, sequence);
    this.replies.set(sequence, replies);
    if (this.owner.honest) {
      for (const { session, through } of sessions.acknowledged) {
        this.around.history.see({ kind: "acknowledged", replica: this.owner.id, session, through });
      }
    }
    this.owner.onInput({ kind: "executed", run, through: sequence, sessions });
  }

  private payloadOf(
    digest: Digest,
    bodyOf: (digest: Digest) => Body | undefined,
  ): Batch["bundles"][number] | undefined {
    const body = bodyOf(digest);
    if (body === undefined) return undefined;
    this.writer.reset();
    writeBundle(this.writer, body.bundle);
    return { digest, payload: this.writer.copy() };
  }

  /** Runs a job after those before it, as the one thread of execution does. */
  private work(job: () => void): void {
    const { executionMs } = this.around.options;
    const { now } = this.around.scheduler;
    const duration = executionMs > 0 ? this.owner.prng.exponential(executionMs) : 0;
    this.busyUntil = Math.max(now, this.busyUntil) + duration;
    this.around.scheduler.at(this.busyUntil, () => {
      if (!this.ended) job();
    });
  }

  private send(
    client: ClientKey,
    session: SessionId,
    results: readonly ResultEntry[],
    content: ReplyContent,
    leave: Leave,
  ): void {
    const node = this.around.keyring.nodeOf(client);
    if (node === undefined) return;
    const entries = results.map((entry) => this.shortened(entry));
    const { batchSequence, view, tentative } = content;
    leave(
      node,
      sealBody("reply", { session, batchSequence, view, tentative, entries }, () => new Uint8Array(0)),
    );
  }

  /** A long result travels in full from one replica, and as its digest from the others. */
  private shortened({ sequence, status, result }: ResultEntry): ReplyEntry {
    const full =
      result.length <= SHORT_RESULT_BYTES || sequence % this.around.options.n === (this.owner.id as ReplicaId);
    return full ? { sequence, status, result } : { sequence, status, digest: resultDigest(status, result) };
  }

  /** The user's state machine, in sight of the oracles. */
  private watched(machine: StateMachine): StateMachine {
    if (!this.owner.honest) return machine;
    const { history, subject } = this.around;
    const decoder = new TextDecoder();
    return {
      execute: (state, operation, context) => {
        const text = decoder.decode(operation);
        const { sequence, index, client } = context;
        const identity = subject.identify(text);
        history.see({ kind: "applied", replica: this.owner.id, sequence, index, client, operation: text, identity });
        return machine.execute(state, operation, context);
      },
    };
  }
}
