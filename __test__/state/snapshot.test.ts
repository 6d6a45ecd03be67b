import test from "ava";
import * as fc from "fast-check";
import { ReplicatedMap } from "../../dist/state/replicated-map.js";
import { SnapshotDecoder, SnapshotEncoder } from "../../dist/state/snapshot.js";
import { NodeHasher } from "./node-hasher.ts";

const hasher = new NodeHasher();
const bytes = (length: number) => fc.uint8Array({ maxLength: length });

function mapOf(entries: readonly (readonly [Uint8Array, Uint8Array])[]): ReplicatedMap {
  const map = new ReplicatedMap();
  for (const [key, value] of entries) map.set(key, value);
  return map;
}

function streamOf(map: ReplicatedMap, chunkBytes: number): Uint8Array {
  const encoder = new SnapshotEncoder(map.freeze(), chunkBytes);
  const chunks: Uint8Array[] = [];
  for (let chunk = encoder.next(); chunk !== undefined; chunk = encoder.next()) chunks.push(chunk.slice());
  for (const chunk of chunks.slice(0, -1)) if (chunk.length !== chunkBytes) throw new Error("a chunk is not full");
  return Buffer.concat(chunks);
}

test("what was written is read to the same root, however it is cut", (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(bytes(9), bytes(60)), { maxLength: 40 }),
      fc.integer({ min: 1, max: 90 }),
      fc.integer({ min: 1, max: 90 }),
      (entries, write, read) => {
        const map = mapOf(entries);
        const stream = streamOf(map, write);
        const copy = new ReplicatedMap();
        const decoder = new SnapshotDecoder(copy);
        for (let at = 0; at < stream.length; at += read) decoder.add(stream.subarray(at, at + read));
        decoder.finish();
        t.is(copy.freeze().root(hasher), map.freeze().root(hasher));
        t.is(copy.size, map.size);
      },
    ),
    { numRuns: 300 },
  );
});

test("entries of the largest size pass", (t) => {
  const map = mapOf([
    [new Uint8Array(1025).fill(7), new Uint8Array(1024 * 1024).fill(9)],
    [new Uint8Array(0), new Uint8Array(0)],
  ]);
  const copy = new ReplicatedMap();
  const decoder = new SnapshotDecoder(copy);
  decoder.add(streamOf(map, 256 * 1024));
  decoder.finish();
  t.is(copy.freeze().root(hasher), map.freeze().root(hasher));
});

test("what is no snapshot is refused by name, and a part of one is not taken for a whole", (t) => {
  const stream = streamOf(mapOf([[new Uint8Array(3), new Uint8Array(5)]]), 64);
  const corrupt = { code: "DATA_DIR", message: /this is no snapshot/ };
  for (let length = 1; length < stream.length; length++) {
    const decoder = new SnapshotDecoder(new ReplicatedMap());
    decoder.add(stream.subarray(0, length));
    t.throws(() => decoder.finish(), corrupt);
  }
  for (const head of [
    [0xff, 0xff, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0xff],
  ]) {
    const decoder = new SnapshotDecoder(new ReplicatedMap());
    t.throws(() => decoder.add(Uint8Array.from([...head, 1])), corrupt);
  }
});
