/**
 * A replica's core: PBFT (Castro and Liskov, OSDI'99 §4, with signatures) as a deterministic state machine without input or
 * output. This file composes the rooms and takes each input to the one that knows it.
 *
 * Deviations from the paper:
 * - Q = ⌈(n+f+1)/2⌉ instead of 2f+1, so any n ≥ 3f+1 works (`quorum.ts`).
 * - Requests are bundles of one client session under one signature; batches name bundles by digest, bodies travel by
 *   themselves, and PREPARE leaves only when every named body is held (`consensus-protocol.ts`).
 * - COMMIT is authenticated by the channel of its sender; PREPARE is signed, as its certificate must convince others.
 * - Votes rest on leases made durable ahead of need, COMMIT on its certificate (`vote-leases.ts`); every output names its record.
 * - Losses are repaired by STATUS, and by DECIDED from f+1 replicas, instead of retransmission timers (`status-exchange.ts`).
 * - A checkpoint that Q others signed moves our window although we have not executed so far; we execute only what we hold.
 * - VIEW-CHANGEs are named by digest in NEW-VIEW, and O carries batch digests; whatever of them is not here is fetched
 *   (`view-manager.ts`, `new-view.ts`).
 * - The primary is also judged by its delay, and nobody leaves a view alone: f+1 want to, or it stays (`primary-monitor.ts`).
 */
import { CheckpointManager } from "./checkpoint-manager.ts";
import { ConsensusProtocol } from "./consensus-protocol.ts";
import { Context } from "./context.ts";
import type { Action, Core, DurableState, Input } from "./core.ts";
import { earlyHigh } from "./early-proposals.ts";
import { Execution } from "./execution.ts";
import type { BundleRef, Control } from "./messages.ts";
import { PrimaryMonitor } from "./primary-monitor.ts";
import type { ReplicaOptions } from "./options.ts";
import { propose } from "./proposing.ts";
import { RequestPool } from "./request-pool.ts";
import type { ReplicaState } from "./state.ts";
import { StateTransfer } from "./state-transfer.ts";
import { StatusExchange } from "./status-exchange.ts";
import { isAmnesiac, Readmission } from "./readmission.ts";
import { Recovery } from "./recovery.ts";
import { Shutdown } from "./shutdown.ts";
import type { AgreedTime, Instant, Lsn, ReplicaId } from "./types.ts";
import { ViewManager } from "./view-manager.ts";
import { extendLease } from "./vote-leases.ts";

/** The clock of the core is set by ticks; one this often bounds its drift against the machine's clock. */
const TICK_INTERVAL_MS = 1_000;

export class Replica implements Core {
  readonly #context: Context;
  readonly #pool: RequestPool;
  readonly #views: ViewManager;
  readonly #consensus: ConsensusProtocol;
  readonly #execution: Execution;
  readonly #checkpoints: CheckpointManager;
  readonly #status: StatusExchange;
  readonly #monitor: PrimaryMonitor;
  readonly #transfer: StateTransfer;
  readonly #recovery: Recovery;
  readonly #readmission: Readmission;
  readonly #shutdown: Shutdown;

