/**
 * What durability costs: the same load on four durable replicas and on four that keep nothing, in turns, beside what the disk itself
 * does in the same run. Prints a table and writes `.bench/durability.json`. Asserted is only that the replicas agree.
 *
 * All four replicas share one disk here, so each of them gets a quarter of its syncs at best.
 */
import { closeSync, fdatasyncSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "ava";
import { BenchCluster, measure, type Measured, type Sample } from "./cluster/cluster.ts";

const IN_FLIGHT = [1, 16, 64, 256];
const PAYLOAD_BYTES = 128;
const SECONDS = Number(process.env["BENCH_SECONDS"] ?? 3);
const ROUNDS = Number(process.env["BENCH_ROUNDS"] ?? 3);
const WARM_UP_SECONDS = Number(process.env["BENCH_WARM_UP_SECONDS"] ?? 5);
/** Where the data directories lie. */
const DIRECTORY = process.env["BENCH_DIRECTORY"] ?? tmpdir();
/** A record with one bundle of one operation. */
const SYNC_BYTES = 1024;
const SYNC_SECONDS = 1;

interface Row {
  readonly inFlight: number;
  readonly durable: Measured;
  readonly volatile: Measured;
  /** Durable operations per second as a share of the others, median of the rounds. */
  readonly share: number;
  readonly syncsPerSecond: number;
  readonly recordsPerSync: number;
  /** Operations of all replicas for which one replica synced once. */
  readonly operationsPerSync: number;
  /** Durable operations per second as a share of what the disk's syncs allow at so many operations per sync. */
  readonly shareOfDisk: number;
}

/** Syncs per second of one writer that appends and syncs, and does nothing else. */
function rawSyncs(): number {
  const directory = mkdtempSync(join(DIRECTORY, "byzantine-disk-"));
  const file = openSync(join(directory, "raw"), "w");
  try {
    const block = new Uint8Array(SYNC_BYTES).fill(7);
    // Preallocated, as the journal's segments are: a sync then writes data alone.
    writeSync(file, new Uint8Array(8 << 20), 0, 8 << 20, 0);
    fdatasyncSync(file);
    const end = performance.now() + SYNC_SECONDS * 1000;
    let syncs = 0;
    while (performance.now() < end) {
      writeSync(file, block, 0, SYNC_BYTES, (syncs * SYNC_BYTES) % (8 << 20));
      fdatasyncSync(file);
      syncs += 1;
    }
    return syncs / SYNC_SECONDS;
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true });
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function middle(rounds: readonly Measured[]): Measured {
  const rate = median(rounds.map(({ operations, seconds }) => operations / seconds));
  return rounds.find(({ operations, seconds }) => operations / seconds === rate) as Measured;
}

const perSecond = ({ operations, seconds }: Measured): number => operations / seconds;

function journals(samples: readonly Sample[], field: "syncs" | "records"): number {
  return samples.reduce((total, { journal }) => total + (journal?.[field] ?? 0), 0) / samples.length;
}

test("durable and not, side by side", async (t) => {
  await using durable = await BenchCluster.start(4, "fsync", DIRECTORY);
  await using volatile = await BenchCluster.start(4, "none", DIRECTORY);
  for (const { client } of [durable, volatile])
    await measure(client, { inFlight: 64, payloadBytes: PAYLOAD_BYTES, seconds: WARM_UP_SECONDS });
  const rows: Row[] = [];
  const disk: number[] = [];
  t.log(
    "in flight   none op/s  fsync op/s  share   none p50/p99 ms  fsync p50/p99 ms  syncs/s  records/sync  op/sync  of disk",
  );
  for (const inFlight of IN_FLIGHT) {
    const load = { inFlight, payloadBytes: PAYLOAD_BYTES, seconds: SECONDS };
    const rounds: { durable: Measured; volatile: Measured; syncs: number; records: number; raw: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const raw = rawSyncs();
      const without = await measure(volatile.client, load);
      const before = await durable.sample();
      const withIt = await measure(durable.client, load);
      const after = await durable.sample();
      const syncs = journals(after, "syncs") - journals(before, "syncs");
      rounds.push({
        durable: withIt,
        volatile: without,
        syncs,
        records: journals(after, "records") - journals(before, "records"),
        raw,
      });
      disk.push(raw);
    }
    const operationsPerSync = median(rounds.map(({ durable: { operations }, syncs }) => operations / syncs));
    const row: Row = {
      inFlight,
      durable: middle(rounds.map((round) => round.durable)),
      volatile: middle(rounds.map((round) => round.volatile)),
      share: median(rounds.map((round) => perSecond(round.durable) / perSecond(round.volatile))),
      syncsPerSecond: median(rounds.map((round) => round.syncs / round.durable.seconds)),
      recordsPerSync: median(rounds.map((round) => round.records / round.syncs)),
      operationsPerSync,
      shareOfDisk: median(rounds.map((round) => perSecond(round.durable) / (round.raw * operationsPerSync))),
    };
    rows.push(row);
    t.log(line(row));
  }
  t.log(
    `the disk alone: ${median(disk).toFixed(0)} writes with fdatasync of ${SYNC_BYTES} bytes per second, one writer`,
  );
  const last = rows.at(-1) as Row;
  const met = last.share >= 0.6 || last.shareOfDisk >= 0.7;
  t.log(
    `${met ? "reached" : "MISSED "} at 256 in flight ≥ 0.6 × non-durable, or ≥ 0.7 × (fdatasync/s × operations per fsync)`,
  );
  mkdirSync(".bench", { recursive: true });
  writeFileSync(".bench/durability.json", `${JSON.stringify({ rows, rawSyncsPerSecond: disk }, null, 2)}\n`);
  t.true(await durable.agrees());
  t.true(await volatile.agrees());
});

function line(row: Row): string {
  const { durable, volatile } = row;
  const pair = ({ p50, p99 }: Measured): string => `${p50.toFixed(1)} / ${p99.toFixed(1)}`;
  return [
    String(row.inFlight).padStart(9),
    perSecond(volatile).toFixed(0).padStart(11),
    perSecond(durable).toFixed(0).padStart(11),
    row.share.toFixed(2).padStart(6),
    pair(volatile).padStart(17),
    pair(durable).padStart(17),
    row.syncsPerSecond.toFixed(0).padStart(8),
    row.recordsPerSync.toFixed(1).padStart(13),
    row.operationsPerSync.toFixed(1).padStart(8),
    row.shareOfDisk.toFixed(2).padStart(8),
  ].join(" ");
}
