/**
 * What two ends of a connection compare before anything else, `WIRE.md` §1: one digest per field of the shared configuration,
 * so that a difference names its field. Addresses and timeouts may differ and are not among them.
 */
import { Writer } from "./bytes.ts";
import type { ClusterConfig } from "./cluster.ts";
import { digestFromHex } from "./digest.ts";

/** A field of HELLO. */
export interface HelloField {
  readonly name: string;
  /** SHA-256 of the field's canonical bytes. */
  readonly digest: Uint8Array;
}

/** Each field's canonical bytes: numbers as u53, keys as 32 bytes. */
const FIELDS = {
  cluster: (writer, cluster) => writeKey(writer, cluster.clusterId),
  epoch: (writer, cluster) => writer.u53(cluster.epoch),
  members: (writer, cluster) =>
    writeKeys(
      writer,
      cluster.nodes.map(({ publicKey }) => publicKey),
    ),
  maxFaults: (writer, cluster) => writer.u53(cluster.maxFaults),
  checkpointInterval: (writer, cluster) => writer.u53(cluster.checkpointInterval),
  window: (writer, cluster) => writer.u53(cluster.checkpointInterval * cluster.windowIntervals),
  limits: (writer, { limits }) => {
    writer.u53(limits.operationBytesMax);
    writer.u53(limits.batchBundlesMax);
    writer.u53(limits.batchBytesMax);
    writer.u53(limits.poolBundlesMax);
    writer.u53(limits.poolBytesMax);
    writer.u53(limits.inFlightMax);
  },
  sessions: (writer, { sessions }) => {
    writer.u53(sessions.perKeyMax);
    writer.u53(sessions.totalMax);
    writer.u53(sessions.windowOperations);
    writer.u53(sessions.resultBytesMax);
    writer.u53(sessions.openExpiryMaxMs);
  },
  clients: (writer, { clients }) => {
    writer.boolean(clients !== "any");
    // Names are for people, and the order of the list means nothing.
    if (clients !== "any") writeKeys(writer, clients.map(({ publicKey }) => publicKey).sort());
  },
  reads: (writer, { reads }) => writer.boolean(reads.fast),
} as const satisfies Readonly<Record<string, (writer: Writer, cluster: ClusterConfig) => void>>;

export type HelloFieldName = keyof typeof FIELDS;

/** What a client depends on; the rest is between replicas. */
const CLIENT_FIELDS: readonly HelloFieldName[] = ["cluster", "epoch", "members", "maxFaults"];

/**
 * The fields that a replica, or a client, sends and compares, names ascending.
 * @param sha256 Gives the 32 bytes of a digest.
 */
export function helloFields(
  cluster: ClusterConfig,
  sha256: (bytes: Uint8Array) => Uint8Array,
  role: "replica" | "client" = "replica",
): readonly HelloField[] {
  const names = role === "client" ? CLIENT_FIELDS : (Object.keys(FIELDS) as HelloFieldName[]);
  const writer = new Writer();
  return [...names].sort().map((name) => {
    writer.reset();
    FIELDS[name](writer, cluster);
    return { name, digest: sha256(writer.copy()) };
  });
}

function writeKeys(writer: Writer, keys: readonly string[]): void {
  writer.u32(keys.length);
  for (const key of keys) writeKey(writer, key);
}

function writeKey(writer: Writer, hex: string): void {
  const key = digestFromHex(hex);
  if (key === undefined) throw new RangeError("a checked configuration holds keys of 64 hexadecimal digits");
  writer.digest(key);
}
