/** The options of a node: checked once, before anything is started. */
import { createHash } from "node:crypto";
import {
  resolveCluster,
  type ClusterConfig,
  type ClusterLimits,
  type NodeConfig,
  type SessionLimits,
} from "../codec/cluster.ts";
import { ByzantineError } from "../errors.ts";
import { HISTORY_BYTES_MAX, PIPELINE_DEPTH, TIME_BOUND_MS, type ReplicaOptions } from "../protocol/options.ts";
import type { ReplicaId } from "../protocol/types.ts";
import type { OpaqueStateMachine, StateMachine } from "../state/interfaces.ts";
import { missingMethod } from "../state/opaque-state.ts";

/**
 * Where a state machine runs: in the thread that orders (`inline`: short operations), in a worker of its own (`worker`: long
 * ones), or on the thread that made the node (`caller`: the only place for one given as an object).
 */
export type ExecutionPlace = "inline" | "worker" | "caller";

export interface ByzantineNodeOptions {
  /** Which of `nodes` this one is. */
  readonly nodeId: string;
  /** All members, this one included; 4 … 31. */
  readonly nodes: readonly NodeConfig[];
  /** 64 hexadecimal digits that only this cluster uses. Default: derived from the members' ids and keys. */
  readonly clusterId?: string;
  /** Epoch of the configuration; default 0. */
  readonly epoch?: number;
  /** Faulty replicas tolerated; default ⌊(n−1)/3⌋. */
  readonly maxFaults?: number;
  /** Patience with a primary, in milliseconds, 100 … 600,000; default 5,000. */
  readonly viewChangeTimeoutMs?: number;
  /** Sequence numbers from one checkpoint to the next, 1 … 1,024; default 100. */
  readonly checkpointInterval?: number;
  /** Checkpoint intervals in the window, 2 … 8; default 2. */
  readonly windowIntervals?: number;
  readonly limits?: Partial<ClusterLimits>;
  readonly sessions?: Partial<SessionLimits>;
  /** Client keys that are admitted besides the members'; default `"any"`. */
  readonly clients?: ClusterConfig["clients"];
  /** This node's private key, PKCS#8 PEM. */
  readonly key: string;
  /** Address to listen on; default: the one under which the others reach this node. */
  readonly listen?: { readonly host: string; readonly port: number };
  /**
   * A module whose default export is a {@link StateMachine} or an {@link OpaqueStateMachine} (runs `inline` or in a `worker`), or
   * the object itself (runs on this thread).
   */
  readonly stateMachine: URL | StateMachine | OpaqueStateMachine;
  readonly execution?: ExecutionPlace;
  /**
   * Directory of this node's own, marked once by {@link initDataDir} or `byzantine-quic init`. With `durability: "none"` it may be
   * missing, and holds no more than a marker against a restart from nothing.
   */
  readonly dataDir?: string;
  /**
   * `"fsync"` (default): what binds this replica is durable before it leaves, and it can restart. `"none"` keeps everything in
   * memory, for benchmarks: a restart counts as a wiped disk.
   */
  readonly durability?: "fsync" | "none";
  /** Writes what happens to standard error, one line each. */
  readonly debug?: boolean;
  /**
   * Keeps the tail of what the core was told, so that an incident can be run again (`byzantine-quic replay`): written to
   * `dataDir` when the replica stops itself, and given by `flightRecording()`.
   */
  readonly flightRecorder?: boolean;
}

/** What a node starts from. */
export interface ResolvedNode {
  readonly cluster: ClusterConfig;
  readonly me: ReplicaId;
  readonly key: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly stateMachine: URL | StateMachine | OpaqueStateMachine;
  readonly execution: ExecutionPlace;
  readonly dataDir: string | undefined;
  readonly durability: "fsync" | "none";
  readonly debug: boolean;
  readonly flightRecorder: boolean;
}

/** @throws ByzantineError `INVALID_CONFIG` (with `data.field`, `data.accepted`). */
export function resolveNode(options: ByzantineNodeOptions): ResolvedNode {
  const { nodeId, key, listen, stateMachine, execution, dataDir, durability, debug, flightRecorder, ...shared } =
    options;
  const cluster = resolveCluster({ ...shared, clusterId: shared.clusterId ?? derivedClusterId(shared.nodes) });
  const me = cluster.nodes.findIndex((node) => node.nodeId === nodeId);
  if (me < 0) throw invalid("nodeId", "the nodeId of one of the nodes", nodeId);
  if (typeof key !== "string" || key === "") throw invalid("key", "a private key as PKCS#8 PEM", typeof key);
  const place = resolveDataDir(dataDir, durability);
  const own = cluster.nodes[me] as NodeConfig;
  return {
    cluster,
    me: me as ReplicaId,
    key,
    listen: listen ?? { host: own.host, port: own.port },
    stateMachine,
    execution: resolveExecution(stateMachine, execution),
    ...place,
    debug: debug ?? false,
    flightRecorder: flightRecorder ?? false,
  };
}

/** The core's options; pure numbers. */
export function replicaOptionsOf({ cluster, me }: Pick<ResolvedNode, "cluster" | "me">): ReplicaOptions {
  const { limits, checkpointInterval, windowIntervals } = cluster;
  return {
    n: cluster.nodes.length,
    f: cluster.maxFaults,
    me,
    checkpointInterval,
    window: checkpointInterval * windowIntervals,
    inFlightMax: limits.inFlightMax,
    viewChangeTimeoutMs: cluster.viewChangeTimeoutMs,
    batchBundlesMax: limits.batchBundlesMax,
    batchBytesMax: limits.batchBytesMax,
    poolBundlesMax: limits.poolBundlesMax,
    poolBytesMax: limits.poolBytesMax,
    timeBoundMs: TIME_BOUND_MS,
    pipelineDepth: Math.min(PIPELINE_DEPTH, limits.inFlightMax),
    historyBytesMax: HISTORY_BYTES_MAX,
  };
}

function resolveDataDir(dataDir: unknown, durability: unknown = "fsync"): Pick<ResolvedNode, "dataDir" | "durability"> {
  if (durability !== "fsync" && durability !== "none") throw invalid("durability", '"fsync" or "none"', durability);
  if (typeof dataDir === "string" && dataDir !== "") return { dataDir, durability };
  if (dataDir === undefined && durability === "none") return { dataDir, durability };
  throw invalid("dataDir", 'a directory that initDataDir has marked (or durability: "none")', dataDir);
}

function resolveExecution(stateMachine: unknown, execution: unknown): ExecutionPlace {
  if (stateMachine instanceof URL) {
    if (execution === undefined || execution === "inline" || execution === "worker") return execution ?? "inline";
    throw invalid("execution", '"inline" or "worker" for a state machine given as a module', execution);
  }
  const missing = missingMethod(stateMachine);
  if (missing !== undefined)
    throw invalid("stateMachine", `the URL of a module, or an object with a method ${missing}`, typeof stateMachine);
  if (execution === undefined || execution === "caller") return "caller";
  throw invalid("execution", '"caller" for a state machine given as an object', execution);
}

/** A cluster without an id of its own is known by its members. */
function derivedClusterId(nodes: unknown): string {
  const members = Array.isArray(nodes) ? nodes.map((node: Partial<NodeConfig>) => [node?.nodeId, node?.publicKey]) : [];
  return createHash("sha256")
    .update(`byzantine-quic cluster ${JSON.stringify(members.sort())}`)
    .digest("hex");
}

function invalid(field: string, accepted: string, got: unknown): ByzantineError {
  return new ByzantineError("INVALID_CONFIG", `${field}: accepted is ${accepted}`, { field, accepted, got });
}
