/** The messages of the protocol as a program meets them: every type with what it must say, on the wire and to the core. */
import test from "ava";
import type { ViewChange } from "../../dist/index.js";
import { MessageCrypto } from "../../dist/index.js";
import { bytesOf } from "../../dist/codec/digest.js";
import { Writer } from "../../dist/codec/bytes.js";
import {
  decodeControl,
  decodePayload,
  encodeOutgoing,
  encodePayload,
  isSigned,
  laneOf,
  MessageType,
} from "../../dist/codec/messages.js";
import type { BodyName, Payload } from "../../dist/codec/messages.js";
import type { CertificateName, Control, Outgoing } from "../../dist/protocol/messages.js";
import {
  sizeOf,
  ZERO_DIGEST,
  type AgreedTime,
  type ClientKey,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
  type SessionId,
  type View,
} from "../../dist/protocol/types.js";
import { certificate, digestOf, newView, stable, status, viewChange } from "../protocol/scripted.ts";

const view = 3 as View;
const sequence = 12 as Sequence;
const digest = digestOf("batch");
const time = 1_700_000_000_000 as AgreedTime;
const bundles = [digestOf("a"), digestOf("b")];
const SIGNATURE = new Uint8Array(64).fill(9);
const signaturesOf = ({ signers }: CertificateName): Uint8Array => new Uint8Array(64 * sizeOf(signers)).fill(7);

function decodedViewChange(message: ViewChange) {
  const names = [...(message.stable === undefined ? [] : [message.stable]), ...message.prepared];
  return { message, certificates: names.map((name) => ({ name, signatures: signaturesOf(name) })) };
}

/** What the wire does not say is computed by whoever decodes; here it is nothing. */
const asking = {
  ...viewChange(4, ""),
  stable: stable(8, "root"),
  prepared: [certificate(9, "a", { view: 1 }), certificate(11, "b", { view: 3 })],
  digest: ZERO_DIGEST,
};
const entering = newView(4, { 0: "of 0", 1: "of 1", 3: "of 3" }, ["a", "null", "b"], 9);
const proposals = entering.batches.map(() => SIGNATURE);
const client = digestOf("client") as string as ClientKey;
const session = 7 as SessionId;
const result = new Uint8Array([1, 2, 3]);
const operations = [new Uint8Array([4]), new Uint8Array(0)];

/** One message of each type. */
const messages: readonly Omit<Payload, "signature">[] = [
  { name: "bundle", body: { client, session, firstSequence: 5, acknowledgedThrough: 4, operations } },
  {
    name: "reply",
    body: {
      session,
      batchSequence: sequence,
      view,
      tentative: false,
      entries: [{ sequence: 5, status: "ok", result }],
    },
  },
  { name: "busy", body: { session, firstSequence: 5 } },
  { name: "prePrepare", body: { type: "prePrepare", view, sequence, time, bundles, digest: ZERO_DIGEST } },
  { name: "prepare", body: { type: "prepare", view, sequence, digest } },
  { name: "commit", body: { type: "commit", view, sequence, digest } },
  { name: "checkpoint", body: { type: "checkpoint", sequence, digest } },
  { name: "viewChange", body: decodedViewChange(asking) },
  { name: "newView", body: { message: entering, proposals } },
  {
    name: "status",
    body: status({
      view,
      mode: "viewChange",
      lastExecuted: 9,
      proposed: [true, true],
      prepared: [true, false],
      committed: [false, false],
      missing: bundles,
      viewChanges: 5 as ReplicaSet,
    }),
  },
  { name: "decided", body: { type: "decided", sequence, time, bundles, digest: ZERO_DIGEST } },
  { name: "complaint", body: { type: "complaint", view } },
  { name: "fetch", body: { type: "fetch", kind: "viewChange", digest } },
  { name: "unavailable", body: { type: "unavailable", kind: "newView", digest } },
  { name: "fetchedBundle", body: { client, session, firstSequence: 5, acknowledgedThrough: 4, operations } },
  { name: "fetchedBatch", body: { type: "fetchedBatch", time, bundles, digest: ZERO_DIGEST } },
  { name: "fetchedViewChange", body: { from: 2 as ReplicaId, ...decodedViewChange(asking) } },
  { name: "fetchedNewView", body: { message: entering, proposals } },
  {
    name: "stateFetch",
    body: {
      type: "stateFetch",
      sequence,
      request: 1,
      bytesMax: 1024,
      items: [{ path: new Uint8Array([1, 2]), deep: true }],
    },
  },
  { name: "stateNodes", body: { type: "stateNodes", request: 1, count: 0, nodes: new Uint8Array(0) } },
  { name: "read", body: { nonce: 3, question: result } },
  { name: "readAnswer", body: { nonce: 3, version: sequence, status: "ok", result } },
];

test("there is one message here for every type but HELLO", (t) => {
  t.deepEqual(
    messages.map(({ name }) => name).sort(),
    Object.keys(MessageType)
      .filter((name) => name !== "hello")
      .sort() as BodyName[],
  );
});

