import { createHash, createPublicKey, sign as nodeSign, createPrivateKey } from "node:crypto";
import test from "ava";
import {
  batchDigest,
  bundleDigest,
  checkPublicKey,
  decodeCheck,
  generateKey,
  hashMany,
  nativeVersion,
  publicKeyOf,
  resultDigest,
  sha256,
  Signer,
  verify,
  verifyBatch,
} from "../../dist/native/native.js";
import packageJson from "../../package.json" with { type: "json" };
import { CLUSTER, EPOCH, identity, record, u32, u53, u8 } from "./rig.ts";

const payload = Buffer.from("payload");

function hash(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(createHash("sha256").update(Buffer.concat(parts)).digest());
}

test("the binding is of this package's version", (t) => {
  t.is(nativeVersion(), packageJson.version);
});

test("keys are PKCS#8 PEM that Node reads too", (t) => {
  const pem = generateKey();
  const spki = createPublicKey(createPrivateKey(pem)).export({ type: "spki", format: "der" });
  t.is(publicKeyOf(pem), spki.subarray(-32).toString("hex"));
  t.deepEqual(new Uint8Array(new Signer(pem).publicKey), new Uint8Array(spki.subarray(-32)));
  for (const bad of ["", "none", pem.replace("PRIVATE", "PUBLIC")]) {
    t.throws(() => publicKeyOf(bad), { name: "ByzantineError", code: "INVALID_KEY" });
    t.throws(() => new Signer(bad), { name: "ByzantineError", code: "INVALID_KEY" });
  }
});

test("public keys of small order and wrong length are named", (t) => {
  t.is(checkPublicKey(identity().key), "");
  t.regex(checkPublicKey(new Uint8Array(32)), /order/);
  t.regex(checkPublicKey(new Uint8Array(31)), /32 bytes/);
});

test("signatures cover protocol, cluster, epoch, type and payload, as Node's Ed25519 makes them", (t) => {
  const { pem, key } = identity();
  const signature = new Signer(pem).sign(CLUSTER, EPOCH, 0x21, payload);
  const signed = Buffer.concat([Buffer.from("byzantine-quic/1"), CLUSTER, u53(EPOCH), u8(0x21), payload]);
  t.deepEqual(Buffer.from(signature), nodeSign(null, signed, pem));
  t.true(verify(key, CLUSTER, EPOCH, 0x21, payload, signature));
  t.false(verify(key, CLUSTER, EPOCH, 0x22, payload, signature));
  t.false(verify(key, CLUSTER, EPOCH + 1, 0x21, payload, signature));
  t.false(verify(key, new Uint8Array(32), EPOCH, 0x21, payload, signature));
  t.false(verify(identity().key, CLUSTER, EPOCH, 0x21, payload, signature));
  t.false(verify(key, CLUSTER, EPOCH, 0x21, payload, signature.subarray(1)));
  t.false(verify(new Uint8Array(32), CLUSTER, EPOCH, 0x21, payload, signature));
  t.throws(() => verify(key, CLUSTER, -1, 0x21, payload, signature), { code: "INVALID_ARGUMENT" });
});

test("a batch gives each item the verdict that it has alone", (t) => {
  const { pem, key } = identity();
  const signature = Buffer.from(new Signer(pem).sign(CLUSTER, EPOCH, 0x21, payload));
  const item = (of: Uint8Array, type: number, by: Uint8Array): Buffer =>
    Buffer.concat([of, u8(type), u32(payload.length), payload, by]);
  const items = [item(key, 0x21, signature), item(key, 0x22, signature), item(new Uint8Array(32), 0x21, signature)];
  t.deepEqual([...verifyBatch(CLUSTER, EPOCH, Buffer.concat([...items, items[0]!]))], [1, 0, 0, 1]);
  t.deepEqual([...verifyBatch(CLUSTER, EPOCH, new Uint8Array(0))], []);
  t.throws(() => verifyBatch(CLUSTER, EPOCH, items[0]!.subarray(1)), { code: "INVALID_ARGUMENT" });
});

test("digests are those of the format list", (t) => {
  const leaves = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte));
  const root = hash(u8(1), hash(u8(1), leaves[0]!, leaves[1]!), leaves[2]!);
  t.deepEqual(new Uint8Array(sha256(payload)), hash(payload));
  t.deepEqual(new Uint8Array(bundleDigest(payload)), hash(u8(0), payload));
  t.deepEqual(new Uint8Array(batchDigest(9, Buffer.concat(leaves))), hash(u8(2), u53(9), u32(3), root));
  t.deepEqual(new Uint8Array(batchDigest(0, new Uint8Array(0))), hash(u8(2), u53(0), u32(0), new Uint8Array(32)));
  t.deepEqual(new Uint8Array(resultDigest(2, payload)), hash(u8(4), u8(2), payload));
  t.throws(() => batchDigest(0, new Uint8Array(33)), { code: "INVALID_ARGUMENT" });
});

test("many inputs are hashed in one crossing, and bounds that do not fit are refused", (t) => {
  const input = Buffer.from("abcdef");
  const output = new Uint8Array(96).fill(0xee);
  hashMany(input, new Uint32Array([3, 3, 6]), 2, output);
  t.deepEqual(output.subarray(0, 32), hash(Buffer.from("abc")));
  t.deepEqual(output.subarray(32, 64), hash(new Uint8Array(0)));
  t.deepEqual(output.subarray(64), new Uint8Array(32).fill(0xee));
  const refused = { name: "ByzantineError", code: "INVALID_ARGUMENT" };
  t.throws(() => hashMany(input, new Uint32Array([7]), 1, output), refused);
  t.throws(() => hashMany(input, new Uint32Array([3, 2]), 2, output), refused);
  t.throws(() => hashMany(input, new Uint32Array([3]), 2, output), refused);
  t.throws(() => hashMany(input, new Uint32Array([1, 2, 3, 4]), 4, output), refused);
  t.throws(() => hashMany(output.subarray(0, 3), new Uint32Array([3]), 1, output), refused);
});

test("the native decoder names what is wrong", (t) => {
  const commit = Buffer.concat([u53(0), u53(1), new Uint8Array(32)]);
  t.is(decodeCheck(0x22, commit), "");
  t.is(decodeCheck(0x22, commit.subarray(0, -1)), "truncated");
  t.is(decodeCheck(0x22, Buffer.concat([commit, u8(0)])), "trailing");
  t.is(decodeCheck(0x22, Buffer.from(commit).fill(0xff, 0, 8)), "outOfRange");
  t.is(decodeCheck(0xee, commit), "unknownType");
  t.is(decodeCheck(0x30, record(4)), "outOfRange");
});
