/** From a module or an object to something that executes batches. */
import type { ClusterConfig } from "../codec/cluster.ts";
import { digestFromHex } from "../codec/digest.ts";
import { ByzantineError } from "../errors.ts";
import { everyone, setOf, without } from "../protocol/types.ts";
import type { ClientKey, ReplicaId } from "../protocol/types.ts";
import { Executor } from "../state/executor.ts";
import type { Hasher, StateMachine } from "../state/interfaces.ts";
import { ExecutionHost } from "./execution-host.ts";

/** @throws ByzantineError `INVALID_CONFIG` where the module cannot be loaded or its default export is no state machine. */
export async function loadStateMachine(module: string): Promise<StateMachine> {
  let loaded: { readonly default?: Partial<StateMachine> };
  try {
    loaded = (await import(module)) as typeof loaded;
  } catch (error) {
    throw new ByzantineError(
      "INVALID_CONFIG",
      `stateMachine: cannot load ${module}: ${String(error)}`,
      { field: "stateMachine" },
      error,
    );
  }
  if (typeof loaded.default?.execute === "function") return loaded.default as StateMachine;
  throw new ByzantineError("INVALID_CONFIG", `stateMachine: ${module} has no default export with an execute method`, {
    field: "stateMachine",
    accepted: "a module whose default export is a state machine",
  });
}

/** What executes batches, and fetches and serves states, for one replica of a cluster. */
export function hostFor(stateMachine: StateMachine, cluster: ClusterConfig, me: number, hasher: Hasher): ExecutionHost {
  const sources = without(everyone(cluster.nodes.length), setOf(me as ReplicaId));
  return new ExecutionHost(executorFor(stateMachine, cluster, hasher), { hasher, sources });
}

export function executorFor(stateMachine: StateMachine, cluster: ClusterConfig, hasher: Hasher): Executor {
  const members = cluster.nodes.map((node) => digestFromHex(node.publicKey) as string as ClientKey);
  const { perKeyMax, totalMax, windowOperations, resultBytesMax, openExpiryMaxMs } = cluster.sessions;
  const limits = {
    sessionsMax: totalMax,
    sessionsPerClientMax: perKeyMax,
    window: windowOperations,
    resultBytesMax,
    openLifetimeMsMax: openExpiryMaxMs,
  };
  return new Executor({ stateMachine, hasher, members, limits });
}
