/** The commands that look into a data directory. */
import test from "ava";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../dist/cli/commands.js";
import { dataDir, flipBit, newPath, snapshotFile, writeSnapshot } from "../native/data-dir.ts";
import { records, SEGMENT, writeSegment } from "../native/segment.ts";

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(argv, { out: (line) => out.push(line), err: (line) => err.push(line) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

async function filesOf(dir: string): Promise<readonly (readonly [string, Buffer])[]> {
  const names = (await readdir(dir)).sort();
  return Promise.all(names.map(async (name) => [name, await readFile(join(dir, name))] as const));
}

const NO_RECORDS = `cluster     ${"01".repeat(32)}
epoch       7
replica     ${"02".repeat(32)}
origin      genesis: an empty journal is a first start
records     none yet
clean stop  none
torn tail   none
${SEGMENT}  0 bytes  prepared, nothing written yet`;

test("wal of an empty journal says whose it is and that there is no record", async (t) => {
  const dir = await dataDir(t);
  t.deepEqual(await cli("wal", "inspect", dir), { code: 0, out: NO_RECORDS, err: "" });
  t.deepEqual(await cli("wal", "verify", dir), { code: 0, out: "sound; records: none yet", err: "" });
  const wiped = await cli("wal", "inspect", await dataDir(t, true));
  t.regex(wiped.out, /^origin {6}wiped: an empty journal is no first start$/m);
});

test("recover marks an empty data directory as one in place of a lost disk, and no other", async (t) => {
  const home = await newPath(t);
  await cli("init", home);
  const node = join(home, "nodes", "node-2");
  const refused = await cli("recover", join(node, "node.json"));
  t.is(refused.code, 1);
  t.regex(refused.err, /^DATA_DIR: .*node-2\/data.*already/);
  await rm(join(node, "data"), { recursive: true });
  const marked = await cli("recover", "--json", join(node, "node.json"));
  t.deepEqual([marked.code, JSON.parse(marked.out)], [0, { nodeId: "node-2", dataDir: join(node, "data") }]);
  t.regex((await cli("wal", "inspect", join(node, "data"))).out, /^origin {6}wiped/m);
});

test("wal inspect counts what is in a segment, and lists it with --items", async (t) => {
  const dir = await dataDir(t);
  const [first] = await writeSegment(dir, [
    ...records(3),
    { kind: "release", lsn: 3, payload: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) },
    { kind: "mark", lsn: 3, payload: new Uint8Array(0) },
  ]);
  t.is(first, 136);
  const brief = await cli("wal", "inspect", dir);
  t.is(brief.code, 0);
  t.regex(brief.out, /^records {5}1 … 3 in 1 segment$/m);
  const line = `${SEGMENT}  65536 bytes  from record 1  3 records, 1 release, 1 mark`;
  t.is(brief.out.split("\n").at(-1), line);
  const all = await cli("wal", "inspect", "--items", dir);
  t.deepEqual(all.out.split("\n").slice(-6), [
    line,
    "    at byte 136  record 1  20 bytes",
    "    at byte 208  record 2  20 bytes",
    "    at byte 280  record 3  20 bytes",
    "    at byte 352  release 3  8 bytes",
    "    at byte 408  mark 3  0 bytes",
  ]);
  t.is((await cli("wal", "verify", dir)).out, "sound; records: 1 … 3 in 1 segment");
});

test("wal inspect --json has the same", async (t) => {
  const dir = await dataDir(t);
  await writeSegment(dir, records(2));
  const { code, out } = await cli("wal", "inspect", "--json", dir);
  t.is(code, 0);
  const header = {
    cluster: "01".repeat(32),
    epoch: 7,
    replica: "02".repeat(32),
    number: 1,
    firstLsn: 1,
    capacity: 65_536,
  };
  const segment = { number: 1, file: SEGMENT, bytes: 65_536, header };
  const counts = { record: 2, release: 0, mark: 0 };
  const report = JSON.parse(out) as Record<string, unknown>;
  t.is(report["directory"], dir);
  t.like(report["journal"], { origin: "genesis", segments: 1, firstLsn: 1, lastLsn: 2 });
  t.deepEqual(report["segments"], [{ ...segment, counts, damaged: [] }]);
  const all = JSON.parse((await cli("wal", "inspect", "--json", "--items", dir)).out) as Record<string, unknown>;
  const items = [136, 208].map((offset, i) => ({ offset, lsn: i + 1, kind: "record", length: 20 }));
  t.deepEqual(all["segments"], [{ ...segment, counts, damaged: [], items }]);
});

test("a record that was durable and is damaged is named with file and offset", async (t) => {
  const dir = await dataDir(t);
  const offsets = await writeSegment(dir, records(3));
  await flipBit(join(dir, SEGMENT), offsets[1]! + 50);
  const what = `corrupt: ${SEGMENT} at byte ${offsets[1]}: a record's payload fails its checksum`;
  t.deepEqual(await cli("wal", "verify", dir), { code: 1, out: `not sound: ${what}`, err: "" });
  const { code, out } = await cli("wal", "inspect", dir);
  t.is(code, 0);
  t.is(out.split("\n")[0], `no replica starts from here: ${what}`);
  t.true(out.includes(`    at byte ${offsets[1]}  record 2  20 bytes  a record's payload fails its checksum`));
  const json = await cli("wal", "verify", "--json", dir);
  t.is(json.code, 1);
  t.like(JSON.parse(json.out), {
    sound: false,
    journal: { problem: { name: "corrupt", file: SEGMENT, offset: offsets[1] } },
  });
});

test("a last record that nobody was told of is a torn tail and no damage", async (t) => {
  const dir = await dataDir(t);
  const offsets = await writeSegment(dir, records(3));
  await flipBit(join(dir, SEGMENT), offsets[2]! + 50);
  const torn = `${SEGMENT} at byte ${offsets[2]}: 68 bytes that nobody was told of, to be cut off`;
  const { out } = await cli("wal", "inspect", dir);
  t.true(out.includes(`\nrecords     1 … 2 in 1 segment\nclean stop  none\ntorn tail   ${torn}\n`), out);
  const verdict = { code: 0, out: `sound; records: 1 … 2 in 1 segment; ${torn}`, err: "" };
  t.deepEqual(await cli("wal", "verify", dir), verdict);
});

test("a directory without its marker is told from a sound one", async (t) => {
  const dir = await dataDir(t);
  await rm(join(dir, "identity"));
  const what = "the data directory has no genesis marker";
  t.deepEqual(await cli("wal", "verify", dir), { code: 1, out: `not sound: ${what}`, err: "" });
  const { code, out } = await cli("wal", "inspect", dir);
  t.deepEqual([code, out], [0, `no replica starts from here: ${what}\nsegment 1: ${what}`]);
});

test("a flipped bit in the marker is named", async (t) => {
  const dir = await dataDir(t);
  await flipBit(join(dir, "identity"), 30);
  const { code, out } = await cli("wal", "verify", dir);
  t.is(code, 1);
  t.regex(out, /^not sound: corrupt: identity at byte \d+: /);
});

for (const argv of [
  ["wal", "inspect"],
  ["wal", "verify"],
  ["snapshot", "verify"],
]) {
  test(`${argv.join(" ")} of a directory that is not there fails`, async (t) => {
    const dir = await newPath(t);
    const { code, out, err } = await cli(...argv, dir);
    t.deepEqual([code, out], [1, ""]);
    t.regex(err, /^DATA_DIR: .*No such file or directory/);
    const json = await cli(...argv, "--json", dir);
    t.like(JSON.parse(json.err), { error: { code: "DATA_DIR", data: { reason: "disk" } } });
  });

  test(`${argv.join(" ")} changes nothing`, async (t) => {
    const dir = await dataDir(t);
    await writeSegment(dir, records(2));
    await writeSnapshot(dir, 100, [Uint8Array.of(1)]);
    const before = await filesOf(dir);
    t.is((await cli(...argv, dir)).code, 0);
    t.deepEqual(await filesOf(dir), before);
  });
}

test("snapshot verify has a line for each, the newest first, and exits with 1 if one is damaged", async (t) => {
  const dir = await dataDir(t);
  t.deepEqual(await cli("snapshot", "verify", dir), { code: 0, out: "no snapshots", err: "" });
  await writeSnapshot(dir, 100, [new Uint8Array(10), new Uint8Array(5)]);
  await writeSnapshot(dir, 200, [new Uint8Array(7)]);
  const whose = `cluster ${"01".repeat(32)}  epoch 7  replica ${"02".repeat(32)}`;
  const older = `100  sound  digest ${"03".repeat(32)}  15 bytes in 2 chunks  ${whose}`;
  const newer = `200  sound  digest ${"03".repeat(32)}  7 bytes in 1 chunk  ${whose}`;
  t.deepEqual(await cli("snapshot", "verify", dir), { code: 0, out: `${newer}\n${older}`, err: "" });

  await flipBit(join(dir, snapshotFile(200)), 145);
  const place = `${snapshotFile(200)} at byte 136`;
  const { code, out } = await cli("snapshot", "verify", dir);
  t.is(code, 1);
  t.is(out, `200  not sound: corrupt: ${place}: a record's payload fails its checksum\n${older}`);
  const json = await cli("snapshot", "verify", "--json", dir);
  t.is(json.code, 1);
  t.like(JSON.parse(json.out), { directory: dir, sound: false });
  t.like((JSON.parse(json.out) as { snapshots: object[] }).snapshots[0], {
    sequence: 200,
    problem: { name: "corrupt", file: snapshotFile(200), offset: 136 },
  });
});

for (const { argv, says } of [
  { argv: ["wal"], says: /inspect or verify is missing/ },
  { argv: ["wal", "repair", "x"], says: /unknown action "repair"/ },
  { argv: ["wal", "inspect"], says: /the data directory is missing/ },
  { argv: ["wal", "verify", "a", "b"], says: /unexpected argument "b"/ },
  { argv: ["wal", "verify", "--items", "a"], says: /--items goes with inspect/ },
  { argv: ["snapshot"], says: /verify is missing/ },
  { argv: ["snapshot", "remove", "a"], says: /unknown action "remove"/ },
  { argv: ["snapshot", "verify"], says: /the data directory is missing/ },
]) {
  test(`"${argv.join(" ")}" is wrong usage`, async (t) => {
    const { code, out, err } = await cli(...argv);
    t.deepEqual([code, out], [2, ""]);
    t.regex(err, says);
  });
}

for (const command of ["wal", "snapshot"]) {
  test(`${command} --help says that nothing is changed and no lock is taken`, async (t) => {
    const { code, out } = await cli(command, "--help");
    t.is(code, 0);
    for (const line of [
      new RegExp(`^Usage: byzantine-quic ${command} `),
      /Nothing in it is changed and its lock is not taken/,
      /^Exit codes$/m,
    ]) {
      t.regex(out, line);
    }
  });
}
