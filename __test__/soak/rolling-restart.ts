/** All replicas are restarted in order, one after another, again and again, while clients submit operations. */
import { thrown } from "../process/assertions.ts";
import { assertNothingLost } from "../process/contradictions.ts";
import { Load } from "../process/load.ts";
import { Replicas } from "../process/replicas.ts";
import { rolled } from "../process/rolling.ts";
import type { Stage } from "./main.ts";

const shared = { viewChangeTimeoutMs: 4_000, checkpointInterval: 16 };
const IN_FLIGHT = 8;
const PACE_MS = 4;

export function rollingStage(rounds: number): Stage {
  return { name: `rolling restart, ${rounds} rounds`, run: async (log, deadline) => run(rounds, log, deadline) };
}

async function run(rounds: number, log: (line: string) => void, deadline: number): Promise<void> {
  const ends: (() => unknown)[] = [];
  try {
    const owner = { teardown: (end: () => unknown) => void ends.push(end) };
    const replicas = await Replicas.start(owner, { n: 4, shared, recorded: false, durable: true });
    const load = new Load([await replicas.client(), await replicas.client()], IN_FLIGHT, PACE_MS);
    for (let round = 0; round < rounds; round++) {
      if (Date.now() > deadline) throw new Error(`the time is up after ${round} rounds`);
      await rolled(replicas, load);
    }
    await load.stop();
    await assertNothingLost(thrown, replicas, load);
    const pause = Math.round(load.longestPauseMs);
    log(`${load.totals.length} operations, ${load.failures.length} failed, at most ${pause} ms between two answers`);
  } finally {
    for (const end of ends.toReversed()) await end();
  }
}
