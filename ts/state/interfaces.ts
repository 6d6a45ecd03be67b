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
  /**
   * Executes one operation as a transaction and returns its result. `OperationError` becomes a deterministic error reply, any
   * other throw a constant one; in both cases its writes are undone. RangeError from a full stack stops the replica.
   */
  execute(state: StateView, operation: Uint8Array, context: OperationContext): Uint8Array;
  /** Answers a question about one committed version. */
  query?(state: ReadonlyStateView, question: Uint8Array): Uint8Array;
}

/**
 * State that cannot live in the map (a vector index, a database). The replica hashes what `digest` returns into the map,
 * transfers `snapshot` chunk by chunk and replays from `lastApplied`. No tentative execution, no rollback of operations.
 */
export interface OpaqueStateMachine {
  readonly opaque: true;
  execute(operation: Uint8Array, context: OperationContext): Uint8Array | Promise<Uint8Array>;
  /** 32 bytes that depend on the contents alone. */
  digest(): Uint8Array | Promise<Uint8Array>;
  snapshot(): AsyncIterable<Uint8Array>;
  restore(chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Sequence of the last batch whose effects are committed together with the data; 0 when empty. */
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
