/** Whatever a message says twice is compared: one test per field that could lie about others. */
import test from "ava";
import { decodePayload, MessageType } from "../../dist/codec/messages.js";
import { Writer } from "../../dist/codec/bytes.js";
import type { DecodeReason } from "../../dist/codec/bytes.js";
import type { BodyName } from "../../dist/codec/messages.js";
import type { ReplicaSet } from "../../dist/protocol/types.js";
import {
  D,
  bundle,
  list,
  named,
  newView,
  nodeless,
  nodes,
  read,
  readAnswer,
  relayed,
  repeated,
  reply,
  signatures,
  stateFetch,
  status,
  u53s,
  viewChange,
} from "./liars.ts";

interface Lie {
  readonly name: string;
  readonly type: BodyName;
  readonly honest: (writer: Writer) => void;
  readonly lie: (writer: Writer) => void;
  readonly reason: DecodeReason;
}

const prepared = { sequence: 12 };
const lies: readonly Lie[] = [
  {
    name: "an operation's length",
    type: "bundle",
    honest: bundle({}),
    lie: bundle({ lengths: [2, 9999] }),
    reason: "truncated",
  },
  {
    name: "an operation's length, short",
    type: "bundle",
    honest: bundle({}),
    lie: bundle({ lengths: [2, 1] }),
    reason: "trailing",
  },
  {
    name: "the count of operations",
    type: "bundle",
    honest: bundle({}),
    lie: bundle({ count: 1 }),
    reason: "trailing",
  },
  {
    name: "a count of no operations",
    type: "bundle",
    honest: bundle({}),
    lie: bundle({ count: 0, lengths: [] }),
    reason: "outOfRange",
  },
  {
    name: "a count of 1,025 operations",
    type: "bundle",
    honest: bundle({ count: 1024, lengths: repeated(1024, 2) }),
    lie: bundle({ count: 1025, lengths: repeated(1025, 2) }),
    reason: "outOfRange",
  },
  {
    name: "a last operation numbered 2^53",
    type: "bundle",
    honest: bundle({ first: 2 ** 53 - 2 }),
    lie: bundle({ first: 2 ** 53 - 1 }),
    reason: "outOfRange",
  },
  {
    name: "two operations outside of a session",
    type: "bundle",
    honest: bundle({ session: 0, acknowledged: 0, count: 1, lengths: [2] }),
    lie: bundle({ session: 0, acknowledged: 0 }),
    reason: "notCanonical",
  },
  {
    name: "an acknowledgement outside of a session",
    type: "bundle",
    honest: bundle({ session: 0, acknowledged: 0, count: 1, lengths: [2] }),
    lie: bundle({ session: 0, count: 1, lengths: [2] }),
    reason: "notCanonical",
  },
  {
    name: "the count of bundles",
    type: "prePrepare",
    honest: list(3, 32, 2, 2, true),
    lie: list(3, 32, 1, 2, true),
    reason: "trailing",
  },
  {
    name: "the count of bundles, large",
    type: "prePrepare",
    honest: list(3, 32, 2, 2, true),
    lie: list(3, 32, 2 ** 32 - 1, 2, true),
    reason: "truncated",
  },
  {
    name: "the count of bundles",
    type: "decided",
    honest: list(2, 32, 2, 2, false),
    lie: list(2, 32, 3, 2, false),
    reason: "truncated",
  },
  {
    name: "the count of bundles",
    type: "fetchedBatch",
    honest: list(1, 32, 2, 2, false),
    lie: list(1, 32, 3, 2, false),
    reason: "truncated",
  },
  {
    name: "signers without signatures",
    type: "viewChange",
    honest: viewChange({ prepared: [prepared] }),
    lie: viewChange({ prepared: [{ ...prepared, signers: 0b1111 }] }),
    reason: "truncated",
  },
  {
    name: "signatures without signers",
    type: "viewChange",
    honest: viewChange({ prepared: [prepared] }),
    lie: viewChange({ prepared: [{ ...prepared, signers: 0b11 }] }),
    reason: "trailing",
  },
  {
    name: "a signer with number 31",
    type: "viewChange",
    honest: viewChange({ prepared: [{ ...prepared, signers: 0x40000003 }] }),
    lie: viewChange({ prepared: [{ ...prepared, signers: 0x80000003 }] }),
    reason: "notCanonical",
  },
  {
    name: "a stable certificate for sequence 0",
    type: "viewChange",
    honest: viewChange({ stable: { sequence: 10 } }),
    lie: viewChange({ stable: { sequence: 10 }, stableSequence: 0 }),
    reason: "truncated",
  },
  {
    name: "a stable sequence without certificate",
    type: "viewChange",
    honest: viewChange({}),
    lie: viewChange({ stableSequence: 10 }),
    reason: "truncated",
  },
  {
    name: "the count of prepared certificates",
    type: "viewChange",
    honest: viewChange({ prepared: [prepared] }),
    lie: viewChange({ prepared: [prepared], count: 0 }),
    reason: "trailing",
  },
  {
    name: "two certificates for one sequence",
    type: "viewChange",
    honest: viewChange({ prepared: [prepared, { sequence: 13 }] }),
    lie: viewChange({ prepared: [prepared, prepared] }),
    reason: "notCanonical",
  },
  {
    name: "certificates out of order",
    type: "viewChange",
    honest: viewChange({ prepared: [prepared, { sequence: 13 }] }),
    lie: viewChange({ prepared: [{ sequence: 13 }, prepared] }),
    reason: "notCanonical",
  },
  {
    name: "the count of VIEW_CHANGEs",
    type: "newView",
    honest: newView({}),
    lie: newView({ viewChanges: 255 }),
    reason: "truncated",
  },
  {
    name: "one sender named twice",
    type: "newView",
    honest: newView({}),
    lie: newView({ from: [0, 1, 1] }),
    reason: "notCanonical",
  },
  {
    name: "senders out of order",
    type: "newView",
    honest: newView({}),
    lie: newView({ from: [0, 3, 1] }),
    reason: "notCanonical",
  },
  {
    name: "a sender with number 31",
    type: "newView",
    honest: newView({ from: [0, 1, 30] }),
    lie: newView({ from: [0, 1, 31] }),
    reason: "outOfRange",
  },
  {
    name: "the count of proposals",
    type: "newView",
    honest: newView({}),
    lie: newView({ count: 1 }),
    reason: "trailing",
  },
  {
    name: "the count of proposals, large",
    type: "newView",
    honest: newView({}),
    lie: newView({ count: 65_535 }),
    reason: "truncated",
  },
  {
    name: "a relayed sender with number 31",
    type: "fetchedViewChange",
    honest: relayed(30),
    lie: relayed(31),
    reason: "outOfRange",
  },
  {
    name: "bits beyond the count",
    type: "status",
    honest: status({}),
    lie: status({ bitmaps: [8, 3, 1] }),
    reason: "notCanonical",
  },
  {
    name: "bits beyond the count in the last bitmap",
    type: "status",
    honest: status({}),
    lie: status({ bitmaps: [7, 3, 128] }),
    reason: "notCanonical",
  },
  { name: "the count of bits", type: "status", honest: status({}), lie: status({ count: 4096 }), reason: "truncated" },
  {
    name: "a count of 4,097 bits",
    type: "status",
    honest: status({ count: 4096, bitmaps: repeated(1536, 0) }),
    lie: status({ count: 4097, bitmaps: repeated(1539, 0) }),
    reason: "outOfRange",
  },
  {
    name: "the count of missing bodies",
    type: "status",
    honest: status({}),
    lie: status({ missing: 2 }),
    reason: "truncated",
  },
  {
    name: "bit 31 of the VIEW_CHANGEs",
    type: "status",
    honest: status({}),
    lie: status({ set: 0x80000000 }),
    reason: "notCanonical",
  },
  { name: "a third mode", type: "status", honest: status({ mode: 1 }), lie: status({ mode: 2 }), reason: "outOfRange" },
  {
    name: "a fence that is not there",
    type: "status",
    honest: status({ fenced: 1, fence: [4, 5] }),
    lie: status({ fenced: 1 }),
    reason: "truncated",
  },
  {
    name: "a fence that should not be there",
    type: "status",
    honest: status({ fenced: 1, fence: [4, 5] }),
    lie: status({ fence: [4, 5] }),
    reason: "trailing",
  },
  {
    name: "a flag of 2",
    type: "status",
    honest: status({ fenced: 1, fence: [4, 5] }),
    lie: status({ fenced: 2, fence: [4, 5] }),
    reason: "notCanonical",
  },
  { name: "a fifth kind", type: "fetch", honest: named(3), lie: named(4), reason: "outOfRange" },
  { name: "a fifth kind", type: "unavailable", honest: named(3), lie: named(4), reason: "outOfRange" },
  {
    name: "the count of places",
    type: "stateFetch",
    honest: stateFetch({}),
    lie: stateFetch({ count: 3 }),
    reason: "truncated",
  },
  {
    name: "the count of places, short",
    type: "stateFetch",
    honest: stateFetch({}),
    lie: stateFetch({ count: 1 }),
    reason: "trailing",
  },
  {
    name: "no place",
    type: "stateFetch",
    honest: stateFetch({}),
    lie: stateFetch({ lengths: [] }),
    reason: "outOfRange",
  },
  {
    name: "1,025 places",
    type: "stateFetch",
    honest: stateFetch({ lengths: repeated(1024, 0) }),
    lie: stateFetch({ lengths: repeated(1025, 0) }),
    reason: "outOfRange",
  },
  {
    name: "an answer of no bytes",
    type: "stateFetch",
    honest: stateFetch({ bytesMax: 1 }),
    lie: stateFetch({ bytesMax: 0 }),
    reason: "outOfRange",
  },
  {
    name: "an answer of more than 1 MiB",
    type: "stateFetch",
    honest: stateFetch({ bytesMax: 2 ** 20 }),
    lie: stateFetch({ bytesMax: 2 ** 20 + 1 }),
    reason: "outOfRange",
  },
  {
    name: "a path of more symbols than a key",
    type: "stateFetch",
    honest: stateFetch({ lengths: [2051] }),
    lie: stateFetch({ lengths: [2052] }),
    reason: "outOfRange",
  },
  {
    name: "paths of more than 64 Ki symbols",
    type: "stateFetch",
    honest: stateFetch({ lengths: repeated(32, 2048) }),
    lie: stateFetch({ lengths: [...repeated(32, 2048), 1] }),
    reason: "outOfRange",
  },
  {
    name: "an eighteenth symbol",
    type: "stateFetch",
    honest: stateFetch({ symbol: 16 }),
    lie: stateFetch({ symbol: 17 }),
    reason: "outOfRange",
  },
  {
    name: "a place that is half deep",
    type: "stateFetch",
    honest: stateFetch({ deep: 1 }),
    lie: stateFetch({ deep: 2 }),
    reason: "notCanonical",
  },
  { name: "the count of nodes", type: "stateNodes", honest: nodes(1, 3), lie: nodes(0, 3), reason: "trailing" },
  {
    name: "4,097 nodes",
    type: "stateNodes",
    honest: nodeless(4096),
    lie: nodeless(4097),
    reason: "outOfRange",
  },
  { name: "a node's length", type: "stateNodes", honest: nodes(1, 3), lie: nodes(1, 4), reason: "truncated" },
  { name: "the count of entries", type: "reply", honest: reply({}), lie: reply({ count: 2 }), reason: "truncated" },
  { name: "a result's length", type: "reply", honest: reply({}), lie: reply({ length: 2 }), reason: "trailing" },
  {
    name: "a seventh status",
    type: "reply",
    honest: reply({ status: 5 }),
    lie: reply({ status: 6 }),
    reason: "outOfRange",
  },
  { name: "a third form", type: "reply", honest: reply({}), lie: reply({ form: 2 }), reason: "outOfRange" },
  { name: "a digest that is a result", type: "reply", honest: reply({}), lie: reply({ form: 1 }), reason: "truncated" },
  {
    name: "a half tentative answer",
    type: "reply",
    honest: reply({ tentative: 1 }),
    lie: reply({ tentative: 2 }),
    reason: "notCanonical",
  },
  { name: "a question's length", type: "read", honest: read(3), lie: read(2), reason: "trailing" },
  {
    name: "an answer's length",
    type: "readAnswer",
    honest: readAnswer({}),
    lie: readAnswer({ length: 4 }),
    reason: "truncated",
  },
  {
    name: "a third form",
    type: "readAnswer",
    honest: readAnswer({}),
    lie: readAnswer({ form: 2 }),
    reason: "outOfRange",
  },
  {
    name: "a seventh status",
    type: "readAnswer",
    honest: readAnswer({}),
    lie: readAnswer({ status: 6 }),
    reason: "outOfRange",
  },
];

