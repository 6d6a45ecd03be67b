/** SHA-256 as the formats use it (`ts/codec/WIRE.md` §3), for clusters that run without the addon. */
import { createHash } from "node:crypto";
import { bytesOf, digestAt } from "../codec/digest.ts";
import { Writer } from "../codec/bytes.ts";
import { writeBundle, resultStatuses, type Bundle } from "../codec/client.ts";
import type { BatchContent, ResultStatus } from "../protocol/messages.ts";
import { ZERO_DIGEST, type Digest } from "../protocol/types.ts";
import type { Hasher } from "../state/interfaces.ts";

export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

export function digestOf(...parts: readonly Uint8Array[]): Digest {
  return digestAt(sha256(...parts), 0);
}

const writer = new Writer();
const INNER = new Uint8Array([1]);

/** Root over digests in the shape of RFC 6962; of nothing it is 32 zero bytes. */
export function merkleRoot(leaves: readonly Digest[]): Digest {
  if (leaves.length === 0) return ZERO_DIGEST;
  let level = leaves.map(bytesOf);
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let index = 0; index < level.length; index += 2) {
      const left = level[index] as Uint8Array;
      const right = level[index + 1];
      above.push(right === undefined ? left : sha256(INNER, left, right));
    }
    level = above;
  }
  return digestAt(level[0] as Uint8Array, 0);
}

export function batchDigest(batch: BatchContent): Digest {
  writer.reset();
  writer.u8(2);
  writer.u53(batch.time);
  writer.u32(batch.bundles.length);
  writer.digest(merkleRoot(batch.bundles));
  return digestOf(writer.view());
}

export function bundleDigest(bundle: Bundle, signature: Uint8Array): Digest {
  writer.reset();
  writer.u8(0);
  writeBundle(writer, bundle);
  return digestOf(writer.view(), signature);
}

export function resultDigest(status: ResultStatus, result: Uint8Array): Digest {
  return digestOf(new Uint8Array([4, resultStatuses.indexOf(status)]), result);
}

/** For the replicated map. */
export const hasher: Hasher = {
  hashMany(input, ends, count, output) {
    let start = 0;
    for (let index = 0; index < count; index++) {
      const end = ends[index] as number;
      output.set(sha256(input.subarray(start, end)), 32 * index);
      start = end;
    }
  },
};
