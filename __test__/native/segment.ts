/** Segments of a journal, written from the description of the format alone (documentation of the crate byzantine-journal). */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export const SEGMENT = "journal-0000000000000001.segment";

const HEADER_BYTES = 136;
const ITEM_HEADER_BYTES = 48;
const CAPACITY = 64 << 10;

export interface Item {
  readonly kind: "record" | "release" | "mark";
  /** A record's number; that of the last record before any other. */
  readonly lsn: number;
  readonly payload: Uint8Array;
}

const KINDS = { record: 1, release: 2, mark: 3 } as const;

/** CRC-64/NVME, bit by bit. */
function checksum(...parts: readonly Uint8Array[]): bigint {
  let crc = 0xffff_ffff_ffff_ffffn;
  for (const byte of Buffer.concat(parts)) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc & 1n ? 0x9a6c_9329_ac4b_c9b5n : 0n);
  }
  return crc ^ 0xffff_ffff_ffff_ffffn;
}

function u64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/**
 * Writes segment 1 of a data directory with these items, each of which was durable before the next one was written.
 * @returns The offsets of the items.
 */
export async function writeSegment(dir: string, items: readonly Item[]): Promise<readonly number[]> {
  // Magic, version and length of the body come before identity and life.
  const marker = await readFile(join(dir, "identity"));
  const identity = marker.subarray(16, 16 + 72);
  const life = marker.subarray(16 + 72, 16 + 72 + 16);
  const start = [Buffer.from("bqjournl"), u32(1), u32(CAPACITY), identity, life, u64(1), u64(1), u64(0)];
  const bytes = Buffer.alloc(CAPACITY);
  Buffer.concat([...start, u64(checksum(...start))]).copy(bytes);
  const offsets: number[] = [];
  let previous = 0n;
  let offset = HEADER_BYTES;
  for (const { kind, lsn, payload } of items) {
    const place = [u32(payload.length), u32(offset), u64(lsn), u64(KINDS[kind])];
    const header = Buffer.concat([...place, u64(previous), u64(checksum(payload))]);
    previous = checksum(life, u64(1), u64(offset), header);
    Buffer.concat([header, u64(previous), payload]).copy(bytes, offset);
    offsets.push(offset);
    offset += ITEM_HEADER_BYTES + Math.ceil(payload.length / 8) * 8;
  }
  await writeFile(join(dir, SEGMENT), bytes);
  return offsets;
}

/** Records 1 … `count` of 20 bytes each. */
export function records(count: number): Item[] {
  return Array.from({ length: count }, (_, i) => ({
    kind: "record",
    lsn: i + 1,
    payload: new Uint8Array(20).fill(i + 1),
  }));
}
