/** What the handle on the user's thread and the node's own thread say to each other. Not a wire format. */
import type { MessagePort } from "node:worker_threads";
import type { ClusterConfig } from "../codec/cluster.ts";
import { ByzantineError, type ErrorCode } from "../errors.ts";
import type { NodeMetrics } from "../observability/metrics.ts";
import type { Evidence } from "./evidence.ts";
import type { ExecutionStart, StateInspection } from "./execution-host.ts";
import type { ExecutionPlace } from "./options.ts";

/** What a node's thread starts with. */
export interface ThreadData {
  readonly cluster: ClusterConfig;
  readonly me: number;
  readonly key: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly execution: ExecutionPlace;
  /** The state machine's module, unless it runs on the user's thread. */
  readonly module: string | undefined;
  /** Who executes on the user's thread, where `execution` is `caller`. */
  readonly caller: { readonly port: MessagePort; readonly start: ExecutionStart } | undefined;
  /** Where journal and snapshots are; undefined where nothing survives the process. */
  readonly dataDir: string | undefined;
  readonly debug: boolean;
  readonly flightRecorder: boolean;
}

/** What a thread that executes starts with. */
export interface ExecutionThreadData extends Pick<ThreadData, "cluster" | "me" | "module" | "dataDir"> {
  readonly port: MessagePort;
  readonly wakeHandle: number;
}

/** One committed operation, as listeners see it. */
export interface CommittedOperation {
  /** The client's public key, 64 hexadecimal digits. */
  readonly client: string;
  /** 0 for operations outside of any session. */
  readonly session: number;
  readonly clientSequence: number;
  readonly operation: Uint8Array;
  readonly status: string;
  readonly result: Uint8Array;
}

/** A committed batch. */
export interface Commit {
  readonly type: "commit";
  readonly sequence: number;
  /** Batch digest, 64 hexadecimal digits. */
  readonly digest: string;
  readonly timestampMs: number;
  readonly operations: readonly CommittedOperation[];
}

/** Batches whose operations this listener will not see: it came too late, or fell too far behind. */
export interface CommitGap {
  readonly type: "gap";
  readonly from: number;
  readonly to: number;
}

export type StateTransferEvent =
  | { readonly phase: "started"; readonly sequence: number; readonly digest: string }
  | {
      readonly phase: "finished";
      readonly sequence: number;
      readonly digest: string;
      /** Nodes of the state's tree, and bytes, that were fetched. */
      readonly nodes: number;
      readonly bytes: number;
      /** Entries that this replica held already. */
      readonly reused: number;
      /** Who has given something. */
      readonly sources: readonly string[];
      /** Answers that were refused: not what was asked for. */
      readonly wrong: number;
    }
  | { readonly phase: "failed"; readonly reason: "unavailable" | "invalid" | "diskFailed" };

export type NodeEvents = {
  viewChange: [event: { readonly view: number; readonly primary: string; readonly cause: string }];
  checkpoint: [event: { readonly sequence: number; readonly digest: string }];
  /** The state of checkpoint `sequence` is fetched, is ours now, or cannot be had just now and is tried again. */
  stateTransfer: [event: StateTransferEvent];
  peer: [event: { readonly nodeId: string; readonly connected: boolean }];
  evidence: [event: { readonly nodeId: string; readonly type: string; readonly digest: string }];
  /** This replica's own state is not the one that the cluster signed; the true one is fetched. */
  diverged: [event: { readonly sequence: number; readonly own: string; readonly theirs: string }];
  /** The disk of this replica was lost; from now on it votes again. Everything up to `sequence` is stable. */
  readmitted: [event: { readonly view: number; readonly sequence: number }];
  fatal: [event: { readonly reason: string; readonly data: Readonly<Record<string, unknown>> }];
};

export type ToThread =
  | { readonly type: "subscribe"; readonly commits: boolean }
  | { readonly type: "seen"; readonly operations: number }
  | { readonly type: "inspect"; readonly id: number }
  | { readonly type: "state"; readonly id: number; readonly question: Uint8Array | undefined }
  | { readonly type: "recording"; readonly id: number }
  | { readonly type: "evidence"; readonly id: number }
  | { readonly type: "address"; readonly replica: number; readonly address: string }
  | { readonly type: "shutdown" };

/** A thread that could not be started: a `ByzantineError` as it travels between threads. */
export interface ThreadFailure {
  readonly type: "failed";
  readonly code: ErrorCode;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The first word of a thread that executes. */
export type FromExecutionThread = { readonly type: "ready"; readonly start: ExecutionStart } | ThreadFailure;

export function failureOf(error: unknown): ThreadFailure {
  const known = error instanceof ByzantineError ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  return { type: "failed", code: known?.code ?? "INVALID_CONFIG", message, data: known?.data ?? {} };
}

export type FromThread =
  | { readonly type: "ready"; readonly port: number; readonly wakeHandle: number }
  | ThreadFailure
  | { readonly type: "metrics"; readonly metrics: NodeMetrics }
  | { readonly type: "inspected"; readonly id: number; readonly metrics: NodeMetrics; readonly stats: NodeStats }
  | { readonly type: "state"; readonly id: number; readonly inspection: StateInspection }
  | { readonly type: "commits"; readonly commits: readonly (Commit | CommitGap)[] }
  /** The flight recording; with id 0 since the replica stopped itself. */
  | { readonly type: "recording"; readonly id: number; readonly text: string | undefined }
  | { readonly type: "evidence"; readonly id: number; readonly evidence: readonly Evidence[] }
  | { readonly type: "event"; readonly name: keyof NodeEvents; readonly payload: unknown }
  | { readonly type: "closed" };

/** The state of each component, for a person who debugs. Fields may change between releases. */
export interface NodeStats {
  readonly consensus: Readonly<Record<string, unknown>>;
  readonly pool: Readonly<Record<string, unknown>>;
  readonly checkpoints: Readonly<Record<string, unknown>>;
  readonly transport: Readonly<Record<string, unknown>>;
}
