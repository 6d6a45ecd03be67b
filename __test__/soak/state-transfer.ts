/** A state of a given size, fetched by a replica that slept while it was written: memory of both sides, and what operations feel. */
import { readFileSync, writeFileSync } from "node:fs";
import type { ByzantineClient } from "../../dist/index.js";
import { add } from "../process/cluster.ts";
import { totals } from "../process/machine.mjs";
import { Replicas } from "../process/replicas.ts";
import type { Stage } from "./main.ts";

const MIB = 1024 * 1024;
const VALUE_BYTES = 4_096;
/** Entries written by one operation: 1 MiB. */
const PER_OPERATION = MIB / VALUE_BYTES;
const shared = { viewChangeTimeoutMs: 120_000, checkpointInterval: 16, windowIntervals: 2 };
const BEYOND_REPLAY = 6 * shared.checkpointInterval;
const SLEEPER = 3;
const IN_FLIGHT = 4;
/** How long the operations are watched before the transfer begins. */
const BEFORE_MS = 15_000;
/** What a transfer may cost besides the state itself. */
const EXTRA_MIB = 64;

export function transferStage(mib: number): Stage {
  return { name: `state transfer of ${mib} MiB`, run: async (log, deadline) => run(mib, log, deadline) };
}

async function run(mib: number, log: (line: string) => void, deadline: number): Promise<void> {
  const ends: (() => unknown)[] = [];
  try {
    const owner = { teardown: (end: () => unknown) => void ends.push(end) };
    const replicas = await Replicas.start(owner, { n: 4, shared, recorded: false });
    const client = await replicas.client();
    await add(client, 1);
    replicas.stop(SLEEPER);
    await fill(client, mib, deadline);
    for (let n = 0; n < BEYOND_REPLAY; n++) await add(client, 1);
    await measure(replicas, await replicas.client(), mib, log);
  } finally {
    for (const end of ends.toReversed()) await end();
  }
}

async function fill(client: ByzantineClient, mib: number, deadline: number): Promise<void> {
  for (let n = 0; n < mib; n++) {
    if (Date.now() > deadline) throw new Error(`the time is up after ${n} MiB were written`);
    const entries = { first: n * PER_OPERATION, count: PER_OPERATION, bytes: VALUE_BYTES };
    await client.submit(totals.operation("fill", entries));
  }
}

async function measure(
  replicas: Replicas,
  client: ByzantineClient,
  mib: number,
  log: (line: string) => void,
): Promise<void> {
  const watch = new Watch(client);
  await new Promise((resolve) => setTimeout(resolve, BEFORE_MS));
  const before = watch.take();
  const awake = replicas.alive.map((replica) => ({ replica, pid: replicas.pidOf(replica) }));
  const rss = awake.map(({ pid }) => memory(pid, "VmRSS"));
  for (const { pid } of awake) forgetPeak(pid);
  const startedAt = performance.now();
  replicas.resume(SLEEPER);
  await replicas.until("the state is fetched", ({ stateTransfers }) => stateTransfers >= 1, [SLEEPER]);
  const seconds = (performance.now() - startedAt) / 1_000;
  const during = watch.take();
  await watch.stop();
  await replicas.settled();
  const peaks = awake.map(({ pid }) => memory(pid, "VmHWM"));
  const receiver = memory(replicas.pidOf(SLEEPER), "VmHWM");
  const state = Math.max(...rss);
  log(`${mib} MiB in ${seconds.toFixed(1)} s, ${(mib / seconds).toFixed(1)} MiB/s`);
  for (const [i, { replica }] of awake.entries()) {
    log(
      `source ${replica}: ${rss[i]} MiB resident before, at most ${peaks[i]} MiB meanwhile (+${peaks[i]! - rss[i]!})`,
    );
  }
  log(
    `receiver: at most ${receiver} MiB resident, ${signed(receiver - state)} beside a source (goal: at most +${EXTRA_MIB})`,
  );
  log(
    `operations before: ${before.text}; during: ${during.text}; P99 × ${(during.p99 / before.p99).toFixed(2)} (goal: 2)`,
  );
}

/** Operations in flight all the time, and how long each took. */
class Watch {
  #latencies: number[] = [];
  #stopping = false;
  readonly #ended: Promise<unknown>;

  constructor(client: ByzantineClient) {
    this.#ended = Promise.all(Array.from({ length: IN_FLIGHT }, async () => this.#loop(client)));
  }

  /** Those since the last call. */
  take(): { readonly p99: number; readonly text: string } {
    const sorted = this.#latencies.splice(0).sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    const text = `${sorted.length} operations, P50 ${at(0.5).toFixed(1)} ms, P99 ${at(0.99).toFixed(1)} ms`;
    return { p99: at(0.99), text };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#ended;
  }

  async #loop(client: ByzantineClient): Promise<void> {
    while (!this.#stopping) {
      const before = performance.now();
      await add(client, 1);
      this.#latencies.push(performance.now() - before);
    }
  }
}

/** In MiB, from what Linux says of a process. */
function memory(pid: number, field: "VmRSS" | "VmHWM"): number {
  const [, kib] = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kib) / 1_024);
}

/** The peak begins again at what is resident now. */
function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}
