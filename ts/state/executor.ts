/**
 * Executes ordered batches on the replicated map: sessions and exactly-once around the user's state machine, versions for
 * checkpoints, undo and reads. Deterministic; whoever feeds two executors the same batches gets equal roots and equal replies, also
 * from an executor that continues from a frozen version. Synchronous, unless a state machine is opaque and makes it wait.
 */
import { decode } from "../codec/bytes.ts";
import { readBundle } from "../codec/client.ts";
import type { Bundle } from "../codec/client.ts";
import { assert } from "../protocol/assert.ts";
import type { RecoverMark, SessionSummary } from "../protocol/core.ts";
import type { ResultEntry } from "../protocol/messages.ts";
import type { AgreedTime, ClientKey, Digest, Sequence, SessionId } from "../protocol/types.ts";
import { BatchRecord, entryOf } from "./batch-record.ts";
import type { ExecutedBatch } from "./batch-record.ts";
import type { Hasher, OpaqueStateMachine, ReadonlyStateView, StateMachine } from "./interfaces.ts";
import { readLedger, writeLedger } from "./ledger.ts";
import type { Ledger } from "./ledger.ts";
import { isOpaque, OpaqueState } from "./opaque-state.ts";
import { failureOf, OperationRunner, refusal, resultOf } from "./operation.ts";
import type { BatchContext, OperationResult } from "./operation.ts";
import { ReplicatedMap } from "./replicated-map.ts";
import type { MapVersion } from "./replicated-map.ts";
import { requireSessionLimits, SESSION_LIMITS } from "./session-limits.ts";
import type { SessionLimits } from "./session-limits.ts";
import { Sessions } from "./sessions.ts";
import { drive } from "./steps.ts";
import type { Steps } from "./steps.ts";
import { markRecover, recoverMarks } from "./recover-marks.ts";
import { decodeSystemOperation, encodeNumberResult } from "./system-operation.ts";
import { ApplicationView } from "./transaction.ts";
import type { TreeNode } from "./tree.ts";

export interface ExecutorOptions {
  readonly stateMachine: StateMachine | OpaqueStateMachine;
  /** Sequences from one checkpoint to the next; what an opaque state machine needs. */
  readonly checkpointInterval?: number;
  readonly hasher: Hasher;
  /** The replicas' keys, by replica. */
  readonly members: readonly ClientKey[];
  /** The same on all replicas; {@link SESSION_LIMITS} where not given. */
  readonly limits?: Partial<SessionLimits>;
  /** Continues from this version of another executor's map instead of the empty one. */
  readonly from?: MapVersion;
}

export interface Batch {
  /** One more than the last executed one. */
  readonly sequence: Sequence;
  /** Agreed time as it was proposed; 0 for the null batch. */
  readonly timeMs: AgreedTime;
  readonly digest: Digest;
  /** In order; `payload` is that of BUNDLE without signature. It is copied before anything refers to it. */
  readonly bundles: readonly { readonly digest: Digest; readonly payload: Uint8Array }[];
  /** Not committed yet: it may be undone, and no read shows it before `commit`. */
  readonly tentative?: boolean;
}

/** The answer to a question about the committed version `version`. */
export interface Answer extends OperationResult {
  readonly version: Sequence;
}

export class Executor {
  readonly #query: StateMachine["query"];
  readonly #hasher: Hasher;
  readonly #members: readonly ClientKey[];
  readonly #map: ReplicatedMap;
  readonly #sessions: Sessions;
  readonly #runner: OperationRunner | OpaqueState;
  /** What the map cannot undo, show or continue from by itself. */
  readonly opaque: OpaqueState | undefined;
  #ledger: Ledger;
  #committed: number;
  #halted = false;
  /** A batch is being executed, and waits. */
  #underWay = false;
  /** Versions that checkpoints were taken of, until they are released. */
  readonly #frozen = new Map<number, MapVersion>();
  /** Versions that reads show or that tentative batches are undone to: the last committed one and those above. */
  readonly #boundaries = new Map<number, MapVersion>();

