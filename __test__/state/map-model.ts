/** A plain model of the replicated map, written without looking at the tree: a sorted array, and a recursive root. */
import { createHash } from "node:crypto";

export type ModelEntry = readonly [key: Uint8Array, value: Uint8Array];

const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b);

export class MapModel {
  entries: ModelEntry[] = [];

  get(key: Uint8Array): Uint8Array | undefined {
    return this.entries.find(([k]) => compare(k, key) === 0)?.[1];
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.delete(key);
    this.entries.push([key, value]);
    this.entries.sort(([a], [b]) => compare(a, b));
  }

  delete(key: Uint8Array): boolean {
    const before = this.entries.length;
    this.entries = this.entries.filter(([k]) => compare(k, key) !== 0);
    return this.entries.length < before;
  }

  range(range: {
    readonly gte?: Uint8Array | undefined;
    readonly lt?: Uint8Array | undefined;
    readonly prefix?: Uint8Array | undefined;
    readonly reverse?: boolean;
    readonly limit?: number | undefined;
  }): ModelEntry[] {
    const inside = this.entries.filter(
      ([key]) =>
        (range.gte === undefined || compare(key, range.gte) >= 0) &&
        (range.lt === undefined || compare(key, range.lt) < 0) &&
        (range.prefix === undefined || compare(key.subarray(0, range.prefix.length), range.prefix) === 0),
    );
    if (range.reverse === true) inside.reverse();
    return inside.slice(0, range.limit ?? inside.length);
  }

  root(): string {
    if (this.entries.length === 0) return sha256(Buffer.of(0x14)).toString("hex");
    const leaves = this.entries.map(([key, value]) => ({ symbols: symbolsOf(key), digest: leafDigest(key, value) }));
    return nodeDigest(leaves).toString("hex");
  }
}

interface ModelLeaf {
  readonly symbols: readonly number[];
  readonly digest: Buffer;
}

const sha256 = (...parts: readonly Uint8Array[]): Buffer => createHash("sha256").update(Buffer.concat(parts)).digest();

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Half bytes plus one, and 0 for the end of the key. */
function symbolsOf(key: Uint8Array): number[] {
  return [...Array.from(key).flatMap((byte) => [(byte >> 4) + 1, (byte & 15) + 1]), 0];
}

function leafDigest(key: Uint8Array, value: Uint8Array): Buffer {
  return value.length <= 256
    ? sha256(Buffer.of(0x10), u16(key.length), key, value)
    : sha256(Buffer.of(0x13), u16(key.length), key, sha256(Buffer.of(0x12), value));
}

function nodeDigest(leaves: readonly ModelLeaf[]): Buffer {
  if (leaves.length === 1) return leaves[0]!.digest;
  let depth = 0;
  while (leaves.every((leaf) => leaf.symbols[depth] === leaves[0]!.symbols[depth])) depth++;
  let bitmap = 0;
  const children: Buffer[] = [];
  for (let symbol = 0; symbol <= 16; symbol++) {
    const below = leaves.filter((leaf) => leaf.symbols[depth] === symbol);
    if (below.length === 0) continue;
    bitmap |= 1 << symbol;
    children.push(nodeDigest(below));
  }
  return sha256(Buffer.of(0x11), u16(depth), u32(bitmap), ...children);
}
