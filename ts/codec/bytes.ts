/**
 * Writing and reading of canonical bytes: the primitives of `WIRE.md`, little-endian, each value in exactly one form.
 *
 * A writer's input is our own, so a value out of range there is our bug and throws. A reader's input is anybody's: it throws
 * {@link DecodeError} and nothing else, `decode` turns that into a value, and no read allocates more than the input holds.
 */
import { digestAt, writeDigest } from "./digest.ts";
import { NUMBER_MAX } from "../protocol/types.ts";
import type { ClientKey, Digest, ReplicaSet } from "../protocol/types.ts";

/** Why bytes are not a message; the addon's decoder has the same names. */
export type DecodeReason =
  /** They end before the message does: a count or length names more than the bytes that are left. */
  | "truncated"
  /** Bytes follow the message. */
  | "trailing"
  /** A number beyond 2^53−1, a count beyond its bound, or a code that stands for nothing. */
  | "outOfRange"
  /** Another byte string is the one for this message: booleans, padding, bit 31 of a set, order. */
  | "notCanonical"
  /** More bytes than the format allows for such a message. */
  | "tooLong"
  /** No message has this type. */
  | "unknownType";

/** What a {@link Reader} throws; never leaves `ts/codec`. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  readonly reason: DecodeReason;

  constructor(reason: DecodeReason) {
    super(reason);
    this.reason = reason;
  }
}

export type DecodeResult<T> =
  { readonly ok: true; readonly message: T } | { readonly ok: false; readonly error: DecodeReason };

/** Made once: a flood of malformed input must not pay for a stack trace each. */
const FAILURES = {
  truncated: new DecodeError("truncated"),
  trailing: new DecodeError("trailing"),
  outOfRange: new DecodeError("outOfRange"),
  notCanonical: new DecodeError("notCanonical"),
  tooLong: new DecodeError("tooLong"),
  unknownType: new DecodeError("unknownType"),
} as const satisfies Record<DecodeReason, DecodeError>;

/** Ends a decoding. Only for use inside `decode`. */
export function malformed(reason: DecodeReason): never {
  throw FAILURES[reason];
}

/** Most sequences in a window, and so in what a message lists per sequence. */
export const WINDOW_MAX = 4096;
/** Bytes of a digest or key. */
export const DIGEST_BYTES = 32;
/** Bytes of an Ed25519 signature. */
export const SIGNATURE_BYTES = 64;
/** A writer grows no further: eight times the largest frame, far above the records of one turn. */
export const WRITER_BYTES_MAX = 32 * 1024 * 1024;

const U32 = 2 ** 32;
/** Upper half of 2^53−1. */
const HIGH_MAX = 0x1fffff;

/** Appends values; reused from message to message by `reset`. */
export class Writer {
  #bytes: Uint8Array;
  #position = 0;
  readonly #growable: boolean;

  /** @param memory How many bytes to start with, growing up to {@link WRITER_BYTES_MAX}; or an arena to fill, which does not grow. */
  constructor(memory: number | Uint8Array = 1024) {
    this.#growable = typeof memory === "number";
    this.#bytes = typeof memory === "number" ? new Uint8Array(memory) : memory;
  }

  /** Number of bytes written. */
  get length(): number {
    return this.#position;
  }

  /** What the view lies in; another one after growth. */
  get buffer(): Uint8Array {
    return this.#bytes;
  }

  reset(): void {
    this.#position = 0;
  }

  /** What was written since the last reset; valid until the next write or reset. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#position);
  }

  /** A copy of what was written since the last reset. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#position);
  }

  u8(value: number): void {
    requireUint(value, 0xff);
    const at = this.#take(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    requireUint(value, 0xffff);
    const at = this.#take(2);
    this.#bytes[at] = value;
    this.#bytes[at + 1] = value >>> 8;
  }

  u32(value: number): void {
    requireUint(value, U32 - 1);
    this.#store(this.#take(4), value);
  }

  u53(value: number): void {
    requireUint(value, NUMBER_MAX);
    const at = this.#take(8);
    this.#store(at, value);
    this.#store(at + 4, (value / U32) >>> 0);
  }

  boolean(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  set(value: ReplicaSet): void {
    requireUint(value, 0x7fffffff);
    this.#store(this.#take(4), value);
  }

  digest(value: Digest | ClientKey): void {
    const at = this.#take(DIGEST_BYTES);
    writeDigest(this.#bytes, at, value);
  }

  /** The bytes alone. */
  raw(value: Uint8Array): void {
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
  }

