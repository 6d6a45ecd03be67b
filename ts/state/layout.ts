/**
 * Who owns which keys of the replicated map: the first byte says it, numbers follow in big-endian order so that the order of
 * keys is theirs.
 *
 *     0x00                                 the ledger: last sequence, agreed time, sessions opened (`ledger.ts`)
 *     0x01 | session                       a session (`session.ts`)
 *     0x02 | session | first sequence      results of consecutive operations of it
 *     0x03 | client key | session          sessions of a client, by age (`sessions.ts`)
 *     0x04 | client key | nonce            an OPEN that was executed (`open-memory.ts`)
 *     0x05 | expiry | client key | nonce   the same by its expiry
 *     0x06                                 configuration
 *     0x07                                 digest of opaque state (`opaque-state.ts`)
 *     0x08 | index                         chunks of its snapshot
 *     0x09 | replica                       its RECOVER that counts (`recover-marks.ts`)
 *     0x41 | key                           application entries
 */
import { writeDigest } from "../codec/digest.ts";
import type { ClientKey } from "../protocol/types.ts";

export const LEDGER_PREFIX = 0x00;
export const SESSION_PREFIX = 0x01;
export const RESULTS_PREFIX = 0x02;
export const CLIENT_PREFIX = 0x03;
export const NONCE_PREFIX = 0x04;
export const EXPIRY_PREFIX = 0x05;
export const OPAQUE_DIGEST_PREFIX = 0x07;
export const OPAQUE_CHUNK_PREFIX = 0x08;
export const RECOVER_PREFIX = 0x09;
export const APPLICATION_PREFIX = 0x41;

const U32 = 2 ** 32;
const NUMBER_BYTES = 8;
const CLIENT_BYTES = 32;

/** A key or its beginning: the owner's byte, then each part in order. */
export function keyOf(prefix: number, ...parts: readonly (number | ClientKey)[]): Uint8Array {
  let length = 1;
  for (const part of parts) length += typeof part === "number" ? NUMBER_BYTES : CLIENT_BYTES;
  const key = new Uint8Array(length);
  key[0] = prefix;
  let at = 1;
  for (const part of parts) {
    if (typeof part === "number") {
      storeNumber(key, at, part);
      at += NUMBER_BYTES;
    } else {
      writeDigest(key, at, part);
      at += CLIENT_BYTES;
    }
  }
  return key;
}

/** The number that a key holds in its last 8 bytes. */
export function lastNumberOf(key: Uint8Array): number {
  let number = 0;
  for (let at = key.length - NUMBER_BYTES; at < key.length; at++) number = number * 256 + key[at]!;
  return number;
}

function storeNumber(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / U32);
  for (let i = 0; i < 4; i++) {
    bytes[at + i] = high >>> (24 - 8 * i);
    bytes[at + 4 + i] = value >>> (24 - 8 * i);
  }
}
