/**
 * One answer of a source, checked from the top down: each node must have the digest that the node above it names, and the top
 * of each item the one it was asked for by. Whatever passes is a part of the certified tree, whoever sent it; the rest is
 * asked for again.
 */
import { digestAt } from "../../codec/digest.ts";
import { assert } from "../../protocol/assert.ts";
import type { StateNodes } from "../../protocol/messages.ts";
import { Leaf } from "../tree.ts";
import type { TreeNode } from "../tree.ts";
import { candidatesAt, candidatesBelow, equalAmong } from "./candidates.ts";
import { Gap, gapsBelow, Part, put, settled, symbolAtIndex } from "./part.ts";
import type { ChildDigests, NodeReader } from "./travelling-node.ts";

const DIGEST_BYTES = 32;
/** Bytes hashed in one slice, except that one longer node always fits: about half a millisecond. */
const SLICE_BYTES_MAX = 64 * 1024;

/** A place that was asked for. */
export interface Asked {
  readonly gap: Gap;
  readonly deep: boolean;
}

export type Verdict =
  /** Everything that was asked for. */
  | "whole"
  /** All there is is right, and more was asked for. */
  | "cut"
  /** A node is not what was asked for. */
  | "wrong";

/** An inner node on the way to the next node in preorder, and which of its children that one is. */
interface Open extends ChildDigests {
  next: number;
}

export class Answer {
  readonly #items: readonly Asked[];
  readonly #message: StateNodes;
  readonly #reader: NodeReader;
  readonly #open: Open[] = [];
  #item = 0;
  #position = 0;
  /** Gaps that this answer has opened, or found in what it made a part of the tree again: the first to be filled last. */
  readonly gaps: Gap[] = [];
  verdict: Verdict | undefined;
  /** Nodes that were right. */
  nodes = 0;
  /** Entries below nodes that we held and need not fetch. */
  reused = 0;

  constructor(items: readonly Asked[], message: StateNodes, reader: NodeReader) {
    this.#items = items;
    this.#message = message;
    this.#reader = reader;
  }

  get bytes(): number {
    return this.#message.nodes.length;
  }

  /** Items for which nothing has come, once there is a verdict. */
  get unserved(): readonly Asked[] {
    return this.#items.slice(this.#item);
  }

  /** Checks up to `nodesMax` nodes more, fewer where they are long. There is a verdict when all are checked. */
  slice(nodesMax: number): void {
    const { nodes } = this.#message;
    const count = this.#reader.portion(nodes, this.#position, nodesMax, SLICE_BYTES_MAX);
    for (let i = 0; i < count; i++) {
      if (!this.#take(i)) return this.#end("wrong");
      this.nodes++;
    }
    if (count > 0) this.#position = this.#reader.endOf(count - 1);
    if (this.#position === nodes.length) {
      this.#end(this.#item === this.#items.length ? "whole" : "cut");
    }
  }

  /** Whether node `i` of the portion is the one that comes next. */
  #take(i: number): boolean {
    const above = this.#open.at(-1);
    if (above === undefined) return this.#takeTop(i);
    if (!sameDigest(this.#reader.view, above.at + above.next * DIGEST_BYTES, this.#reader.digests, i * DIGEST_BYTES)) {
      return false;
    }
    const taken = this.#reader.take(i, above.part.node.depth);
    if (taken === undefined) return false;
    put(above.part, above.next++, taken instanceof Leaf ? taken : taken.part);
    if (!(taken instanceof Leaf)) this.#open.push({ ...taken, next: 0 });
    this.#close();
    return true;
  }

  /** The top of the next item. */
  #takeTop(i: number): boolean {
    const asked = this.#items[this.#item];
    if (asked === undefined) return false;
    const { gap, deep } = asked;
    if (digestAt(this.#reader.digestBytes, i * DIGEST_BYTES) !== gap.digest) return false;
    const taken = this.#reader.take(i, gap.parent?.node.depth ?? -1);
    if (taken === undefined) return false;
    if (taken instanceof Leaf) this.#finish(taken);
    else if (deep) this.#open.push({ ...taken, next: 0 });
    else this.#finish(this.#compared(taken, gap));
    return true;
  }

  /** Leaves the inner nodes whose last child has come. */
  #close(): void {
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      if (top.next < top.part.below.length) return;
      this.#open.pop();
      if (this.#open.length === 0) this.#finish(top.part);
    }
  }

  /** An item has come, whole or with gaps in it. */
  #finish(subtree: TreeNode | Part): void {
    const { gap } = this.#items[this.#item++]!;
    gap.asked--;
    // Asked twice, since one source was slow: the first that came counts.
    if (gap.filled !== undefined) return;
    const now = settled(subtree);
    gap.fill(now);
    if (now instanceof Part) this.gaps.push(...gapsBelow(now));
  }

  /** Keeps what has come of an item that is not whole. */
  #end(verdict: Verdict): void {
    this.verdict = verdict;
    const [root] = this.#open;
    if (root === undefined) return;
    for (const { part, at, next } of this.#open) {
      for (let index = next; index < part.below.length; index++) {
        part.below[index] = new Gap(this.#childDigest(at, index), part, index, []);
      }
    }
    this.#open.length = 0;
    this.#finish(root.part);
  }

  /** An inner node beside candidates: what we hold of its children is put in place, the others are gaps. */
  #compared({ part, at }: ChildDigests, { candidates }: Gap): Part {
    const { view } = this.#reader;
    const { depth, bitmap } = part.node;
    const beside = candidatesAt(candidates, depth);
    for (let index = 0; index < part.below.length; index++) {
      const below = candidatesBelow(beside, depth, symbolAtIndex(bitmap, index));
      const equal = equalAmong(below, view, at + index * DIGEST_BYTES);
      if (equal === undefined) {
        part.below[index] = new Gap(this.#childDigest(at, index), part, index, below);
        continue;
      }
      assert(equal !== part, "a node is no candidate for its own children");
      if (!(equal instanceof Part)) this.reused += equal.depth < 0 ? 1 : (equal as { count: number }).count;
      put(part, index, equal);
    }
    return part;
  }

  #childDigest(at: number, index: number): Gap["digest"] {
    return digestAt(this.#message.nodes, at + index * DIGEST_BYTES);
  }
}

function sameDigest(a: DataView, aAt: number, b: DataView, bAt: number): boolean {
  for (let i = 0; i < DIGEST_BYTES; i += 4) {
    if (a.getInt32(aAt + i, true) !== b.getInt32(bAt + i, true)) return false;
  }
  return true;
}
