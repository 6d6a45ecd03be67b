/** One kill after another in a tapped cluster under load. */
import type { Prng } from "../../dist/testing/prng.js";
import { startPoints, type KillPlan, type KillPoint } from "./killer.ts";
import { eventually } from "./ports.ts";
import type { Replicas } from "./replicas.ts";

/** Snapshots and releases come often. */
export const CHECKPOINT_INTERVAL = 8;
/** A view without a primary ends soon: the others go on without one that was killed. */
export const IMPATIENT_MS = 2_000;
/** The others still wait for a primary that was killed when it is back. */
export const PATIENT_MS = 20_000;
/** Between two operations: the machine is for those that start again. */
export const PACE_MS = 8;
/** Far above what anything here takes on a loaded machine; reached only by a failure. */
const PATIENCE_MS = 120_000;

/** A plan whose place is drawn. */
export function drawn({ call, file, when, within }: KillPoint, random: Prng): KillPlan {
  return { call, file, when, k: 1 + random.below(within) };
}

/** Waits for the next vote of a replica. */
export async function voted(replicas: Replicas, replica: number): Promise<void> {
  const { record } = replicas.wiretap;
  const before = record.votesOf(replica);
  try {
    await eventually(`a vote of replica ${replica}`, () => record.votesOf(replica) > before, PATIENCE_MS);
  } catch (error) {
    throw new Error(`${String(error)}\n${await replicas.whereAllAre()}`, { cause: error });
  }
}

/** A replica ends at a point, starts again, and votes again. */
export async function killedAt(replicas: Replicas, victim: number, point: KillPoint, random: Prng): Promise<void> {
  await replicas.killAt(victim, drawn(point, random));
  await replicas.restart(victim);
  await voted(replicas, victim);
}

/** A replica is killed, again while it starts from what it left, and votes again after that. */
export async function killedAtStart(replicas: Replicas, victim: number, random: Prng): Promise<void> {
  await replicas.kill(victim);
  const child = await replicas.begin(victim, drawn(startPoints[random.below(startPoints.length)] as KillPoint, random));
  const signal = await child.ended;
  if (signal !== "SIGKILL") throw new Error(`replica ${victim} ended with ${signal}`);
  await replicas.restart(victim);
  await voted(replicas, victim);
}

/** A replica loses its disk, and is there again when it has been readmitted. */
export async function lost(replicas: Replicas, victim: number): Promise<void> {
  await replicas.loseDisk(victim);
  await replicas.restart(victim);
  await replicas.until("it is readmitted", ({ recovering }) => !recovering, [victim]);
  await voted(replicas, victim);
}

/** The primary of the highest view that a replica takes part in. */
export async function primaryOf(replicas: Replicas): Promise<number> {
  const all = await Promise.all(replicas.alive.map(async (replica) => replicas.metrics(replica)));
  return Math.max(...all.map(({ view }) => view)) % replicas.cluster.nodes.length;
}
