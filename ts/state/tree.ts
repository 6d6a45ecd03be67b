/**
 * The tree under the replicated map: a path-compressed radix tree whose nodes are shared between versions.
 *
 * A key is read as symbols, two per byte (upper half first), each 1 + its four bits, and symbol 0 where the key ends: so no
 * key is a prefix of another, entries exist at leaves only, and the order of symbols is the order of bytes. An inner node
 * stands where the keys below it first differ (`depth`, in symbols) and has 2 … 17 children. Its shape depends on the keys
 * alone, never on the history, and its depth is bounded by the longest key.
 *
 * Why half bytes: over 100,000 random keys a node of 256 children has a preimage of up to 8 KiB, so that a checkpoint
 * after one changed entry hashes 15 KiB on three levels; with 16 children it hashes 2 KiB on five, copies short child
 * arrays, and a proof of one entry is as much smaller. Lookup costs two more steps. A binary tree would hash as much and
 * have four times the nodes.
 *
 * Inner nodes hold their depth but not the path that leads to them: leaves hold whole keys, so a search walks by the
 * branching symbols and compares once, at the leaf; and a node's digest does not change when a parent is put above it.
 *
 * Every node carries the epoch it was made in. A node of an older epoch may belong to a frozen version and is copied before
 * it changes; one of the current epoch is changed in place. So a node is copied at most once between two versions.
 */

/** The digest is unknown. */
export const DIRTY = 0;
/** The digest fields hold the digest of a long value, not yet that of the leaf. */
export const VALUE_HASHED = 1;
/** The digest fields hold the digest of the node. */
export const HASHED = 2;
export type HashState = typeof DIRTY | typeof VALUE_HASHED | typeof HASHED;

// Both kinds of node hold their digest as eight 32-bit integers, without an object of its own. The fields that a search reads
// come first: searching a large tree is waiting for memory, and so each node costs one cache line instead of two.

export class Leaf {
  /** Tells leaves from inner nodes. */
  readonly depth = -1;
  /** Owned by the tree. */
  readonly key: Uint8Array;
  value: Uint8Array;
  readonly epoch: number;
  hashState: HashState = DIRTY;
  d0 = 0;
  d1 = 0;
  d2 = 0;
  d3 = 0;
  d4 = 0;
  d5 = 0;
  d6 = 0;
  d7 = 0;

  constructor(key: Uint8Array, value: Uint8Array, epoch: number) {
    this.key = key;
    this.value = value;
    this.epoch = epoch;
  }
}

export class Inner {
  /** Symbols that all keys below share; they differ in the next one. */
  readonly depth: number;
  /** Bit s is set when there is a child for symbol s, 0 … 16. */
  bitmap: number;
  /** In ascending order of their symbols. */
  readonly children: TreeNode[];
  /** Leaves below. */
  count: number;
  readonly epoch: number;
  hashState: HashState = DIRTY;
  d0 = 0;
  d1 = 0;
  d2 = 0;
  d3 = 0;
  d4 = 0;
  d5 = 0;
  d6 = 0;
  d7 = 0;

  constructor(depth: number, bitmap: number, children: TreeNode[], count: number, epoch: number) {
    this.depth = depth;
    this.bitmap = bitmap;
    this.children = children;
    this.count = count;
    this.epoch = epoch;
  }
}

export type TreeNode = Leaf | Inner;

/** Symbols that a branch may have: the end of a key, and sixteen half bytes. */
export const SYMBOLS = 17;
/** What {@link firstDifference} says of equal keys. */
export const EQUAL = -1;

export function isLeaf(node: TreeNode): node is Leaf {
  return node.depth < 0;
}

export function countOf(node: TreeNode | undefined): number {
  if (node === undefined) return 0;
  return isLeaf(node) ? 1 : node.count;
}

/** The symbol at a place of the key that is the first `length` bytes of `key`. */
export function symbolAt(key: Uint8Array, length: number, place: number): number {
  const at = place >>> 1;
  if (at >= length) return 0;
  return 1 + ((place & 1) === 0 ? key[at]! >>> 4 : key[at]! & 15);
}

