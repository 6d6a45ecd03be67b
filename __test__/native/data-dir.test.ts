/** Data directories: made once, for one replica, and looked at without being changed. */
import test from "ava";
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { initDataDir, inspectDataDir, inspectSegment, segmentNumbers } from "../../dist/native/native.js";
import { dataDir, flipBit, newPath, OWNER, writeSnapshot } from "./data-dir.ts";

const SEGMENT = "journal-0000000000000001.segment";

for (const wiped of [false, true]) {
  const origin = wiped ? "wiped" : "genesis";
  test(`a directory that was made is its owner's, of origin ${origin} and without records`, async (t) => {
    const dir = await dataDir(t, wiped);
    t.deepEqual(inspectDataDir(dir), {
      cluster: "01".repeat(32),
      epoch: 7,
      replica: "02".repeat(32),
      origin,
      segments: 0,
      firstLsn: 1,
      lastLsn: 0,
    });
    t.deepEqual(segmentNumbers(dir), [1]);
    const header = "prepared, nothing written yet";
    t.deepEqual(inspectSegment(dir, 1), { number: 1, file: SEGMENT, bytes: 0, header, items: [] });
  });
}

test("a new directory is for its owner alone, and one that was there keeps its mode", async (t) => {
  const dir = await newPath(t);
  const nested = join(dir, "of/a/node");
  initDataDir(nested, OWNER, false);
  t.is((await stat(nested)).mode & 0o777, 0o700);
  const mine = join(dirname(dir), "mine");
  await mkdir(mine);
  await chmod(mine, 0o750);
  initDataDir(mine, OWNER, false);
  t.is((await stat(mine)).mode & 0o777, 0o750);
});

test("a directory is made once", async (t) => {
  const dir = await dataDir(t);
  const marker = await readFile(join(dir, "identity"));
  const error = t.throws(() => initDataDir(dir, { ...OWNER, epoch: 8 }, true), {
    name: "ByzantineError",
    code: "DATA_DIR",
    message: "the data directory has a genesis marker already",
  });
  t.like(error, { data: { reason: "alreadyInitialized" } });
  t.deepEqual(await readFile(join(dir, "identity")), marker);
});

test("a directory with files of a replica but without its marker is not made anew", async (t) => {
  const dir = await dataDir(t);
  await writeSnapshot(dir, 100, []);
  await rm(join(dir, "identity"));
  t.like(
    t.throws(() => initDataDir(dir, OWNER, false), { code: "DATA_DIR" }),
    { data: { reason: "notEmpty" } },
  );
  t.deepEqual(inspectDataDir(dir), {
    problem: { name: "wiped", text: "the data directory has no genesis marker" },
  });
});

test("where the disk refuses, the error has its words", async (t) => {
  const path = await newPath(t);
  await writeFile(path, "a file");
  for (const dir of [path, join(path, "below")]) {
    const error = t.throws(() => initDataDir(dir, OWNER, false), { code: "DATA_DIR", message: /directory/i });
    t.like(error, { data: { reason: "disk" } });
  }
  t.like(
    t.throws(() => segmentNumbers(join(path, "below")), { code: "DATA_DIR" }),
    { data: { reason: "disk" } },
  );
});

test("a flipped bit in the marker is named with its file and place, and nothing is changed by looking", async (t) => {
  const dir = await dataDir(t);
  await flipBit(join(dir, "identity"), 40);
  const bytes = await readFile(join(dir, "identity"));
  const names = (await readdir(dir)).sort();
  const found = inspectDataDir(dir);
  t.like(found, { problem: { name: "corrupt", file: "identity" } });
  t.regex("problem" in found ? found.problem.text : "", /^corrupt: identity at byte \d+: /);
  t.like(
    t.throws(() => inspectSegment(dir, 1), { code: "DATA_DIR" }),
    { data: { reason: "corrupt" } },
  );
  t.deepEqual((await readdir(dir)).sort(), names);
  t.deepEqual(await readFile(join(dir, "identity")), bytes);
});
