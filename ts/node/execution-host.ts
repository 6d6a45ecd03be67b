/**
 * Runs the state machine, wherever it lives: in the ordering thread, in a worker, or on the user's thread. Commands come in
 * the order in which the core gave them; each is answered by outcomes in the same order, also where opaque state makes one wait.
 */
import { hexOf } from "../codec/digest.ts";
import { ByzantineError } from "../errors.ts";
import type { RecoverMark, SessionChanges, SessionSummary } from "../protocol/core.ts";
import type { ResultEntry, StateFetch, StateNodes } from "../protocol/messages.ts";
import type {
  ClientKey,
  Digest,
  Instant,
  ReplicaId,
  ReplicaSet,
  Run,
  Sequence,
  SessionId,
  View,
} from "../protocol/types.ts";
import type { BundleReply, ExecutedBatch, ExecutedOperation } from "../state/batch-record.ts";
import type { Batch, Executor } from "../state/executor.ts";
import type { Hasher } from "../state/interfaces.ts";
import type { OperationResult } from "../state/operation.ts";
import type { MapVersion } from "../state/replicated-map.ts";
import { StateExchange } from "../state/transfer/state-exchange.ts";
import type { ExchangeOutput, Installation } from "../state/transfer/state-exchange.ts";
import { CommandQueue, type QueuedCommand, type RestoreCommand } from "./command-queue.ts";
import type { Snapshots } from "./snapshots.ts";

type InstalledOutput = Extract<ExchangeOutput, { kind: "installed" }>;
type BatchCommand = Extract<ExecutionCommand, { kind: "batch" }>;

export type ExecutionCommand =
  /** Brings opaque state to that which the process starts from. The first command, where it has such a state and may. */
  | { readonly kind: "begin" }
  | {
      readonly kind: "batch";
      readonly run: Run;
      readonly batch: Batch;
      readonly wantOperations: boolean;
      /** The core has taken the results up to here. */
      readonly taken: Sequence;
    }
  | { readonly kind: "checkpoint"; readonly run: Run; readonly sequence: Sequence }
  | { readonly kind: "stable"; readonly sequence: Sequence; readonly digest: Digest }
  /** A certified state takes the place of ours; nothing is executed until it has. */
  | { readonly kind: "install"; readonly installation: Installation }
  /** What a peer asks, and what it answers, in state transfer. */
  | { readonly kind: "stateFetch"; readonly from: ReplicaId; readonly message: StateFetch }
  | { readonly kind: "stateNodes"; readonly from: ReplicaId; readonly message: StateNodes }
  | {
      readonly kind: "answer";
      readonly client: ClientKey;
      readonly session: SessionId;
      readonly firstSequence: number;
      readonly count: number;
      /** Passed through to the reply. */
      readonly view: View;
    }
  /** Asks for the root of what is executed so far, and a question about it. */
  | { readonly kind: "inspect"; readonly id: number; readonly question: Uint8Array | undefined };

export interface ExecutedOutcome {
  readonly kind: "executed";
  readonly run: Run;
  readonly sequence: Sequence;
  readonly replies: readonly BundleReply[];
  readonly sessions: SessionChanges;
  readonly operations: readonly ExecutedOperation[];
  /** Said before, under a run that the core has ended since. */
  readonly again: boolean;
}

export type ExecutionOutcome =
  | ExecutedOutcome
  | { readonly kind: "checkpointed"; readonly run: Run; readonly sequence: Sequence; readonly digest: Digest }
  | ExchangeOutput
  /** The state after this sequence is in a durable snapshot; without snapshots, as durable as it will ever be. */
  | { readonly kind: "snapshotted"; readonly sequence: Sequence }
  /** A message of a peer that was of no use. */
  | { readonly kind: "refused"; readonly from: ReplicaId; readonly reason: "busy" | "unasked" }
  | {
      readonly kind: "answered";
      readonly client: ClientKey;
      readonly session: SessionId;
      readonly view: View;
      readonly lastExecuted: Sequence;
      readonly entries: readonly ResultEntry[];
    }
  | { readonly kind: "inspected"; readonly id: number; readonly inspection: StateInspection }
  | { readonly kind: "failed"; readonly run: Run; readonly sequence: Sequence; readonly reason: string };

