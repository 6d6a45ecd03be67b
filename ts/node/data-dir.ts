/** A replica's data directory: whose it is, and how it begins. */
import type { ClusterConfig } from "../codec/cluster.ts";
import { ByzantineError } from "../errors.ts";
import { initDataDir as initMarker, type DataDirOwner } from "../native/native.ts";
import { resolveNode, type ByzantineNodeOptions } from "./options.ts";

/** Who member `me` of a cluster is to its data directory. */
export function ownerOf({ clusterId, epoch, nodes }: ClusterConfig, me: number): DataDirOwner {
  const replicaKey = Buffer.from(nodes[me]?.publicKey ?? "", "hex");
  return { clusterId: Buffer.from(clusterId, "hex"), epoch, replicaKey };
}

export interface InitDataDirOptions {
  /** The directory takes the place of one that was lost: the replica took part before, and does not know what it said. */
  readonly diskLost?: boolean;
}

/**
 * Marks a node's `dataDir`, which is absent or empty. Done once, by whoever sets the cluster up, for a replica that has never taken
 * part in this epoch; or with `diskLost` for one whose disk was lost, which votes again when the cluster has gone on far enough.
 * A directory without a mark is refused. To mark a lost one as new lets its replica contradict itself.
 * @throws ByzantineError `DATA_DIR` where it is marked already or cannot be written, `INVALID_CONFIG`.
 */
export function initDataDir(options: ByzantineNodeOptions, { diskLost = false }: InitDataDirOptions = {}): void {
  const { cluster, me, dataDir, durability } = resolveNode(options);
  if (durability === "fsync") mark(dataDir as string, ownerOf(cluster, me), diskLost);
}

/** The same for member `me` of a new cluster. */
export function markGenesis(cluster: ClusterConfig, me: number, dir: string): void {
  mark(dir, ownerOf(cluster, me), false);
}

function mark(dir: string, owner: DataDirOwner, diskLost: boolean): void {
  try {
    initMarker(dir, owner, diskLost);
  } catch (error) {
    if (!(error instanceof ByzantineError)) throw error;
    throw new ByzantineError(error.code, `${dir}: ${error.message}`, { ...error.data, dataDir: dir }, error);
  }
}
