/** The files of one node and of one client: `node.json` and `client.json`. Paths are relative to the file that names them. */
import { FORMAT_VERSION, requireFormatVersion, requireHost, requireName } from "./cluster.ts";
import { Field } from "./field.ts";

/** What is one node's own: where its key and its data lie, where it listens, how it runs. */
export interface NodeOptions {
  readonly formatVersion: typeof FORMAT_VERSION;
  /** Which member of the cluster this is. */
  readonly nodeId: string;
  /** Path of `cluster.json`. */
  readonly cluster: string;
  /** Path of the private key, PKCS#8 PEM. */
  readonly keyFile: string;
  /** Where to listen, which need not be where the others reach it; by default the member's own host and port. */
  readonly listen: { readonly host: string; /** 0 takes any free port. */ readonly port: number } | undefined;
  /** Path of the directory for everything that must survive a restart. */
  readonly dataDir: string;
  /** `"fsync"` (default): what binds the node is durable before it leaves. `"none"`: a restart counts as a wiped disk. */
  readonly durability: "fsync" | "none";
  /** Where the state machine's module runs: in the core's thread (default) or in a worker of its own. */
  readonly execution: "inline" | "worker";
  /** Verbose logs; default false. */
  readonly debug: boolean;
  /** Whether the inputs of the last turns are kept for a replay after a failure; default false. */
  readonly flightRecorder: boolean;
}

/** What is one client's own. */
export interface ClientFile {
  readonly formatVersion: typeof FORMAT_VERSION;
  /** Path of `cluster.json`. */
  readonly cluster: string;
  /** Path of the private key, PKCS#8 PEM. */
  readonly keyFile: string;
}

const PATH = /^[^\0]{1,4096}$/;
const PATH_ACCEPTED = "a path of 1 … 4,096 characters";

/**
 * Checks a parsed `node.json` and fills in the defaults.
 * @throws ByzantineError `INVALID_CONFIG` that names the field and what is accepted.
 */
export function resolveNodeOptions(options: unknown): NodeOptions {
  const at = new Field("", options).object([
    "formatVersion",
    "nodeId",
    "cluster",
    "keyFile",
    "listen",
    "dataDir",
    "durability",
    "execution",
    "debug",
    "flightRecorder",
  ]);
  requireFormatVersion(at.formatVersion);
  return {
    formatVersion: FORMAT_VERSION,
    nodeId: requireName(at.nodeId),
    cluster: at.cluster.text(PATH, PATH_ACCEPTED),
    keyFile: at.keyFile.text(PATH, PATH_ACCEPTED),
    listen: at.listen.absent ? undefined : resolveListen(at.listen),
    dataDir: at.dataDir.text(PATH, PATH_ACCEPTED),
    durability: at.durability.oneOf(["fsync", "none"], "fsync"),
    execution: at.execution.oneOf(["inline", "worker"], "inline"),
    debug: at.debug.boolean(false),
    flightRecorder: at.flightRecorder.boolean(false),
  };
}

/**
 * Checks a parsed `client.json`.
 * @throws ByzantineError `INVALID_CONFIG` that names the field and what is accepted.
 */
export function resolveClientFile(options: unknown): ClientFile {
  const at = new Field("", options).object(["formatVersion", "cluster", "keyFile"]);
  requireFormatVersion(at.formatVersion);
  return {
    formatVersion: FORMAT_VERSION,
    cluster: at.cluster.text(PATH, PATH_ACCEPTED),
    keyFile: at.keyFile.text(PATH, PATH_ACCEPTED),
  };
}

function resolveListen(field: Field): { host: string; port: number } {
  const at = field.object(["host", "port"]);
  return { host: requireHost(at.host), port: at.port.integer(0, 65_535) };
}
