import test from "ava";
import { createHash } from "node:crypto";
import { MessageCrypto } from "../../dist/index.js";

const DOMAIN = { clusterId: new Uint8Array(32).fill(7), epoch: 3 };
const PAIR = MessageCrypto.generateKeyPair();
const KEY = Buffer.from(PAIR.publicKey, "hex");
const PAYLOAD = Buffer.from("payload");

test("a signature holds for its domain, type, payload and key, and for nothing else", (t) => {
  const crypto = new MessageCrypto(DOMAIN, PAIR.privateKey);
  const signature = crypto.sign(0x21, PAYLOAD);
  t.is(signature.length, 64);
  const message = { key: KEY, type: 0x21, payload: PAYLOAD, signature };
  t.true(crypto.verify(message));
  t.true(new MessageCrypto(DOMAIN).verify(message), "no private key is needed to check");
  t.false(crypto.verify({ ...message, type: 0x22 }));
  t.false(crypto.verify({ ...message, payload: Buffer.from("Payload") }));
  t.false(crypto.verify({ ...message, key: Buffer.from(MessageCrypto.generateKeyPair().publicKey, "hex") }));
  t.false(new MessageCrypto({ ...DOMAIN, epoch: 4 }).verify(message));
  t.false(new MessageCrypto({ ...DOMAIN, clusterId: new Uint8Array(32) }).verify(message));
});

test("a batch gives the verdict that each gets by itself", (t) => {
  const crypto = new MessageCrypto(DOMAIN, PAIR.privateKey);
  const messages = Array.from({ length: 20 }, (_, i) => {
    const payload = Buffer.alloc(i, i);
    const signature = Buffer.from(crypto.sign(i, payload));
    if (i % 7 === 3) signature[5]! ^= 1;
    return { key: KEY, type: i, payload, signature };
  });
  const verdicts = crypto.verifyBatch(messages);
  t.deepEqual(
    verdicts,
    messages.map((message) => crypto.verify(message)),
  );
  t.is(verdicts.filter((good) => !good).length, 3);
  t.deepEqual(crypto.verifyBatch([]), []);
});

test("without a private key nothing is signed, and a bad one is refused", (t) => {
  t.throws(() => new MessageCrypto(DOMAIN).sign(0x21, PAYLOAD), { instanceOf: TypeError });
  t.throws(() => new MessageCrypto(DOMAIN, "no key"), { code: "INVALID_KEY" });
});

test("weak keys are named, good ones are not", (t) => {
  t.is(MessageCrypto.refusalOf(KEY), undefined);
  t.is(typeof MessageCrypto.refusalOf(new Uint8Array(32)), "string");
});

test("digests are those of the formats", (t) => {
  const sha256 = (...parts: readonly Uint8Array[]): string =>
    parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  t.is(hex(MessageCrypto.sha256(PAYLOAD)), sha256(PAYLOAD));
  const leaf = MessageCrypto.bundleDigest(PAYLOAD);
  t.is(hex(leaf), sha256(Uint8Array.of(0), PAYLOAD));
  const time = Buffer.alloc(8);
  time.writeBigUInt64LE(9n);
  t.is(hex(MessageCrypto.batchDigest(9, leaf)), sha256(Uint8Array.of(2), time, Uint8Array.of(1, 0, 0, 0), leaf));
  t.is(hex(MessageCrypto.resultDigest("refused", PAYLOAD)), sha256(Uint8Array.of(4, 1), PAYLOAD));
});
