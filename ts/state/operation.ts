/** Runs the user's code on one operation and turns whatever it does into a result that all replicas have alike. */
import { Writer } from "../codec/bytes.ts";
import type { ResultStatus } from "../protocol/messages.ts";
import type { Digest } from "../protocol/types.ts";
import type { Hasher, OperationContext, StateMachine } from "./interfaces.ts";
import { refusalOf } from "./operation-error.ts";
import type { ReplicatedMap } from "./replicated-map.ts";
import { Transaction } from "./transaction.ts";

/** Longest result of an operation: with its entry's other fields it fits into one frame many times over. */
export const RESULT_BYTES_MAX = 256 * 1024;

/** Tag of the randomness that operations get: SHA-256(0x20 | batch digest | u32 index). */
const RANDOM_TAG = 0x20;
const RANDOM_PREIMAGE_BYTES = 37;
const DIGEST_BYTES = 32;
const EMPTY = new Uint8Array(0);
const FAILED: OperationResult = { status: "failed", result: EMPTY };
/** What the engine says where a limit of this machine was reached, and not of the operation. */
const MACHINE_LIMIT = /Maximum call stack|Array buffer allocation failed|out of memory/i;
const encoder = new TextEncoder();

export interface OperationResult {
  readonly status: ResultStatus;
  readonly result: Uint8Array;
}

/**
 * Thrown when user code reached a limit that other replicas may not have, or when opaque state was left as nobody else has it: this
 * replica stops rather than differs.
 */
export class HaltExecution extends Error {
  override readonly name = "HaltExecution";
  /** The batch that could not be executed. */
  readonly sequence: number;

  constructor(sequence: number, message: string, cause: unknown) {
    super(message, { cause });
    this.sequence = sequence;
  }
}

/** What the operations of a batch have in common. */
export interface BatchContext {
  readonly sequence: number;
  readonly digest: Digest;
  readonly timestampMs: number;
}

/** What an operation is told of itself. */
export class Context implements OperationContext {
  readonly sequence: number;
  readonly index: number;
  readonly client: string;
  readonly timestampMs: number;
  readonly #digest: Digest;
  readonly #hasher: Hasher;

  constructor(batch: BatchContext, index: number, client: string, hasher: Hasher) {
    this.sequence = batch.sequence;
    this.index = index;
    this.client = client;
    this.timestampMs = batch.timestampMs;
    this.#digest = batch.digest;
    this.#hasher = hasher;
  }

  get random(): Uint8Array {
    const writer = new Writer(RANDOM_PREIMAGE_BYTES);
    writer.u8(RANDOM_TAG);
    writer.digest(this.#digest);
    writer.u32(this.index);
    const random = new Uint8Array(DIGEST_BYTES);
    this.#hasher.hashMany(writer.buffer, Uint32Array.of(RANDOM_PREIMAGE_BYTES), 1, random);
    return random;
  }
}

export class OperationRunner {
  readonly #stateMachine: StateMachine;
  readonly #hasher: Hasher;
  readonly #transaction: Transaction;

  constructor(stateMachine: StateMachine, hasher: Hasher, map: ReplicatedMap) {
    this.#stateMachine = stateMachine;
    this.#hasher = hasher;
    this.#transaction = new Transaction(map);
  }

  /** @throws HaltExecution where the machine's limit was reached. */
  run(operation: Uint8Array, client: string, index: number, batch: BatchContext): OperationResult {
    const transaction = this.#transaction;
    const context = new Context(batch, index, client, this.#hasher);
    transaction.begin();
    try {
      const result: unknown = this.#stateMachine.execute(transaction, operation, context);
      const outcome = resultOf(result);
      if (outcome.status === "ok") transaction.commit();
      else transaction.rollback();
      return outcome;
    } catch (error) {
      if (isMachineLimit(error))
        throw new HaltExecution(
          batch.sequence,
          `executing batch ${batch.sequence} reached a limit of this machine`,
          error,
        );
      transaction.rollback();
      return failureOf(error);
    }
  }
}

/** What user code returned, as the result of its operation or query: failed unless it is bytes, and not too many. */
export function resultOf(returned: unknown): OperationResult {
  if (!(returned instanceof Uint8Array) || returned.length > RESULT_BYTES_MAX) return FAILED;
  // A copy, since the state machine may use the same memory for its next result.
  return { status: "ok", result: new Uint8Array(returned) };
}

/** The result of an operation, or of a query, that threw. */
export function failureOf(error: unknown): OperationResult {
  const code = safely(() => refusalOf(error));
  return code === undefined ? FAILED : refusal(code);
}

export function refusal(code: string): OperationResult {
  return { status: "refused", result: encoder.encode(code) };
}

function isMachineLimit(error: unknown): boolean {
  return safely(() => error instanceof RangeError && MACHINE_LIMIT.test(error.message)) ?? false;
}

/** Looks at what user code has thrown: it may be anything, also an object whose inspection throws. */
export function safely<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
