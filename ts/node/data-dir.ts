/** A replica's data directory: whose it is, and how it begins. */
import type { ClusterConfig } from "../codec/cluster.ts";
import { initDataDir as initMarker, type DataDirOwner } from "../native/native.ts";
import { resolveNode, type ByzantineNodeOptions } from "./options.ts";

/** Who member `me` of a cluster is to its data directory. */
export function ownerOf({ clusterId, epoch, nodes }: ClusterConfig, me: number): DataDirOwner {
  const replicaKey = Buffer.from(nodes[me]?.publicKey ?? "", "hex");
  return { clusterId: Buffer.from(clusterId, "hex"), epoch, replicaKey };
}

/**
 * Marks a node's `dataDir` as that of a replica which has never taken part in this epoch of the cluster. Done once, by whoever sets
 * the cluster up: a directory without the mark counts as wiped, and is no first start.
 * @throws ByzantineError `DATA_DIR` where it is marked already or cannot be written, `INVALID_CONFIG`.
 */
export function initDataDir(options: ByzantineNodeOptions): void {
  const { cluster, me, dataDir, durability } = resolveNode(options);
  if (durability === "fsync") markGenesis(cluster, me, dataDir as string);
}

/** The same for member `me` of a cluster. */
export function markGenesis(cluster: ClusterConfig, me: number, dir: string): void {
  initMarker(dir, ownerOf(cluster, me), false);
}