  constructor(options: ReplicaOptions) {
    const context = new Context(options);
    this.#context = context;
    this.#pool = new RequestPool(context);
    this.#execution = new Execution(context, this.#pool);
    this.#consensus = new ConsensusProtocol(context, {
      pool: this.#pool,
      onDecided: () => this.#execution.advance(),
      onMissing: (bundles) => this.#status.onMissing(bundles),
      onUnknown: (batch) => this.#status.onUnknown(batch),
    });
    this.#checkpoints = new CheckpointManager(context, {
      pool: this.#pool,
      onStable: () => this.#onStable(),
      onDiverged: (sequence) => this.#transfer.onDiverged(sequence),
    });
    this.#views = new ViewManager(context, {
      consensus: this.#consensus,
      checkpoints: this.#checkpoints,
      pool: this.#pool,
      onWindow: () => this.#window(),
    });
    this.#status = new StatusExchange(context, {
      consensus: this.#consensus,
      checkpoints: this.#checkpoints,
      views: this.#views,
    });
    this.#monitor = new PrimaryMonitor(context, { views: this.#views, pool: this.#pool });
    this.#transfer = new StateTransfer(context, {
      execution: this.#execution,
      checkpoints: this.#checkpoints,
      pool: this.#pool,
    });
    this.#recovery = new Recovery(context, {
      checkpoints: this.#checkpoints,
      consensus: this.#consensus,
      execution: this.#execution,
      pool: this.#pool,
      views: this.#views,
      onWindow: () => this.#window(),
    });
    this.#readmission = new Readmission(context, {
      consensus: this.#consensus,
      pool: this.#pool,
      onMark: (replica) => this.#views.onRecover(replica),
    });
    this.#shutdown = new Shutdown(context, this.#views);
  }

  step(input: Input, now: Instant): readonly Action[] {
    const { state } = this.#context;
    this.#context.now = now;
    if (state.status === "halted" || state.status === "stopped") this.#context.ignore("halted");
    else {
      const executedBefore = state.lastExecuted;
      this.#take(input);
      this.#readmission.settle();
      this.#consensus.takeUpEarly();
      propose(this.#context, this.#pool);
      this.#status.settle();
      this.#monitor.settle();
      this.#transfer.settle(executedBefore);
      this.#shutdown.settle();
    }
    return this.#context.takeActions();
  }

  deadline(): Instant | undefined {
    const { state } = this.#context;
    if (state.status !== "running") return undefined;
    let at = (state.wallClockAt + TICK_INTERVAL_MS) as Instant;
    for (const room of [
      this.#status,
      this.#pool,
      this.#views,
      this.#monitor,
      this.#transfer,
      this.#readmission,
      this.#shutdown,
    ]) {
      const other = room.deadline();
      if (other !== undefined && other < at) at = other;
    }
    return at;
  }

  room(): { readonly bundles: number; readonly bytes: number } {
    return this.#pool.room();
  }

  view(): { readonly view: ReplicaState["view"]; readonly primary: ReplicaId } {
    return { view: this.#context.state.view, primary: this.#context.primary() };
  }

  /** Sequences between the two watermarks. */
  get windowSize(): number {
    return this.#context.options.window;
  }

  /** The core's memory, to look at; nobody else may change it. */
  inspect(): Readonly<ReplicaState> {
    return this.#context.state;
  }

  /** A copy of the core's memory for {@link restore}, as plain structured-clonable data. */
  save(): ReplicaState {
    return structuredClone(this.#context.state);
  }

  /** Goes on from what {@link save} returned, of a core with the same options. */
  restore(saved: ReplicaState): void {
    this.#context.state = structuredClone(saved);
  }

  #take(input: Input): void {
    switch (input.kind) {
      case "recovered":
        return this.#onRecovered(input.state, input.wallClock);
      case "persisted":
        return this.#onPersisted(input.upTo);
      case "diskFailed":
        return this.#context.halt({ code: "DISK_FAILED", reason: input.reason });
      case "executed":
        if (input.run === this.#context.state.run) this.#readmission.onExecuted(input.sessions.recovered);
        return this.#execution.onExecuted(input.run, input.through, input.sessions);
      case "executionFailed":
        return this.#context.halt({ code: "EXECUTION_FAILED", sequence: input.sequence, message: input.reason });
      case "checkpointed":
        return this.#checkpoints.onCheckpointed(input.run, input.sequence, input.digest);
      case "control":
        return this.#onControl(input.from, input.message);
      case "votes":
        return this.#consensus.onVotes(input.phase, input.view, input.sequence, input.digest, input.signers);
      case "conflict":
        return this.#context.emit({ kind: "accuse", by: input.by, evidence: input.evidence });
      case "sealed":
        return this.#views.onSealed(input.target, input.digest);
      case "roundTrips":
        return this.#monitor.onRoundTrips(input.milliseconds);
      case "installed":
        if (input.run === this.#context.state.run) this.#readmission.onInstalled(input.marks);
        return this.#transfer.onInstalled(input.run, input.sequence, input.sessions);
      case "installFailed":
        return this.#transfer.onInstallFailed(input.run, input.reason);
      case "snapshotted":
        return this.#checkpoints.onSnapshotted(input.sequence);
      case "stop":
        return this.#shutdown.onStop();
      case "assembled":
        return this.#consensus.onAssembled(input.view, input.sequence, input.digest);
      case "body":
        return this.#status.onUnavailable(input.digest);
      case "request":
        return this.#onRequest(input.bundle, input.from, input.again);
      case "link":
        return this.#status.onLink(input.peer, input.up);
      case "tick":
        return this.#onTick(input.wallClock);
      case "undone":
        return this.#context.ignore("notYetBuilt");
    }
  }

  #onControl(from: ReplicaId, message: Control): void {
    switch (message.type) {
      case "prePrepare":
        return this.#consensus.onPrePrepare(from, message);
      case "checkpoint":
        return this.#checkpoints.onCheckpoint(from, message);
      case "status":
        this.#status.onStatus(from, message);
        return this.#monitor.onFence(from, message);
      case "decided":
        return this.#status.onDecided(from, message);
      case "viewChange":
        this.#views.onViewChange(from, message);
        return this.#monitor.judge();
      case "newView":
        return this.#views.onNewView(from, message);
      case "complaint":
        return this.#monitor.onComplaint(from, message.view);
      case "fetchedBatch":
        return this.#consensus.onBatch(message);
    }
  }

  #onRecovered(durable: DurableState, wallClock: AgreedTime): void {
    const { state, now } = this.#context;
    state.wallClock = wallClock;
    state.wallClockAt = now;
    state.status = "running";
    if (isAmnesiac(durable)) this.#readmission.begin(wallClock);
    if (durable.type === "restart") {
      this.#readmission.onInstalled(durable.snapshot.marks);
      return this.#recovery.restart(durable);
    }
    extendLease(this.#context);
    this.#window();
  }

  #onPersisted(upTo: Lsn): void {
    const { state } = this.#context;
    if (upTo <= state.persistedUpTo) return;
    state.persistedUpTo = upTo;
    state.suspicion.writingSince = undefined;
  }

  #onRequest(bundle: BundleRef, from: ReplicaId | undefined, again: boolean): void {
    // A body that was released since is not held, whatever the port said before it heard of that; the client will repeat it.
    if (again && !this.#context.state.bundles.has(bundle.digest)) return this.#context.ignore("duplicateRequest");
    if (!this.#pool.onRequest(bundle, from)) return;
    this.#context.state.fetches.delete(bundle.digest);
    this.#consensus.onHeld(bundle.digest);
  }

  #onTick(wallClock: AgreedTime): void {
    const { state, now } = this.#context;
    this.#monitor.forgive(now - state.wallClockAt - TICK_INTERVAL_MS);
    state.wallClock = wallClock;
    state.wallClockAt = now;
    this.#consensus.onTick();
    this.#pool.onTick();
    this.#status.onTick();
    this.#transfer.onTick();
    this.#readmission.onTick();
    this.#views.onTick();
    this.#monitor.onTick();
  }

  #onStable(): void {
    this.#execution.trimHistory();
    this.#monitor.onStable();
    this.#window();
    this.#consensus.onWindowMoved();
  }

  #window(): void {
    const { state } = this.#context;
    const { view, low, pending } = state;
    this.#context.emit({
      kind: "window",
      low,
      high: earlyHigh(this.#context),
      view,
      pending,
    });
  }
}
