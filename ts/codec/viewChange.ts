/**
 * VIEW_CHANGE and NEW_VIEW, bodies without the sender's own signature.
 *
 * The core names certificates, the wire carries their signatures: encoding asks a {@link SignatureSource} for them, decoding
 * hands them out beside the message, as views of the input, so that a port can verify each and keep it.
 */
import type { CertificateName, NewView, ViewChange } from "../protocol/messages.ts";
import { REPLICAS_MAX, sizeOf } from "../protocol/types.ts";
import type { Digest, ReplicaId, Sequence, View } from "../protocol/types.ts";
import { DIGEST_BYTES, malformed, SIGNATURE_BYTES, WINDOW_MAX } from "./bytes.ts";
import type { Reader, Writer } from "./bytes.ts";

/** Who holds the signatures that messages carry for others. */
export interface SignatureSource {
  /** Signatures of a certificate's signers by replica ascending, 64 bytes each, one after another. */
  certificate(name: CertificateName): Uint8Array;
  /** The new primary's signature of PRE-PREPARE (view, sequence, digest), 64 bytes. */
  proposal(view: View, sequence: Sequence, digest: Digest): Uint8Array;
}

/** @throws Error where there is none: whoever writes a message with certificates holds their signatures. */
export function requireSource(source: SignatureSource | undefined): SignatureSource {
  if (source === undefined) throw new Error("a message that carries certificates needs a source of signatures");
  return source;
}

/** A certificate with its signatures by replica ascending, 64 bytes each; `signatures` is a view of the input. */
export interface Certificate {
  readonly name: CertificateName;
  readonly signatures: Uint8Array;
}

export interface DecodedViewChange {
  readonly message: ViewChange;
  /** The stable certificate, if there is one, then the prepared ones: those that `message` names, in its order. */
  readonly certificates: readonly Certificate[];
}

export interface DecodedNewView {
  readonly message: NewView;
  /** The primary's signature of PRE-PREPARE for each of `message.batches`; views of the input. */
  readonly proposals: readonly Uint8Array[];
}

/** view, sequence, digest and signers. */
const PREPARED_BYTES_MIN = 8 + 8 + DIGEST_BYTES + 4;

export function writeViewChange(writer: Writer, message: Omit<ViewChange, "digest">, source: SignatureSource): void {
  writer.u53(message.target);
  const { stable } = message;
  writer.u53(stable === undefined ? 0 : stable.sequence);
  if (stable !== undefined) {
    if (stable.sequence === 0) throw new RangeError("a stable certificate is for a sequence above 0");
    writeSigned(writer, stable, source);
  }
  writer.u16(requireCount(message.prepared.length));
  for (const prepared of message.prepared) {
    writer.u53(prepared.view);
    writer.u53(prepared.sequence);
    writeSigned(writer, prepared, source);
  }
}

/** `digest` is the message digest that the verifier computed from these bytes and the signature. */
export function readViewChange(reader: Reader, digest: Digest): DecodedViewChange {
  const certificates: Certificate[] = [];
  const target = reader.u53() as View;
  const stableSequence = reader.u53() as Sequence;
  if (stableSequence !== 0) certificates.push(readSigned(reader, "checkpoint", 0 as View, stableSequence));
  const stable = certificates[0]?.name;
  const count = reader.count16(PREPARED_BYTES_MIN);
  if (count > WINDOW_MAX) malformed("outOfRange");
  const prepared: CertificateName[] = [];
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const view = reader.u53() as View;
    const sequence = reader.u53() as Sequence;
    if (sequence <= previous) malformed("notCanonical");
    previous = sequence;
    const certificate = readSigned(reader, "prepare", view, sequence);
    certificates.push(certificate);
    prepared.push(certificate.name);
  }
  return { message: { type: "viewChange", target, stable, prepared, digest }, certificates };
}

export function writeNewView(writer: Writer, message: NewView, source: SignatureSource): void {
  writer.u53(message.view);
  writer.u8(message.viewChanges.length);
  for (const { from, digest } of message.viewChanges) {
    writer.u8(from);
    writer.digest(digest);
  }
  writer.u53(message.first);
  writer.u16(requireCount(message.batches.length));
  for (const [i, digest] of message.batches.entries()) {
    writer.digest(digest);
    writer.raw(requireSignatures(source.proposal(message.view, (message.first + i) as Sequence, digest), 1));
  }
}

export function readNewView(reader: Reader): DecodedNewView {
  const view = reader.u53() as View;
  const viewChanges = readNamedViewChanges(reader);
  const first = reader.u53() as Sequence;
  const count = reader.count16(DIGEST_BYTES + SIGNATURE_BYTES);
  if (count > WINDOW_MAX) malformed("outOfRange");
  const batches: Digest[] = [];
  const proposals: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    batches.push(reader.digest());
    proposals.push(reader.raw(SIGNATURE_BYTES));
  }
  return { message: { type: "newView", view, viewChanges, first, batches }, proposals };
}

/** A replica's number, which a set of replicas can hold. */
export function readReplica(reader: Reader): ReplicaId {
  const replica = reader.u8();
  if (replica >= REPLICAS_MAX) malformed("outOfRange");
  return replica as ReplicaId;
}

function readNamedViewChanges(reader: Reader): NewView["viewChanges"] {
  const count = reader.count8(1 + DIGEST_BYTES);
  const named: NewView["viewChanges"][number][] = [];
  let previous = -1;
  for (let i = 0; i < count; i++) {
    const from = readReplica(reader);
    if (from <= previous) malformed("notCanonical");
    previous = from;
    named.push({ from, digest: reader.digest() });
  }
  return named;
}

function writeSigned(writer: Writer, name: CertificateName, source: SignatureSource): void {
  writer.digest(name.digest);
  writer.set(name.signers);
  writer.raw(requireSignatures(source.certificate(name), sizeOf(name.signers)));
}

function readSigned(reader: Reader, phase: CertificateName["phase"], view: View, sequence: Sequence): Certificate {
  const digest = reader.digest();
  const signers = reader.set();
  const signatures = reader.raw(sizeOf(signers) * SIGNATURE_BYTES);
  return { name: { phase, view, sequence, digest, signers }, signatures };
}

function requireCount(count: number): number {
  if (count > WINDOW_MAX) throw new RangeError(`a view change lists at most ${WINDOW_MAX} sequences, not ${count}`);
  return count;
}

function requireSignatures(signatures: Uint8Array, count: number): Uint8Array {
  if (signatures.length !== count * SIGNATURE_BYTES) {
    throw new RangeError(`${count} signatures were asked for and ${signatures.length} bytes given`);
  }
  return signatures;
}
