/** A rolling restart under load. */
import type { Load } from "./load.ts";
import type { Replicas } from "./replicas.ts";

/** Answers before a replica is ended. */
const BETWEEN = 50;

/**
 * Every replica is ended in order, started again, and back where the others are before the next one's turn.
 * @param restart Starts it, and resolves when it takes part.
 */
export async function rolled(
  replicas: Replicas,
  load: Load,
  restart: (replica: number) => Promise<void> = async (replica) => replicas.restart(replica),
): Promise<void> {
  for (const replica of replicas.cluster.nodes.keys()) {
    await load.answered(BETWEEN);
    await replicas.shutDown(replica);
    await restart(replica);
    await replicas.caughtUp(replica);
  }
}
