/**
 * Digests and keys as packed strings: 16 UTF-16 units, each two bytes, the lower byte first.
 *
 * JavaScript compares and hashes such a string natively, so it serves as a key of a Map without hexadecimal. Reading and
 * writing unit by unit measures as fast as the engine's own copying of strings, and needs no Buffer.
 */
import type { Digest } from "../protocol/types.ts";

const UNITS = 16;
const HEX_DIGITS = /^[0-9a-f]{64}$/;

/** The 32 bytes at `at`, packed. The caller has checked that they are there. */
export function digestAt(b: Uint8Array, at: number): Digest {
  return String.fromCharCode(
    b[at]! | (b[at + 1]! << 8),
    b[at + 2]! | (b[at + 3]! << 8),
    b[at + 4]! | (b[at + 5]! << 8),
    b[at + 6]! | (b[at + 7]! << 8),
    b[at + 8]! | (b[at + 9]! << 8),
    b[at + 10]! | (b[at + 11]! << 8),
    b[at + 12]! | (b[at + 13]! << 8),
    b[at + 14]! | (b[at + 15]! << 8),
    b[at + 16]! | (b[at + 17]! << 8),
    b[at + 18]! | (b[at + 19]! << 8),
    b[at + 20]! | (b[at + 21]! << 8),
    b[at + 22]! | (b[at + 23]! << 8),
    b[at + 24]! | (b[at + 25]! << 8),
    b[at + 26]! | (b[at + 27]! << 8),
    b[at + 28]! | (b[at + 29]! << 8),
    b[at + 30]! | (b[at + 31]! << 8),
  ) as Digest;
}

/** Writes a packed digest or key as 32 bytes at `at`. */
export function writeDigest(bytes: Uint8Array, at: number, packed: string): void {
  if (packed.length !== UNITS) throw new RangeError(`a digest has ${UNITS} units, not ${packed.length}`);
  for (let i = 0; i < UNITS; i++) {
    const unit = packed.charCodeAt(i);
    bytes[at + 2 * i] = unit;
    bytes[at + 2 * i + 1] = unit >>> 8;
  }
}

/** The 32 bytes of a packed digest or key. */
export function bytesOf(packed: string): Uint8Array {
  const bytes = new Uint8Array(2 * UNITS);
  writeDigest(bytes, 0, packed);
  return bytes;
}

/** 64 lower-case hexadecimal digits, for people and files. */
export function hexOf(packed: string): string {
  let hex = "";
  for (const byte of bytesOf(packed)) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

/** The digest or key that 64 lower-case hexadecimal digits stand for, or `undefined` for anything else. */
export function digestFromHex(hex: string): Digest | undefined {
  if (!HEX_DIGITS.test(hex)) return undefined;
  const bytes = new Uint8Array(2 * UNITS);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return digestAt(bytes, 0);
}
