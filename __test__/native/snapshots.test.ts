/** Snapshot files: what is read is what was written and finished, or it is named what is wrong. */
import test from "ava";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  removeSnapshot,
  SNAPSHOT_CHUNK_BYTES_MAX,
  SnapshotFileReader,
  SnapshotFileWriter,
  verifySnapshots,
} from "../../dist/native/native.js";
import { dataDir, DIGEST, ended, flipBit, newPath, OWNER, snapshotFile, writeSnapshot } from "./data-dir.ts";

function chunksOf(dir: string, sequence: number): Uint8Array[] {
  const reader = new SnapshotFileReader(dir, OWNER, sequence);
  const chunks: Uint8Array[] = [];
  for (let chunk = reader.nextChunk(); chunk !== null; chunk = reader.nextChunk()) chunks.push(chunk);
  return chunks;
}

function plain(chunks: readonly Uint8Array[]): number[][] {
  return chunks.map((chunk) => [...chunk]);
}

test("a snapshot is read as it was written", async (t) => {
  const dir = await dataDir(t);
  const writer = new SnapshotFileWriter(dir, OWNER, 100, DIGEST, Uint8Array.of(1, 2, 3));
  const chunk = Uint8Array.of(4, 5);
  t.true(writer.write(chunk));
  chunk.fill(0);
  t.true(writer.write(new Uint8Array(0)));
  writer.finish();
  t.deepEqual(await ended(writer), { state: "done" });

  t.deepEqual(SnapshotFileReader.list(dir, OWNER), [100]);
  const reader = new SnapshotFileReader(dir, OWNER, 100);
  t.is(reader.sequence, 100);
  t.deepEqual([...reader.digest], [...DIGEST]);
  t.deepEqual(plain(chunksOf(dir, 100)), [[1, 2, 3], [4, 5], []], "the first bytes, and chunks as they were then");
  t.deepEqual(verifySnapshots(dir), [
    {
      sequence: 100,
      digest: "03".repeat(32),
      cluster: "01".repeat(32),
      epoch: 7,
      replica: "02".repeat(32),
      chunks: 3,
      bytes: 5,
    },
  ]);
});

test("many chunks of the largest size come back in order", async (t) => {
  const dir = await dataDir(t);
  const chunks = Array.from({ length: 12 }, (_, fill) => new Uint8Array(SNAPSHOT_CHUNK_BYTES_MAX).fill(fill));
  await writeSnapshot(dir, 2 ** 40, chunks);
  const read = chunksOf(dir, 2 ** 40);
  t.is(read.length, chunks.length);
  t.true(read.every((chunk, i) => Buffer.compare(chunk, chunks[i]!) === 0));
});

test("a snapshot that was not finished is not listed", async (t) => {
  const dir = await dataDir(t);
  await writeSnapshot(dir, 100, [Uint8Array.of(1)]);
  const writer = new SnapshotFileWriter(dir, OWNER, 200, DIGEST, Uint8Array.of(1));
  writer.write(Uint8Array.of(2));
  t.deepEqual(SnapshotFileReader.list(dir, OWNER), [100]);
  writer.abort();
  t.deepEqual(await ended(writer), { state: "failed", reason: "aborted", text: "the snapshot was given up" });
  t.deepEqual(SnapshotFileReader.list(dir, OWNER), [100]);
  t.deepEqual(
    (await readdir(dir)).filter((name) => name.startsWith("snapshot")),
    [snapshotFile(100)],
  );
});

test("the last two are kept, and one is removed by its sequence", async (t) => {
  const dir = await dataDir(t);
  for (const sequence of [100, 200, 300]) await writeSnapshot(dir, sequence, [Uint8Array.of(1)]);
  t.deepEqual(SnapshotFileReader.list(dir, OWNER), [300, 200]);
  removeSnapshot(dir, 300);
  t.deepEqual(SnapshotFileReader.list(dir, OWNER), [200]);
  t.throws(() => removeSnapshot(dir, 300), { code: "DATA_DIR", message: new RegExp(snapshotFile(300)) });
});