for (const { name, type, honest, lie, reason } of lies) {
  test(`${type}: ${name} is refused as ${reason}`, (t) => {
    const writer = new Writer();
    honest(writer);
    t.true(decodePayload(MessageType[type], writer.view()).ok, "without the lie it is a message");
    writer.reset();
    lie(writer);
    t.deepEqual(decodePayload(MessageType[type], writer.view()), { ok: false, error: reason });
  });
}

test("a bundle of more than 512 KiB is refused, one of exactly that is not", (t) => {
  const head = 32 + 3 * 8 + 2 + 4 + 64;
  for (const excess of [0, 1]) {
    const writer = new Writer(1024 * 1024);
    writer.digest(D);
    u53s(writer, 1, 2, 0);
    writer.u16(1);
    writer.bytes(new Uint8Array(512 * 1024 - head + excess));
    signatures(writer, 1);
    const decoded = decodePayload(MessageType.bundle, writer.view());
    t.is(decoded.ok ? "ok" : decoded.error, excess === 0 ? "ok" : "tooLong");
  }
});

test("a certificate of all 31 replicas holds 31 signatures", (t) => {
  const all = 0x7fffffff as ReplicaSet;
  const writer = new Writer();
  viewChange({ prepared: [{ sequence: 1, signers: all, signatures: 31 }] })(writer);
  t.true(decodePayload(MessageType.viewChange, writer.view()).ok);
});
