/**
 * What users implement and what they get: the state machine and its view of the replicated state.
 *
 * All replicated state is one ordered map from byte strings to byte strings with a Merkle root that depends on the contents
 * alone (`ReplicatedMap`). Application entries, client sessions and configuration live in it under separate prefixes; a
 * state machine sees its own entries only.
 */

/** Longest key of an application entry, in bytes: bounds the depth of the tree. */
export const KEY_BYTES_MAX = 1024;
/** Longest value of one entry, in bytes. */
export const VALUE_BYTES_MAX = 1024 * 1024;

/** Keys to walk, in ascending order of their bytes unless `reverse`. */
export interface Range {
  /** First key that belongs to the range. */
  readonly gte?: Uint8Array;
  /** First key that no longer does. */
  readonly lt?: Uint8Array;
  /** Only keys that start so; combines with the bounds. */
  readonly prefix?: Uint8Array;
  readonly reverse?: boolean;
  /** Most entries to yield. */
  readonly limit?: number;
}

export interface ReadonlyStateView {
  /** The value under a key, or `undefined`. The bytes must not be changed. */
  get(key: Uint8Array): Uint8Array | undefined;
  has(key: Uint8Array): boolean;
  /** Entries in order. Writing to the view while a range is walked ends the walk with an error. */
  range(range?: Range): IterableIterator<readonly [key: Uint8Array, value: Uint8Array]>;
  /** Number of application entries. */
  readonly size: number;
}

export interface StateView extends ReadonlyStateView {
  /** Stores a copy of nothing: the caller must not change `key` or `value` afterwards. @throws ByzantineError `INVALID_ARGUMENT` beyond the bounds above. */
  set(key: Uint8Array, value: Uint8Array): void;
  /** Whether there was an entry. */
  delete(key: Uint8Array): boolean;
}

export interface OperationContext {
  /** The batch's sequence number. */
  readonly sequence: number;
  /** The operation's place in its batch, 0-based. */
  readonly index: number;
  /** The client's public key, 64 hexadecimal digits. */
  readonly client: string;
  /** Agreed time of the batch, never decreasing from batch to batch. */
  readonly timestampMs: number;
  /** 32 bytes that all replicas agree on, different for each operation. A primary can try several: not a source for lotteries. */
  readonly random: Uint8Array;
}

/**
 * A deterministic state machine. The same operations in the same order must give the same state and the same results on every
 * replica: no clock, no randomness, no floating-point library functions, no iteration over hash order, no input or output.
 * The context never holds the view, since an operation that is proposed again must execute alike.
 */
export interface StateMachine {
  /** What tells it from an {@link OpaqueStateMachine}. */
  readonly opaque?: false;
  /**
   * Executes one operation as a transaction and returns its result. `OperationError` becomes a deterministic error reply, any
   * other throw a constant one; in both cases its writes are undone. RangeError from a full stack stops the replica.
   */
  execute(state: StateView, operation: Uint8Array, context: OperationContext): Uint8Array;
  /** Answers a question about one committed version. */
  query?(state: ReadonlyStateView, question: Uint8Array): Uint8Array;
}

/**
 * State that cannot live in the map (a vector index, a database): deterministic like any {@link StateMachine}, and with five promises
 * more, since the replica cannot look into it.
 *
 * After every checkpoint interval the replica writes what `digest` and `snapshot` return into the replicated map, where it is agreed on,
 * transferred and stored: the memory of a replica holds the whole snapshot, and what is executed waits meanwhile. One that waits long
 * belongs into a `worker` or to the `caller`, not `inline`. Only one method runs at a time, `query` included.
 */
export interface OpaqueStateMachine {
  readonly opaque: true;
  /**
   * Executes one operation and returns its result, of at most 256 KiB. The next one begins when its promise has settled.
   *
   * Nobody undoes what it has written. An `OperationError`, thrown or rejected, is a refusal that all replicas must come to alike: check
   * first, write afterwards. Anything else that is thrown or rejected stops this replica for good (`EXECUTION_FAILED`), so nothing
   * that a client sends may lead there. A result that is not bytes, or too long, fails the operation; what it wrote stays.
   */
  execute(operation: Uint8Array, context: OperationContext): Uint8Array | Promise<Uint8Array>;
  /** Answers a question about the state as it is on this replica. */
  query?(question: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** 32 bytes that depend on the contents alone, not on how they came about: equal contents, equal digests. */
  digest(): Uint8Array | Promise<Uint8Array>;
  /**
   * The contents in chunks of 1 byte to {@link VALUE_BYTES_MAX}, at most 1,048,576 of them. Canonical: equal contents give equal chunks, in
   * equal order, on every replica, also on one that was restored. A replica of which that is not true has another checkpoint than the
   * others, and says so (`diverged`). Chunks that a small change leaves as they were are neither hashed nor transferred again.
   */
  snapshot(): AsyncIterable<Uint8Array>;
  /**
   * Replaces all contents by those of a snapshot, of no chunks where it is that of the beginning; `lastApplied` is `sequence` or lower
   * from then on. A crash in the middle leaves a state that the next start replaces: commit the chunks and `sequence` together,
   * or mark the state as that of sequence 0 first.
   */
  restore(chunks: AsyncIterable<Uint8Array>, sequence: number): Promise<void>;
  /**
   * `context.sequence` of the last operation whose effects are kept, committed together with them; 0 for the contents of the beginning,
   * as of everything that a process keeps in memory alone. A start below or above the replica's own snapshot restores that, and
   * executes again what came after. One above everything that the journal knows is refused (`DATA_DIR`, reason `ahead`).
   */
  lastApplied(): number | Promise<number>;
}

/** Computes many SHA-256 digests in one call: natively in a node, in the simulator by whatever it brings. */
export interface Hasher {
  /**
   * Hashes `count` inputs that lie one after another in `input`; input i ends at byte `ends[i]`. Digest i is written to
   * `output` at 32 · i. All three are caller-owned scratch.
   */
  hashMany(input: Uint8Array, ends: Uint32Array, count: number, output: Uint8Array): void;
}
