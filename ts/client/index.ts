/** `byzantine-quic/client`: a client of a cluster, without what only replicas need. */
export { ByzantineClient, type ByzantineClientOptions, type ClientStatistics, type SubmitOptions } from "./client.ts";
export type {
  ClientConfig,
  ClusterConfig,
  ClusterLimits,
  ClusterOptions,
  NodeConfig,
  SessionLimits,
} from "../codec/cluster.ts";
export { ByzantineError, type ErrorCode, type Executed } from "../errors.ts";