/** The executed state of this one replica: what it holds, not what the cluster vouches for. */
export interface StateInspection {
  /** The last executed sequence. */
  readonly sequence: number;
  /** Root of the replicated map after it, 64 hexadecimal digits. */
  readonly digest: string;
  /** What the state machine's `query` returned, or why it could not. */
  readonly answer:
    { readonly ok: true; readonly value: Uint8Array } | { readonly ok: false; readonly message: string } | undefined;
}

/** Tree nodes hashed or checked between two turns: some tenths of a millisecond. */
const NODES_PER_SLICE = 256;

export interface ExecutionHostOptions {
  readonly hasher: Hasher;
  /** All replicas but this one: who is asked for a state. */
  readonly sources: ReplicaSet;
  /** Where states are written down; undefined where nothing survives the process. */
  readonly snapshots: Snapshots | undefined;
}

/** What a replica executes from: its snapshot, or the beginning. */
export interface ExecutionStart {
  readonly sequence: Sequence;
  readonly sessions: readonly SessionSummary[];
  readonly marks: readonly RecoverMark[];
  /** The last sequence that opaque state has applied, before it is brought to `sequence`; undefined where there is none. */
  readonly lastApplied: number | undefined;
}

export class ExecutionHost {
  readonly #executor: Executor;
  readonly #states: StateExchange;
  readonly #snapshots: Snapshots | undefined;
  #lastApplied: number | undefined;
  readonly #queue = new CommandQueue({
    perform: (command, outcomes) => this.#perform(command, outcomes),
    fail: (error, outcomes) => this.#fail(error, outcomes),
  });
  /** What is executed or restored now, or was last. */
  #current: { readonly run: Run; readonly sequence: Sequence };
  /** Checkpoints whose root is being computed, oldest first. */
  #hashing: { readonly run: Run; readonly sequence: Sequence }[] = [];
  /** What the core may ask for once more, since it ends a run before it has taken all of its results. */
  readonly #results = new Map<Sequence, ExecutedOutcome>();
  /** The run that awaits a state. */
  #installing = -1;
  /** The run that asked for what was replaced meanwhile. */
  #crossed = -1;
  #failed = false;
  /** The last stable checkpoint, until its state is written down. */
  #certified: { readonly sequence: Sequence; readonly digest: Digest } | undefined;

  constructor(executor: Executor, { hasher, sources, snapshots }: ExecutionHostOptions) {
    this.#executor = executor;
    this.#current = { run: 0 as Run, sequence: executor.lastExecuted };
    this.#snapshots = snapshots;
    this.#states = new StateExchange({ executor, hasher, sources });
  }

  /** Whether {@link work} has something left to do now. */
  get busy(): boolean {
    const time = now();
    if (this.#queue.settled || this.#hashing.length > 0) return true;
    return this.#states.ready(time) || this.#snapshots?.ready(time) === true;
  }

  /** Whether it waits for user code; {@link onSettled} says when there is something to do again. */
  get awaiting(): boolean {
    return this.#queue.awaiting;
  }

  set onSettled(listener: () => void) {
    this.#queue.onSettled = listener;
  }

  /** When {@link work} is due although nothing happens, by this thread's `performance.now()`. */
  get deadline(): number | undefined {
    const due = Math.min(this.#states.deadline(now()) ?? Infinity, this.#snapshots?.deadline() ?? Infinity);
    return due === Infinity ? undefined : due;
  }

  /** Asks opaque state how far it is: before {@link start}. @throws ByzantineError `INVALID_CONFIG` where it cannot tell. */
  async prepare(): Promise<void> {
    try {
      this.#lastApplied = await this.#executor.opaque?.lastApplied();
    } catch (error) {
      throw new ByzantineError("INVALID_CONFIG", `stateMachine: ${String(error)}`, { field: "stateMachine" }, error);
    }
  }

  /** Before anything is executed. */
  get start(): ExecutionStart {
    const { lastExecuted: sequence } = this.#executor;
    const [sessions, marks] = [this.#executor.sessions(), this.#executor.recoverMarks()];
    return { sequence, sessions, marks, lastApplied: this.#lastApplied };
  }

  /** Nothing more is executed. Resolves when user code that is under way has ended. */
  async close(): Promise<void> {
    this.#failed = true;
    this.#queue.clear();
    return this.#queue.idle;
  }

  take(command: ExecutionCommand, outcomes: ExecutionOutcome[]): void {
    // Peers are not kept waiting by what is executed: they ask for versions that are frozen.
    const ofPeer = command.kind === "stateFetch" || command.kind === "stateNodes";
    if (ofPeer) this.#perform(command, outcomes);
    else this.#queue.take(command, outcomes);
  }

  #perform(command: QueuedCommand, outcomes: ExecutionOutcome[]): void {
    if (this.#failed) return;
    switch (command.kind) {
      case "begin":
        return this.#onBegin();
      case "restore":
        return this.#onRestore(command);
      case "batch":
        return this.#onBatch(command, outcomes);
      case "checkpoint":
        return this.#onCheckpoint(command.run, command.sequence);
      case "stable":
        return this.#onStable(command, outcomes);
      case "install":
        this.#installing = command.installation.run;
        this.#hashing = [];
        return this.#states.install(command.installation, now());
      case "stateFetch":
        if (!this.#states.onFetch(command.from, command.message, now()))
          outcomes.push({ kind: "refused", from: command.from, reason: "busy" });
        return;
      case "stateNodes":
        if (!this.#states.onNodes(command.from, command.message, now()))
          outcomes.push({ kind: "refused", from: command.from, reason: "unasked" });
        return;
      case "answer": {
        const { client, session, firstSequence, count, view } = command;
        const entries = this.#executor.answers(client, session, firstSequence, count);
        outcomes.push({ kind: "answered", client, session, view, lastExecuted: this.#executor.lastExecuted, entries });
        return;
      }
      case "inspect":
        return this.#onInspect(command.id, command.question, outcomes);
    }
  }

  /** One slice of what is not urgent: the root of the oldest frozen version, and state transfer. */
  work(outcomes: ExecutionOutcome[]): void {
    this.#queue.collect(outcomes);
    this.#hash(outcomes);
    const time = now();
    const deadline = this.#states.deadline(time);
    if (deadline !== undefined && deadline <= time) this.#states.tick(time);
    this.#states.work(NODES_PER_SLICE, time);
    for (const output of this.#states.take()) {
      outcomes.push(output);
      if (output.kind === "installed") this.#onInstalled(output, outcomes);
    }
    this.#snapshots?.work(time);
    for (const sequence of this.#snapshots?.take() ?? []) outcomes.push({ kind: "snapshotted", sequence });
  }

  /** Our state there is written down where enough has changed, unless it is not the certified one. */
  #onStable({ sequence, digest }: Extract<ExecutionCommand, { kind: "stable" }>, outcomes: ExecutionOutcome[]): void {
    // A root that others were faster to compute is of no use any more.
    this.#hashing = this.#hashing.filter((hashing) => hashing.sequence >= sequence);
    this.#states.stable(sequence, now());
    this.#certified = { sequence, digest };
    if (this.#snapshots === undefined) outcomes.push({ kind: "snapshotted", sequence });
    else this.#saveCertified();
  }

  /** Our own root may come after the certificate. */
  #saveCertified(): void {
    if (this.#certified === undefined || this.#snapshots?.due(now()) !== true) return;
    const { sequence, digest } = this.#certified;
    const version = this.#executor.hashedVersion(sequence);
    if (version === undefined) return;
    this.#certified = undefined;
    if (this.#executor.root(sequence) === digest) this.#save(sequence, digest, version);
  }

  #onInstalled({ run, sequence, digest }: InstalledOutput, outcomes: ExecutionOutcome[]): void {
    this.#results.clear();
    if (this.#snapshots === undefined) outcomes.push({ kind: "snapshotted", sequence });
    else this.#save(sequence, digest, this.#executor.version(sequence));
    if (this.#executor.opaque !== undefined) this.#queue.takeFirst({ kind: "restore", run, sequence }, outcomes);
  }

  /** The tree of a version stays as it is; the executor may let go of the version meanwhile. */
  #save(sequence: Sequence, digest: Digest, { tree }: MapVersion): void {
    if (tree !== undefined)
      this.#snapshots?.write({ sequence, digest, version: this.#executor.versionOf(tree) }, now());
  }

  #hash(outcomes: ExecutionOutcome[]): void {
    const checkpoint = this.#hashing[0];
    if (checkpoint === undefined) return;
    const digest = this.#executor.hashSlice(checkpoint.sequence, NODES_PER_SLICE);
    if (digest === undefined) return;
    this.#hashing.shift();
    outcomes.push({ kind: "checkpointed", ...checkpoint, digest });
    this.#saveCertified();
  }

  #onCheckpoint(run: Run, sequence: Sequence): void {
    if (this.#states.installing) return;
    if (this.#executor.lastExecuted === sequence) this.#executor.freeze(sequence);
    // Asked for once more after its version was let go of, it can be nobody's stable checkpoint any more.
    if (this.#executor.isFrozen(sequence)) this.#hashing.push({ run, sequence });
  }

  #onInspect(id: number, question: Uint8Array | undefined, outcomes: ExecutionOutcome[]): void {
    const { opaque } = this.#executor;
    const { sequence, digest } = this.#executor.current();
    const push = (result: OperationResult | undefined, to: ExecutionOutcome[]): void => {
      const inspection = { sequence, digest: hexOf(digest), answer: result && answerOf(result) };
      to.push({ kind: "inspected", id, inspection });
    };
    if (question === undefined) push(undefined, outcomes);
    else if (opaque === undefined) push(this.#executor.query(question), outcomes);
    else this.#queue.wait(opaque.query(question), push);
  }

  #onBegin(): void {
    const { opaque, lastExecuted } = this.#executor;
    if (opaque === undefined || this.#lastApplied === undefined) return;
    this.#queue.wait(opaque.begin(lastExecuted, this.#lastApplied), () => {});
  }

  #onRestore({ run, sequence }: RestoreCommand): void {
    this.#current = { run, sequence };
    const { opaque } = this.#executor;
    if (opaque !== undefined) this.#queue.wait(opaque.restore(sequence), () => {});
  }

  #onBatch(command: BatchCommand, outcomes: ExecutionOutcome[]): void {
    const { run, batch, taken } = command;
    if (this.#states.installing) {
      if (run <= this.#installing) return;
      this.#states.cancel();
    }
    for (const sequence of this.#results.keys()) if (sequence <= taken) this.#results.delete(sequence);
    const known = this.#results.get(batch.sequence);
    if (known !== undefined) outcomes.push({ ...known, run, again: true });
    else if (this.#isOurs(run, batch.sequence)) this.#execute(command, outcomes);
  }

  /**
   * Whether a batch is the next one. A core that chose to replay while its state arrived has asked for what is replaced: nothing
   * of that run can be executed, and the core asks for a state again when nothing comes.
   */
  #isOurs(run: Run, sequence: Sequence): boolean {
    if (sequence <= this.#executor.lastExecuted) this.#crossed = run;
    return run !== this.#crossed;
  }

  #execute(command: BatchCommand, outcomes: ExecutionOutcome[]): void {
    const { run, batch } = command;
    this.#current = { run, sequence: batch.sequence };
    try {
      const executed = this.#executor.run(batch);
      if (executed instanceof Promise) this.#queue.wait(executed, (done, to) => this.#onExecuted(command, done, to));
      else this.#onExecuted(command, executed, outcomes);
    } catch (error) {
      this.#fail(error, outcomes);
    }
  }

  #onExecuted(
    { run, batch, wantOperations }: BatchCommand,
    { sequence, replies, sessions, operations }: ExecutedBatch,
    outcomes: ExecutionOutcome[],
  ): void {
    this.#snapshots?.executed(batch.bundles.reduce((sum, { payload }) => sum + payload.length, 0));
    const shown = wantOperations ? operations : [];
    const outcome = { kind: "executed", run, sequence, replies, sessions, operations: shown, again: false } as const;
    this.#results.set(sequence, outcome);
    outcomes.push(outcome);
  }

  /** A full stack or memory ends at other places on other machines, opaque state is not undone: this replica stops, the others go on. */
  #fail(error: unknown, outcomes: ExecutionOutcome[]): void {
    if (this.#failed) return;
    this.#failed = true;
    const reason = error instanceof Error ? error.message : String(error);
    outcomes.push({ kind: "failed", ...this.#current, reason });
  }
}

function answerOf({ status, result }: OperationResult): StateInspection["answer"] {
  if (status === "ok") return { ok: true, value: result };
  return { ok: false, message: status === "refused" ? Buffer.from(result).toString("utf8") : "the query failed" };
}

function now(): Instant {
  return performance.now() as Instant;
}
