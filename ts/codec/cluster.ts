/**
 * The configuration that all replicas and clients of a cluster share: `cluster.json`, and the options of a node that is built
 * without files. It is checked once, here, before anything is started; every default and range stands in this file.
 */
import { NUMBER_MAX, REPLICAS_MAX } from "../protocol/types.ts";
import { WINDOW_MAX } from "./bytes.ts";
import { BUNDLE_OPERATIONS_MAX } from "./client.ts";
import { Field, requireDistinct } from "./field.ts";

export { helloFields } from "./hello.ts";
export type { HelloField, HelloFieldName } from "./hello.ts";

/** Version of the configuration files; another one is refused. */
export const FORMAT_VERSION = 1;
/** Fewer replicas than 3f+1 for f = 1 tolerate no Byzantine fault at all. */
export const REPLICAS_MIN = 4;

/** A member of the cluster. */
export interface NodeConfig {
  /** 1 … 64 of `A–Z a–z 0–9 . _ -`, the first a letter or digit. Replicas are numbered in the order of their `nodeId`. */
  readonly nodeId: string;
  /** Name or address under which the others reach it. */
  readonly host: string;
  /** UDP port, 1 … 65535. */
  readonly port: number;
  /** Ed25519 public key, 64 lower-case hexadecimal digits. */
  readonly publicKey: string;
}

/** A client that is admitted by name. */
export interface ClientConfig {
  readonly name: string;
  /** Ed25519 public key, 64 lower-case hexadecimal digits. */
  readonly publicKey: string;
}

export interface ClusterLimits {
  /** Bytes of one operation, 128 … 262,144 (default). */
  readonly operationBytesMax: number;
  /** Bundles in a batch, 1 … 4,096; default 256. */
  readonly batchBundlesMax: number;
  /** Bytes of the bundles of a batch, 4,096 … 4,194,304; default 1 MiB. A single bundle always fits. */
  readonly batchBytesMax: number;
  /** Bundles that wait in a replica's pool, 16 … 65,536; default 4,096. */
  readonly poolBundlesMax: number;
  /** Bytes of the bundles in a pool, 1 MiB … 1 GiB; default 64 MiB. */
  readonly poolBytesMax: number;
  /** Sequences proposed and not executed, 1 … window; default 64 or the window, whichever is less. */
  readonly inFlightMax: number;
}

export interface SessionLimits {
  /** Sessions of one client key, 1 … 1,024; default 32. Its own oldest one is evicted first. */
  readonly perKeyMax: number;
  /** Sessions in all, `perKeyMax` … 1,000,000; default 4,096. */
  readonly totalMax: number;
  /** Client sequences above the acknowledged one that a session may use, 1,024 … 65,535; default 4,096. */
  readonly windowOperations: number;
  /** Bytes of results that are kept per session, 64 KiB … 64 MiB; default 257 KiB: one of the largest fits. */
  readonly resultBytesMax: number;
  /** How far ahead of agreed time the opening of a session may expire, 1,000 … 3,600,000 ms; default 300,000. */
  readonly openExpiryMaxMs: number;
}

/** A checked configuration: every field is there and in range. */
export interface ClusterConfig {
  readonly formatVersion: typeof FORMAT_VERSION;
  /** 64 lower-case hexadecimal digits, random: part of everything that is signed. */
  readonly clusterId: string;
  /** Epoch of the configuration, part of everything that is signed; default 0. */
  readonly epoch: number;
  /** 4 … 31 members in ascending order of `nodeId`: the place in this list is the replica's number. */
  readonly nodes: readonly NodeConfig[];
  /** Faulty replicas tolerated, 0 … ⌊(n−1)/3⌋ (default). */
  readonly maxFaults: number;
  /** Patience with a primary, 100 … 600,000 ms; default 5,000. */
  readonly viewChangeTimeoutMs: number;
  /** Sequence numbers from one checkpoint to the next, 1 … 1,024; default 100. */
  readonly checkpointInterval: number;
  /** Checkpoint intervals in the window of sequence numbers, 2 … 8; default 2. */
  readonly windowIntervals: number;
  readonly limits: ClusterLimits;
  readonly sessions: SessionLimits;
  /** Who may submit operations besides the members: any key, under quotas, or those listed. Default `"any"`. */
  readonly clients: "any" | readonly ClientConfig[];
  readonly reads: {
    /** Whether replicas answer reads without ordering them; default false. */
    readonly fast: boolean;
  };
}

/** What {@link resolveCluster} takes: `clusterId` and `nodes`, and of the rest what differs from the defaults. */
export interface ClusterOptions {
  readonly formatVersion?: typeof FORMAT_VERSION | undefined;
  readonly clusterId: string;
  readonly epoch?: number | undefined;
  /** In any order. */
  readonly nodes: readonly NodeConfig[];
  readonly maxFaults?: number | undefined;
  readonly viewChangeTimeoutMs?: number | undefined;
  readonly checkpointInterval?: number | undefined;
  readonly windowIntervals?: number | undefined;
  readonly limits?: Partial<ClusterLimits> | undefined;
  readonly sessions?: Partial<SessionLimits> | undefined;
  readonly clients?: ClusterConfig["clients"] | undefined;
  readonly reads?: Partial<ClusterConfig["reads"]> | undefined;
}

