/**
 * The walk of the replicated map's tree: STATE_FETCH and STATE_NODES. Both rest on their channel; what an answer says is
 * checked by digests, `ts/state/transfer`.
 */
import type { StateFetch, StateItem, StateNodes } from "../protocol/messages.ts";
import type { Sequence } from "../protocol/types.ts";
import { malformed } from "./bytes.ts";
import type { Reader, Writer } from "./bytes.ts";

/** Places in a STATE_FETCH, at least one: single nodes of so many places fill an answer of the usual size. */
export const STATE_ITEMS_MAX = 1024;
/** Branches on the way to a node: one per symbol of the longest key (1,025 bytes, two symbols each) and its end. */
export const STATE_PATH_MAX = 2051;
/** Symbols of all paths of a STATE_FETCH, so that what waits at its receiver is small. */
export const STATE_PATHS_MAX = 64 * 1024;
/** Symbols that a branch may have: the end of a key, and sixteen half bytes. */
const SYMBOLS = 17;
/** Bytes that an answer may be asked to have. */
export const STATE_BYTES_MAX = 1024 * 1024;
/** Nodes in an answer: what one call of the hasher takes. */
export const STATE_NODES_MAX = 4096;

const ITEM_BYTES_MIN = 3;
const NODE_BYTES_MIN = 4;

export function writeStateFetch(writer: Writer, message: StateFetch): void {
  writer.u53(message.sequence);
  writer.u32(message.request);
  writer.u32(message.bytesMax);
  writer.u16(message.items.length);
  for (const { path, deep } of message.items) {
    writer.boolean(deep);
    writer.u16(path.length);
    writer.raw(path);
  }
}

/** The paths are views of the input. */
export function readStateFetch(reader: Reader): StateFetch {
  const sequence = reader.u53() as Sequence;
  const request = reader.u32();
  const bytesMax = reader.u32();
  if (bytesMax < 1 || bytesMax > STATE_BYTES_MAX) malformed("outOfRange");
  const count = reader.count16(ITEM_BYTES_MIN);
  if (count < 1 || count > STATE_ITEMS_MAX) malformed("outOfRange");
  const items: StateItem[] = [];
  let symbols = 0;
  for (let i = 0; i < count; i++) {
    const deep = reader.boolean();
    const length = reader.u16();
    symbols += length;
    if (length > STATE_PATH_MAX || symbols > STATE_PATHS_MAX) malformed("outOfRange");
    const path = reader.raw(length);
    for (let at = 0; at < length; at++) if (path[at]! >= SYMBOLS) malformed("outOfRange");
    items.push({ path, deep });
  }
  return { type: "stateFetch", sequence, request, bytesMax, items };
}

export function writeStateNodes(writer: Writer, message: StateNodes): void {
  writer.u32(message.request);
  writer.u16(message.count);
  writer.raw(message.nodes);
}

/** The nodes are one view of the input, in which each follows its length: whoever checks them takes one after another. */
export function readStateNodes(reader: Reader): StateNodes {
  const request = reader.u32();
  const count = reader.count16(NODE_BYTES_MIN);
  if (count > STATE_NODES_MAX) malformed("outOfRange");
  const start = reader.position;
  for (let i = 0; i < count; i++) reader.skip(reader.u32());
  return { type: "stateNodes", request, count, nodes: reader.since(start) };
}
