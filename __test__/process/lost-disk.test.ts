/** Replica processes whose disk is lost: what they may have said before stays said, and they are readmitted when it is settled. */
import test from "ava";
import { assertNothingLost, assertUncontradicted } from "./contradictions.ts";
import { Load } from "./load.ts";
import { Replicas } from "./replicas.ts";

const shared = { viewChangeTimeoutMs: 4_000, checkpointInterval: 8 };
const IN_FLIGHT = 4;
const PACE_MS = 4;
const SOME = 200;
const VICTIM = 3;

/** The victim votes again, and the others need it for every quorum from now on. */
async function isNeeded(replicas: Replicas, load: Load): Promise<void> {
  await replicas.until("it is readmitted", ({ recovering }) => !recovering, [VICTIM]);
  await replicas.kill((VICTIM + 2) % 4);
  await load.answered(SOME);
}

test.serial(
  "a replica whose disk was lost under load votes again, and never against what it said before",
  async (t) => {
    const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, durable: true, tapped: true });
    const load = new Load([await replicas.client()], IN_FLIGHT, PACE_MS);
    await load.answered(SOME);
    await replicas.loseDisk(VICTIM);
    await replicas.restart(VICTIM);
    await isNeeded(replicas, load);
    t.is((await replicas.account(VICTIM)).events.filter(({ name }) => name === "readmitted").length, 1);
    await load.stop();
    await assertNothingLost(t, replicas, load);
    assertUncontradicted(t, replicas);
  },
);

test.serial("an idle cluster readmits it too, and a restart does not bring the silence back", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, durable: true, tapped: true });
  const client = await replicas.client();
  const before = new Load([client], 1, PACE_MS);
  await before.answered(SOME);
  await before.stop();
  await replicas.loseDisk(VICTIM);
  await replicas.restart(VICTIM);
  await replicas.until("it is readmitted", ({ recovering }) => !recovering, [VICTIM]);
  await replicas.kill(VICTIM);
  await replicas.restart(VICTIM);
  t.false((await replicas.metrics(VICTIM)).recovering);
  const load = new Load([client], IN_FLIGHT, PACE_MS);
  await isNeeded(replicas, load);
  await load.stop();
  assertUncontradicted(t, replicas);
});

test.serial("a replica that loses its disk while it recovers from that begins anew", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, durable: true, tapped: true });
  const load = new Load([await replicas.client()], IN_FLIGHT, PACE_MS);
  await load.answered(SOME);
  for (const _ of [1, 2]) {
    await replicas.loseDisk(VICTIM);
    await replicas.restart(VICTIM);
  }
  await replicas.kill(VICTIM);
  await replicas.restart(VICTIM);
  await isNeeded(replicas, load);
  await load.stop();
  await assertNothingLost(t, replicas, load);
  assertUncontradicted(t, replicas);
});