  /** u32 length, then the bytes. */
  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.raw(value);
  }

  /** The place of `value` in `names`, as one byte. */
  choice<T>(names: readonly T[], value: T): void {
    this.u8(names.indexOf(value));
  }

  /** A bitmap of ⌈n/8⌉ bytes, lowest bit first, padding bits zero. */
  bits(values: readonly boolean[]): void {
    const at = this.#take((values.length + 7) >>> 3);
    this.#bytes.fill(0, at, this.#position);
    for (let i = 0; i < values.length; i++) {
      if (values[i] === true) this.#bytes[at + (i >>> 3)]! |= 1 << (i & 7);
    }
  }

  /** Leaves room for a u32 and returns its place, for {@link closeLength}. */
  openLength(): number {
    return this.#take(4);
  }

  /** Stores at `place` how many bytes were written after it. */
  closeLength(place: number): void {
    this.#store(place, this.#position - place - 4);
  }

  #store(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
  }

  #take(count: number): number {
    const at = this.#position;
    const end = at + count;
    if (end > this.#bytes.length) this.#grow(end);
    this.#position = end;
    return at;
  }

  #grow(needed: number): void {
    if (!this.#growable) throw new RangeError(`the arena of ${this.#bytes.length} bytes is full`);
    if (needed > WRITER_BYTES_MAX) throw new RangeError(`a writer holds at most ${WRITER_BYTES_MAX} bytes`);
    const grown = new Uint8Array(Math.min(WRITER_BYTES_MAX, Math.max(needed, this.#bytes.length * 2)));
    grown.set(this.#bytes.subarray(0, this.#position));
    this.#bytes = grown;
  }
}

/** Takes values from bytes that may be anybody's; every method throws {@link DecodeError} where they are not canonical. */
export class Reader {
  readonly #bytes: Uint8Array;
  #position: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Nothing may be left. */
  end(): void {
    if (this.#position !== this.#end) malformed("trailing");
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u16(): number {
    const at = this.#take(2);
    return this.#bytes[at]! | (this.#bytes[at + 1]! << 8);
  }

  u32(): number {
    return this.#load(this.#take(4));
  }

  u53(): number {
    const at = this.#take(8);
    const high = this.#load(at + 4);
    if (high > HIGH_MAX) malformed("outOfRange");
    return high * U32 + this.#load(at);
  }

  boolean(): boolean {
    const value = this.u8();
    if (value > 1) malformed("notCanonical");
    return value === 1;
  }

  set(): ReplicaSet {
    const value = this.u32();
    if (value >= 2 ** 31) malformed("notCanonical");
    return value as ReplicaSet;
  }

  digest(): Digest {
    return digestAt(this.#bytes, this.#take(DIGEST_BYTES));
  }

  clientKey(): ClientKey {
    return this.digest() as string as ClientKey;
  }

  /** A view of the next `count` bytes, not a copy. */
  raw(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** Passes over the next `count` bytes. */
  skip(count: number): void {
    this.#take(count);
  }

  /** A view of what was read from position `start` on, not a copy. */
  since(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.#position);
  }

  /** A view of u32 length and so many bytes, not a copy. */
  bytes(): Uint8Array {
    return this.raw(this.count32(1));
  }

  /** A u8 count of elements of at least `bytesEach` bytes. */
  count8(bytesEach: number): number {
    return this.#requireCount(this.u8(), bytesEach);
  }

  /** A u16 count of elements of at least `bytesEach` bytes. */
  count16(bytesEach: number): number {
    return this.#requireCount(this.u16(), bytesEach);
  }

  /** A u32 count of elements of at least `bytesEach` bytes. */
  count32(bytesEach: number): number {
    return this.#requireCount(this.u32(), bytesEach);
  }

  /** The value that one byte stands for. */
  choice<T>(names: readonly T[]): T {
    const code = this.u8();
    if (code >= names.length) malformed("outOfRange");
    return names[code]!;
  }

  /** A bitmap of `count` bits. */
  bits(count: number): boolean[] {
    const bitmap = this.raw((count + 7) >>> 3);
    const padding = count & 7;
    if (padding !== 0 && bitmap[bitmap.length - 1]! >>> padding !== 0) malformed("notCanonical");
    const values: boolean[] = [];
    for (let i = 0; i < count; i++) values.push(((bitmap[i >>> 3]! >>> (i & 7)) & 1) === 1);
    return values;
  }

  #requireCount(count: number, bytesEach: number): number {
    if (count * bytesEach > this.remaining) malformed("truncated");
    return count;
  }

  #load(at: number): number {
    const bytes = this.#bytes;
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
  }

  #take(count: number): number {
    const at = this.#position;
    if (count > this.#end - at) malformed("truncated");
    this.#position = at + count;
    return at;
  }
}

/** Runs `read` over all of `bytes`, or over what follows `start`; what is malformed comes back as a value. */
export function decode<T>(bytes: Uint8Array, read: (reader: Reader) => T, start = 0): DecodeResult<T> {
  try {
    const reader = new Reader(bytes, start);
    const message = read(reader);
    reader.end();
    return { ok: true, message };
  } catch (error) {
    if (error instanceof DecodeError) return { ok: false, error: error.reason };
    throw error;
  }
}

function requireUint(value: number, max: number): void {
  if (!(Number.isSafeInteger(value) && value >= 0 && value <= max)) {
    throw new RangeError(`${value} is not an integer from 0 to ${max}`);
  }
}
