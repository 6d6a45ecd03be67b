/**
 * Nodes as they travel in STATE_NODES: an inner node as the preimage of its digest, a leaf with its value in full whatever its
 * length. So each can be hashed by whoever receives it, and taken apart once its digest is the expected one.
 */
import { MAP_KEY_BYTES_MAX } from "../replicated-map.ts";
import type { Hasher } from "../interfaces.ts";
import { VALUE_BYTES_MAX } from "../interfaces.ts";
import {
  HashScratch,
  INNER_HEAD_BYTES,
  INNER_TAG,
  LEAF_HEAD_BYTES,
  LEAF_TAG,
  loadDigest,
  LONG_LEAF_TAG,
  putInner,
  VALUE_INLINE_BYTES_MAX,
  VALUE_TAG,
} from "../tree-hash.ts";
import { HASHED, isLeaf, Leaf, SYMBOLS } from "../tree.ts";
import type { TreeNode } from "../tree.ts";
import { Part } from "./part.ts";

const DIGEST_BYTES = 32;
/** Bytes of the length before each node. */
export const LENGTH_BYTES = 4;
/** A leaf of the longest key and value. */
export const NODE_BYTES_MAX = LEAF_HEAD_BYTES + MAP_KEY_BYTES_MAX + VALUE_BYTES_MAX;
/** Highest depth that two keys can differ at. */
const DEPTH_MAX = 2 * MAP_KEY_BYTES_MAX;

/** Appends a node behind its length; inner nodes must be hashed. Returns where it ends. */
export function writeNode(buffer: HashScratch, node: TreeNode, at: number): number {
  const start = at + LENGTH_BYTES;
  buffer.reserve(start);
  const end = isLeaf(node) ? writeLeaf(buffer, node, start) : putInner(buffer, node, start);
  buffer.view.setUint32(at, end - start, true);
  return end;
}

function writeLeaf(buffer: HashScratch, { key, value }: Leaf, at: number): number {
  const keyAt = at + LEAF_HEAD_BYTES;
  const end = keyAt + key.length + value.length;
  buffer.reserve(end);
  buffer.input[at] = value.length > VALUE_INLINE_BYTES_MAX ? LONG_LEAF_TAG : LEAF_TAG;
  buffer.view.setUint16(at + 1, key.length, true);
  buffer.input.set(key, keyAt);
  buffer.input.set(value, keyAt + key.length);
  return end;
}

/** Where digests of an inner node's children stand in what it was taken from. */
export interface ChildDigests {
  readonly part: Part;
  readonly at: number;
}

/** Nodes of one answer, hashed a portion at a time. */
export class NodeReader {
  readonly #hasher: Hasher;
  readonly #scratch = new HashScratch();
  #bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  /** Of the long values of the portion, one after another. */
  #valueDigests = new Uint8Array(0);

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  /** Digests of the portion, 32 bytes each. */
  get digests(): DataView {
    return this.#scratch.outputView;
  }

  /** The same as bytes. */
  get digestBytes(): Uint8Array {
    return this.#scratch.output;
  }

