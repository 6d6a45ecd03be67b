/**
 * A replica that keeps nothing must not come back as if nothing had happened: what it promised before is forgotten, and
 * voting again could contradict it. The marker in its data directory remembers the epoch that it took part in.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClusterConfig } from "../codec/cluster.ts";
import { ByzantineError } from "../errors.ts";

/**
 * Claims the cluster's epoch for this process.
 * @returns Gives it back, for a replica that could not be started and has said nothing.
 * @throws ByzantineError `HALTED` with `data.reason` `WIPED_DISK` if an earlier process took part in this epoch.
 */
export async function claimIncarnation(
  dataDir: string | undefined,
  cluster: ClusterConfig,
): Promise<() => Promise<void>> {
  if (dataDir === undefined) return async () => {};
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, `incarnation-${cluster.clusterId.slice(0, 16)}-${cluster.epoch}`);
  try {
    await writeFile(path, `${new Date().toISOString()}\n`, { flag: "wx", mode: 0o600 });
    return async () => rm(path, { force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new ByzantineError(
      "HALTED",
      `this replica took part in epoch ${cluster.epoch} before and kept nothing of it (durability "none"): ` +
        "a restart counts as a wiped disk; start all replicas together in a new epoch",
      { reason: "WIPED_DISK", marker: path },
    );
  }
}
