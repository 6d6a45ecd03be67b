/**
 * Runs the state machine, wherever it lives: in the ordering thread, in a worker, or on the user's thread. Commands come in
 * the order in which the core gave them; each is answered by outcomes in the same order.
 */
import { hexOf } from "../codec/digest.ts";
import type { SessionChanges } from "../protocol/core.ts";
import type { ResultEntry } from "../protocol/messages.ts";
import type { ClientKey, Digest, Run, Sequence, SessionId, View } from "../protocol/types.ts";
import type { BundleReply, ExecutedOperation } from "../state/batch-record.ts";
import type { Batch, Executor } from "../state/executor.ts";

export type ExecutionCommand =
  | { readonly kind: "batch"; readonly run: Run; readonly batch: Batch; readonly wantOperations: boolean }
  | { readonly kind: "checkpoint"; readonly run: Run; readonly sequence: Sequence }
  | { readonly kind: "stable"; readonly sequence: Sequence }
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

export type ExecutionOutcome =
  | {
      readonly kind: "executed";
      readonly run: Run;
      readonly sequence: Sequence;
      readonly replies: readonly BundleReply[];
      readonly sessions: SessionChanges;
      readonly operations: readonly ExecutedOperation[];
    }
  | { readonly kind: "checkpointed"; readonly run: Run; readonly sequence: Sequence; readonly digest: Digest }
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

/** Tree nodes hashed between two turns: about a tenth of a millisecond. */
const HASHES_PER_SLICE = 256;

export class ExecutionHost {
  readonly #executor: Executor;
  /** Checkpoints whose root is being computed, oldest first. */
  readonly #hashing: { readonly run: Run; readonly sequence: Sequence }[] = [];
  #failed = false;

  constructor(executor: Executor) {
    this.#executor = executor;
  }

  /** Whether {@link work} has something left to do. */
  get busy(): boolean {
    return this.#hashing.length > 0;
  }

  take(command: ExecutionCommand, outcomes: ExecutionOutcome[]): void {
    if (this.#failed) return;
    switch (command.kind) {
      case "batch":
        return this.#execute(command, outcomes);
      case "checkpoint":
        this.#executor.freeze(command.sequence);
        this.#hashing.push({ run: command.run, sequence: command.sequence });
        return;
      case "stable":
        return this.#executor.release(command.sequence);
      case "answer": {
        const { client, session, firstSequence, count, view } = command;
        const entries = this.#executor.answers(client, session, firstSequence, count);
        outcomes.push({ kind: "answered", client, session, view, lastExecuted: this.#executor.lastExecuted, entries });
        return;
      }
      case "inspect":
        outcomes.push({ kind: "inspected", id: command.id, inspection: this.#inspect(command.question) });
    }
  }

  /** One slice of what is not urgent: the root of the oldest frozen version. */
  work(outcomes: ExecutionOutcome[]): void {
    const checkpoint = this.#hashing[0];
    if (checkpoint === undefined) return;
    const digest = this.#executor.hashSlice(checkpoint.sequence, HASHES_PER_SLICE);
    if (digest === undefined) return;
    this.#hashing.shift();
    outcomes.push({ kind: "checkpointed", ...checkpoint, digest });
  }

  #inspect(question: Uint8Array | undefined): StateInspection {
    const { sequence, digest } = this.#executor.current();
    return { sequence, digest: hexOf(digest), answer: question === undefined ? undefined : this.#query(question) };
  }

  #query(question: Uint8Array): StateInspection["answer"] {
    const { status, result } = this.#executor.query(question);
    if (status === "ok") return { ok: true, value: result };
    return { ok: false, message: status === "refused" ? Buffer.from(result).toString("utf8") : "the query failed" };
  }

  #execute(command: Extract<ExecutionCommand, { kind: "batch" }>, outcomes: ExecutionOutcome[]): void {
    const { run, batch, wantOperations } = command;
    const { sequence } = batch;
    try {
      const { replies, sessions, operations } = this.#executor.execute(batch);
      outcomes.push({
        kind: "executed",
        run,
        sequence,
        replies,
        sessions,
        operations: wantOperations ? operations : [],
      });
    } catch (error) {
      // A full stack or memory ends at other places on other machines: this replica stops, the others go on.
      this.#failed = true;
      const reason = error instanceof Error ? error.message : String(error);
      outcomes.push({ kind: "failed", run, sequence, reason });
    }
  }
}