  /** Reads and hashes up to `nodesMax` nodes from `at` on, fewer where they take `bytesMax` bytes; returns how many. */
  portion(bytes: Uint8Array, at: number, nodesMax: number, bytesMax: number): number {
    if (this.#bytes !== bytes) {
      this.#bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    let count = 0;
    let next = at;
    while (next < bytes.length && count < nodesMax && next - at < bytesMax) {
      const start = next + LENGTH_BYTES;
      next = start + this.view.getUint32(next, true);
      this.#starts[count] = start;
      this.#ends[count++] = next;
    }
    this.#hashValues(count);
    this.#hashNodes(count);
    return count;
  }

  /** Where node `i` of the portion ends. */
  endOf(i: number): number {
    return this.#ends[i]!;
  }

  /**
   * Takes node `i` apart: a leaf, or the part with its children missing. Undefined where it is neither, which nobody can make
   * of a digest that an honest replica vouched for.
   */
  take(i: number, depthAbove: number): Leaf | ChildDigests | undefined {
    const start = this.#starts[i]!;
    const end = this.#ends[i]!;
    return this.#bytes[start] === INNER_TAG ? this.#inner(i, start, end, depthAbove) : this.#leaf(i, start, end);
  }

  #leaf(i: number, start: number, end: number): Leaf | undefined {
    const valueAt = this.#valueAt(start, end);
    if (valueAt === undefined || end - valueAt > VALUE_BYTES_MAX) return undefined;
    // Copies: a view would keep the whole answer in memory as long as one leaf of it lives.
    const key = this.#bytes.slice(start + LEAF_HEAD_BYTES, valueAt);
    const leaf = new Leaf(key, this.#bytes.slice(valueAt, end), 0);
    loadDigest(this.digests, i * DIGEST_BYTES, leaf);
    leaf.hashState = HASHED;
    return leaf;
  }

  #inner(i: number, start: number, end: number, depthAbove: number): ChildDigests | undefined {
    if (end - start < INNER_HEAD_BYTES) return undefined;
    const depth = this.view.getUint16(start + 1, true);
    const bitmap = this.view.getUint32(start + 3, true);
    const children = (end - start - INNER_HEAD_BYTES) / DIGEST_BYTES;
    const fits = children === bitsOf(bitmap) && children >= 2 && bitmap < 2 ** SYMBOLS;
    if (!fits || depth <= depthAbove || depth > DEPTH_MAX) return undefined;
    const part = new Part(depth, bitmap, children, undefined, 0);
    loadDigest(this.digests, i * DIGEST_BYTES, part.node);
    return { part, at: start + INNER_HEAD_BYTES };
  }

  /** Where a leaf's value begins; undefined for what is no leaf. */
  #valueAt(start: number, end: number): number | undefined {
    const tag = this.#bytes[start];
    if ((tag !== LEAF_TAG && tag !== LONG_LEAF_TAG) || end - start < LEAF_HEAD_BYTES) return undefined;
    const keyBytes = this.view.getUint16(start + 1, true);
    const valueAt = start + LEAF_HEAD_BYTES + keyBytes;
    return keyBytes <= MAP_KEY_BYTES_MAX && valueAt <= end ? valueAt : undefined;
  }

  #isLong(start: number): boolean {
    return this.#bytes[start] === LONG_LEAF_TAG;
  }

  #hashValues(count: number): void {
    const scratch = this.#scratch;
    scratch.reserveNodes(count);
    let long = 0;
    let end = 0;
    for (let i = 0; i < count; i++) {
      if (!this.#isLong(this.#starts[i]!)) continue;
      const valueAt = this.#valueAt(this.#starts[i]!, this.#ends[i]!) ?? this.#ends[i]!;
      scratch.reserve(end + 1 + this.#ends[i]! - valueAt);
      scratch.input[end] = VALUE_TAG;
      scratch.input.set(this.#bytes.subarray(valueAt, this.#ends[i]!), end + 1);
      end += 1 + this.#ends[i]! - valueAt;
      scratch.ends[long++] = end;
    }
    if (long === 0) return;
    this.#hasher.hashMany(scratch.input, scratch.ends, long, scratch.output);
    if (this.#valueDigests.length < long * DIGEST_BYTES) this.#valueDigests = new Uint8Array(long * DIGEST_BYTES);
    this.#valueDigests.set(scratch.output.subarray(0, long * DIGEST_BYTES));
  }

  #hashNodes(count: number): void {
    const scratch = this.#scratch;
    let long = 0;
    let end = 0;
    for (let i = 0; i < count; i++) {
      const start = this.#starts[i]!;
      const isLong = this.#isLong(start);
      const head = isLong ? (this.#valueAt(start, this.#ends[i]!) ?? this.#ends[i]!) : this.#ends[i]!;
      scratch.reserve(end + head - start + DIGEST_BYTES);
      scratch.input.set(this.#bytes.subarray(start, head), end);
      end += head - start;
      if (isLong) {
        const at = DIGEST_BYTES * long++;
        scratch.input.set(this.#valueDigests.subarray(at, at + DIGEST_BYTES), end);
        end += DIGEST_BYTES;
      }
      scratch.ends[i] = end;
    }
    this.#hasher.hashMany(scratch.input, scratch.ends, count, scratch.output);
  }
}

function bitsOf(bitmap: number): number {
  let bits = 0;
  for (let left = bitmap; left !== 0; left &= left - 1) bits++;
  return bits;
}