/** The fields of a cluster's configuration, in the order in which `init` writes them. */
export const CLUSTER_FIELDS = [
  "formatVersion",
  "clusterId",
  "epoch",
  "nodes",
  "maxFaults",
  "viewChangeTimeoutMs",
  "checkpointInterval",
  "windowIntervals",
  "limits",
  "sessions",
  "clients",
  "reads",
] as const satisfies readonly (keyof ClusterConfig)[];

const KIB = 1024;
const MIB = 1024 * KIB;
/** RECOVER, 18 bytes, must fit whatever an operator chooses. */
const OPERATION_BYTES_MIN = 128;
/** Instances in flight by default; more gain nothing and lengthen view changes. */
const IN_FLIGHT_DEFAULT = 64;
/** Listed clients: a list is compared digest by digest at every connection, beyond it `"any"` with quotas fits better. */
const CLIENTS_MAX = 10_000;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const NAME_ACCEPTED = "1 … 64 characters of A–Z a–z 0–9 . _ -, the first a letter or digit";
const HEX = /^[0-9a-f]{64}$/;
const KEY_ACCEPTED = "an Ed25519 public key as 64 lower-case hexadecimal digits";
const HOST = /^[A-Za-z0-9_.:%-]{1,253}$/;
const HOST_ACCEPTED = "a host name or an IP address without brackets";

/**
 * Checks a shared configuration and fills in the defaults.
 * @param options The parsed `cluster.json`, or what a caller gave; any value.
 * @throws ByzantineError `INVALID_CONFIG` that names the field (`nodes[2].port`) and what is accepted (`data.field`, `data.accepted`).
 */
export function resolveCluster(options: unknown): ClusterConfig {
  const at = new Field("", options).object(CLUSTER_FIELDS);
  requireFormatVersion(at.formatVersion);
  const nodes = resolveNodes(at.nodes);
  const checkpointInterval = at.checkpointInterval.integer(
    1,
    Math.min(1024, Math.floor(windowMax(nodes.length) / 2)),
    100,
  );
  const windowIntervals = resolveWindowIntervals(at.windowIntervals, checkpointInterval, nodes.length);
  return {
    formatVersion: FORMAT_VERSION,
    clusterId: at.clusterId.text(HEX, "64 lower-case hexadecimal digits"),
    epoch: at.epoch.integer(0, NUMBER_MAX, 0),
    nodes,
    maxFaults: resolveMaxFaults(at.maxFaults, nodes.length),
    viewChangeTimeoutMs: at.viewChangeTimeoutMs.integer(100, 600_000, 5000),
    checkpointInterval,
    windowIntervals,
    limits: resolveLimits(at.limits, windowIntervals * checkpointInterval),
    sessions: resolveSessions(at.sessions),
    clients: resolveClients(at.clients),
    reads: { fast: at.reads.orEmpty(["fast"]).fast.boolean(false) },
  };
}

/** Checks the version that a configuration file states; one may be left out where there is no file. */
export function requireFormatVersion(field: Field): void {
  if (!field.absent && field.value !== FORMAT_VERSION) field.refuse(`${FORMAT_VERSION}, the only known version`);
}

/** Checks a `nodeId`. */
export function requireName(field: Field): string {
  return field.text(NAME, NAME_ACCEPTED);
}

/** Checks a host name or address. */
export function requireHost(field: Field): string {
  return field.text(HOST, HOST_ACCEPTED);
}

function resolveNodes(field: Field): readonly NodeConfig[] {
  const accepted = `a list of ${REPLICAS_MIN} … ${REPLICAS_MAX} members (n ≥ 3f+1; fewer than ${REPLICAS_MIN} tolerate no fault)`;
  const members = field.list(REPLICAS_MIN, REPLICAS_MAX, accepted).map((element) => {
    const at = element.object(["nodeId", "host", "port", "publicKey"]);
    const nodeId = requireName(at.nodeId);
    const host = requireHost(at.host);
    const port = at.port.integer(1, 65_535);
    return { at, node: { nodeId, host, port, publicKey: at.publicKey.text(HEX, KEY_ACCEPTED) } };
  });
  const nodes = members.map(({ node }) => node);
  const fieldsOf = (name: keyof NodeConfig): Field[] => members.map(({ at }) => at[name]);
  requireDistinct(
    fieldsOf("nodeId"),
    nodes.map(({ nodeId }) => nodeId),
    "a nodeId",
  );
  requireDistinct(
    fieldsOf("publicKey"),
    nodes.map(({ publicKey }) => publicKey),
    "a key",
  );
  requireDistinct(
    fieldsOf("port"),
    nodes.map(({ host, port }) => `${host.toLowerCase()} ${port}`),
    "an address",
  );
  // Names are ASCII, so this is the order of their bytes.
  return nodes.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
}

