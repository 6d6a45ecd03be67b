/**
 * Canonical bytes for the values that typed state machines speak: one byte string per value, so that equal states have equal
 * roots whoever computed them.
 *
 *     u8 tag, then   0 null   1 false   2 true
 *     3 integer from 0 to 2^53−1             u53
 *     4 integer from −(2^53−1) to −1         u53 of its magnitude
 *     5 any other finite number              f64
 *     6 bigint       u8 negative | u16 length | magnitude, its highest byte not zero
 *     7 string       u32 length | UTF-8
 *     8 bytes        u32 length | content
 *     9 array        u32 count | values
 *     10 object      u32 count | count × (u32 length | UTF-8 name | value), names ascending by their bytes
 */
import { decode, malformed, Writer } from "../codec/bytes.ts";
import type { Reader } from "../codec/bytes.ts";
import { ByzantineError } from "../errors.ts";
import { compareBytes } from "./cursor.ts";
import { VALUE_BYTES_MAX } from "./interfaces.ts";

/** What can be encoded. Properties that are `undefined` count as absent; −0 becomes 0. Decoded objects have no prototype. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Value[]
  | { readonly [name: string]: Value | undefined };

/** Arrays and objects within one another: beyond any sensible data, far below what a stack holds. */
export const VALUE_DEPTH_MAX = 32;
/** Bytes of a bigint's magnitude. */
export const BIGINT_BYTES_MAX = 1024;

const NULL = 0;
const FALSE = 1;
const TRUE = 2;
const INTEGER = 3;
const NEGATIVE_INTEGER = 4;
const FLOAT = 5;
const BIGINT = 6;
const STRING = 7;
const BYTES = 8;
const ARRAY = 9;
const OBJECT = 10;

/** Strings up to here are copied unit by unit if they are ASCII, which is faster than the encoder. */
const SHORT_STRING = 64;
const LONE_SURROGATE = /\p{Surrogate}/u;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws ByzantineError `INVALID_ARGUMENT` for what is no {@link Value}, lone surrogates, and more than `bytesMax` bytes. */
export function encodeValue(value: unknown, bytesMax: number = VALUE_BYTES_MAX): Uint8Array {
  const writer = new Writer(64);
  put(writer, value, 0, bytesMax);
  return writer.copy();
}

/** The value of which these are the bytes, or `undefined` if there is none. */
export function decodeValue(bytes: Uint8Array): Value | undefined {
  const decoded = decode(bytes, (reader) => take(reader, 0));
  return decoded.ok ? decoded.message : undefined;
}

/** UTF-8 of a well-formed string. @throws ByzantineError `INVALID_ARGUMENT` */
export function encodeText(text: string): Uint8Array {
  if (text.length <= SHORT_STRING) {
    const bytes = new Uint8Array(text.length);
    let units = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      units |= unit;
      bytes[i] = unit;
    }
    if (units < 0x80) return bytes;
  }
  if (LONE_SURROGATE.test(text)) throw invalid("a string without lone surrogates");
  return encoder.encode(text);
}

