/**
 * The replicated map: ordered keys → bytes, with versions that are frozen at no cost and a Merkle root that depends on the
 * contents alone. It gives checkpoint digests at the cost of what changed, snapshots of the past while new entries are
 * written, exact undo, and a state transfer that skips equal subtrees.
 */
import { assert } from "../protocol/assert.ts";
import type { Digest } from "../protocol/types.ts";
import { ByzantineError } from "../errors.ts";
import { compareBytes, Cursor } from "./cursor.ts";
import type { Bounds } from "./cursor.ts";
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from "./interfaces.ts";
import type { Hasher, Range } from "./interfaces.ts";
import { HashScratch, RootComputation } from "./tree-hash.ts";
import { countOf, countPrefix, findLeaf, HASHED, Tree } from "./tree.ts";
import type { Leaf, TreeNode } from "./tree.ts";

/** Longest key of the map: an application key behind one byte that says whose entry it is (`layout.ts`). */
export const MAP_KEY_BYTES_MAX = KEY_BYTES_MAX + 1;

export type Entry = readonly [key: Uint8Array, value: Uint8Array];

/** Reading, alike for the map and its versions. Keys and values that are handed out must not be changed. */
export abstract class MapReader {
  /** The tree to read now. */
  protected abstract readonly tree: TreeNode | undefined;

  /** Number of entries. */
  get size(): number {
    return countOf(this.tree);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return findLeaf(this.tree, key, key.length)?.value;
  }

  has(key: Uint8Array): boolean {
    return findLeaf(this.tree, key, key.length) !== undefined;
  }

  /** The value under the first `length` bytes of `key`. */
  find(key: Uint8Array, length: number): Uint8Array | undefined {
    return findLeaf(this.tree, key, length)?.value;
  }

  /** Number of entries whose key starts with `prefix`, without walking them. */
  count(prefix: Uint8Array): number {
    return countPrefix(this.tree, prefix);
  }

  /**
   * Entries in the order of their keys' bytes.
   * @throws ByzantineError `INVALID_ARGUMENT` at once for a bad bound, and during the walk if the map is written meanwhile.
   */
  range(range: Range = {}): IterableIterator<Entry> {
    const { bounds, limit } = boundsOf(range);
    return this.walk(new Cursor(this.tree, bounds), limit);
  }

  protected abstract walk(cursor: Cursor, limit: number): IterableIterator<Entry>;
}

/** What the map was when it was frozen; readable until it is released. */
export class MapVersion extends MapReader {
  readonly #root: TreeNode | undefined;
  readonly #scratch: HashScratch;
  #computation: RootComputation | undefined;
  #released = false;
  /** Highest epoch of its nodes. */
  readonly epoch: number;

  constructor(root: TreeNode | undefined, epoch: number, scratch: HashScratch) {
    super();
    this.#root = root;
    this.epoch = epoch;
    this.#scratch = scratch;
  }

