import test from "ava";
import * as fc from "fast-check";
import type { Bundle } from "../../dist/codec/client.js";
import { Writer } from "../../dist/codec/bytes.js";
import { digestAt } from "../../dist/codec/digest.js";
import { decodeControl, encodeBody, MessageType } from "../../dist/codec/messages.js";
import { InputKind, readInputs, rejectReasons } from "../../dist/codec/turn.js";
import type { TurnInput } from "../../dist/codec/turn.js";
import type { Digest, ReplicaId, SessionId } from "../../dist/protocol/types.js";
import { bodies } from "./arbitraries.ts";
import { batch, D, E, KEY, sequence, some, view } from "./samples.ts";

/** Input records as the addon writes them. */
function records(...list: readonly (readonly [kind: number, body: (writer: Writer) => void])[]): Uint8Array {
  const writer = new Writer();
  for (const [kind, body] of list) {
    writer.u8(kind);
    const place = writer.openLength();
    body(writer);
    writer.closeLength(place);
  }
  return writer.copy();
}

function read(bytes: Uint8Array): TurnInput[] {
  const inputs: TurnInput[] = [];
  readInputs(bytes, bytes.length, inputs);
  return inputs;
}

function control(from: number, type: number, body: Uint8Array, digest: Digest = D): Uint8Array {
  return records([
    InputKind.control,
    (w) => {
      w.u8(from);
      w.u8(type);
      w.digest(digest);
      w.raw(body);
    },
  ]);
}

function encoded<K extends keyof typeof bodies>(name: K, body: Parameters<typeof encodeBody<K>>[2]): Uint8Array {
  const writer = new Writer();
  encodeBody(writer, name, body);
  return writer.copy();
}

test("inputs of the core are read in their order", (t) => {
  const bytes = records(
    [
      InputKind.votes,
      (w) => {
        w.u8(1);
        w.u53(view);
        w.u53(sequence);
        w.digest(D);
        w.set(some);
      },
    ],
    [
      InputKind.conflict,
      (w) => {
        w.u8(2);
        w.u8(MessageType.prepare);
        w.digest(E);
      },
    ],
    [
      InputKind.assembled,
      (w) => {
        w.u53(view);
        w.u53(sequence);
        w.digest(D);
      },
    ],
    [
      InputKind.body,
      (w) => {
        w.digest(D);
        w.u8(1);
      },
    ],
    [
      InputKind.link,
      (w) => {
        w.u8(3);
        w.u8(0);
      },
    ],
    [
      InputKind.rejected,
      (w) => {
        w.u8(rejectReasons.indexOf("badSignature"));
        w.u8(255);
        w.u32(17);
      },
    ],
    [
      InputKind.sealed,
      (w) => {
        w.u53(view);
        w.digest(E);
      },
    ],
    [InputKind.persisted, (w) => w.u53(99)],
    [InputKind.diskFailed, (w) => w.u8(2)],
  );
  t.deepEqual(read(bytes), [
    { kind: "votes", phase: "commit", view, sequence, digest: D, signers: some },
    { kind: "conflict", by: 2, evidence: { digest: E, type: "prepare" } },
    { kind: "assembled", view, sequence, digest: D },
    { kind: "body", digest: D, status: "unavailable" },
    { kind: "link", peer: 3, up: false },
    { kind: "rejected", reason: "badSignature", peer: undefined, count: 17 },
    { kind: "sealed", target: view, digest: E },
    { kind: "persisted", upTo: 99 },
    { kind: "diskFailed", reason: "readOnly" },
  ] as unknown as TurnInput[]);
});

test("a request names its bundle and where it came from", (t) => {
  const request = (from: number, count = 4) =>
    records([
      InputKind.request,
      (w) => {
        w.u8(from);
        w.digest(D);
        w.digest(KEY);
        for (const value of [3, 9, 8]) w.u53(value);
        w.u16(count);
        w.u32(777);
      },
    ]);
  const bundle = {
    digest: D,
    client: KEY,
    session: 3,
    firstSequence: 9,
    acknowledgedThrough: 8,
    count: 4,
    bytes: 777,
  };
  t.deepEqual(read(request(255)), [
    { kind: "request", bundle, from: undefined, again: false },
  ] as unknown as TurnInput[]);
  t.deepEqual(read(request(254)), [
    { kind: "request", bundle, from: undefined, again: true },
  ] as unknown as TurnInput[]);
  t.deepEqual(read(request(1)), [{ kind: "request", bundle, from: 1, again: false }] as unknown as TurnInput[]);
  t.throws(() => read(request(31)), { message: /record at byte 0 .* outOfRange/ });
  for (const count of [0, 1025]) t.throws(() => read(request(255, count)), { message: /outOfRange/ });
});

test("a control message is what its sender encoded, with the verifier's digest", (t) => {
  fc.assert(
    fc.property(bodies.status, bodies.prePrepare, bodies.viewChange, (status, prePrepare, viewChange) => {
      t.deepEqual(read(control(2, MessageType.status, encoded("status", status))), [
        { kind: "control", from: 2, message: status },
      ] as unknown as TurnInput[]);
      const [proposed] = read(control(0, MessageType.prePrepare, encoded("prePrepare", prePrepare), E));
      t.deepEqual(proposed as unknown, { kind: "control", from: 0, message: { ...prePrepare, digest: E } });
      const [changed] = read(control(1, MessageType.viewChange, encoded("viewChange", viewChange), E));
      t.deepEqual(changed as unknown, { kind: "control", from: 1, message: { ...viewChange.message, digest: E } });
    }),
    { numRuns: 30 },
  );
});

