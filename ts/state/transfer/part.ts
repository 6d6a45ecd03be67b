/**
 * A tree that is on its way. Inner nodes whose children are not all here are wrapped into a {@link Part}; what is missing below
 * one is a {@link Gap}. A part is an ordinary node as soon as nothing is missing, so that the finished tree holds none of this.
 */
import { EMPTY_SET } from "../../protocol/types.ts";
import type { Digest, ReplicaSet } from "../../protocol/types.ts";
import { countOf, Inner, Leaf } from "../tree.ts";
import type { TreeNode } from "../tree.ts";
import type { Candidate } from "./candidates.ts";

/** Stands where a child is missing; never a part of a finished tree. */
export const HOLE = new Leaf(new Uint8Array(0), new Uint8Array(0), 0);

/** A subtree that is known by its digest alone. */
export class Gap {
  readonly digest: Digest;
  /** Undefined for the root. */
  readonly parent: Part | undefined;
  /** Among the children of `parent`. */
  readonly index: number;
  /** What we hold of the keys that belong there: equal subtrees of it need not be fetched. */
  candidates: readonly Candidate[];
  /** What has come for it. */
  filled: TreeNode | Part | undefined;
  /** Waits to be asked for. */
  queued = false;
  /** Unanswered requests that name it. */
  asked = 0;
  /** Who has failed to give it. */
  avoid: ReplicaSet = EMPTY_SET;

  constructor(digest: Digest, parent: Part | undefined, index: number, candidates: readonly Candidate[]) {
    this.digest = digest;
    this.parent = parent;
    this.index = index;
    this.candidates = candidates;
  }

  /** Puts in place what has come. */
  fill(subtree: TreeNode | Part): void {
    this.filled = subtree;
    this.candidates = [];
    if (this.parent !== undefined) put(this.parent, this.index, subtree);
    else if (subtree instanceof Part) subtree.parent = undefined;
  }
}

/** An inner node with children missing; the missing ones are {@link HOLE}s in it. */
export class Part {
  readonly node: Inner;
  parent: Part | undefined;
  index: number;
  /** Children that are not complete. */
  missing: number;
  /** By child: the part or gap there, undefined where the child is complete. */
  readonly below: (Part | Gap | undefined)[];

  constructor(depth: number, bitmap: number, children: number, parent: Part | undefined, index: number) {
    // Of the first epoch there is: whoever writes to the tree copies it.
    this.node = new Inner(
      depth,
      bitmap,
      Array.from({ length: children }, () => HOLE),
      0,
      0,
    );
    this.parent = parent;
    this.index = index;
    this.missing = children;
    this.below = new Array<Part | Gap | undefined>(children).fill(undefined);
  }
}

/** What a part or a node stands for now: the node itself once it is complete. */
export function settled(subtree: TreeNode | Part): TreeNode | Part {
  return subtree instanceof Part && subtree.missing === 0 ? subtree.node : subtree;
}

/** Makes a subtree the child of a part; completes the part, and those above, if it was the last one missing. */
export function put(parent: Part, index: number, subtree: TreeNode | Part): void {
  if (subtree instanceof Part) {
    subtree.parent = parent;
    subtree.index = index;
    if (subtree.missing > 0) {
      parent.node.children[index] = subtree.node;
      parent.below[index] = subtree;
      return;
    }
  }
  let node = subtree instanceof Part ? subtree.node : subtree;
  let part: Part | undefined = parent;
  let at = index;
  while (part !== undefined) {
    part.node.children[at] = node;
    part.below[at] = undefined;
    part.node.count += countOf(node);
    part.missing--;
    if (part.missing > 0) return;
    node = part.node;
    at = part.index;
    part = part.parent;
  }
}

/** The symbols of the branches that lead from the root to a gap. */
export function pathOf(gap: Gap): Uint8Array {
  const symbols: number[] = [];
  let index = gap.index;
  for (let part = gap.parent; part !== undefined; part = part.parent) {
    symbols.push(symbolAtIndex(part.node.bitmap, index));
    index = part.index;
  }
  return Uint8Array.from(symbols.toReversed());
}

/** The gaps below a part, those of the first children last. */
export function gapsBelow(part: Part): Gap[] {
  const gaps: Gap[] = [];
  const waiting: Part[] = [part];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (let index = next.below.length - 1; index >= 0; index--) {
      const below = next.below[index];
      if (below instanceof Gap) gaps.push(below);
      else if (below !== undefined) waiting.push(below);
    }
  }
  return gaps;
}

/** The symbol of the child at `index`. */
export function symbolAtIndex(bitmap: number, index: number): number {
  let bits = bitmap;
  for (let left = index; left > 0; left--) bits &= bits - 1;
  return 31 - Math.clz32(bits & -bits);
}
