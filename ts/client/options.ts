/** The options of a client: checked once, before anything is started. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { resolveCluster, type ClusterConfig, type ClusterOptions } from "../codec/cluster.ts";
import { Field } from "../codec/field.ts";
import { resolveClientFile } from "../codec/nodeOptions.ts";
import { ByzantineError } from "../errors.ts";
import { defaultLimits, type ClientLimits } from "./interfaces.ts";

export interface ByzantineClientOptions {
  /** The cluster's shared configuration, or the path of its `cluster.json`. */
  readonly cluster: ClusterConfig | ClusterOptions | string;
  /** This client's private key, PKCS#8 PEM. One of `key` and `keyFile` is needed. */
  readonly key?: string;
  /** Path of a file that holds it. */
  readonly keyFile?: string;
  /** How long `connect` waits for n − f replicas, 1 … 2^31−1 ms; default 10,000. */
  readonly connectTimeoutMs?: number;
  /** How long an operation waits for its result unless `submit` says otherwise, 1 … 2^31−1 ms; default 30,000. */
  readonly timeoutMs?: number;
  /** Ends `connect`; the connected client is ended by `close()`. */
  readonly signal?: AbortSignal;
  /** Operations that may wait for a place in flight; more reject as `BUSY`. 1 … 1,048,576; default 65,536. */
  readonly queueOperationsMax?: number;
  /** Bytes of operations that may wait, 262,144 … 1 GiB; default 64 MiB. */
  readonly queueBytesMax?: number;
  /** Bundles in flight, 1 … 64; default 4. More of them share fewer operations per signature. */
  readonly bundlesInFlightMax?: number;
}

export interface ResolvedClient {
  readonly cluster: ClusterConfig;
  readonly key: string;
  readonly connectTimeoutMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly limits: ClientLimits;
}

/** Longest delay that a timer of Node takes. */
export const TIMEOUT_MS_MAX = 2 ** 31 - 1;

const FIELDS = [
  "cluster",
  "key",
  "keyFile",
  "connectTimeoutMs",
  "timeoutMs",
  "signal",
  "queueOperationsMax",
  "queueBytesMax",
  "bundlesInFlightMax",
] as const satisfies readonly (keyof ByzantineClientOptions)[];

/**
 * Checks options, or reads them from a `client.json` whose path is given.
 * @throws ByzantineError `INVALID_CONFIG` that names the field (`data.field`) and what is accepted (`data.accepted`).
 */
export async function resolveClient(options: ByzantineClientOptions | string): Promise<ResolvedClient> {
  const given: unknown = typeof options === "string" ? await optionsFromFile(options) : options;
  const at = new Field("", given).object(FIELDS);
  const cluster = await clusterOf(at.cluster);
  const { sessions, limits } = cluster;
  return {
    cluster,
    key: await keyOf(at.key, at.keyFile),
    connectTimeoutMs: at.connectTimeoutMs.integer(1, TIMEOUT_MS_MAX, 10_000),
    timeoutMs: at.timeoutMs.integer(1, TIMEOUT_MS_MAX, 30_000),
    signal: signalOf(at.signal),
    limits: {
      ...defaultLimits,
      windowOperations: sessions.windowOperations,
      operationBytesMax: limits.operationBytesMax,
      // Half of what is accepted: our clock may be off by as much either way.
      openExpiryMs: Math.floor(sessions.openExpiryMaxMs / 2),
      queueOperationsMax: at.queueOperationsMax.integer(1, 1024 * 1024, defaultLimits.queueOperationsMax),
      queueBytesMax: at.queueBytesMax.integer(256 * 1024, 1024 * 1024 * 1024, defaultLimits.queueBytesMax),
      bundlesInFlightMax: at.bundlesInFlightMax.integer(1, 64, defaultLimits.bundlesInFlightMax),
    },
  };
}

async function optionsFromFile(path: string): Promise<ByzantineClientOptions> {
  const { cluster, keyFile } = resolveClientFile(parsed(path, await contentOf("client.json", path)));
  const folder = dirname(path);
  return { cluster: resolve(folder, cluster), keyFile: resolve(folder, keyFile) };
}

async function clusterOf(field: Field): Promise<ClusterConfig> {
  const { value } = field;
  if (field.absent) return field.refuse("the cluster's configuration, or the path of its cluster.json");
  if (typeof value !== "string") return resolveCluster(value);
  return resolveCluster(parsed(value, await contentOf("cluster", value)));
}

async function keyOf(key: Field, keyFile: Field): Promise<string> {
  const accepted =
    "the one of key and keyFile that is given: a private key as PKCS#8 PEM, or the path of a file with one";
  if (key.absent === keyFile.absent) return key.refuse(accepted);
  const { value, path } = key.absent ? keyFile : key;
  if (typeof value !== "string" || value === "") return new Field(path, typeof value).refuse(accepted);
  return key.absent ? contentOf("keyFile", value) : value;
}

function signalOf(field: Field): AbortSignal | undefined {
  const { value } = field;
  return value === undefined || value instanceof AbortSignal ? value : field.refuse("an AbortSignal");
}

async function contentOf(field: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const accepted = "the path of a file that can be read";
    throw new ByzantineError("INVALID_CONFIG", `${field}: cannot read ${path}`, { field, accepted, got: path }, cause);
  }
}

function parsed(path: string, content: string): unknown {
  try {
    return JSON.parse(content);
  } catch (cause) {
    throw new ByzantineError("INVALID_CONFIG", `${path} is not JSON`, { field: path, accepted: "JSON" }, cause);
  }
}