/** The text of which these are the bytes, or `undefined` if there is none. */
export function decodeText(bytes: Uint8Array): string | undefined {
  if (bytes.length <= SHORT_STRING) {
    let text = "";
    let units = 0;
    for (let i = 0; i < bytes.length; i++) {
      units |= bytes[i]!;
      text += String.fromCharCode(bytes[i]!);
    }
    if (units < 0x80) return text;
  }
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function put(writer: Writer, value: unknown, depth: number, bytesMax: number): void {
  switch (typeof value) {
    case "boolean":
      writer.u8(value ? TRUE : FALSE);
      break;
    case "number":
      putNumber(writer, value);
      break;
    case "bigint":
      putBigint(writer, value);
      break;
    case "string":
      if (value.length > bytesMax) throw invalid(`at most ${bytesMax} bytes`);
      writer.u8(STRING);
      writer.bytes(encodeText(value));
      break;
    case "object":
      putObject(writer, value, depth, bytesMax);
      break;
    default:
      throw invalid(`null, boolean, number, bigint, string, Uint8Array, array or plain object, not ${typeof value}`);
  }
  if (writer.length > bytesMax) throw invalid(`at most ${bytesMax} bytes`);
}

function putNumber(writer: Writer, value: number): void {
  if (Number.isSafeInteger(value)) {
    // −0 is written as 0, since state machines compute it without noticing.
    writer.u8(value < 0 ? NEGATIVE_INTEGER : INTEGER);
    writer.u53(Math.abs(value));
    return;
  }
  if (!Number.isFinite(value)) throw invalid("a finite number");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  writer.u8(FLOAT);
  writer.raw(bytes);
}

function putBigint(writer: Writer, value: bigint): void {
  let digits = (value < 0n ? -value : value).toString(16);
  if (digits.length % 2 === 1) digits = `0${digits}`;
  const length = value === 0n ? 0 : digits.length / 2;
  if (length > BIGINT_BYTES_MAX) throw invalid(`a bigint of at most ${BIGINT_BYTES_MAX} bytes`);
  writer.u8(BIGINT);
  writer.boolean(value < 0n);
  writer.u16(length);
  for (let i = length - 1; i >= 0; i--) writer.u8(Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

function putObject(writer: Writer, value: object | null, depth: number, bytesMax: number): void {
  if (value === null) {
    writer.u8(NULL);
  } else if (value instanceof Uint8Array) {
    if (value.length > bytesMax) throw invalid(`at most ${bytesMax} bytes`);
    writer.u8(BYTES);
    writer.bytes(value);
  } else if (depth === VALUE_DEPTH_MAX) {
    throw invalid(`at most ${VALUE_DEPTH_MAX} arrays and objects within one another`);
  } else if (Array.isArray(value)) {
    writer.u8(ARRAY);
    writer.u32(value.length);
    for (let i = 0; i < value.length; i++) put(writer, value[i], depth + 1, bytesMax);
  } else {
    putProperties(writer, value, depth, bytesMax);
  }
}

function putProperties(writer: Writer, value: object, depth: number, bytesMax: number): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw invalid("a plain object, not an instance of a class");
  if (Object.getOwnPropertySymbols(value).length > 0) throw invalid("an object without symbols as names");
  const properties = Object.entries(value)
    .filter(([, property]) => property !== undefined)
    .map(([name, property]) => ({ name: encodeText(name), property: property as unknown }))
    .sort((a, b) => compareBytes(a.name, b.name));
  writer.u8(OBJECT);
  writer.u32(properties.length);
  for (const { name, property } of properties) {
    writer.bytes(name);
    put(writer, property, depth + 1, bytesMax);
  }
}

function take(reader: Reader, depth: number): Value {
  const tag = reader.u8();
  switch (tag) {
    case NULL:
      return null;
    case FALSE:
      return false;
    case TRUE:
      return true;
    case INTEGER:
      return reader.u53();
    case NEGATIVE_INTEGER:
      return -reader.u53() || malformed("notCanonical");
    case FLOAT:
      return takeFloat(reader);
    case BIGINT:
      return takeBigint(reader);
    case STRING:
      return decodeText(reader.bytes()) ?? malformed("notCanonical");
    case BYTES:
      return new Uint8Array(reader.bytes());
  }
  if (depth === VALUE_DEPTH_MAX || (tag !== ARRAY && tag !== OBJECT)) malformed("outOfRange");
  return tag === ARRAY ? takeArray(reader, depth) : takeProperties(reader, depth);
}

function takeFloat(reader: Reader): number {
  const bytes = reader.raw(8);
  const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  if (!Number.isFinite(value) || Number.isSafeInteger(value)) malformed("notCanonical");
  return value;
}

function takeBigint(reader: Reader): bigint {
  const negative = reader.boolean();
  const bytes = reader.raw(reader.count16(1));
  const canonical = bytes.length === 0 ? !negative : bytes.length <= BIGINT_BYTES_MAX && bytes.at(-1) !== 0;
  if (!canonical) malformed("notCanonical");
  let digits = "0x0";
  for (let i = bytes.length - 1; i >= 0; i--) digits += bytes[i]!.toString(16).padStart(2, "0");
  return negative ? -BigInt(digits) : BigInt(digits);
}

function takeArray(reader: Reader, depth: number): Value[] {
  const values: Value[] = [];
  for (let left = reader.count32(1); left > 0; left--) values.push(take(reader, depth + 1));
  return values;
}

function takeProperties(reader: Reader, depth: number): { [name: string]: Value } {
  const object = Object.create(null) as { [name: string]: Value };
  let before: Uint8Array | undefined;
  for (let left = reader.count32(5); left > 0; left--) {
    const bytes = reader.bytes();
    if (before !== undefined && compareBytes(before, bytes) >= 0) malformed("notCanonical");
    before = bytes;
    const name = decodeText(bytes) ?? malformed("notCanonical");
    object[name] = take(reader, depth + 1);
  }
  return object;
}

function invalid(accepted: string): ByzantineError {
  return new ByzantineError("INVALID_ARGUMENT", `a value is ${accepted}`);
}
