/**
 * The adapter of state that cannot live in the map. What replicas agree on, transfer, write down and restart from stays in the
 * map: after the last batch of every checkpoint interval the machine's digest and its snapshot are entries there, so that
 * checkpoint roots, state transfer and disk snapshots are those of any other state.
 *
 *     0x07           what `digest` returned, 32 bytes
 *     0x08 | index   the chunks of `snapshot`, from 0 on
 *
 * The rule when they are written looks at the batch's sequence alone: whoever executes a batch, for the first time or again,
 * leaves the same entries. A chunk that has not changed is not written, so that its hash and its memory stay.
 */
import { compareBytes } from "./cursor.ts";
import { VALUE_BYTES_MAX } from "./interfaces.ts";
import type { Hasher, OpaqueStateMachine, StateMachine } from "./interfaces.ts";
import { keyOf, OPAQUE_CHUNK_PREFIX, OPAQUE_DIGEST_PREFIX } from "./layout.ts";
import { refusalOf } from "./operation-error.ts";
import { Context, failureOf, HaltExecution, refusal, resultOf, safely } from "./operation.ts";
import type { BatchContext, OperationResult } from "./operation.ts";
import type { MapVersion, ReplicatedMap } from "./replicated-map.ts";

/** A snapshot that does not end stops the replica by name before it fills the memory with chunks of one byte. */
export const CHUNKS_MAX = 1024 * 1024;

const DIGEST_KEY = keyOf(OPAQUE_DIGEST_PREFIX);
const CHUNKS = Uint8Array.of(OPAQUE_CHUNK_PREFIX);
const DIGEST_BYTES = 32;
const METHODS = ["execute", "digest", "snapshot", "restore", "lastApplied"] as const;

/** Whether a state machine says of itself that its state is not in the map. */
export function isOpaque(machine: StateMachine | OpaqueStateMachine): machine is OpaqueStateMachine {
  return (machine as Partial<OpaqueStateMachine>).opaque === true;
}

/** What keeps a value from being a state machine: the name of a method that it lacks. */
export function missingMethod(machine: unknown): string | undefined {
  const methods = machine as Partial<Record<string, unknown>> | null | undefined;
  if (typeof methods?.["execute"] !== "function") return "execute";
  return methods["opaque"] === true ? METHODS.find((name) => typeof methods[name] !== "function") : undefined;
}

export class OpaqueState {
  readonly #machine: OpaqueStateMachine;
  readonly #map: ReplicatedMap;
  readonly #hasher: Hasher;
  readonly #interval: number;

  /** @param interval Sequences from one checkpoint to the next. */
  constructor(machine: OpaqueStateMachine, map: ReplicatedMap, hasher: Hasher, interval: number) {
    this.#machine = machine;
    this.#map = map;
    this.#hasher = hasher;
    this.#interval = interval;
  }