test("a fetched batch says what its digest covers", (t) => {
  fc.assert(
    fc.property(bodies.fetchedBatch, (body) => {
      const [input] = read(control(2, MessageType.fetchedBatch, encoded("fetchedBatch", body), E));
      t.deepEqual(input as unknown, { kind: "control", from: 2, message: { ...body, digest: E } });
    }),
    { numRuns: 20 },
  );
});

test("messages for the shell keep their bytes when the turn's buffer is used again", (t) => {
  const nodes = Uint8Array.of(3, 0, 0, 0, 1, 2, 3, 1, 0, 0, 0, 4);
  const message = { type: "stateNodes", request: 5, count: 2, nodes } as const;
  const buffer = control(1, MessageType.stateNodes, encoded("stateNodes", message));
  const inputs = read(buffer);
  buffer.fill(0xff);
  t.deepEqual(inputs as unknown[], [{ kind: "peer", from: 1, name: "stateNodes", body: message }]);
});

test("a peer's payload that this codec refuses is counted against the peer", (t) => {
  const refused = [{ kind: "rejected", reason: "malformed", peer: 2, count: 1 }] as unknown as TurnInput[];
  t.deepEqual(read(control(2, MessageType.complaint, Uint8Array.of(1, 2, 3))), refused);
  t.deepEqual(read(control(2, MessageType.stateFetch, Uint8Array.of(1))), refused);
  t.deepEqual(read(control(2, MessageType.viewChange, Uint8Array.of(31))), refused);
  for (const type of ["bundle", "fetch", "unavailable", "fetchedViewChange", "fetchedNewView"] as const)
    t.deepEqual(read(control(2, MessageType[type], new Uint8Array(200))), refused);
  t.deepEqual(read(control(2, 0xee, new Uint8Array(8))), refused);
  t.false(decodeControl(MessageType.complaint, Uint8Array.of(1, 2, 3), D).ok);
});

test("a batch brings its bundles, and their bytes outlive the turn", (t) => {
  const bundle = (n: number): Bundle => ({
    client: KEY,
    session: 3 as SessionId,
    firstSequence: n,
    acknowledgedThrough: 0,
    operations: [Uint8Array.of(n), Uint8Array.of(n, n)],
  });
  const buffer = records([
    InputKind.batch,
    (w) => {
      w.u53(sequence);
      w.u53(999);
      w.u32(2);
      w.digest(D);
      w.bytes(encoded("bundle", bundle(1)));
      w.digest(E);
      w.bytes(encoded("bundle", bundle(2)));
    },
  ]);
  const inputs = read(buffer);
  buffer.fill(0);
  const bundles = [
    { digest: D, payload: encoded("bundle", bundle(1)) },
    { digest: E, payload: encoded("bundle", bundle(2)) },
  ];
  t.deepEqual(inputs as unknown[], [{ kind: "batch", sequence, time: 999, bundles }]);
});

test("only the given length of the buffer is read", (t) => {
  const bytes = records([InputKind.link, (w) => w.raw(Uint8Array.of(1, 1))]);
  const buffer = Uint8Array.of(...bytes, 9, 9, 9);
  const inputs: TurnInput[] = [];
  readInputs(buffer, bytes.length, inputs);
  t.is(inputs.length, 1);
  readInputs(buffer, 0, inputs);
  t.is(inputs.length, 1);
});

const broken: readonly { name: string; bytes: Uint8Array }[] = [
  { name: "an unknown kind", bytes: records([99, () => undefined]) },
  { name: "a length beyond the buffer", bytes: Uint8Array.of(InputKind.link, 3, 0, 0, 0, 1, 1) },
  { name: "a record with bytes left over", bytes: records([InputKind.link, (w) => w.raw(Uint8Array.of(1, 1, 1))]) },
  { name: "a record that ends early", bytes: records([InputKind.link, (w) => w.u8(1)]) },
  { name: "a peer that is no replica", bytes: records([InputKind.link, (w) => w.raw(Uint8Array.of(255, 1))]) },
  {
    name: "evidence of no message",
    bytes: records([
      InputKind.conflict,
      (w) => {
        w.u8(1);
        w.u8(MessageType.commit);
        w.digest(D);
      },
    ]),
  },
  {
    name: "a reason without a name",
    bytes: records([InputKind.rejected, (w) => w.raw(Uint8Array.of(rejectReasons.length, 255, 1, 0, 0, 0))]),
  },
];

for (const { name, bytes } of broken) {
  test(`${name} from the addon is our bug and throws`, (t) => {
    t.throws(() => read(bytes), { message: /the addon's record at byte 0/ });
  });
}

test("the digest of a control message may be any 32 bytes", (t) => {
  const digest = digestAt(new Uint8Array(32).fill(0xd8), 0);
  const [input] = read(
    control(
      3 as ReplicaId,
      MessageType.decided,
      encoded("decided", { type: "decided", sequence, digest: D, ...batch }),
      digest,
    ),
  );
  t.deepEqual(input as unknown, { kind: "control", from: 3, message: { type: "decided", sequence, digest, ...batch } });
});
