import test from "ava";
import * as fc from "fast-check";
import { decode, Reader, Writer, WRITER_BYTES_MAX } from "../../dist/codec/bytes.js";
import type { DecodeReason } from "../../dist/codec/bytes.js";
import { bytesOf, digestAt, digestFromHex, hexOf, writeDigest } from "../../dist/codec/digest.js";
import { ZERO_DIGEST } from "../../dist/protocol/types.js";
import type { ReplicaSet } from "../../dist/protocol/types.js";
import { digest } from "./arbitraries.ts";

const MAX = Number.MAX_SAFE_INTEGER;

function written(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer(1);
  write(writer);
  return writer.copy();
}

test("numbers are little-endian", (t) => {
  const bytes = written((w) => {
    w.u8(0xfe);
    w.u16(0x0102);
    w.u32(0xf0010203);
    w.u53(0x1f0e0d0c0b0a09);
  });
  t.is(Buffer.from(bytes).toString("hex"), "fe0201030201f0090a0b0c0d0e1f00");
});

test("every number of up to 53 bits comes back", (t) => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (value) => {
      const bytes = written((w) => w.u53(value));
      t.is(new DataView(bytes.buffer).getBigUint64(0, true), BigInt(value));
      t.is(new Reader(bytes).u53(), value);
    }),
  );
  for (const value of [0, 2 ** 32 - 1, 2 ** 32, MAX]) t.is(new Reader(written((w) => w.u53(value))).u53(), value);
});

test("a u64 above 2^53−1 is refused", (t) => {
  for (const value of [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    t.deepEqual(
      decode(bytes, (r) => r.u53()),
      { ok: false, error: "outOfRange" },
    );
  }
});

test("a writer refuses what a field cannot hold", (t) => {
  const writer = new Writer();
  for (const value of [-1, 0.5, NaN, Infinity, 2 ** 53]) t.throws(() => writer.u53(value), { instanceOf: RangeError });
  t.throws(() => writer.u8(256), { instanceOf: RangeError });
  t.throws(() => writer.u16(65_536), { instanceOf: RangeError });
  t.throws(() => writer.u32(2 ** 32), { instanceOf: RangeError });
  t.throws(() => writer.set(-1 as ReplicaSet), { instanceOf: RangeError });
  t.throws(() => writer.choice(["a"], "b"), { instanceOf: RangeError });
  t.throws(() => writer.digest("short" as typeof ZERO_DIGEST), { instanceOf: RangeError });
});

test("a writer grows, is used again, and keeps what it wrote", (t) => {
  const writer = new Writer(1);
  for (let round = 0; round < 3; round++) {
    writer.reset();
    for (let i = 0; i < 1000; i++) writer.u32(i);
    const reader = new Reader(writer.view());
    for (let i = 0; i < 1000; i++) t.is(reader.u32(), i);
    t.is(reader.remaining, 0);
  }
});

test("a writer over an arena fills it and no more", (t) => {
  const arena = new Uint8Array(8);
  const writer = new Writer(arena);
  writer.u53(7);
  t.is(writer.buffer, arena);
  t.throws(() => writer.u8(1), { instanceOf: RangeError });
  t.is(writer.length, 8);
});

test("a writer does not grow beyond its bound", (t) => {
  const writer = new Writer(16);
  writer.raw(new Uint8Array(WRITER_BYTES_MAX));
  t.throws(() => writer.u8(1), { instanceOf: RangeError });
});

test("a length opened before is closed over what follows it", (t) => {
  const bytes = written((w) => {
    w.u8(9);
    const place = w.openLength();
    w.u16(1);
    w.u8(2);
    w.closeLength(place);
  });
  t.deepEqual([...bytes], [9, 3, 0, 0, 0, 1, 0, 2]);
});

test("bits come back whatever an arena held before", (t) => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 70 }), (values) => {
      const writer = new Writer(new Uint8Array(16).fill(0xff));
      writer.bits(values);
      t.is(writer.length, Math.ceil(values.length / 8));
      t.deepEqual(new Reader(writer.view()).bits(values.length), values);
    }),
  );
});

const refused: readonly { name: string; bytes: number[]; read: (reader: Reader) => unknown; reason: DecodeReason }[] = [
  { name: "a byte of nothing", bytes: [], read: (r) => r.u8(), reason: "truncated" },
  { name: "half a u53", bytes: [1, 2, 3, 4], read: (r) => r.u53(), reason: "truncated" },
  { name: "bytes of 4 GiB", bytes: [255, 255, 255, 255, 1], read: (r) => r.bytes(), reason: "truncated" },
  { name: "a count of 2^32−1", bytes: [255, 255, 255, 255], read: (r) => r.count32(32), reason: "truncated" },
  { name: "a count of 65,535", bytes: [255, 255], read: (r) => r.count16(1), reason: "truncated" },
  { name: "a count of 255", bytes: [255], read: (r) => r.count8(1), reason: "truncated" },
  { name: "a boolean of 2", bytes: [2], read: (r) => r.boolean(), reason: "notCanonical" },
  { name: "a set with bit 31", bytes: [0, 0, 0, 128], read: (r) => r.set(), reason: "notCanonical" },
  { name: "padding bits", bytes: [0b1000], read: (r) => r.bits(3), reason: "notCanonical" },
  { name: "a code for nothing", bytes: [2], read: (r) => r.choice(["a", "b"]), reason: "outOfRange" },
  { name: "a byte too many", bytes: [1, 2], read: (r) => r.u8(), reason: "trailing" },
];

for (const { name, bytes, read, reason } of refused) {
  test(`a reader refuses ${name}: ${reason}`, (t) => {
    t.deepEqual(decode(Uint8Array.from(bytes), read), { ok: false, error: reason });
  });
}

test("what is not malformed input is not taken for it", (t) => {
  const bug = new TypeError("our bug");
  t.throws(
    () =>
      decode(new Uint8Array(0), () => {
        throw bug;
      }),
    { is: bug },
  );
});

test("a reader within bounds does not see beyond them", (t) => {
  const reader = new Reader(Uint8Array.of(1, 2, 3, 4), 1, 3);
  t.is(reader.u16(), 0x0302);
  t.throws(() => reader.u8(), { message: "truncated" });
});

test("digests keep all their bytes, lone surrogates among them", (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 40, maxLength: 40 }), fc.nat(8), (bytes, at) => {
      const packed = digestAt(bytes, at);
      t.is(packed.length, 16);
      const copy = new Uint8Array(40);
      writeDigest(copy, at, packed);
      t.deepEqual(copy.subarray(at, at + 32), bytes.subarray(at, at + 32));
      t.deepEqual(bytesOf(packed), bytes.slice(at, at + 32));
    }),
  );
  const surrogates = new Uint8Array(32).fill(0xd8);
  t.deepEqual(bytesOf(digestAt(surrogates, 0)), surrogates);
});

test("digests print as 64 lower-case hexadecimal digits and come back from nothing else", (t) => {
  fc.assert(
    fc.property(digest, (d) => {
      const hex = hexOf(d);
      t.regex(hex, /^[0-9a-f]{64}$/);
      t.is(digestFromHex(hex), d);
    }),
  );
  t.is(hexOf(ZERO_DIGEST), "0".repeat(64));
  for (const hex of ["", "0", "A".repeat(64), "0".repeat(63), "0".repeat(65), `${"0".repeat(64)}\n`, "g".repeat(64)]) {
    t.is(digestFromHex(hex), undefined, hex);
  }
});
