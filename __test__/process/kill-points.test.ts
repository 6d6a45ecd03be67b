/** Replica processes that are killed before, in and after each write, sync and send, and what they then say on the wire. */
import test, { type ExecutionContext } from "ava";
import { Prng } from "../../dist/testing/prng.js";
import { assertNothingLost, assertUncontradicted } from "./contradictions.ts";
import { firstStartPoints, Killer, killPoints, type KillPoint } from "./killer.ts";
import { Load } from "./load.ts";
import { Replicas } from "./replicas.ts";
import {
  CHECKPOINT_INTERVAL,
  drawn,
  IMPATIENT_MS,
  killedAt,
  killedAtStart,
  PACE_MS,
  PATIENT_MS,
  primaryOf,
  voted,
} from "./kills.ts";

const IN_FLIGHT = 2;

function seeded(t: ExecutionContext): Prng {
  const seed = Number(process.env["BYZANTINE_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  t.log(`BYZANTINE_SEED=${seed}`);
  return new Prng(BigInt(seed));
}

function killerOf(t: ExecutionContext): Killer {
  const killer = new Killer();
  t.teardown(() => killer.close());
  return killer;
}

for (const [whom, victimOf, viewChangeTimeoutMs] of [
  ["a backup", async () => 3, IMPATIENT_MS],
  ["each primary in its turn", primaryOf, PATIENT_MS],
] as const) {
  test.serial(
    `${whom} that is killed at every point of its writing and sending never contradicts itself`,
    async (t) => {
      const random = seeded(t);
      const shared = { viewChangeTimeoutMs, checkpointInterval: CHECKPOINT_INTERVAL };
      const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, tapped: true, killer: killerOf(t) });
      const load = new Load([await replicas.client()], IN_FLIGHT, PACE_MS);
      await Promise.all([0, 1, 2, 3].map(async (replica) => voted(replicas, replica)));
      for (const point of killPoints) await killedAt(replicas, await victimOf(replicas), point, random);
      await killedAtStart(replicas, await victimOf(replicas), random);
      await load.stop();
      await assertNothingLost(t, replicas, load);
      assertUncontradicted(t, replicas);
    },
  );
}

test.serial("replicas that are killed while they make their first files start as if for the first time", async (t) => {
  const random = seeded(t);
  const all = [...firstStartPoints.keys()];
  const plan = { n: all.length, recorded: false, tapped: true, killer: killerOf(t), asleep: all };
  const replicas = await Replicas.start(t, plan);
  const signals = all.map(async (replica) => {
    return (await replicas.begin(replica, drawn(firstStartPoints[replica] as KillPoint, random))).ended;
  });
  t.deepEqual(
    await Promise.all(signals),
    all.map(() => "SIGKILL"),
  );
  await Promise.all(all.map(async (replica) => replicas.restart(replica)));
  const load = new Load([await replicas.client()], IN_FLIGHT, PACE_MS);
  await Promise.all(all.map(async (replica) => voted(replicas, replica)));
  await load.stop();
  await assertNothingLost(t, replicas, load);
  assertUncontradicted(t, replicas);
});
