/**
 * Four replicas in four processes agree on a counter over QUIC; a client changes it, one backup is killed half-way, and at the
 * end every replica holds what an independent model says. Exit code 0 if all of that is so.
 */
import { ByzantineClient } from "../../index.ts";
import { ExampleCluster } from "./cluster.ts";
import { counter } from "./counter.ts";
import type { Report } from "./replica.ts";

const ROUNDS = 12;
/** Operations of a round that commute, so that the model needs no order among them. */
const OPERATIONS_PER_ROUND = 200;
/** How long replicas that were not needed for a quorum may take to catch up. */
const CATCH_UP_MS = 10_000;

/** What the counter should hold, computed without the replicas. */
let model = 0;
let operations = 0;

/** One SET alone, then many operations in flight at once whose order does not matter. */
async function round(client: ByzantineClient, number: number): Promise<void> {
  model = number * 1_000;
  await client.submit(counter.operation("set", { value: model }));
  const pending: Promise<Uint8Array>[] = [];
  for (let i = 0; i < OPERATIONS_PER_ROUND; i++) {
    const amount = (i * 7) % 50;
    if (i % 3 === 0) pending.push(client.submit(counter.operation("increment")));
    else if (i % 3 === 1) pending.push(client.submit(counter.operation("decrement")));
    else pending.push(client.submit(counter.operation("add", { amount })));
    model += i % 3 === 0 ? 1 : i % 3 === 1 ? -1 : amount;
  }
  await Promise.all(pending);
  operations += OPERATIONS_PER_ROUND + 1;
}

/** Waits until all living replicas have executed the same sequence, and returns what they hold there. */
async function settled(cluster: ExampleCluster): Promise<Report[]> {
  const deadline = Date.now() + CATCH_UP_MS;
  for (;;) {
    const reports = await cluster.reports();
    if (reports.every(({ sequence }) => sequence === reports[0]?.sequence)) return reports;
    if (Date.now() > deadline) throw new Error(`replicas did not meet: ${JSON.stringify(reports)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function show(reports: readonly Report[]): void {
  for (const { nodeId, sequence, digest, value, primary } of reports) {
    console.log(
      `  ${nodeId}  sequence ${sequence}  value ${value}  digest ${digest.slice(0, 16)}  ${primary ? "primary" : ""}`,
    );
  }
}

/** Whether every replica holds the same state, and it is the model's. */
function agree(reports: readonly Report[], count: number): boolean {
  const equal = reports.every(({ digest }) => digest === reports[0]?.digest);
  const right = reports.every(({ value }) => value === model);
  console.log(`  ${equal ? "equal digests" : "DIGESTS DIFFER"}, model says ${model}: ${right ? "right" : "WRONG"}`);
  return reports.length === count && equal && right;
}

async function main(): Promise<boolean> {
  console.log("Starting four replicas, each in a process of its own …");
  await using cluster = await ExampleCluster.start(4);
  await using client = await ByzantineClient.connect(cluster.clientFile);
  let good = true;
  for (let number = 1; number <= ROUNDS; number++) {
    const start = performance.now();
    await round(client, number);
    const seconds = (performance.now() - start) / 1000;
    const rate = Math.round((OPERATIONS_PER_ROUND + 1) / seconds);
    console.log(`round ${number}/${ROUNDS}: ${operations} operations, ${rate} operations/s`);
    if (number !== ROUNDS / 2) continue;
    const reports = await settled(cluster);
    show(reports);
    good = agree(reports, 4) && good;
    const victim = reports.find(({ primary }) => !primary)?.nodeId ?? "";
    await cluster.kill(victim);
    console.log(`Killed ${victim}, a backup. The client goes on.`);
  }
  const reports = await settled(cluster);
  show(reports);
  good = agree(reports, 3) && good;
  console.log(good ? `${operations} operations, all replicas agree.` : "FAILED");
  return good;
}

process.exitCode = (await main()) ? 0 : 1;