  /** For the map that continues from this version. */
  get tree(): TreeNode | undefined {
    assert(!this.#released, "a released version is not used any more");
    return this.#root;
  }

  /** Whether every digest below its root is known. */
  get hashed(): boolean {
    return this.tree === undefined || this.tree.hashState === HASHED;
  }

  /** Hashes about `nodesMax` changed nodes more; whether the root is known now. */
  hashSlice(hasher: Hasher, nodesMax: number): boolean {
    this.#computation ??= new RootComputation(this.tree, this.#scratch);
    return this.#computation.slice(hasher, nodesMax);
  }

  /** The Merkle root, computed to the end if slices have not done so. */
  root(hasher: Hasher): Digest {
    while (!this.hashSlice(hasher, Number.MAX_SAFE_INTEGER));
    return this.#computation!.digest(hasher);
  }

  /** Frees what only this version holds. Releasing twice does nothing. */
  release(): void {
    this.#released = true;
    this.#computation = undefined;
  }

  protected *walk(cursor: Cursor, limit: number): IterableIterator<Entry> {
    for (let left = limit; left > 0; left--) {
      assert(!this.#released, "a released version is not used any more");
      const leaf = cursor.next();
      if (leaf === undefined) return;
      yield [leaf.key, leaf.value];
    }
  }
}

export class ReplicatedMap extends MapReader {
  readonly #tree = new Tree();
  readonly #scratch = new HashScratch();
  #writes = 0;

  /** Empty, or continuing from a version of this or another map. */
  constructor(from?: MapVersion) {
    super();
    if (from !== undefined) this.restoreTo(from);
  }

  protected get tree(): TreeNode | undefined {
    return this.#tree.root;
  }

  /** Stores `value` itself: the caller must not change it afterwards. @throws ByzantineError `INVALID_ARGUMENT` beyond the bounds. */
  set(key: Uint8Array, value: Uint8Array): void {
    this.put(key, key.length, value);
  }

  /** As `set`, under the first `length` bytes of `key`, which are copied; returns the entry. */
  put(key: Uint8Array, length: number, value: Uint8Array): { readonly key: Uint8Array } {
    if (length > MAP_KEY_BYTES_MAX) throw tooLong("key", length, MAP_KEY_BYTES_MAX);
    if (value.length > VALUE_BYTES_MAX) throw tooLong("value", value.length, VALUE_BYTES_MAX);
    this.#writes++;
    return this.#tree.set(key, length, value);
  }

  /** Whether there was an entry. */
  delete(key: Uint8Array): boolean {
    return this.remove(key, key.length);
  }

  /** As `delete`, of the first `length` bytes of `key`. */
  remove(key: Uint8Array, length: number): boolean {
    this.#writes++;
    return this.#tree.delete(key, length);
  }

  /** The entry under the first `length` bytes of `key`. */
  entry(key: Uint8Array, length: number): Readonly<Pick<Leaf, "key" | "value">> | undefined {
    return findLeaf(this.#tree.root, key, length);
  }

  /** An immutable version of what the map holds now, in constant time. */
  freeze(): MapVersion {
    return new MapVersion(this.#tree.root, this.#tree.epoch++, this.#scratch);
  }

  /** A version of a tree that came from elsewhere, or was made of nodes of this map's versions: one to restore to. */
  versionOf(root: TreeNode): MapVersion {
    return new MapVersion(root, this.#tree.epoch, this.#scratch);
  }

  /** Makes the contents those of `version` again, in constant time. */
  restoreTo(version: MapVersion): void {
    this.#writes++;
    this.#tree.root = version.tree;
    this.#tree.epoch = Math.max(this.#tree.epoch, version.epoch) + 1;
  }

  protected walk(cursor: Cursor, limit: number): IterableIterator<Entry> {
    return this.#walkUnwritten(cursor, limit, this.#writes);
  }

  *#walkUnwritten(cursor: Cursor, limit: number, writes: number): IterableIterator<Entry> {
    for (let left = limit; left > 0; left--) {
      if (this.#writes !== writes)
        throw new ByzantineError("INVALID_ARGUMENT", "the map was written while a range was walked");
      const leaf = cursor.next();
      if (leaf === undefined) return;
      yield [leaf.key, leaf.value];
    }
  }
}

/** Reads a range's own properties alone, so that a polluted `Object.prototype` changes no replica's walk. */
function boundsOf(range: Range): { bounds: Bounds; limit: number } {
  const own = <K extends keyof Range>(name: K): Range[K] | undefined =>
    Object.hasOwn(range, name) ? range[name] : undefined;
  const prefix = requireBytes("prefix", own("prefix"));
  const gte = requireBytes("gte", own("gte"));
  const lt = requireBytes("lt", own("lt"));
  const limit = own("limit") ?? Number.POSITIVE_INFINITY;
  if (typeof limit !== "number" || !(limit >= 0)) {
    throw new ByzantineError("INVALID_ARGUMENT", "the limit of a range is a number of entries, at least 0");
  }
  const after = prefix === undefined ? undefined : successorOf(prefix);
  const low = gte !== undefined && (prefix === undefined || compareBytes(gte, prefix) > 0) ? gte : prefix;
  const high = lt !== undefined && (after === undefined || compareBytes(lt, after) < 0) ? lt : after;
  return { bounds: { low, high, reverse: own("reverse") === true }, limit };
}

/** The first key after all that start with `prefix`; `undefined` if there is none. */
function successorOf(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const successor = prefix.slice(0, length);
  successor[length - 1]!++;
  return successor;
}

function requireBytes(name: string, value: Uint8Array | undefined): Uint8Array | undefined {
  if (value === undefined || value instanceof Uint8Array) return value;
  throw new ByzantineError("INVALID_ARGUMENT", `${name} of a range is a Uint8Array`);
}

function tooLong(what: string, length: number, max: number): ByzantineError {
  return new ByzantineError("INVALID_ARGUMENT", `a ${what} has at most ${max} bytes, not ${length}`, { length, max });
}
