/**
 * Durable records between TypeScript and the addon, `WIRE.md` §7, and what a replica restarts from. The addon stores a record together
 * with the bodies, signatures and messages that it names, and has checked what it gives back.
 */
import type { DurableRecord, DurableState, StoredRecord, ViewChangeCause } from "../protocol/core.ts";
import type { BundleRef, CertificateName, NewView, Phase } from "../protocol/messages.ts";
import type { Lsn, Sequence, SessionId, View } from "../protocol/types.ts";
import { readBatch, readDigests, writeBatch, writeDigests } from "./batch.ts";
import { DecodeError, malformed, Reader, type Writer } from "./bytes.ts";
import { BUNDLE_OPERATIONS_MAX } from "./client.ts";
import { readNewView, readReplica, readViewChange, writeNewView } from "./viewChange.ts";
import type { SignatureSource } from "./viewChange.ts";

const TYPES = [
  "lease",
  "prepared",
  "viewLeft",
  "viewEntered",
  "decided",
  "checkpoint",
  "stable",
  "cleanStop",
  "readmitted",
] as const satisfies readonly DurableRecord["type"][];
/** Types begin at 1. */
const FIRST_TYPE = 1;

const CAUSES: readonly ViewChangeCause[] = ["timeout", "complaints", "joined", "handOver", "fenced", "recovered"];
/** A restart from a journal that began in place of a lost one is "replaced". */
const STATES = ["genesis", "restart", "wiped", "replaced"] as const;

/** What the addon knows of a replica's past; the snapshot is kept by those who execute. */
export type Recovered = { readonly type: "genesis" | "wiped" } | Omit<Restart, "snapshot">;
type Restart = Extract<DurableState, { type: "restart" }>;

/** A NEW-VIEW of our own is written with `signatures`; of another primary's only the view, since the addon keeps it. */
export function writeRecord(writer: Writer, record: DurableRecord, signatures: SignatureSource | undefined): void {
  writer.u8(FIRST_TYPE + TYPES.indexOf(record.type));
  switch (record.type) {
    case "lease":
    case "cleanStop":
      writer.u53(record.view);
      return writer.u53(record.through);
    case "prepared":
      writer.u53(record.certificate.view);
      writeCertificate(writer, record.certificate);
      return writeBatch(writer, record.batch);
    case "viewLeft":
      writer.u53(record.target);
      writer.choice(CAUSES, record.cause);
      return writer.digest(record.message);
    case "viewEntered":
      return writeEntered(writer, record.newView, signatures);
    case "decided":
      writer.u53(record.sequence);
      writer.digest(record.digest);
      return writeBatch(writer, record.batch);
    case "checkpoint":
      writer.u53(record.sequence);
      writer.digest(record.digest);
      writer.u53(record.first);
      return writeDigests(writer, record.batches);
    case "stable":
      return writeCertificate(writer, record.certificate);
    case "readmitted":
      writer.u53(record.view);
      return writer.u53(record.ordered);
  }
}

/** Reads what the addon recovered. @throws Error where it is malformed: addon and TypeScript are of different releases. */
export function readRecovered(bytes: Uint8Array): Recovered {
  const reader = new Reader(bytes);
  try {
    const type = reader.choice(STATES);
    const clean = reader.boolean();
    const records = readList(reader, readStoredRecord);
    const bundles = readList(reader, readBundleRef);
    const viewChanges = readList(reader, readKeptViewChange);
    reader.end();
    if (type === "genesis" || type === "wiped") return { type };
    return { type: "restart", clean, wiped: type === "replaced", records, bundles, viewChanges };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new Error(`what the addon recovered is malformed: ${error.reason}`, { cause: error });
  }
}

/** The fields of a bundle that the core knows, as REQUEST and recovery bring them. */
export function readBundleRef(reader: Reader): BundleRef {
  const bundle: BundleRef = {
    digest: reader.digest(),
    client: reader.clientKey(),
    session: reader.u53() as SessionId,
    firstSequence: reader.u53(),
    acknowledgedThrough: reader.u53(),
    count: reader.u16(),
    bytes: reader.u32(),
  };
  if (bundle.count < 1 || bundle.count > BUNDLE_OPERATIONS_MAX) malformed("outOfRange");
  return bundle;
}

function readStoredRecord(reader: Reader): StoredRecord {
  const lsn = reader.u53() as Lsn;
  const body = new Reader(reader.bytes());
  const record = readRecord(body);
  body.end();
  return { lsn, record };
}

function readRecord(reader: Reader): DurableRecord {
  const type = TYPES[reader.u8() - FIRST_TYPE] ?? malformed("unknownType");
  switch (type) {
    case "lease":
    case "cleanStop":
      return { type, view: reader.u53() as View, through: reader.u53() as Sequence };
    case "prepared": {
      const certificate = readCertificate(reader, "prepare", reader.u53() as View);
      return { type, certificate, batch: readBatch(reader) };
    }
    case "viewLeft":
      return { type, target: reader.u53() as View, cause: reader.choice(CAUSES), message: reader.digest() };
    case "viewEntered": {
      const view = reader.u53() as View;
      const { message } = readNewView(new Reader(reader.bytes()));
      if (message.view !== view) malformed("notCanonical");
      return { type, newView: message };
    }
    case "decided":
      return { type, sequence: reader.u53() as Sequence, digest: reader.digest(), batch: readBatch(reader) };
    case "checkpoint": {
      const [sequence, digest, first] = [reader.u53() as Sequence, reader.digest(), reader.u53() as Sequence];
      return { type, sequence, digest, first, batches: readDigests(reader) };
    }
    case "stable":
      return { type, certificate: readCertificate(reader, "checkpoint", 0 as View) };
    case "readmitted":
      return { type, view: reader.u53() as View, ordered: reader.u53() as Sequence };
  }
}

function writeCertificate(writer: Writer, { sequence, digest, signers }: CertificateName): void {
  writer.u53(sequence);
  writer.digest(digest);
  writer.set(signers);
}

function readCertificate(reader: Reader, phase: Phase | "checkpoint", view: View): CertificateName {
  const [sequence, digest] = [reader.u53() as Sequence, reader.digest()];
  return { phase, view, sequence, digest, signers: reader.set() } as CertificateName;
}

function writeEntered(writer: Writer, newView: NewView, signatures: SignatureSource | undefined): void {
  writer.u53(newView.view);
  const place = writer.openLength();
  if (signatures !== undefined) writeNewView(writer, newView, signatures);
  writer.closeLength(place);
}

function readKeptViewChange(reader: Reader): Restart["viewChanges"][number] {
  const [from, digest] = [readReplica(reader), reader.digest()];
  const { message } = readViewChange(new Reader(reader.bytes()), digest);
  return { from, message };
}

function readList<T>(reader: Reader, read: (reader: Reader) => T): T[] {
  const list: T[] = [];
  for (let left = reader.u32(); left > 0; left--) list.push(read(reader));
  return list;
}
