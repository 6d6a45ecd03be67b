/** What executing a batch comes to: replies, commit events, and what the core has to know of sessions. */
import type { Bundle } from "../codec/client.ts";
import type { RecoverMark, SessionChanges } from "../protocol/core.ts";
import type { ResultEntry, ResultStatus } from "../protocol/messages.ts";
import type { ClientKey, Sequence, SessionId } from "../protocol/types.ts";
import type { OperationResult } from "./operation.ts";
import type { Standing } from "./session.ts";

/** The results of one bundle, in its order. */
export interface BundleReply {
  readonly client: ClientKey;
  readonly session: SessionId;
  readonly entries: readonly ResultEntry[];
}

/** An application operation that a batch executed: what commit events show. */
export interface ExecutedOperation {
  readonly client: ClientKey;
  readonly session: SessionId;
  /** Client sequence. */
  readonly sequence: number;
  readonly operation: Uint8Array;
  readonly status: ResultStatus;
  readonly result: Uint8Array;
}

export interface ExecutedBatch {
  readonly sequence: Sequence;
  /** One per bundle. */
  readonly replies: readonly BundleReply[];
  readonly sessions: SessionChanges;
  /** Operations that took place now; not those answered from the table. */
  readonly operations: readonly ExecutedOperation[];
}

const EMPTY = new Uint8Array(0);

export class BatchRecord {
  readonly #replies: BundleReply[] = [];
  readonly #operations: ExecutedOperation[] = [];
  readonly #opened: { session: SessionId; client: ClientKey }[] = [];
  readonly #executed: { session: SessionId; first: number; last: number }[] = [];
  readonly #acknowledged = new Map<SessionId, number>();
  readonly #expired = new Set<SessionId>();
  readonly #marks: RecoverMark[] = [];

  /** Begins the answer to a bundle; its entries are added by the methods below. */
  begin(bundle: Bundle, acknowledgedThrough: number): ResultEntry[] {
    if (acknowledgedThrough > 0) this.#acknowledged.set(bundle.session, acknowledgedThrough);
    const entries: ResultEntry[] = [];
    this.#replies.push({ client: bundle.client, session: bundle.session, entries });
    return entries;
  }

  executedNow(bundle: Bundle, sequence: number, operation: Uint8Array, { status, result }: OperationResult): void {
    this.#operations.push({ client: bundle.client, session: bundle.session, sequence, operation, status, result });
    this.#extend(bundle.session, sequence);
  }

  executedBefore(bundle: Bundle, sequence: number): void {
    this.#extend(bundle.session, sequence);
  }

  /** A bundle of a session that is not there, or is not its client's. */
  sessionExpired(bundle: Bundle, gone: boolean): void {
    // What others forge in a session's name must not end it.
    if (gone) this.#expired.add(bundle.session);
    const entries = bundle.operations.map((_, i): ResultEntry => ({
      sequence: bundle.firstSequence + i,
      status: "sessionExpired",
      result: EMPTY,
    }));
    this.#replies.push({ client: bundle.client, session: bundle.session, entries });
  }

  /** The answer to an operation outside of any session. */
  system(bundle: Bundle, { status, result }: OperationResult): void {
    const entries: ResultEntry[] = [{ sequence: bundle.firstSequence, status, result }];
    this.#replies.push({ client: bundle.client, session: bundle.session, entries });
  }

  opened(session: SessionId, client: ClientKey, evicted: readonly SessionId[]): void {
    this.#opened.push({ session, client });
    for (const id of evicted) this.#expired.add(id);
  }

  /** A RECOVER was executed; the mark of its replica after that. */
  recovered(mark: RecoverMark): void {
    this.#marks.push(mark);
  }

  result(sequence: Sequence): ExecutedBatch {
    const acknowledged: { session: SessionId; through: number }[] = [];
    for (const [session, through] of this.#acknowledged) acknowledged.push({ session, through });
    const expired = [...this.#expired];
    const recovered = this.#marks.map((mark) => ({ mark, sequence }));
    const sessions = { opened: this.#opened, executed: this.#executed, acknowledged, expired, recovered };
    return { sequence, replies: this.#replies, sessions, operations: this.#operations };
  }

  #extend(session: SessionId, sequence: number): void {
    const range = this.#executed.at(-1);
    if (range?.session === session && range.last === sequence - 1) range.last = sequence;
    else this.#executed.push({ session, first: sequence, last: sequence });
  }
}

/** The entry of an operation that does not execute and whose result is not there. */
export function entryOf(sequence: number, standing: Exclude<Standing, "new" | "executed">): ResultEntry {
  return { sequence, status: standing === "acknowledged" ? "forgotten" : "outOfWindow", result: EMPTY };
}