  /**
   * Runs one operation. Nobody can undo what it has written, so whatever is thrown or rejected and is no refusal ends this replica.
   * @throws HaltExecution at once or by rejection.
   */
  run(
    operation: Uint8Array,
    client: string,
    index: number,
    batch: BatchContext,
  ): OperationResult | Promise<OperationResult> {
    const context = new Context(batch, index, client, this.#hasher);
    try {
      const returned: unknown = this.#machine.execute(operation, context);
      return isThenable(returned) ? this.#settled(returned, batch.sequence) : resultOf(returned);
    } catch (error) {
      return refusedOrHalted(error, batch.sequence);
    }
  }

  /** Asks the machine as it is now. Whatever goes wrong becomes a result. */
  async query(question: Uint8Array): Promise<OperationResult> {
    if (this.#machine.query === undefined) return refusal("NO_QUERIES");
    try {
      return resultOf(await this.#machine.query(question));
    } catch (error) {
      return failureOf(error);
    }
  }

  /** Whether the state after a batch is written into the map. */
  isSealedAfter(sequence: number): boolean {
    return sequence % this.#interval === 0;
  }

  /** Writes digest and chunks into the map. @throws HaltExecution where the machine fails or breaks its bounds. */
  async seal(sequence: number): Promise<void> {
    const digest = await this.#digest(sequence);
    await orHalted(sequence, "its snapshot could not be taken", async () => this.#writeChunks());
    this.#map.set(DIGEST_KEY, digest);
  }

  /** @throws Error where `lastApplied` returns no sequence. */
  async lastApplied(): Promise<number> {
    const sequence: unknown = await this.#machine.lastApplied();
    if (typeof sequence === "number" && Number.isSafeInteger(sequence) && sequence >= 0) return sequence;
    throw new Error(`lastApplied of an opaque state machine is a sequence, not ${String(sequence)}`);
  }

  /**
   * Brings the machine of a process that starts to the state in the map, which is that after batch `sequence`. It stays as it is
   * where it has no later batch and the digest of the state. What it has of later batches must go: they are executed again.
   * @throws HaltExecution
   */
  async begin(sequence: number, lastApplied: number): Promise<void> {
    if (sequence === 0 && lastApplied === 0) return;
    const there = sequence > 0 && lastApplied <= sequence && this.#holds(await this.#digest(sequence));
    if (!there) await this.restore(sequence);
  }

  /**
   * Replaces the machine's state by that in the map, which is that after batch `sequence`.
   * @throws HaltExecution where it fails, or has another digest afterwards.
   */
  async restore(sequence: number): Promise<void> {
    const version = this.#map.freeze();
    await orHalted(sequence, "it could not be restored", async () =>
      this.#machine.restore(chunksOf(version), sequence),
    );
    version.release();
    if (sequence > 0 && !this.#holds(await this.#digest(sequence)))
      throw halted(sequence, "restored from its snapshot it has another digest");
  }

  async #settled(returned: PromiseLike<unknown>, sequence: number): Promise<OperationResult> {
    try {
      return resultOf(await returned);
    } catch (error) {
      return refusedOrHalted(error, sequence);
    }
  }

  async #digest(sequence: number): Promise<Uint8Array> {
    const digest: unknown = await orHalted(sequence, "its digest could not be taken", async () =>
      this.#machine.digest(),
    );
    if (digest instanceof Uint8Array && digest.length === DIGEST_BYTES) return new Uint8Array(digest);
    throw halted(sequence, `its digest has ${DIGEST_BYTES} bytes`);
  }

  /** Whether the map has this digest. */
  #holds(digest: Uint8Array): boolean {
    return isEqual(this.#map.get(DIGEST_KEY), digest);
  }

  async #writeChunks(): Promise<void> {
    let count = 0;
    for await (const chunk of this.#machine.snapshot() as AsyncIterable<unknown>) {
      if (!(chunk instanceof Uint8Array) || chunk.length === 0 || chunk.length > VALUE_BYTES_MAX)
        throw new RangeError(`a chunk has 1 to ${VALUE_BYTES_MAX} bytes`);
      if (count === CHUNKS_MAX) throw new RangeError(`a snapshot has at most ${CHUNKS_MAX} chunks`);
      const key = keyOf(OPAQUE_CHUNK_PREFIX, count++);
      // A copy, since the machine may use the same memory for its next chunk.
      if (!isEqual(this.#map.get(key), chunk)) this.#map.set(key, new Uint8Array(chunk));
    }
    for (let held = this.#map.count(CHUNKS); held > count;) this.#map.delete(keyOf(OPAQUE_CHUNK_PREFIX, --held));
  }
}

/** Copies, so that a machine which changes or keeps what it is given touches nobody's state but its own. */
async function* chunksOf(version: MapVersion): AsyncGenerator<Uint8Array> {
  for (const [, chunk] of version.range({ prefix: CHUNKS })) yield new Uint8Array(chunk);
}

function refusedOrHalted(error: unknown, sequence: number): OperationResult {
  const code = safely(() => refusalOf(error));
  if (code !== undefined) return refusal(code);
  throw halted(sequence, "an operation failed, and its writes cannot be undone", error);
}

async function orHalted<T>(sequence: number, what: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw halted(sequence, what, error);
  }
}

function halted(sequence: number, what: string, cause?: unknown): HaltExecution {
  const why = safely(() => (cause instanceof Error ? `${cause.name}: ${cause.message}` : undefined));
  const text = `the opaque state machine at batch ${sequence}: ${what}${why === undefined ? "" : `: ${why}`}`;
  return new HaltExecution(sequence, text, cause);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as Partial<PromiseLike<unknown>>).then === "function"
  );
}

function isEqual(known: Uint8Array | undefined, bytes: Uint8Array): boolean {
  return known?.length === bytes.length && compareBytes(known, bytes) === 0;
}
