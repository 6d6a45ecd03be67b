/** Data directories that a test makes, and harm that is done to files in them. */
import type { ExecutionContext } from "ava";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initDataDir, SnapshotFileWriter } from "../../dist/native/native.js";
import type { DataDirOwner, SnapshotStatus } from "../../dist/native/native.js";
import { eventually } from "../process/ports.ts";

export const OWNER: DataDirOwner = {
  clusterId: new Uint8Array(32).fill(1),
  epoch: 7,
  replicaKey: new Uint8Array(32).fill(2),
};
export const DIGEST: Uint8Array = new Uint8Array(32).fill(3);

/** A path that is not there yet, in a directory that is gone afterwards. */
export async function newPath(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "byzantine-data-"));
  t.teardown(async () => rm(made, { recursive: true, force: true }));
  return join(made, "data");
}

/** A data directory of {@link OWNER}. */
export async function dataDir(t: ExecutionContext, wiped = false): Promise<string> {
  const dir = await newPath(t);
  initDataDir(dir, OWNER, wiped);
  return dir;
}

/** How a writer ended. */
export async function ended(writer: SnapshotFileWriter): Promise<SnapshotStatus> {
  return eventually("the end of a snapshot", () => {
    const status = writer.status();
    return status.state !== "writing" && status;
  });
}

/** Writes a snapshot of {@link OWNER}; fails if it does not become durable. */
export async function writeSnapshot(dir: string, sequence: number, chunks: readonly Uint8Array[]): Promise<void> {
  const writer = new SnapshotFileWriter(dir, OWNER, sequence, DIGEST);
  for (const chunk of chunks) await eventually("room for a chunk", () => writer.write(chunk));
  writer.finish();
  const status = await ended(writer);
  if (status.state !== "done") throw new Error(JSON.stringify(status));
}

export function snapshotFile(sequence: number): string {
  return `snapshot-${sequence.toString(16).padStart(16, "0")}.state`;
}

/** Flips one bit of the byte at `offset`, from the end where that is negative. */
export async function flipBit(file: string, offset: number): Promise<void> {
  const bytes = await readFile(file);
  const at = offset < 0 ? bytes.length + offset : offset;
  bytes[at] = bytes[at]! ^ 1;
  await writeFile(file, bytes);
}
