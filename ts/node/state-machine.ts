/** From a module or an object to something that executes batches. */
import type { ClusterConfig } from "../codec/cluster.ts";
import { digestFromHex } from "../codec/digest.ts";
import { ByzantineError } from "../errors.ts";
import { hashMany } from "../native/native.ts";
import { everyone, setOf, without } from "../protocol/types.ts";
import type { ClientKey, ReplicaId, Sequence } from "../protocol/types.ts";
import { Executor } from "../state/executor.ts";
import type { Hasher, OpaqueStateMachine, StateMachine } from "../state/interfaces.ts";
import { missingMethod } from "../state/opaque-state.ts";
import type { MapVersion } from "../state/replicated-map.ts";
import { ownerOf } from "./data-dir.ts";
import { ExecutionHost } from "./execution-host.ts";
import { Snapshots } from "./snapshots.ts";

/** @throws ByzantineError `INVALID_CONFIG` where the module cannot be loaded or its default export is no state machine. */
export async function loadStateMachine(module: string): Promise<StateMachine | OpaqueStateMachine> {
  let loaded: { readonly default?: StateMachine | OpaqueStateMachine };
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
  const missing = missingMethod(loaded.default);
  if (missing === undefined) return loaded.default as StateMachine | OpaqueStateMachine;
  const text = `stateMachine: ${module} has no default export with a method ${missing}`;
  throw new ByzantineError("INVALID_CONFIG", text, {
    field: "stateMachine",
    accepted: "a module whose default export is a state machine",
    missing,
  });
}

/**
 * What executes batches, and fetches and serves states, for one replica of a cluster.
 * @param dataDir Where snapshots are; undefined where nothing survives the process.
 * @throws ByzantineError `DATA_DIR`.
 */
export function hostFor(
  stateMachine: StateMachine | OpaqueStateMachine,
  cluster: ClusterConfig,
  me: number,
  dataDir: string | undefined,
): ExecutionHost {
  const hasher: Hasher = { hashMany };
  const sources = without(everyone(cluster.nodes.length), setOf(me as ReplicaId));
  const snapshots = dataDir === undefined ? undefined : new Snapshots(dataDir, ownerOf(cluster, me));
  const from = snapshots?.load(hasher);
  const executor = executorFor(stateMachine, cluster, hasher, from?.version);
  // A peer may ask for the state that a snapshot was taken of.
  if (from !== undefined) executor.hashSlice(freeze(executor), Number.MAX_SAFE_INTEGER);
  return new ExecutionHost(executor, { hasher, sources, snapshots });
}

function freeze(executor: Executor): Sequence {
  executor.freeze(executor.lastExecuted);
  return executor.lastExecuted;
}

export function executorFor(
  stateMachine: StateMachine | OpaqueStateMachine,
  cluster: ClusterConfig,
  hasher: Hasher,
  from?: MapVersion,
): Executor {
  const members = cluster.nodes.map((node) => digestFromHex(node.publicKey) as string as ClientKey);
  const { perKeyMax, totalMax, windowOperations, resultBytesMax, openExpiryMaxMs } = cluster.sessions;
  const limits = {
    sessionsMax: totalMax,
    sessionsPerClientMax: perKeyMax,
    window: windowOperations,
    resultBytesMax,
    openLifetimeMsMax: openExpiryMaxMs,
  };
  const { checkpointInterval } = cluster;
  const options = { stateMachine, checkpointInterval, hasher, members, limits };
  return new Executor(from === undefined ? options : { ...options, from });
}
