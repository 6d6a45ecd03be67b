/** Payloads written field by field, so that each field may lie about the others. */
import type { Writer } from "../../dist/codec/bytes.js";
import type { Digest } from "../../dist/protocol/types.js";

export const D = "d".repeat(16) as Digest;
const SIGNATURE = new Uint8Array(64).fill(7);

export function repeated(count: number, value: number): number[] {
  return Array.from({ length: count }, () => value);
}

export function u53s(writer: Writer, ...values: number[]): void {
  for (const value of values) writer.u53(value);
}

function digests(writer: Writer, count: number): void {
  for (let i = 0; i < count; i++) writer.digest(D);
}

export function signatures(writer: Writer, count: number): void {
  for (let i = 0; i < count; i++) writer.raw(SIGNATURE);
}

export function bundle(given: {
  session?: number;
  first?: number;
  acknowledged?: number;
  count?: number;
  lengths?: number[];
}) {
  const { session = 3, first = 5, acknowledged = 4, count = 2, lengths = [2, 2] } = given;
  return (writer: Writer): void => {
    writer.digest(D);
    u53s(writer, session, first, acknowledged);
    writer.u16(count);
    for (const length of lengths) {
      writer.u32(length);
      writer.raw(Uint8Array.of(1, 2));
    }
    signatures(writer, 1);
  };
}

export function list(head: number, width: 16 | 32, count: number, elements: number, signed: boolean) {
  return (writer: Writer): void => {
    for (let i = 0; i < head; i++) writer.u53(1);
    if (width === 16) writer.u16(count);
    else writer.u32(count);
    digests(writer, elements);
    if (signed) signatures(writer, 1);
  };
}

interface Certificate {
  readonly view?: number;
  readonly sequence: number;
  readonly signers?: number;
  readonly signatures?: number;
}

export function viewChange(given: {
  stable?: Certificate;
  stableSequence?: number;
  count?: number;
  prepared?: Certificate[];
}) {
  const { stable, prepared = [], count = prepared.length } = given;
  return (writer: Writer): void => {
    u53s(writer, 9, given.stableSequence ?? stable?.sequence ?? 0);
    if (stable !== undefined) signed(writer, stable);
    writer.u16(count);
    for (const certificate of prepared) {
      u53s(writer, certificate.view ?? 2, certificate.sequence);
      signed(writer, certificate);
    }
    signatures(writer, 1);
  };
}

function signed(writer: Writer, { signers = 0b111, signatures: given = 3 }: Certificate): void {
  writer.digest(D);
  writer.u32(signers);
  signatures(writer, given);
}

export function newView(given: { viewChanges?: number; from?: number[]; count?: number; batches?: number }) {
  const { from = [0, 1, 3], viewChanges = from.length, batches = 2, count = batches } = given;
  return (writer: Writer): void => {
    writer.u53(1);
    writer.u8(viewChanges);
    for (const replica of from) {
      writer.u8(replica);
      writer.digest(D);
    }
    writer.u53(11);
    writer.u16(count);
    for (let i = 0; i < batches; i++) {
      writer.digest(D);
      signatures(writer, 1);
    }
    signatures(writer, 1);
  };
}

interface StatusBytes {
  readonly mode?: number;
  readonly count?: number;
  readonly bitmaps?: number[];
  readonly missing?: number;
  readonly set?: number;
  readonly fenced?: number;
  readonly fence?: number[];
}

export function status(given: StatusBytes) {
  const { mode = 0, count = 3, bitmaps = [7, 3, 1], missing = 1, set = 5, fenced = 0, fence = [] } = given;
  return (writer: Writer): void => {
    writer.u8(mode);
    u53s(writer, 1, 2, 3);
    writer.u16(count);
    writer.raw(Uint8Array.from(bitmaps));
    writer.u16(missing);
    digests(writer, 1);
    writer.u32(set);
    writer.u8(fenced);
    u53s(writer, ...fence);
  };
}

interface ReplyBytes {
  readonly tentative?: number;
  readonly count?: number;
  readonly status?: number;
  readonly form?: number;
  readonly length?: number;
}

function entry(writer: Writer, { status: code = 0, form = 0, length = 3 }: ReplyBytes): void {
  writer.u8(code);
  writer.u8(form);
  writer.u32(length);
  writer.raw(Uint8Array.of(1, 2, 3));
}

export function reply(given: ReplyBytes) {
  return (writer: Writer): void => {
    u53s(writer, 1, 2, 3);
    writer.u8(given.tentative ?? 0);
    writer.u16(given.count ?? 1);
    writer.u53(4);
    entry(writer, given);
  };
}

export function readAnswer(given: ReplyBytes) {
  return (writer: Writer): void => {
    u53s(writer, 1, 2);
    entry(writer, given);
  };
}

export function named(kind: number) {
  return (writer: Writer): void => {
    writer.u8(kind);
    writer.digest(D);
  };
}

interface StateFetchBytes {
  readonly bytesMax?: number;
  readonly count?: number;
  readonly deep?: number;
  /** Of each path, in symbols. */
  readonly lengths?: readonly number[];
  readonly symbol?: number;
}

export function stateFetch({
  bytesMax = 1,
  lengths = [0, 2],
  count = lengths.length,
  deep = 1,
  symbol = 16,
}: StateFetchBytes) {
  return (writer: Writer): void => {
    writer.u53(1);
    writer.u32(2);
    writer.u32(bytesMax);
    writer.u16(count);
    for (const length of lengths) {
      writer.u8(deep);
      writer.u16(length);
      writer.raw(new Uint8Array(length).fill(symbol));
    }
  };
}

export function nodes(count: number, length: number) {
  return (writer: Writer): void => {
    writer.u32(1);
    writer.u16(count);
    writer.u32(length);
    writer.raw(Uint8Array.of(1, 2, 3));
  };
}

/** So many nodes without content. */
export function nodeless(count: number) {
  return (writer: Writer): void => {
    writer.u32(1);
    writer.u16(count);
    writer.raw(new Uint8Array(4 * count));
  };
}

export function read(length: number) {
  return (writer: Writer): void => {
    writer.u53(1);
    writer.u32(length);
    writer.raw(Uint8Array.of(1, 2, 3));
  };
}

export function relayed(from: number) {
  return (writer: Writer): void => {
    writer.u8(from);
    viewChange({})(writer);
  };
}