for (const { what, offset, place, when } of [
  { what: "the header", offset: 100, place: 0, when: "opened" },
  { what: "a chunk", offset: 150, place: 136, when: "read" },
  { what: "the footer", offset: -9, place: 252, when: "read" },
]) {
  test(`a flipped bit in ${what} is found when it is ${when}, and named with its place`, async (t) => {
    const dir = await dataDir(t);
    await writeSnapshot(dir, 100, [new Uint8Array(100)]);
    const file = snapshotFile(100);
    await flipBit(join(dir, file), offset);
    const error = t.throws(() => chunksOf(dir, 100), { name: "ByzantineError", code: "DATA_DIR" });
    t.is((error as Error & { data: { reason: string } }).data.reason, "corrupt");
    t.regex(error.message, new RegExp(`${file} at byte ${place}: `));
    t.deepEqual(SnapshotFileReader.list(dir, OWNER), when === "opened" ? [] : [100], "only headers are looked at");
    t.like(verifySnapshots(dir), [{ sequence: 100, problem: { name: "corrupt", file, offset: place } }]);
  });
}

test("another replica's snapshot is neither listed nor opened", async (t) => {
  const dir = await dataDir(t);
  await writeSnapshot(dir, 100, []);
  for (const [other, field] of [
    [{ ...OWNER, clusterId: DIGEST }, "cluster id"],
    [{ ...OWNER, replicaKey: DIGEST }, "replica key"],
    [{ ...OWNER, epoch: 8 }, "configuration epoch"],
  ] as const) {
    t.deepEqual(SnapshotFileReader.list(dir, other), [], field);
    const error = t.throws(() => new SnapshotFileReader(dir, other, 100), { code: "DATA_DIR" });
    t.like(error, { data: { reason: "foreign" } });
    t.regex(error.message, new RegExp(field));
  }
});

test("what a writer cannot take is refused by name", async (t) => {
  const dir = await dataDir(t);
  const writer = new SnapshotFileWriter(dir, OWNER, 100, DIGEST);
  t.throws(() => writer.write(new Uint8Array(SNAPSHOT_CHUNK_BYTES_MAX + 1)), { code: "INVALID_ARGUMENT" });
  writer.finish();
  t.throws(() => writer.write(Uint8Array.of(1)), { code: "CLOSED" });
  for (const [owner, sequence, digest, says] of [
    [{ ...OWNER, clusterId: new Uint8Array(31) }, 1, DIGEST, /clusterId is 32 bytes, not 31/],
    [{ ...OWNER, replicaKey: new Uint8Array(33) }, 1, DIGEST, /replicaKey is 32 bytes, not 33/],
    [{ ...OWNER, epoch: -1 }, 1, DIGEST, /epoch is an integer/],
    [OWNER, 1.5, DIGEST, /sequence is an integer/],
    [OWNER, 1, new Uint8Array(0), /digest is 32 bytes, not 0/],
  ] as const) {
    const refused = { code: "INVALID_ARGUMENT", message: says };
    t.throws(() => new SnapshotFileWriter(dir, owner, sequence, digest), refused);
  }
  t.deepEqual(await ended(writer), { state: "done" });
});

test("a directory that is not there fails the writer by its status, and the reader by an error", async (t) => {
  const dir = await newPath(t);
  const writer = new SnapshotFileWriter(dir, OWNER, 100, DIGEST);
  t.like(await ended(writer), { state: "failed", reason: "corrupt" });
  t.false(writer.write(Uint8Array.of(1)));
  t.throws(() => SnapshotFileReader.list(dir, OWNER), { code: "DATA_DIR" });
  const error = t.throws(() => new SnapshotFileReader(dir, OWNER, 100), { code: "DATA_DIR" });
  t.regex(error.message, /the file is not there/);
});