/** How many children come before the one of this symbol. */
export function indexOf(bitmap: number, symbol: number): number {
  let bits = bitmap & ((1 << symbol) - 1);
  bits -= (bits >>> 1) & 0x55555555;
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return (((bits + (bits >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

/** The first place where the symbols of two keys differ, or {@link EQUAL}. */
export function firstDifference(key: Uint8Array, length: number, other: Uint8Array): number {
  const common = Math.min(length, other.length);
  for (let i = 0; i < common; i++) {
    const bits = key[i]! ^ other[i]!;
    if (bits !== 0) return 2 * i + (bits > 15 ? 0 : 1);
  }
  return length === other.length ? EQUAL : 2 * common;
}

/** The leaf that a key leads to: its own if it is there, otherwise one that shares as many leading symbols as any. */
export function nearest(root: TreeNode, key: Uint8Array, length: number): Leaf {
  let node = root;
  while (!isLeaf(node)) {
    const symbol = symbolAt(key, length, node.depth);
    node = node.children[((node.bitmap >>> symbol) & 1) === 1 ? indexOf(node.bitmap, symbol) : 0]!;
  }
  return node;
}

/** The leaf of the key that is the first `length` bytes of `key`. */
export function findLeaf(root: TreeNode | undefined, key: Uint8Array, length: number): Leaf | undefined {
  let node = root;
  while (node !== undefined && !isLeaf(node)) {
    const symbol = symbolAt(key, length, node.depth);
    if (((node.bitmap >>> symbol) & 1) === 0) return undefined;
    node = node.children[indexOf(node.bitmap, symbol)];
  }
  return node !== undefined && firstDifference(key, length, node.key) === EQUAL ? node : undefined;
}

/** How many keys start with `prefix`. */
export function countPrefix(root: TreeNode | undefined, prefix: Uint8Array): number {
  if (root === undefined) return 0;
  let node: TreeNode = root;
  while (!isLeaf(node) && node.depth < 2 * prefix.length) {
    const symbol = symbolAt(prefix, prefix.length, node.depth);
    if (((node.bitmap >>> symbol) & 1) === 0) return 0;
    node = node.children[indexOf(node.bitmap, symbol)]!;
  }
  const shared = firstDifference(prefix, prefix.length, nearest(node, prefix, prefix.length).key);
  return shared === EQUAL || shared >= 2 * prefix.length ? countOf(node) : 0;
}

/** The tree that is being written. Versions of it are roots that others hold. */
export class Tree {
  root: TreeNode | undefined;
  /** Nodes of lower epochs are not changed. */
  epoch = 1;

  /** Stores `value` under the first `length` bytes of `key`; they are copied, the value is not. */
  set(key: Uint8Array, length: number, value: Uint8Array): Leaf {
    if (this.root === undefined) {
      const leaf = new Leaf(key.slice(0, length), value, this.epoch);
      this.root = leaf;
      return leaf;
    }
    const place = firstDifference(key, length, nearest(this.root, key, length).key);
    return place === EQUAL ? this.#replace(key, length, value) : this.#insert(key, length, value, place);
  }

  /** Whether the key was there. */
  delete(key: Uint8Array, length: number): boolean {
    if (findLeaf(this.root, key, length) === undefined) return false;
    let node = this.#ownedRoot();
    if (isLeaf(node)) {
      this.root = undefined;
      return true;
    }
    let above: Inner | undefined;
    let indexAbove = 0;
    for (;;) {
      node.count--;
      const symbol = symbolAt(key, length, node.depth);
      const index = indexOf(node.bitmap, symbol);
      if (isLeaf(node.children[index]!)) {
        if (node.children.length > 2) {
          node.bitmap &= ~(1 << symbol);
          node.children.splice(index, 1);
        } else {
          this.#link(above, indexAbove, node.children[1 - index]!);
        }
        return true;
      }
      above = node;
      indexAbove = index;
      node = this.#ownedChild(node, index) as Inner;
    }
  }

  #replace(key: Uint8Array, length: number, value: Uint8Array): Leaf {
    let node = this.#ownedRoot();
    while (!isLeaf(node)) node = this.#ownedChild(node, indexOf(node.bitmap, symbolAt(key, length, node.depth)));
    node.value = value;
    return node;
  }

  #insert(key: Uint8Array, length: number, value: Uint8Array, place: number): Leaf {
    const leaf = new Leaf(key.slice(0, length), value, this.epoch);
    const symbol = symbolAt(key, length, place);
    let above: Inner | undefined;
    let index = 0;
    let node = this.root!;
    while (!isLeaf(node) && node.depth <= place) {
      const owned: Inner = this.#owned(node) as Inner;
      if (owned !== node) this.#link(above, index, owned);
      owned.count++;
      if (owned.depth === place) {
        owned.children.splice(indexOf(owned.bitmap, symbol), 0, leaf);
        owned.bitmap |= 1 << symbol;
        return leaf;
      }
      above = owned;
      index = indexOf(owned.bitmap, symbolAt(key, length, owned.depth));
      node = owned.children[index]!;
    }
    this.#link(above, index, this.#branch(node, leaf, place));
    return leaf;
  }

  #branch(node: TreeNode, leaf: Leaf, place: number): Inner {
    const below = nearest(node, leaf.key, leaf.key.length).key;
    const there = symbolAt(below, below.length, place);
    const here = symbolAt(leaf.key, leaf.key.length, place);
    const children = here < there ? [leaf, node] : [node, leaf];
    return new Inner(place, (1 << here) | (1 << there), children, countOf(node) + 1, this.epoch);
  }

  #link(above: Inner | undefined, index: number, node: TreeNode): void {
    if (above === undefined) this.root = node;
    else above.children[index] = node;
  }

  #ownedRoot(): TreeNode {
    return (this.root = this.#owned(this.root!));
  }

  #ownedChild(node: Inner, index: number): TreeNode {
    return (node.children[index] = this.#owned(node.children[index]!));
  }

  /** The node itself if no version can see it, otherwise a copy; either way its digest is no longer known. */
  #owned(node: TreeNode): TreeNode {
    if (node.epoch === this.epoch) {
      node.hashState = DIRTY;
      return node;
    }
    if (isLeaf(node)) return new Leaf(node.key, node.value, this.epoch);
    return new Inner(node.depth, node.bitmap, node.children.slice(), node.count, this.epoch);
  }
}