function resolveMaxFaults(field: Field, n: number): number {
  const most = Math.floor((n - 1) / 3);
  if (field.absent) return most;
  if (typeof field.value === "number" && field.value > most) {
    field.refuse(`an integer, 0 … ${most} (n ≥ 3f+1 with n = ${n})`);
  }
  return field.integer(0, most);
}

/** What a frame of the control lane holds. */
const CONTROL_BYTES_MAX = 2 * 1024 * 1024;
/** A VIEW-CHANGE besides its prepared certificates: its stable one with 31 signatures, and its own. */
const VIEW_CHANGE_HEAD_BYTES = 4096;
/** A prepared certificate: view, sequence, digest and signers, and a signature of each. */
const CERTIFICATE_BYTES = 52;
const SIGNATURE_BYTES = 64;

/** The widest window of n replicas: a VIEW-CHANGE holds a certificate of up to n signatures for each sequence of it, in one frame. */
function windowMax(n: number): number {
  return Math.min(
    WINDOW_MAX,
    Math.floor((CONTROL_BYTES_MAX - VIEW_CHANGE_HEAD_BYTES) / (CERTIFICATE_BYTES + SIGNATURE_BYTES * n)),
  );
}

function resolveWindowIntervals(field: Field, checkpointInterval: number, n: number): number {
  return field.integer(2, Math.min(8, Math.floor(windowMax(n) / checkpointInterval)), 2);
}

function resolveLimits(field: Field, window: number): ClusterLimits {
  const at = field.orEmpty([
    "operationBytesMax",
    "batchBundlesMax",
    "batchBytesMax",
    "poolBundlesMax",
    "poolBytesMax",
    "inFlightMax",
  ]);
  return {
    operationBytesMax: at.operationBytesMax.integer(OPERATION_BYTES_MIN, 256 * KIB, 256 * KIB),
    batchBundlesMax: at.batchBundlesMax.integer(1, 4096, 256),
    batchBytesMax: at.batchBytesMax.integer(4 * KIB, 4 * MIB, MIB),
    poolBundlesMax: at.poolBundlesMax.integer(16, 65_536, 4096),
    poolBytesMax: at.poolBytesMax.integer(MIB, 1024 * MIB, 64 * MIB),
    inFlightMax: at.inFlightMax.integer(1, window, Math.min(window, IN_FLIGHT_DEFAULT)),
  };
}

function resolveSessions(field: Field): SessionLimits {
  const at = field.orEmpty(["perKeyMax", "totalMax", "windowOperations", "resultBytesMax", "openExpiryMaxMs"]);
  const perKeyMax = at.perKeyMax.integer(1, 1024, 32);
  return {
    perKeyMax,
    totalMax: at.totalMax.integer(perKeyMax, 1_000_000, 4096),
    // A full bundle must fit a session's window.
    windowOperations: at.windowOperations.integer(BUNDLE_OPERATIONS_MAX, 65_535, 4096),
    resultBytesMax: at.resultBytesMax.integer(64 * KIB, 64 * MIB, 257 * KIB),
    openExpiryMaxMs: at.openExpiryMaxMs.integer(1000, 3_600_000, 300_000),
  };
}

function resolveClients(field: Field): ClusterConfig["clients"] {
  if (field.absent || field.value === "any") return "any";
  const clients = field.list(0, CLIENTS_MAX, `"any" or a list of at most ${CLIENTS_MAX} clients`).map((element) => {
    const at = element.object(["name", "publicKey"]);
    return { at, client: { name: requireName(at.name), publicKey: at.publicKey.text(HEX, KEY_ACCEPTED) } };
  });
  const fieldsOf = (name: keyof ClientConfig): Field[] => clients.map(({ at }) => at[name]);
  requireDistinct(
    fieldsOf("name"),
    clients.map(({ client }) => client.name),
    "a name",
  );
  requireDistinct(
    fieldsOf("publicKey"),
    clients.map(({ client }) => client.publicKey),
    "a key",
  );
  return clients.map(({ client }) => client);
}

/** A member's address as the transport takes it: IPv6 addresses in brackets. */
export function addressOf({ host, port }: Pick<NodeConfig, "host" | "port">): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Largest UDP payload on a loopback interface: ten of them, one batch of segments, stay below what one system call takes. */
const LOOPBACK_MTU = 6_500;

/** The largest UDP payload to try where all members are on this machine; `undefined` leaves it to discovery on a real network. */
export function mtuOf({ nodes }: Pick<ClusterConfig, "nodes">): number | undefined {
  return nodes.every(({ host }) => /^(?:localhost|127\.[0-9.]+|::1)$/.test(host)) ? LOOPBACK_MTU : undefined;
}
