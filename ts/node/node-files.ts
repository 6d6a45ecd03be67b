/** A node's configuration from files, as `byzantine-quic init` writes them. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { resolveCluster } from "../codec/cluster.ts";
import { resolveNodeOptions } from "../codec/nodeOptions.ts";
import { ByzantineError } from "../errors.ts";
import type { ByzantineNodeOptions } from "./options.ts";

/**
 * Reads `node.json`, the cluster file and the key that it names.
 * @throws ByzantineError `INVALID_CONFIG` naming the file or the field.
 */
export async function readNodeFiles(path: string): Promise<Omit<ByzantineNodeOptions, "stateMachine">> {
  const node = resolveNodeOptions(await readJson(path));
  const at = (relative: string): string => resolve(dirname(path), relative);
  const { formatVersion: _version, reads: _reads, ...cluster } = resolveCluster(await readJson(at(node.cluster)));
  return {
    ...cluster,
    nodeId: node.nodeId,
    key: await readText(at(node.keyFile)),
    ...(node.listen === undefined ? {} : { listen: node.listen }),
    execution: node.execution,
    dataDir: at(node.dataDir),
    durability: node.durability,
    debug: node.debug,
    flightRecorder: node.flightRecorder,
  };
}

/** @throws ByzantineError `INVALID_CONFIG` where the file is missing or no JSON. */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ByzantineError("INVALID_CONFIG", `${path}: not JSON: ${String(error)}`, { file: path }, error);
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new ByzantineError("INVALID_CONFIG", `${path}: ${(error as Error).message}`, { file: path }, error);
  }
}