for (const { name, body } of messages) {
  test(`${name} says after its way over the wire what it said before`, (t) => {
    const payload = { name, body, signature: isSigned(name) ? SIGNATURE : undefined } as Payload;
    const writer = new Writer();
    encodePayload(writer, payload);
    t.deepEqual(decodePayload(MessageType[name], writer.copy()), { ok: true, message: payload });
  });
}

test("messages that bind their sender towards third parties are signed, the others rest on their channel", (t) => {
  const signed = messages.filter(({ name }) => isSigned(name)).map(({ name }) => name);
  t.deepEqual(signed, [
    "bundle",
    "prePrepare",
    "prepare",
    "checkpoint",
    "viewChange",
    "newView",
    "fetchedBundle",
    "fetchedViewChange",
    "fetchedNewView",
  ]);
});

test("votes, orders, clients and bulk have lanes of their own", (t) => {
  const lane = (name: BodyName): string => laneOf(name);
  t.deepEqual([lane("prepare"), lane("commit")], ["votes", "votes"]);
  t.deepEqual([lane("prePrepare"), lane("viewChange"), lane("newView"), lane("status")], Array(4).fill("control"));
  t.deepEqual([lane("bundle"), lane("reply")], ["client", "client"]);
  t.deepEqual([lane("fetchedBundle"), lane("fetchedViewChange"), lane("stateNodes")], Array(3).fill("bulk"));
});

test("a PRE-PREPARE does not say its digest: whoever decodes it computes that from what it names", (t) => {
  const writer = new Writer();
  encodePayload(writer, {
    name: "prePrepare",
    body: { type: "prePrepare", view, sequence, time, bundles, digest },
    signature: SIGNATURE,
  });
  const bytes = writer.copy();
  for (const computed of [digest, digestOf("another")]) {
    const decoded = decodeControl(MessageType.prePrepare, bytes.subarray(0, -64), computed);
    t.like(decoded, { ok: true, message: { type: "prePrepare", digest: computed, bundles } });
  }
});

test("no message names its sender: it is the key that the signature or the channel was verified against", (t) => {
  for (const { name, body } of messages) {
    if (name === "fetchedViewChange") continue; // says whose it is, and that signature is checked
    t.false("from" in body || "sender" in body || "signer" in body, name);
  }
});

test("VIEW-CHANGE and NEW-VIEW carry the signatures of the certificates that they name, and the core sees the names", (t) => {
  const asked: unknown[] = [];
  const source = {
    certificate: (name: CertificateName) => (asked.push(name), signaturesOf(name)),
    proposal: (...place: readonly unknown[]) => (asked.push(place), SIGNATURE),
  };
  const encoded = (message: Outgoing): Uint8Array => {
    const writer = new Writer();
    encodeOutgoing(writer, message, source);
    return writer.copy();
  };
  t.deepEqual(decodeControl(MessageType.viewChange, encoded(asking), digest), {
    ok: true,
    message: { ...asking, digest },
  });
  t.deepEqual(asked.splice(0), [asking.stable, ...asking.prepared]);
  t.deepEqual(decodeControl(MessageType.newView, encoded(entering), digest), { ok: true, message: entering });
  t.deepEqual(
    asked,
    [9, 10, 11].map((place, index) => [entering.view, place, entering.batches[index]]),
  );
  t.throws(() => encodeOutgoing(new Writer(), asking, undefined), { message: /signatures/ });
});

test("only what the core takes one by one decodes to a control message", (t) => {
  const control: Control["type"][] = [
    "prePrepare",
    "checkpoint",
    "viewChange",
    "newView",
    "status",
    "decided",
    "complaint",
    "fetchedBatch",
  ];
  for (const { name, body } of messages) {
    const writer = new Writer();
    encodePayload(writer, { name, body, signature: isSigned(name) ? SIGNATURE : undefined } as Payload);
    const bytes = isSigned(name) ? writer.copy().subarray(0, -64) : writer.copy();
    const decoded = decodeControl(MessageType[name], bytes, ZERO_DIGEST);
    t.is(decoded.ok, control.includes(name as never), name);
    if (!decoded.ok) t.is(decoded.error, "unknownType");
  }
});

test("a program makes and checks signed messages with MessageCrypto", (t) => {
  const { privateKey, publicKey } = MessageCrypto.generateKeyPair();
  const crypto = new MessageCrypto({ clusterId: new Uint8Array(32).fill(1), epoch: 0 }, privateKey);
  const writer = new Writer();
  encodeOutgoing(writer, { type: "checkpoint", sequence, digest }, undefined);
  const payload = writer.copy();
  const signature = crypto.sign(MessageType.checkpoint, payload);
  const key = Buffer.from(publicKey, "hex");
  t.true(crypto.verify({ key, type: MessageType.checkpoint, payload, signature }));
  t.false(crypto.verify({ key, type: MessageType.prepare, payload, signature }));
  t.deepEqual(payload.subarray(8), new Uint8Array(bytesOf(digest)), "sequence, then the root");
});
