/**
 * When the state itself is fetched: this replica holds the certificate of a checkpoint whose state it has not, or f+1 CHECKPOINTs of
 * others, and replay of decided batches does not bring it there; or its own state was found false. How the state is fetched is
 * execution's matter.
 *
 * Until it has the state the replica moves its window, votes and changes views like any other, but it executes, replies and signs
 * no checkpoint, and as primary it proposes nothing of its own.
 */
import type { CheckpointManager } from "./checkpoint-manager.ts";
import type { Context } from "./context.ts";
import type { InstallReason, SessionSummary } from "./core.ts";
import type { Execution } from "./execution.ts";
import type { RequestPool } from "./request-pool.ts";
import { sizeOf, type Digest, type Instant, type ReplicaSet, type Run, type Sequence, type View } from "./types.ts";

/** Replay that brings nothing for so long is given up: STATUS was sent and answered several times by then. */
const REPLAY_PATIENCE_MS = 500;
/** After a transfer that failed. */
const RETRY_MS = 200;

export class StateTransfer {
  readonly #context: Context;
  readonly #execution: Execution;
  readonly #checkpoints: CheckpointManager;
  readonly #pool: RequestPool;

  constructor(context: Context, rooms: { execution: Execution; checkpoints: CheckpointManager; pool: RequestPool }) {
    this.#context = context;
    this.#execution = rooms.execution;
    this.#checkpoints = rooms.checkpoints;
    this.#pool = rooms.pool;
  }

  /** Our own state is false: nothing that is built on it may be executed, answered or signed. */
  onDiverged(sequence: Sequence): void {
    const { state } = this.#context;
    state.divergedAt = sequence;
    this.#install();
  }

  onInstalled(run: Run, sequence: Sequence, sessions: readonly SessionSummary[]): void {
    const { state } = this.#context;
    if (run !== state.run || state.installing?.sequence !== sequence) return this.#context.ignore("staleRun");
    const { digest } = state.installing;
    state.installing = undefined;
    state.installAt = undefined;
    if (state.divergedAt !== undefined && state.divergedAt <= sequence) state.divergedAt = undefined;
    state.lastExecuted = sequence;
    state.executing = sequence;
    if (state.lastSeen < sequence) state.lastSeen = sequence;
    state.unsaved = sequence;
    state.heldRoots.clear();
    for (const executed of state.sinceCheckpoint.keys())
      if (executed <= sequence) state.sinceCheckpoint.delete(executed);
    for (const claimed of state.decidedClaims.keys()) if (claimed <= sequence) state.decidedClaims.delete(claimed);
    this.#pool.onInstalled(sessions);
    this.#pool.followCommitted();
    this.#checkpoints.onInstalled(sequence, digest);
    this.#context.progress();
    this.#execution.advance();
  }

  onInstallFailed(run: Run, reason: InstallReason): void {
    const { state, now } = this.#context;
    if (run !== state.run || state.installing === undefined) return this.#context.ignore("staleRun");
    if (reason === "diskFailed") return this.#context.halt({ code: "DISK_FAILED", reason: "fsyncFailed" });
    state.installing = undefined;
    state.installAt = (now + RETRY_MS) as Instant;
  }

  onTick(): void {
    const { state, now } = this.#context;
    if (state.installAt !== undefined && state.installAt <= now && state.installing === undefined) this.#install();
  }

  /** After each step. Every batch that is executed grants replay more time. */
  settle(executedBefore: Sequence): void {
    const { state, now } = this.#context;
    if (state.installing !== undefined) {
      if (state.divergedAt === undefined && this.#isReplayed(state.installing.sequence)) this.#replayInstead();
      return;
    }
    if (this.#target() === undefined) state.installAt = undefined;
    else if (
      state.installAt === undefined ||
      state.lastExecuted > executedBefore ||
      state.executing > state.lastExecuted
    )
      state.installAt = (now + REPLAY_PATIENCE_MS) as Instant;
  }

  deadline(): Instant | undefined {
    return this.#context.state.installing === undefined ? this.#context.state.installAt : undefined;
  }

  /** Whether every batch up to the checkpoint that is being fetched has come after all, with its bodies. */
  #isReplayed(through: Sequence): boolean {
    const { slots, lastExecuted } = this.#context.state;
    for (let sequence = lastExecuted + 1; sequence <= through; sequence++) {
      if (slots.get(sequence as Sequence)?.decision?.missing.size !== 0) return false;
    }
    return true;
  }

  /** Executes instead: batches of a later run end the transfer. */
  #replayInstead(): void {
    const { state } = this.#context;
    state.run = (state.run + 1) as Run;
    state.installing = undefined;
    state.installAt = (this.#context.now + REPLAY_PATIENCE_MS) as Instant;
    state.executing = state.lastExecuted;
    this.#execution.advance();
  }

  /** The newest state that is known to be right and that we have not, or whose place a false one of ours has taken. */
  #target(): { sequence: Sequence; digest: Digest; signers: ReplicaSet } | undefined {
    const { low, lastExecuted, divergedAt, vouched, stableDigest, stableSigners } = this.#context.state;
    if (vouched !== undefined && vouched.sequence > Math.max(low, lastExecuted)) return vouched;
    if (lastExecuted >= low && divergedAt === undefined) return undefined;
    if (sizeOf(stableSigners) === 0) return undefined;
    return { sequence: low, digest: stableDigest, signers: stableSigners };
  }

  #install(): void {
    const { state } = this.#context;
    const target = this.#target();
    if (target === undefined) return;
    const { sequence, digest, signers } = target;
    state.run = (state.run + 1) as Run;
    state.installing = { sequence, digest, run: state.run };
    const certificate = { phase: "checkpoint", view: 0 as View, sequence, digest, signers } as const;
    this.#context.emit({ kind: "install", run: state.run, certificate });
  }
}
