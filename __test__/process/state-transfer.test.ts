/** Four replica processes over QUIC under load, and one that slept until only the state itself can bring it back. */
import test from "ava";
import type { ByzantineClient, StateTransferEvent } from "../../dist/index.js";
import { assertAccused, assertAgreement, assertSettled } from "./accounts.ts";
import { Load, assertAnsweredOnce } from "./load.ts";
import { totals } from "./machine.mjs";
import type { Account } from "./questions.ts";
import { Replicas } from "./replicas.ts";

const MIB = 1024 * 1024;
/** The sleeper counts among the faulty; that it sleeps is nobody's fault, and must change no view. */
const shared = { viewChangeTimeoutMs: 60_000, checkpointInterval: 8, windowIntervals: 2 };
/** Batches that are gone from replay: the window below the stable checkpoint, and the checkpoints that were missed. */
const BEYOND_REPLAY = 6 * shared.checkpointInterval;
const SLEEPER = 3;

async function filled(
  client: ByzantineClient,
  entries: { first: number; count: number; bytes: number },
  perOperation: number,
) {
  const end = entries.first + entries.count;
  for (let first = entries.first; first < end; first += perOperation) {
    const count = Math.min(perOperation, end - first);
    await client.submit(totals.operation("fill", { first, count, bytes: entries.bytes }));
  }
}

/** Nothing waits for the sleeper any more: what comes from now on it can only fetch. */
async function forgotten(replicas: Replicas): Promise<void> {
  await replicas.until("the sleeper's connections are given up", ({ peers }) => !peers[`node-${SLEEPER}`]!.connected);
}

/** So many batches that no other replica keeps what the sleeper missed. */
async function moved(replicas: Replicas, client: ByzantineClient): Promise<void> {
  const awake = replicas.alive;
  const [before] = await replicas.until("metrics", () => true, awake);
  const target = before!.checkpoints.stable + BEYOND_REPLAY;
  for (let n = 0; n < BEYOND_REPLAY; n++)
    await client.submit(totals.operation("fill", { first: 0, count: 1, bytes: n }));
  await replicas.until(
    "checkpoints that it missed",
    ({ checkpoints }) => checkpoints.stable >= target - shared.checkpointInterval,
    awake,
  );
}

/** The transfers that a replica has finished. */
function transfers({ events }: Account): Extract<StateTransferEvent, { phase: "finished" }>[] {
  return events.flatMap((event) =>
    event.name === "stateTransfer" && event.payload.phase === "finished" ? [event.payload] : [],
  );
}

async function returned(replicas: Replicas, times: number): Promise<void> {
  replicas.resume(SLEEPER);
  await replicas.until("the state is fetched", ({ stateTransfers }) => stateTransfers >= times, [SLEEPER]);
}

/** It executes what the others do, although they go on meanwhile. */
async function caughtUp(replicas: Replicas): Promise<void> {
  await replicas.until(
    "it is where the others are",
    ({ lastExecuted, checkpoints }) => lastExecuted >= checkpoints.stable,
    [SLEEPER],
  );
}

test.serial("a replica that slept while 64 MiB were written fetches them from the others under load", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared });
  const client = await replicas.client();
  await filled(client, { first: 1, count: 100, bytes: 100 }, 100);
  replicas.stop(SLEEPER);
  await forgotten(replicas);
  await filled(client, { first: 1_000, count: 16_384, bytes: 4_096 }, 256);
  const load = new Load([await replicas.client()], 4);
  await moved(replicas, client);
  const startedAt = performance.now();
  await returned(replicas, 1);
  const tookMs = performance.now() - startedAt;
  await caughtUp(replicas);
  await load.stop();
  assertAnsweredOnce(t, load);
  await assertSettled(t, replicas, load.totals.length);
  const accounts = await assertAgreement(t, replicas);
  const sleeper = accounts[SLEEPER]!;
  const [first] = transfers(sleeper);
  t.true(first!.bytes >= 64 * MIB && first!.bytes < 80 * MIB, `${first!.bytes} bytes`);
  t.true(first!.nodes > 16_384);
  t.deepEqual(first!.sources.toSorted(), ["node-0", "node-1", "node-2"]);
  t.is(first!.wrong, 0);
  t.true(
    sleeper.gaps.some(({ to }) => to === first!.sequence),
    "who listens is told what it was not shown",
  );
  t.log(`64 MiB in ${Math.round(tookMs)} ms, with ${load.totals.length} operations meanwhile`);

  // What it holds by now is not fetched again.
  replicas.stop(SLEEPER);
  await filled(client, { first: 5_000, count: 10, bytes: 500 }, 10);
  await moved(replicas, client);
  await returned(replicas, transfers(sleeper).length + 1);
  await assertSettled(t, replicas, load.totals.length);
  const again = transfers((await assertAgreement(t, replicas))[SLEEPER]!).at(-1)!;
  t.true(again.bytes < MIB, `${again.bytes} bytes`);
  t.true(again.reused > 16_000);
  assertAccused(t, accounts, []);
});

test.serial("a source whose state is false delays nothing but itself", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared, faults: { 1: [{ type: "falsifiesState" }] } });
  const client = await replicas.client();
  replicas.stop(SLEEPER);
  await filled(client, { first: 1, count: 2_048, bytes: 2_048 }, 256);
  await moved(replicas, client);
  await returned(replicas, 1);
  await assertSettled(t, replicas, 0);
  const sleeper = await replicas.account(SLEEPER);
  const finished = transfers(sleeper)[0]!;
  t.true(finished.wrong > 0, "it was asked, and refused");
  t.false(finished.sources.includes("node-1"));
});

test.serial("checkpoints that come faster than a state can be fetched do not keep a replica behind", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared: { ...shared, checkpointInterval: 2 } });
  const client = await replicas.client();
  replicas.stop(SLEEPER);
  await filled(client, { first: 1, count: 2_048, bytes: 2_048 }, 256);
  const load = new Load([await replicas.client()], 8);
  await moved(replicas, client);
  await returned(replicas, 1);
  await caughtUp(replicas);
  await load.stop();
  assertAnsweredOnce(t, load);
  await assertSettled(t, replicas, load.totals.length);
  const sleeper = (await assertAgreement(t, replicas))[SLEEPER]!;
  const [first] = transfers(sleeper);
  const others = await replicas.metrics(0);
  t.true(others.checkpoints.stable > first!.sequence, "the others went on");
});
