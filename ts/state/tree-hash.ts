/**
 * The Merkle root of a tree. A node's encoding is the preimage of its digest, and refers to what lies below it by digest:
 *
 *     0x10 | u16 key length | key | value                  leaf whose value has at most VALUE_INLINE_BYTES_MAX bytes
 *     0x13 | u16 key length | key | SHA-256(0x12 | value)  leaf with a longer one
 *     0x11 | u16 depth | u32 bitmap | a digest per child   inner node; depth in symbols, bit s for symbol s (`tree.ts`)
 *     0x14                                                 the empty map
 *
 * So whoever trusts a root can check each node and each long value by itself, in any order, and a path of nodes proves that
 * an entry is there, or that none is: a key can only lie where its symbols lead. Short values lie in their leaf since a
 * digest of their own would double what a small update hashes and what a transfer asks for.
 */
import { assert } from "../protocol/assert.ts";
import { digestAt } from "../codec/digest.ts";
import type { Digest } from "../protocol/types.ts";
import type { Hasher } from "./interfaces.ts";
import { DIRTY, HASHED, isLeaf, SYMBOLS, VALUE_HASHED } from "./tree.ts";
import type { Inner, Leaf, TreeNode } from "./tree.ts";

export const LEAF_TAG = 0x10;
export const INNER_TAG = 0x11;
export const VALUE_TAG = 0x12;
export const LONG_LEAF_TAG = 0x13;
export const EMPTY_TAG = 0x14;

/** Values up to here lie in their leaf: about half the size of the largest inner node. */
export const VALUE_INLINE_BYTES_MAX = 256;

const DIGEST_BYTES = 32;
/** Bytes of a leaf's encoding before its key. */
export const LEAF_HEAD_BYTES = 3;
/** Bytes of an inner node's encoding before the digests. */
export const INNER_HEAD_BYTES = 7;
/** Nodes in one call of the hasher: enough for its fixed cost to vanish. */
const CALL_NODES_MAX = 4096;
/** Bytes in one call, except that one longer value always fits. */
const CALL_BYTES_MAX = 1024 * 1024;
/** Hashing so many bytes of a long value counts as one node of a slice. */
const VALUE_BYTES_PER_NODE = 512;
/** Memory to begin with: what an update of a small map needs, since a process may hold many of them. */
const INPUT_BYTES_MIN = 4 * 1024;
const NODES_MIN = 64;

/** Memory for calls of the hasher, one per map. */
export class HashScratch {
  input = new Uint8Array(INPUT_BYTES_MIN);
  view = new DataView(this.input.buffer);
  ends = new Uint32Array(NODES_MIN);
  output = new Uint8Array(NODES_MIN * DIGEST_BYTES);
  outputView = new DataView(this.output.buffer);

  /** Makes room for the ends and digests of `nodes` nodes, and keeps none. */
  reserveNodes(nodes: number): void {
    if (nodes <= this.ends.length) return;
    const size = Math.min(CALL_NODES_MAX, Math.max(nodes, 2 * this.ends.length));
    this.ends = new Uint32Array(size);
    this.output = new Uint8Array(size * DIGEST_BYTES);
    this.outputView = new DataView(this.output.buffer);
  }

  /** Makes room for `bytes` and keeps what is there. */
  reserve(bytes: number): void {
    if (bytes <= this.input.length) return;
    const grown = new Uint8Array(Math.max(bytes, 2 * this.input.length));
    grown.set(this.input);
    this.input = grown;
    this.view = new DataView(grown.buffer);
  }
}

/** The computation of one root, in slices. Only nodes that have changed since they were last hashed are visited. */
export class RootComputation {
  readonly #root: TreeNode | undefined;
  readonly #scratch: HashScratch;
  /** First all dirty nodes are collected by their height above the leaves, then hashed from the lowest on. */
  #collecting = true;
  readonly #path: Inner[] = [];
  readonly #indexes: number[] = [];
  readonly #heights: number[] = [];
  readonly #values: Leaf[] = [];
  readonly #levels: TreeNode[][] = [];
  readonly #batch: TreeNode[] = [];
  /** −1 stands for the long values. */
  #level = -1;
  #position = 0;

