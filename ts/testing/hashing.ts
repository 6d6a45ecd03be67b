/** SHA-256 as the formats use it (`ts/codec/WIRE.md` §3), for clusters that run without the addon. */
import { hash } from "node:crypto";
import { digestAt } from "../codec/digest.ts";
import { DIGEST_BYTES, Writer } from "../codec/bytes.ts";
import { writeBundle, resultStatuses, type Bundle } from "../codec/client.ts";
import type { BatchContent, ResultStatus } from "../protocol/messages.ts";
import { ZERO_DIGEST, type Digest } from "../protocol/types.ts";
import type { Hasher } from "../state/interfaces.ts";

const writer = new Writer();
const scratch = new Uint8Array(DIGEST_BYTES);

export function sha256(bytes: Uint8Array): Uint8Array {
  const output = new Uint8Array(DIGEST_BYTES);
  hashInto(output, 0, bytes);
  return output;
}

export function digestOf(bytes: Uint8Array): Digest {
  hashInto(scratch, 0, bytes);
  return digestAt(scratch, 0);
}

/** By way of a string with one character per byte: a Buffer for the output would cost more than the hashing. */
function hashInto(output: Uint8Array, at: number, bytes: Uint8Array): void {
  const hashed = hash("sha256", bytes, "binary");
  for (let index = 0; index < DIGEST_BYTES; index++) output[at + index] = hashed.charCodeAt(index);
}

/** Root over digests in the shape of RFC 6962; of nothing it is 32 zero bytes. */
export function merkleRoot(leaves: readonly Digest[]): Digest {
  if (leaves.length === 0) return ZERO_DIGEST;
  let level: readonly Digest[] = leaves;
  while (level.length > 1) {
    const above: Digest[] = [];
    for (let index = 0; index < level.length; index += 2) {
      const right = level[index + 1];
      above.push(right === undefined ? (level[index] as Digest) : innerNode(level[index] as Digest, right));
    }
    level = above;
  }
  return level[0] as Digest;
}

function innerNode(left: Digest, right: Digest): Digest {
  writer.reset();
  writer.u8(1);
  writer.digest(left);
  writer.digest(right);
  return digestOf(writer.view());
}

export function batchDigest(batch: BatchContent): Digest {
  const root = merkleRoot(batch.bundles);
  writer.reset();
  writer.u8(2);
  writer.u53(batch.time);
  writer.u32(batch.bundles.length);
  writer.digest(root);
  return digestOf(writer.view());
}

export function bundleDigest(bundle: Bundle, signature: Uint8Array): Digest {
  writer.reset();
  writer.u8(0);
  writeBundle(writer, bundle);
  writer.raw(signature);
  return digestOf(writer.view());
}

export function resultDigest(status: ResultStatus, result: Uint8Array): Digest {
  writer.reset();
  writer.u8(4);
  writer.choice(resultStatuses, status);
  writer.raw(result);
  return digestOf(writer.view());
}

/** For the replicated map. */
export const hasher: Hasher = {
  hashMany(input, ends, count, output) {
    let start = 0;
    for (let index = 0; index < count; index++) {
      const end = ends[index] as number;
      hashInto(output, DIGEST_BYTES * index, input.subarray(start, end));
      start = end;
    }
  },
};

/** SHA-256(0x05 | type | payload | signature): what names a VIEW_CHANGE. `signed` is payload and signature. */
export function messageDigest(type: number, signed: Uint8Array): Digest {
  writer.reset();
  writer.u8(5);
  writer.u8(type);
  writer.raw(signed);
  return digestOf(writer.view());
}