  /** @throws ByzantineError `INVALID_CONFIG` for limits out of range. */
  constructor(options: ExecutorOptions) {
    const limits = { ...SESSION_LIMITS, ...options.limits };
    requireSessionLimits(limits);
    const { stateMachine, checkpointInterval } = options;
    this.#hasher = options.hasher;
    this.#members = options.members;
    this.#map = new ReplicatedMap(options.from);
    this.#sessions = new Sessions(this.#map, limits);
    if (isOpaque(stateMachine)) {
      assert(checkpointInterval !== undefined, "opaque state is written into the map at every checkpoint");
      this.opaque = new OpaqueState(stateMachine, this.#map, options.hasher, checkpointInterval);
      this.#runner = this.opaque;
    } else {
      this.#runner = new OperationRunner(stateMachine, options.hasher, this.#map);
      this.#query = stateMachine.query?.bind(stateMachine);
    }
    this.#ledger = readLedger(this.#map);
    this.#committed = this.#ledger.sequence;
  }

  /** The last batch that was executed to its end. */
  get lastExecuted(): Sequence {
    return (this.#ledger.sequence - (this.#underWay ? 1 : 0)) as Sequence;
  }

  /** The last batch that reads show. */
  get lastCommitted(): Sequence {
    return this.#committed as Sequence;
  }

  /**
   * Of a state machine that is not opaque.
   * @throws HaltExecution where user code reached a limit of this machine; nothing can be executed afterwards.
   */
  execute(batch: Batch): ExecutedBatch {
    const executed = this.run(batch);
    assert(!(executed instanceof Promise), "only opaque state makes execution wait");
    return executed;
  }

  /**
   * The same of any state machine. Where it gives a promise, nothing else but frozen versions may be used until that settles.
   * @throws HaltExecution at once or by rejection.
   */
  run(batch: Batch): ExecutedBatch | Promise<ExecutedBatch> {
    assert(!this.#halted && !this.#underWay, "a halted executor executes nothing, and one that waits no second batch");
    assert(batch.sequence === this.#ledger.sequence + 1, "batches are executed in order, without gaps");
    if (batch.tentative === true) {
      assert(this.opaque === undefined, "opaque state cannot be undone");
      this.#keepBoundary();
    }
    return drive(this.#steps(batch));
  }

  /** Batches up to `through` will not be undone: reads show them. */
  commit(through: Sequence): void {
    assert(through <= this.#ledger.sequence, "only what was executed is committed");
    this.#committed = Math.max(this.#committed, through);
    for (const sequence of this.#boundaries.keys()) {
      if (sequence < this.#committed) this.#boundaries.delete(sequence);
    }
  }

  /** Keeps the version after the last executed batch, for a checkpoint, until it is released. */
  freeze(sequence: Sequence): void {
    assert(sequence === this.#ledger.sequence, "a checkpoint is taken right after its batch");
    if (!this.#frozen.has(sequence)) this.#frozen.set(sequence, this.#map.freeze());
  }

  /** Whether the version after a batch is kept. */
  isFrozen(sequence: Sequence): boolean {
    return this.#frozen.has(sequence);
  }

  /** Hashes about `nodesMax` changed nodes of a frozen version; its root when all are done. */
  hashSlice(sequence: Sequence, nodesMax: number): Digest | undefined {
    const version = this.version(sequence);
    return version.hashSlice(this.#hasher, nodesMax) ? version.root(this.#hasher) : undefined;
  }

  /** The root of a frozen version, at once. */
  root(sequence: Sequence): Digest {
    return this.version(sequence).root(this.#hasher);
  }

  /** A frozen version: for snapshots, state transfer, and executors that continue from it. */
  version(sequence: Sequence): MapVersion {
    const version = this.#frozen.get(sequence);
    assert(version !== undefined, "a version is frozen before it is used, and not released");
    return version;
  }

  /** A frozen version whose root is known, if it is kept. */
  hashedVersion(sequence: Sequence): MapVersion | undefined {
    const version = this.#frozen.get(sequence);
    return version?.hashed === true ? version : undefined;
  }

  /** Frees frozen versions below a sequence, but for those that somebody may still read. */
  release(below: Sequence, except: ReadonlySet<Sequence> = new Set()): void {
    for (const [sequence, version] of this.#frozen) {
      if (sequence >= below || except.has(sequence as Sequence)) continue;
      version.release();
      this.#frozen.delete(sequence);
    }
  }

  /** Returns to the state after batch `to`: the last committed one, a tentative one above it, or a frozen one. */
  undo(to: Sequence): void {
    if (to === this.#ledger.sequence) return;
    const version = this.#boundaries.get(to) ?? this.#frozen.get(to);
    assert(version !== undefined, "only to a version that is kept can be returned");
    assert(this.opaque === undefined, "opaque state cannot be undone");
    this.#map.restoreTo(version);
    this.#sessions.reload();
    this.#ledger = readLedger(this.#map);
    this.#committed = Math.min(this.#committed, to);
    for (const versions of [this.#boundaries, this.#frozen]) {
      for (const sequence of versions.keys()) if (sequence > to) versions.delete(sequence);
    }
  }

  /** What the executor holds, to compare another state with; released by whoever asked for it. */
  snapshot(): MapVersion {
    return this.#map.freeze();
  }

  /** A version of a whole tree that came from elsewhere, for {@link install}. */
  versionOf(root: TreeNode): MapVersion {
    return this.#map.versionOf(root);
  }

  /**
   * Continues from another state instead of its own: all of it, the ledger and the sessions come from `version`, which is
   * kept as the frozen version of its sequence. No older version is left. Opaque state is yet to be restored.
   */
  install(version: MapVersion): void {
    assert(!this.#halted && !this.#underWay, "no state is installed in the middle of a batch");
    this.#map.restoreTo(version);
    this.#sessions.reload();
    this.#ledger = readLedger(this.#map);
    this.#committed = this.#ledger.sequence;
    for (const frozen of this.#frozen.values()) frozen.release();
    this.#frozen.clear();
    this.#boundaries.clear();
    this.#frozen.set(this.#ledger.sequence, version);
  }

  /** The whole session table, for the core of a replica that has installed a state. */
  sessions(): SessionSummary[] {
    return this.#sessions.summaries();
  }

  /** The marks of all replicas whose disks were wiped, likewise. */
  recoverMarks(): RecoverMark[] {
    return recoverMarks(this.#map);
  }

  /** The application's entries after the last committed batch; what comes later does not change it. */
  view(): ReadonlyStateView {
    return new ApplicationView(this.#committedVersion());
  }

  /** Asks the state machine, unless it is opaque, about the last committed version. Whatever it throws becomes a result. */
  query(question: Uint8Array): Answer {
    const version = this.lastCommitted;
    if (this.#query === undefined) return { version, ...refusal("NO_QUERIES") };
    try {
      return { version, ...resultOf(this.#query(this.view(), question)) };
    } catch (error) {
      return { version, ...failureOf(error) };
    }
  }

  /**
   * What the session table says of operations that were executed before, for a client that has lost its replies. Executes
   * nothing, changes nothing.
   */
  answers(client: ClientKey, id: SessionId, firstSequence: number, count: number): readonly ResultEntry[] {
    const session = this.#sessions.of(client, id);
    const entries: ResultEntry[] = [];
    for (let sequence = firstSequence; sequence < firstSequence + count; sequence++) {
      const standing = session?.standingOf(sequence);
      if (session === undefined) entries.push({ sequence, status: "sessionExpired", result: new Uint8Array(0) });
      else if (standing === "executed") entries.push(session.resultOf(sequence));
      else if (standing === "acknowledged" || standing === "outOfWindow") entries.push(entryOf(sequence, standing));
    }
    return entries;
  }

  /** The last executed batch and the root of the state after it, at once. */
  current(): { readonly sequence: Sequence; readonly digest: Digest } {
    const version = this.#map.freeze();
    const digest = version.root(this.#hasher);
    version.release();
    return { sequence: this.lastExecuted, digest };
  }

  *#steps(batch: Batch): Steps<ExecutedBatch> {
    const { sequence, digest } = batch;
    this.#ledger.sequence = sequence;
    this.#ledger.timeMs = Math.max(this.#ledger.timeMs, batch.timeMs);
    this.#underWay = true;
    const context: BatchContext = { sequence, digest, timestampMs: this.#ledger.timeMs };
    const record = new BatchRecord();
    let index = 0;
    try {
      for (const { payload } of batch.bundles) {
        // A copy of its own for each bundle: user code that looks at an operation's buffer sees the same on every replica.
        const decoded = decode(new Uint8Array(payload), readBundle);
        // Bundles are checked before they are voted for; should one pass that is none, it does nothing on all replicas alike.
        if (!decoded.ok) continue;
        const bundle = decoded.message;
        if (bundle.session === 0) this.#executeSystem(bundle, record);
        else yield* this.#executeBundle(bundle, index, context, record);
        index += bundle.operations.length;
      }
      this.#sessions.store();
      writeLedger(this.#map, this.#ledger);
      if (this.opaque?.isSealedAfter(sequence) === true) yield this.opaque.seal(sequence);
    } catch (error) {
      this.#halted = true;
      throw error;
    }
    this.#underWay = false;
    if (batch.tentative !== true) this.commit(sequence);
    return record.result(sequence);
  }

  *#executeBundle(bundle: Bundle, index: number, context: BatchContext, record: BatchRecord): Steps<void> {
    const session = this.#sessions.of(bundle.client, bundle.session);
    if (session === undefined) {
      record.sessionExpired(bundle, this.#isGone(bundle.session));
      return;
    }
    if (session.acknowledge(bundle.acknowledgedThrough)) this.#sessions.changed(session);
    const entries = record.begin(bundle, session.acknowledgedThrough);
    for (let i = 0; i < bundle.operations.length; i++) {
      const sequence = bundle.firstSequence + i;
      const standing = session.standingOf(sequence);
      if (standing === "new") {
        const operation = bundle.operations[i]!;
        const ran = this.#runner.run(operation, session.clientHex, index + i, context);
        const outcome = ran instanceof Promise ? ((yield ran) as OperationResult) : ran;
        session.record(sequence, outcome.status, outcome.result);
        this.#sessions.touch(session, context.sequence);
        record.executedNow(bundle, sequence, operation, outcome);
        entries.push({ sequence, status: outcome.status, result: outcome.result });
      } else if (standing === "executed") {
        record.executedBefore(bundle, sequence);
        entries.push(session.resultOf(sequence));
      } else {
        entries.push(entryOf(sequence, standing));
      }
    }
    session.closeRun();
  }

  #executeSystem(bundle: Bundle, record: BatchRecord): void {
    const operation = decodeSystemOperation(bundle.operations[0]!);
    let result = refusal("MALFORMED");
    if (operation?.kind === "open") {
      result = this.#open(bundle, operation.expiryMs, record);
    } else if (operation?.kind === "recover") {
      result = this.#recover(bundle, operation, record);
    }
    record.system(bundle, result);
  }

  #recover(
    bundle: Bundle,
    { replica, nonce, view }: Omit<RecoverMark, "sequence">,
    record: BatchRecord,
  ): OperationResult {
    if (this.#members[replica] !== bundle.client) return refusal("NOT_THAT_REPLICA");
    const sequence = this.#ledger.sequence as Sequence;
    record.recovered(markRecover(this.#map, { replica, nonce, view, sequence }));
    return { status: "ok", result: encodeNumberResult(sequence) };
  }

  #open(bundle: Bundle, expiryMs: number, record: BatchRecord): OperationResult {
    const opened = this.#sessions.open(bundle.client, bundle.firstSequence, expiryMs, this.#ledger);
    if (opened.refused !== undefined) return refusal(opened.refused);
    if (opened.opened) record.opened(opened.session, bundle.client, opened.evicted);
    return { status: "ok", result: encodeNumberResult(opened.session) };
  }

  /** Whether there is no session of this id and never will be again. */
  #isGone(id: SessionId): boolean {
    return id <= this.#ledger.sessionsOpened && !this.#sessions.has(id);
  }

  /** Keeps the version that the next batch, a tentative one, is undone to. */
  #keepBoundary(): void {
    const { sequence } = this.#ledger;
    if (!this.#boundaries.has(sequence)) this.#boundaries.set(sequence, this.#map.freeze());
  }

  #committedVersion(): MapVersion {
    if (this.#committed === this.#ledger.sequence) this.#keepBoundary();
    const version = this.#boundaries.get(this.#committed);
    assert(version !== undefined, "the committed version is kept while tentative batches lie above it");
    return version;
  }
}