  constructor(root: TreeNode | undefined, scratch: HashScratch) {
    this.#root = root;
    this.#scratch = scratch;
    if (root === undefined || root.hashState === HASHED) return;
    if (isLeaf(root)) this.#add(root, 0);
    else this.#enter(root);
  }

  /** Does about `nodesMax` nodes' work; whether the root is known now. */
  slice(hasher: Hasher, nodesMax: number): boolean {
    let left = Math.max(1, nodesMax);
    while (this.#collecting && left > 0) left -= this.#collect();
    while (!this.#collecting && left > 0 && this.#level < this.#levels.length) left -= this.#hashSome(hasher, left);
    return !this.#collecting && this.#level >= this.#levels.length;
  }

  digest(hasher: Hasher): Digest {
    const { input, ends, output, outputView } = this.#scratch;
    if (this.#root === undefined) {
      input[0] = EMPTY_TAG;
      ends[0] = 1;
      hasher.hashMany(input, ends, 1, output);
    } else {
      assert(this.#root.hashState === HASHED, "a root is asked for when all of its slices are done");
      storeDigest(outputView, 0, this.#root);
    }
    return digestAt(output, 0);
  }

  #enter(node: Inner): void {
    this.#path.push(node);
    this.#indexes.push(0);
    this.#heights.push(0);
  }

  /** Visits the next dirty child of the deepest node on the path, or leaves that node; returns the children looked at. */
  #collect(): number {
    const top = this.#path.length - 1;
    if (top < 0) {
      this.#collecting = false;
      return 1;
    }
    const node = this.#path[top]!;
    let index = this.#indexes[top]!;
    for (; index < node.children.length; index++) {
      const child = node.children[index]!;
      if (child.hashState === HASHED) continue;
      if (isLeaf(child)) {
        this.#add(child, 0);
        this.#heights[top] = Math.max(this.#heights[top]!, 1);
        continue;
      }
      this.#indexes[top] = index + 1;
      this.#enter(child);
      return 1;
    }
    const height = this.#heights[top]!;
    this.#add(node, height);
    this.#path.pop();
    this.#indexes.pop();
    this.#heights.pop();
    if (top > 0) this.#heights[top - 1] = Math.max(this.#heights[top - 1]!, height + 1);
    return 1;
  }

  #add(node: TreeNode, height: number): void {
    if (isLeaf(node) && node.value.length > VALUE_INLINE_BYTES_MAX) this.#values.push(node);
    (this.#levels[height] ??= []).push(node);
  }

  /** One call of the hasher over the next nodes of the current level; returns the work done. */
  #hashSome(hasher: Hasher, nodesMax: number): number {
    const values = this.#level < 0;
    const level: readonly TreeNode[] = values ? this.#values : this.#levels[this.#level]!;
    const nodes = Math.min(nodesMax, CALL_NODES_MAX, level.length - this.#position);
    this.#scratch.reserveNodes(nodes);
    const { ends, output, outputView } = this.#scratch;
    const batch = this.#batch;
    batch.length = 0;
    let bytes = 0;
    const bytesMax = values ? Math.min(CALL_BYTES_MAX, nodesMax * VALUE_BYTES_PER_NODE) : CALL_BYTES_MAX;
    while (this.#position < level.length && batch.length < nodes && (bytes === 0 || bytes < bytesMax)) {
      const node = level[this.#position++]!;
      // The root of another version that shares the node may have been computed since.
      if (values ? node.hashState !== DIRTY : node.hashState === HASHED) continue;
      bytes = values ? this.#putValue(node as Leaf, bytes) : this.#putNode(node, bytes);
      ends[batch.length] = bytes;
      batch.push(node);
    }
    if (batch.length > 0) hasher.hashMany(this.#scratch.input, ends, batch.length, output);
    for (let i = 0; i < batch.length; i++) {
      loadDigest(outputView, i * DIGEST_BYTES, batch[i]!);
      batch[i]!.hashState = values ? VALUE_HASHED : HASHED;
    }
    if (this.#position === level.length) {
      this.#level++;
      this.#position = 0;
    }
    return Math.max(1, batch.length, values ? Math.floor(bytes / VALUE_BYTES_PER_NODE) : 0);
  }

  #putValue(leaf: Leaf, at: number): number {
    const end = at + 1 + leaf.value.length;
    this.#scratch.reserve(end);
    this.#scratch.input[at] = VALUE_TAG;
    this.#scratch.input.set(leaf.value, at + 1);
    return end;
  }

  #putNode(node: TreeNode, at: number): number {
    return isLeaf(node) ? this.#putLeaf(node, at) : putInner(this.#scratch, node, at);
  }

  #putLeaf(leaf: Leaf, at: number): number {
    const { key, value } = leaf;
    const scratch = this.#scratch;
    const inline = value.length <= VALUE_INLINE_BYTES_MAX;
    scratch.reserve(at + LEAF_HEAD_BYTES + key.length + VALUE_INLINE_BYTES_MAX);
    scratch.input[at] = inline ? LEAF_TAG : LONG_LEAF_TAG;
    scratch.view.setUint16(at + 1, key.length, true);
    scratch.input.set(key, at + LEAF_HEAD_BYTES);
    const end = at + LEAF_HEAD_BYTES + key.length;
    if (inline) {
      scratch.input.set(value, end);
      return end + value.length;
    }
    storeDigest(scratch.view, end, leaf);
    return end + DIGEST_BYTES;
  }
}

/** Appends the preimage of an inner node's digest; its children are hashed. Returns where it ends. */
export function putInner(scratch: HashScratch, node: Inner, at: number): number {
  scratch.reserve(at + INNER_HEAD_BYTES + SYMBOLS * DIGEST_BYTES);
  scratch.input[at] = INNER_TAG;
  scratch.view.setUint16(at + 1, node.depth, true);
  scratch.view.setUint32(at + 3, node.bitmap, true);
  let end = at + INNER_HEAD_BYTES;
  for (const child of node.children) {
    storeDigest(scratch.view, end, child);
    end += DIGEST_BYTES;
  }
  return end;
}

/** Whether the 32 bytes at `at` are the digest that the fields of a node hold. */
export function hasDigest(view: DataView, at: number, node: TreeNode): boolean {
  return (
    view.getInt32(at, true) === node.d0 &&
    view.getInt32(at + 4, true) === node.d1 &&
    view.getInt32(at + 8, true) === node.d2 &&
    view.getInt32(at + 12, true) === node.d3 &&
    view.getInt32(at + 16, true) === node.d4 &&
    view.getInt32(at + 20, true) === node.d5 &&
    view.getInt32(at + 24, true) === node.d6 &&
    view.getInt32(at + 28, true) === node.d7
  );
}

/** Writes the digest fields of a node as 32 bytes at `at`. */
export function storeDigest(view: DataView, at: number, node: TreeNode): void {
  view.setInt32(at, node.d0, true);
  view.setInt32(at + 4, node.d1, true);
  view.setInt32(at + 8, node.d2, true);
  view.setInt32(at + 12, node.d3, true);
  view.setInt32(at + 16, node.d4, true);
  view.setInt32(at + 20, node.d5, true);
  view.setInt32(at + 24, node.d6, true);
  view.setInt32(at + 28, node.d7, true);
}

/** Takes the 32 bytes at `at` into the digest fields of a node. */
export function loadDigest(view: DataView, at: number, node: TreeNode): void {
  node.d0 = view.getInt32(at, true);
  node.d1 = view.getInt32(at + 4, true);
  node.d2 = view.getInt32(at + 8, true);
  node.d3 = view.getInt32(at + 12, true);
  node.d4 = view.getInt32(at + 16, true);
  node.d5 = view.getInt32(at + 20, true);
  node.d6 = view.getInt32(at + 24, true);
  node.d7 = view.getInt32(at + 28, true);
}
