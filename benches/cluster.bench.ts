/**
 * Four replica processes and one client with one session on this machine: operations per second, latency, processor time and
 * bytes per operation. Prints a table and writes `.bench/cluster.json`. Nothing here is asserted but agreement of the replicas.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import test from "ava";
import { BenchCluster, measure, type Sample } from "./cluster/cluster.ts";

const IN_FLIGHT = [1, 16, 64, 256];
const PAYLOADS = [16, 128, 1024, 65_536];
const SECONDS = Number(process.env["BENCH_SECONDS"] ?? 3);
const WARM_UP_SECONDS = Number(process.env["BENCH_WARM_UP_SECONDS"] ?? 5);
/** Length of the run that watches memory. */
const MEMORY_SECONDS = Number(process.env["BENCH_MEMORY_SECONDS"] ?? 60);

const report: Record<string, unknown> = {
  machine: { cores: cpus().length, model: cpus()[0]?.model, node: process.version },
  cluster: {
    n: 4,
    f: 1,
    transport: "QUIC on loopback",
    signatures: "bundles, PRE-PREPARE, PREPARE, CHECKPOINT",
    durability: "none",
  },
  client: "one process, one session, closed loop",
};

function sum(samples: readonly Sample[], field: "cpuMicroseconds" | "bytesSent" | "batches"): number {
  return samples.reduce((total, sample) => total + sample[field], 0);
}

function save(name: string, value: unknown): void {
  report[name] = value;
  mkdirSync(".bench", { recursive: true });
  writeFileSync(".bench/cluster.json", `${JSON.stringify(report, null, 2)}\n`);
}

function goal(name: string, met: boolean): string {
  return `${met ? "reached" : "MISSED "} ${name}`;
}

test("throughput and latency by operations in flight and payload", async (t) => {
  await using cluster = await BenchCluster.start(4);
  // Until the code of all five processes is compiled: ten thousands of operations, and many batches.
  await measure(cluster.client, { inFlight: 1, payloadBytes: 128, seconds: WARM_UP_SECONDS });
  await measure(cluster.client, { inFlight: 64, payloadBytes: 128, seconds: WARM_UP_SECONDS });
  const rows: Record<string, number>[] = [];
  t.log("in flight  payload      op/s   p50 ms   p95 ms   p99 ms  cpu µs/op  bytes/op  op/batch");
  for (const payloadBytes of PAYLOADS) {
    for (const inFlight of IN_FLIGHT) {
      const before = await cluster.sample();
      const own = process.cpuUsage();
      const { operations, seconds, p50, p95, p99 } = await measure(cluster.client, {
        inFlight,
        payloadBytes,
        seconds: SECONDS,
      });
      const { user, system } = process.cpuUsage(own);
      const after = await cluster.sample();
      const cpu = (sum(after, "cpuMicroseconds") - sum(before, "cpuMicroseconds") + user + system) / operations;
      const bytes = (sum(after, "bytesSent") - sum(before, "bytesSent")) / operations;
      const batches = (sum(after, "batches") - sum(before, "batches")) / 4;
      const row = {
        inFlight,
        payloadBytes,
        opsPerSecond: operations / seconds,
        p50,
        p95,
        p99,
        cpu,
        bytes,
        perBatch: operations / batches,
      };
      rows.push(row);
      const cells = [
        row.opsPerSecond.toFixed(0),
        p50.toFixed(2),
        p95.toFixed(2),
        p99.toFixed(2),
        cpu.toFixed(1),
        bytes.toFixed(0),
        row.perBatch.toFixed(1),
      ];
      const widths = [10, 9, 9, 9, 11, 10, 10];
      t.log(
        `${String(inFlight).padStart(9)}${String(payloadBytes).padStart(9)}${cells.map((cell, i) => cell.padStart(widths[i] ?? 0)).join("")}`,
      );
    }
  }
  const broadcast = Math.max(...(await cluster.sample()).map(({ broadcastMs }) => broadcastMs.p95));
  t.log(`broadcast of a PRE-PREPARE, P95 of the slowest replica: ${broadcast.toFixed(2)} ms`);
  const at = (inFlight: number): Record<string, number> | undefined =>
    rows.find((row) => row["inFlight"] === inFlight && row["payloadBytes"] === 128);
  t.log(goal("P95 < 5 ms at 16 in flight, 128 B", (at(16)?.["p95"] ?? Infinity) < 5));
  t.log(goal("20,000 operations/s at 256 in flight, 128 B", (at(256)?.["opsPerSecond"] ?? 0) >= 20_000));
  save("throughput", rows);
  t.true(await cluster.agrees(), "all replicas hold the same state");
});

test("a main thread that blocks for half of the time leaves the votes on time", async (t) => {
  await using cluster = await BenchCluster.start(4);
  const load = { inFlight: 16, payloadBytes: 128, seconds: Math.max(5, SECONDS) };
  await measure(cluster.client, { ...load, seconds: WARM_UP_SECONDS });
  const rounds: { idle: number; blocked: number }[] = [];
  for (let round = 0; round < 3; round++) {
    const idle = await measure(cluster.client, load);
    await cluster.sample("block");
    const blocked = await measure(cluster.client, load);
    await cluster.sample("unblock");
    rounds.push({ idle: idle.p99, blocked: blocked.p99 });
  }
  for (const { idle, blocked } of rounds)
    t.log(`P99 idle ${idle.toFixed(2)} ms, blocked ${blocked.toFixed(2)} ms, ratio ${(blocked / idle).toFixed(2)}`);
  const ratios = rounds.map(({ idle, blocked }) => blocked / idle).sort((a, b) => a - b);
  t.log(
    goal(
      `P99 with blocked main threads ≤ 2 × idle (median ratio ${(ratios[1] ?? 0).toFixed(2)})`,
      (ratios[1] ?? Infinity) <= 2,
    ),
  );
  save("blockedMainThread", rounds);
  t.true(await cluster.agrees());
});

test("resident memory is flat under load", async (t) => {
  await using cluster = await BenchCluster.start(4);
  const load = measure(cluster.client, { inFlight: 256, payloadBytes: 128, seconds: MEMORY_SECONDS });
  const resident: number[] = [];
  const timer = setInterval(() => {
    void cluster
      .sample()
      .then((samples) => resident.push(Math.max(...samples.map(({ residentBytes }) => residentBytes))));
  }, 1000);
  const { operations } = await load;
  clearInterval(timer);
  const half = resident.slice(resident.length / 2);
  const mean = (values: readonly number[]): number =>
    values.reduce((total, value) => total + value, 0) / values.length / 2 ** 20;
  const early = mean(half.slice(0, half.length / 2));
  const late = mean(half.slice(half.length / 2));
  t.log(
    `${operations} operations; the largest replica: third quarter ${early.toFixed(1)} MiB, last quarter ${late.toFixed(1)} MiB`,
  );
  t.log(goal("flat over the last half (within 5 %)", late <= early * 1.05));
  save("memory", { operations, residentMiB: resident.map((bytes) => Math.round(bytes / 2 ** 20)), early, late });
  t.true(await cluster.agrees());
});
