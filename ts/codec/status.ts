/** Repair: STATUS, COMPLAINT, FETCH, UNAVAILABLE. All rest on their channel. */
import type { Complaint, FetchKind, Status } from "../protocol/messages.ts";
import type { Digest, Sequence, View } from "../protocol/types.ts";
import { readDigests } from "./batch.ts";
import { DIGEST_BYTES, malformed, WINDOW_MAX } from "./bytes.ts";
import type { Reader, Writer } from "./bytes.ts";

const MODES = ["normal", "viewChange"] as const;
const FETCH_KINDS: readonly FetchKind[] = ["bundle", "batch", "viewChange", "newView"];

export function writeStatus(writer: Writer, message: Status): void {
  const { proposed, prepared, committed, fence } = message;
  if (prepared.length !== proposed.length || committed.length !== proposed.length) {
    throw new RangeError("the bitmaps of a STATUS have one length");
  }
  if (proposed.length > WINDOW_MAX) {
    throw new RangeError(`the bitmaps of a STATUS have at most ${WINDOW_MAX} bits`);
  }
  writer.choice(MODES, message.mode);
  writer.u53(message.view);
  writer.u53(message.lowWatermark);
  writer.u53(message.lastExecuted);
  writer.u16(proposed.length);
  writer.bits(proposed);
  writer.bits(prepared);
  writer.bits(committed);
  writeList(writer, message.missing);
  writer.set(message.viewChanges);
  writer.boolean(fence !== undefined);
  if (fence === undefined) return;
  writer.u53(fence.view);
  writer.u53(fence.through);
}

export function readStatus(reader: Reader): Status {
  const mode = reader.choice(MODES);
  const view = reader.u53() as View;
  const lowWatermark = reader.u53() as Sequence;
  const lastExecuted = reader.u53() as Sequence;
  const count = reader.u16();
  if (count > WINDOW_MAX) malformed("outOfRange");
  const proposed = reader.bits(count);
  const prepared = reader.bits(count);
  const committed = reader.bits(count);
  const missing = readDigests(reader, reader.count16(DIGEST_BYTES));
  const viewChanges = reader.set();
  const fence = reader.boolean() ? { view: reader.u53() as View, through: reader.u53() as Sequence } : undefined;
  const bitmaps = { proposed, prepared, committed };
  return { type: "status", mode, view, lowWatermark, lastExecuted, ...bitmaps, missing, viewChanges, fence };
}

export function writeComplaint(writer: Writer, message: Complaint): void {
  writer.u53(message.view);
}

export function readComplaint(reader: Reader): Complaint {
  return { type: "complaint", view: reader.u53() as View };
}

/** What a fetch is for, as one byte. */
export function writeKind(writer: Writer, kind: FetchKind): void {
  writer.choice(FETCH_KINDS, kind);
}

/** The body of FETCH and UNAVAILABLE. */
export function writeNamed(writer: Writer, message: { readonly kind: FetchKind; readonly digest: Digest }): void {
  writeKind(writer, message.kind);
  writer.digest(message.digest);
}

export function readNamed<T extends "fetch" | "unavailable">(
  reader: Reader,
  type: T,
): { readonly type: T; readonly kind: FetchKind; readonly digest: Digest } {
  return { type, kind: reader.choice(FETCH_KINDS), digest: reader.digest() };
}

function writeList(writer: Writer, digests: readonly Digest[]): void {
  writer.u16(digests.length);
  for (const digest of digests) writer.digest(digest);
}
