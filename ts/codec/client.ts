/** What clients and replicas say to each other: BUNDLE, REPLY, BUSY, READ, READ_ANSWER. Bodies, without signature. */
import type { ResultStatus } from "../protocol/messages.ts";
import type { ClientKey, Digest, Sequence, SessionId, View } from "../protocol/types.ts";
import { malformed, SIGNATURE_BYTES } from "./bytes.ts";
import type { Reader, Writer } from "./bytes.ts";

/** Operations in a bundle, at least 1. */
export const BUNDLE_OPERATIONS_MAX = 1024;
/** Bytes of a bundle with its signature: what a frame of the client lane holds with room to spare. */
export const BUNDLE_BYTES_MAX = 512 * 1024;

/** Some operations of one session under one signature; a retry sends the same bytes. */
export interface Bundle {
  readonly client: ClientKey;
  /** 0 for one operation outside of any session (OPEN, RECOVER). */
  readonly session: SessionId;
  /** Client sequence of the first operation, consecutive from there; a nonce where `session` is 0. */
  readonly firstSequence: number;
  /** All results up to here have reached the client; 0 where `session` is 0. */
  readonly acknowledgedThrough: number;
  /** 1 … 1024. Decoded ones are views of the input. */
  readonly operations: readonly Uint8Array[];
}

/** The status names by their number on the wire. */
export const resultStatuses: readonly ResultStatus[] = [
  "ok",
  "refused",
  "failed",
  "sessionExpired",
  "forgotten",
  "outOfWindow",
];

/** A result in full, or the digest that f+1 replicas must agree on. Decoded results are views of the input. */
export type Outcome =
  | { readonly status: ResultStatus; readonly result: Uint8Array }
  | { readonly status: ResultStatus; readonly digest: Digest };

export type ReplyEntry = Outcome & {
  /** Client sequence; the nonce where the reply's session is 0. */
  readonly sequence: number;
};

export interface Reply {
  readonly session: SessionId;
  /** The batch that executed these operations. */
  readonly batchSequence: Sequence;
  readonly view: View;
  readonly tentative: boolean;
  readonly entries: readonly ReplyEntry[];
}

/** "The pool is full; this bundle was not taken." */
export interface Busy {
  readonly session: SessionId;
  readonly firstSequence: number;
}

export interface Read {
  /** Chosen by the client; the answer repeats it. */
  readonly nonce: number;
  readonly question: Uint8Array;
}

export type ReadAnswer = Outcome & {
  readonly nonce: number;
  /** Sequence of the committed version that was asked. */
  readonly version: Sequence;
};

/** sequence, status, form, and an empty result. */
const ENTRY_BYTES_MIN = 8 + 1 + 1 + 4;
const FORMS = ["full", "digest"] as const;

export function writeBundle(writer: Writer, bundle: Bundle): void {
  const { operations } = bundle;
  if (operations.length < 1 || operations.length > BUNDLE_OPERATIONS_MAX) {
    throw new RangeError(`a bundle has 1 to ${BUNDLE_OPERATIONS_MAX} operations, not ${operations.length}`);
  }
  if (bundle.session === 0 && (operations.length !== 1 || bundle.acknowledgedThrough !== 0)) {
    throw new RangeError("a bundle outside of any session has one operation and acknowledges nothing");
  }
  const start = writer.length;
  writer.digest(bundle.client);
  writer.u53(bundle.session);
  writer.u53(bundle.firstSequence);
  writer.u53(bundle.acknowledgedThrough);
  writer.u16(operations.length);
  for (const operation of operations) writer.bytes(operation);
  if (writer.length - start > BUNDLE_BYTES_MAX - SIGNATURE_BYTES) {
    throw new RangeError(`a bundle has at most ${BUNDLE_BYTES_MAX} bytes with its signature`);
  }
}

export function readBundle(reader: Reader): Bundle {
  const start = reader.position;
  const client = reader.clientKey();
  const session = reader.u53() as SessionId;
  const firstSequence = reader.u53();
  const acknowledgedThrough = reader.u53();
  const count = reader.count16(4);
  if (count < 1 || count > BUNDLE_OPERATIONS_MAX) malformed("outOfRange");
  // Outside of a session the two fields say nothing, so they have one value.
  if (session === 0 && (count !== 1 || acknowledgedThrough !== 0)) malformed("notCanonical");
  // The last operation's client sequence is a number of the wire as well.
  if (firstSequence + (count - 1) > Number.MAX_SAFE_INTEGER) malformed("outOfRange");
  const operations: Uint8Array[] = [];
  for (let i = 0; i < count; i++) operations.push(reader.bytes());
  if (reader.position - start > BUNDLE_BYTES_MAX - SIGNATURE_BYTES) malformed("tooLong");
  return { client, session, firstSequence, acknowledgedThrough, operations };
}

export function writeReply(writer: Writer, reply: Reply): void {
  writer.u53(reply.session);
  writer.u53(reply.batchSequence);
  writer.u53(reply.view);
  writer.boolean(reply.tentative);
  writer.u16(reply.entries.length);
  for (const entry of reply.entries) {
    writer.u53(entry.sequence);
    writeOutcome(writer, entry);
  }
}

export function readReply(reader: Reader): Reply {
  const session = reader.u53() as SessionId;
  const batchSequence = reader.u53() as Sequence;
  const view = reader.u53() as View;
  const tentative = reader.boolean();
  const count = reader.count16(ENTRY_BYTES_MIN);
  const entries: ReplyEntry[] = [];
  for (let i = 0; i < count; i++) entries.push({ sequence: reader.u53(), ...readOutcome(reader) });
  return { session, batchSequence, view, tentative, entries };
}

export function writeBusy(writer: Writer, busy: Busy): void {
  writer.u53(busy.session);
  writer.u53(busy.firstSequence);
}

export function readBusy(reader: Reader): Busy {
  return { session: reader.u53() as SessionId, firstSequence: reader.u53() };
}

export function writeRead(writer: Writer, read: Read): void {
  writer.u53(read.nonce);
  writer.bytes(read.question);
}

export function readRead(reader: Reader): Read {
  return { nonce: reader.u53(), question: reader.bytes() };
}

export function writeReadAnswer(writer: Writer, answer: ReadAnswer): void {
  writer.u53(answer.nonce);
  writer.u53(answer.version);
  writeOutcome(writer, answer);
}

export function readReadAnswer(reader: Reader): ReadAnswer {
  const nonce = reader.u53();
  const version = reader.u53() as Sequence;
  return { nonce, version, ...readOutcome(reader) };
}

function writeOutcome(writer: Writer, outcome: Outcome): void {
  writer.choice(resultStatuses, outcome.status);
  if ("result" in outcome) {
    writer.choice(FORMS, "full");
    writer.bytes(outcome.result);
  } else {
    writer.choice(FORMS, "digest");
    writer.digest(outcome.digest);
  }
}

function readOutcome(reader: Reader): Outcome {
  const status = reader.choice(resultStatuses);
  return reader.choice(FORMS) === "full" ? { status, result: reader.bytes() } : { status, digest: reader.digest() };
}
