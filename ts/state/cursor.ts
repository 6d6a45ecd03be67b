/** Walks the leaves of a tree in order, in either direction, from a bound on. */
import { EQUAL, firstDifference, indexOf, isLeaf, nearest, symbolAt } from "./tree.ts";
import type { Leaf, TreeNode } from "./tree.ts";

/** Negative, 0 or positive, in the order of the bytes; a key comes before its extensions. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return a.length - b.length;
}

export interface Bounds {
  /** First key of the walk's range; from the start if `undefined`. */
  readonly low: Uint8Array | undefined;
  /** First key after the range; to the end if `undefined`. */
  readonly high: Uint8Array | undefined;
  readonly reverse: boolean;
}

export class Cursor {
  readonly #bounds: Bounds;
  /** The way to the next leaf: nodes, and in each the index of the child to visit next. */
  readonly #nodes: TreeNode[] = [];
  readonly #indexes: number[] = [];

  constructor(root: TreeNode | undefined, bounds: Bounds) {
    this.#bounds = bounds;
    if (root === undefined) return;
    const from = bounds.reverse ? bounds.high : bounds.low;
    if (from === undefined) this.#push(root);
    else this.#seek(root, from);
  }

  /** The next leaf of the range, or `undefined` at its end. */
  next(): Leaf | undefined {
    const { low, high, reverse } = this.#bounds;
    const leaf = this.#advance(reverse ? -1 : 1);
    if (leaf === undefined) return undefined;
    const inside = reverse
      ? low === undefined || compareBytes(leaf.key, low) >= 0
      : high === undefined || compareBytes(leaf.key, high) < 0;
    if (inside) return leaf;
    this.#nodes.length = 0;
    return undefined;
  }

  #advance(step: number): Leaf | undefined {
    const nodes = this.#nodes;
    const indexes = this.#indexes;
    for (let top = nodes.length - 1; top >= 0; top = nodes.length - 1) {
      const node = nodes[top]!;
      const index = indexes[top]!;
      if (isLeaf(node)) {
        this.#pop();
        return node;
      }
      const child = node.children[index];
      if (child === undefined) {
        this.#pop();
        continue;
      }
      indexes[top] = index + step;
      this.#push(child);
    }
    return undefined;
  }

  /** Forward: stops before the first key ≥ `key`; backward: before the last one < `key`. */
  #seek(root: TreeNode, key: Uint8Array): void {
    const { reverse } = this.#bounds;
    const guide = nearest(root, key, key.length).key;
    const place = firstDifference(key, key.length, guide);
    const shared = place === EQUAL ? Number.POSITIVE_INFINITY : place;
    let node = root;
    while (!isLeaf(node) && node.depth <= shared) {
      const symbol = symbolAt(key, key.length, node.depth);
      const index = indexOf(node.bitmap, symbol);
      const there = (node.bitmap >>> symbol) & 1;
      this.#nodes.push(node);
      this.#indexes.push(reverse ? index - 1 : index + there);
      if (there === 0) return;
      node = node.children[index]!;
    }
    // All keys below share their first symbols with the guide, so they lie on one side of the bound as it does.
    const above = place === EQUAL || symbolAt(guide, guide.length, place) > symbolAt(key, key.length, place);
    if (above !== reverse) this.#push(node);
  }

  #push(node: TreeNode): void {
    this.#nodes.push(node);
    this.#indexes.push(this.#bounds.reverse && !isLeaf(node) ? node.children.length - 1 : 0);
  }

  #pop(): void {
    this.#nodes.pop();
    this.#indexes.pop();
  }
}
