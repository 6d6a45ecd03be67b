/** Repair: STATUS, COMPLAINT, FETCH, UNAVAILABLE; and the walk of the state, STATE_FETCH and STATE_NODES. All rest on their channel. */
import type { Complaint, FetchKind, StateFetch, StateNodes, Status } from "../protocol/messages.ts";
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

/** The body of FETCH and UNAVAILABLE. */
export function writeNamed(writer: Writer, message: { readonly kind: FetchKind; readonly digest: Digest }): void {
  writer.choice(FETCH_KINDS, message.kind);
  writer.digest(message.digest);
}

export function readNamed<T extends "fetch" | "unavailable">(
  reader: Reader,
  type: T,
): { readonly type: T; readonly kind: FetchKind; readonly digest: Digest } {
  return { type, kind: reader.choice(FETCH_KINDS), digest: reader.digest() };
}

export function writeStateFetch(writer: Writer, message: StateFetch): void {
  writer.u53(message.sequence);
  writeList(writer, message.digests);
}

export function readStateFetch(reader: Reader): StateFetch {
  const sequence = reader.u53() as Sequence;
  return { type: "stateFetch", sequence, digests: readDigests(reader, reader.count16(DIGEST_BYTES)) };
}

export function writeStateNodes(writer: Writer, message: StateNodes): void {
  writer.u53(message.sequence);
  writer.u16(message.nodes.length);
  for (const node of message.nodes) writer.bytes(node);
}

/** The nodes are views of the input. */
export function readStateNodes(reader: Reader): StateNodes {
  const sequence = reader.u53() as Sequence;
  const count = reader.count16(4);
  const nodes: Uint8Array[] = [];
  for (let i = 0; i < count; i++) nodes.push(reader.bytes());
  return { type: "stateNodes", sequence, nodes };
}

function writeList(writer: Writer, digests: readonly Digest[]): void {
  writer.u16(digests.length);
  for (const digest of digests) writer.digest(digest);
}
