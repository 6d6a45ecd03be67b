/**
 * byzantine-quic: Byzantine fault tolerant state machine replication for Node.js.
 *
 * @module
 */
export { ByzantineClient, type ByzantineClientOptions, type SubmitOptions } from "./client/client.ts";
export {
  resolveCluster,
  type ClientConfig,
  type ClusterConfig,
  type ClusterOptions,
  type NodeConfig,
} from "./codec/cluster.ts";
export { ByzantineError, type ErrorCode, type Executed } from "./errors.ts";
export { ByzantineNode } from "./node/byzantine-node.ts";
export { initDataDir } from "./node/data-dir.ts";
export type { CommitListener } from "./node/commit-stream.ts";
export type { ByzantineNodeOptions, ExecutionPlace } from "./node/options.ts";
export { QuicTransportLayer, type TransportMessage } from "./node/quic-transport-layer.ts";
export type { Evidence } from "./node/evidence.ts";
export type {
  Commit,
  CommitGap,
  CommittedOperation,
  NodeEvents,
  NodeStats,
  StateTransferEvent,
} from "./node/thread-messages.ts";
export { MessageCrypto } from "./node/message-crypto.ts";
export type { JournalMetrics, NodeMetrics, Percentiles, PeerMetrics } from "./observability/metrics.ts";
export { CheckpointManager } from "./protocol/checkpoint-manager.ts";
export { ConsensusProtocol } from "./protocol/consensus-protocol.ts";
export type * from "./protocol/messages.ts";
export { ViewManager } from "./protocol/view-manager.ts";
export { defineStateMachine } from "./state/define.ts";
export type {
  OpaqueStateMachine,
  OperationContext,
  Range,
  ReadonlyStateView,
  StateMachine,
  StateView,
} from "./state/interfaces.ts";
export { OperationError } from "./state/operation-error.ts";
export { ReplicatedMap } from "./state/replicated-map.ts";
