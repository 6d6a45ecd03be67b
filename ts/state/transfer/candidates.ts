/**
 * What the receiver holds already: its own state, and what came for an earlier target. A subtree of the target that is among
 * it is not fetched.
 *
 * Trees of different contents branch at different depths, and an inner node does not say which keys lead to it. So several
 * candidates may stand beside one node of the target: nodes that branch earlier are replaced by their children, nodes that
 * branch later lie below one of the target's children. Digests decide; candidates that lie elsewhere cost a comparison.
 */
import { indexOf, isLeaf, symbolAt } from "../tree.ts";
import type { Leaf, TreeNode } from "../tree.ts";
import { digestAt } from "../../codec/digest.ts";
import type { Digest } from "../../protocol/types.ts";
import { hasDigest, storeDigest } from "../tree-hash.ts";
import { Gap, HOLE, Part, settled } from "./part.ts";

/** A whole subtree, or one that is not complete. */
export type Candidate = TreeNode | Part;

/** Candidates beside one node, and nodes looked at to find them: above it some subtrees are fetched that need not be. */
const CANDIDATES_MAX = 64;

/** The digest of a candidate, which is hashed or came under it. */
export function digestOf(candidate: Candidate): Digest {
  const bytes = new Uint8Array(32);
  storeDigest(new DataView(bytes.buffer), 0, nodeOf(candidate));
  return digestAt(bytes, 0);
}

function nodeOf(candidate: Candidate): TreeNode {
  return candidate instanceof Part ? candidate.node : candidate;
}

/** What stands at a child: a node, a part, or in place of a gap what was a candidate for it. */
function childrenAt(candidate: Candidate, index: number, into: Candidate[]): void {
  const below = candidate instanceof Part ? candidate.below[index] : undefined;
  if (below instanceof Gap) into.push(...below.candidates);
  else if (below !== undefined) into.push(below);
  else {
    const child = (nodeOf(candidate) as Exclude<TreeNode, Leaf>).children[index]!;
    if (child !== HOLE) into.push(child);
  }
}

/** Candidates beside a node of the target that branches at `depth`: none of them branches earlier. */
export function candidatesAt(candidates: readonly Candidate[], depth: number): Candidate[] {
  const found: Candidate[] = [];
  const waiting = candidates.toReversed();
  let looks = 0;
  for (let next = waiting.pop(); next !== undefined && looks < CANDIDATES_MAX; next = waiting.pop(), looks++) {
    const candidate = settled(next);
    const node = nodeOf(candidate);
    if (isLeaf(node) || node.depth >= depth) {
      found.push(candidate);
      continue;
    }
    for (let index = node.children.length - 1; index >= 0; index--) childrenAt(candidate, index, waiting);
  }
  return found;
}

/** Those of {@link candidatesAt} that may lie below the child of `symbol` of a node that branches at `depth`. */
export function candidatesBelow(beside: readonly Candidate[], depth: number, symbol: number): Candidate[] {
  const found: Candidate[] = [];
  for (const candidate of beside) {
    const node = nodeOf(candidate);
    if (!isLeaf(node) && node.depth === depth) {
      if (((node.bitmap >>> symbol) & 1) === 1) childrenAt(candidate, indexOf(node.bitmap, symbol), found);
      continue;
    }
    const leaf = leafBelow(candidate);
    if (leaf !== undefined && symbolAt(leaf.key, leaf.key.length, depth) === symbol) found.push(candidate);
  }
  return found.length > CANDIDATES_MAX ? found.slice(0, CANDIDATES_MAX) : found;
}

/** The candidate, or the child of one, whose digest stands at `at`. */
export function equalAmong(candidates: readonly Candidate[], view: DataView, at: number): Candidate | undefined {
  for (const unsettled of candidates) {
    const candidate = settled(unsettled);
    const node = nodeOf(candidate);
    if (hasDigest(view, at, node)) return candidate;
    if (isLeaf(node)) continue;
    for (let index = 0; index < node.children.length; index++) {
      const below = candidate instanceof Part ? candidate.below[index] : undefined;
      if (below instanceof Gap) continue;
      const child = below ?? node.children[index]!;
      if (child !== HOLE && hasDigest(view, at, nodeOf(child))) return settled(child);
    }
  }
  return undefined;
}

/** Some leaf below, if the way along the first complete children leads to one. */
function leafBelow(candidate: Candidate): Leaf | undefined {
  let next: Candidate | undefined = candidate;
  while (next !== undefined) {
    const node = nodeOf(next);
    if (isLeaf(node)) return node === HOLE ? undefined : node;
    next = firstHeld(next);
  }
  return undefined;
}

function firstHeld(candidate: Candidate): Candidate | undefined {
  if (!(candidate instanceof Part)) return (candidate as Exclude<TreeNode, Leaf>).children[0];
  for (let index = 0; index < candidate.below.length; index++) {
    const below = candidate.below[index];
    if (below instanceof Gap) continue;
    const child = below ?? candidate.node.children[index]!;
    if (child !== HOLE) return child;
  }
  return undefined;
}
