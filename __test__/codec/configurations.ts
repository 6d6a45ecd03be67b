/** Configurations to change, and what a refusal said. */
import type { ClusterOptions } from "../../dist/codec/cluster.js";
import { ByzantineError } from "../../dist/errors.js";

export const hex = (n: number): string => n.toString(16).padStart(64, "0");

export function members(n: number): { nodeId: string; host: string; port: number; publicKey: string }[] {
  return Array.from({ length: n }, (_, i) => ({
    nodeId: `node-${String(i).padStart(2, "0")}`,
    host: "127.0.0.1",
    port: 7400 + i,
    publicKey: hex(i + 1),
  }));
}

/** The least that is accepted, with changes. */
export function options(changes: Record<string, unknown> = {}, n = 4): ClusterOptions {
  return { clusterId: hex(0xabc), nodes: members(n), ...changes } as ClusterOptions;
}

/** What `INVALID_CONFIG` names; anything else fails the test. */
export function refusal(run: () => unknown): { field: unknown; accepted: unknown; got: unknown; message: string } {
  try {
    run();
  } catch (error) {
    if (!(error instanceof ByzantineError)) throw error;
    if (error.code !== "INVALID_CONFIG") throw error;
    const { field, accepted, got } = error.data;
    return { field, accepted, got, message: error.message };
  }
  throw new Error("it was accepted");
}

/** Changes of one member. */
export function node(i: number, change: Record<string, unknown>): Record<string, unknown> {
  return { nodes: members(4).map((member, j) => (i === j ? { ...member, ...change } : member)) };
}
