import test from "ava";
import * as fc from "fast-check";
import { Reader, Writer } from "../../dist/codec/bytes.js";
import { digestAt } from "../../dist/codec/digest.js";
import { decodeBody, decodeControl, encodeBody, MessageType } from "../../dist/codec/messages.js";
import { ActionKind, ActionWriter, InputKind, readInputs, rejectReasons } from "../../dist/codec/turn.js";
import type { TurnInput } from "../../dist/codec/turn.js";
import type { Bundle } from "../../dist/codec/client.js";
import type { SignatureSource } from "../../dist/codec/viewChange.js";
import type { BatchContent, CertificateName } from "../../dist/protocol/messages.js";
import { sizeOf } from "../../dist/protocol/types.js";
import type {
  AgreedTime,
  ClientKey,
  Digest,
  ReplicaId,
  ReplicaSet,
  Sequence,
  SessionId,
  View,
} from "../../dist/protocol/types.js";
import { bodies } from "./arbitraries.ts";

const D = "d".repeat(16) as Digest;
const E = "e".repeat(16) as Digest;
const KEY = "k".repeat(16) as ClientKey;
const view = 5 as View;
const sequence = 70 as Sequence;
const some = 0b1010 as ReplicaSet;
const batch: BatchContent = { time: 1234 as AgreedTime, bundles: [D, E] };
const stable: CertificateName = {
  phase: "checkpoint",
  view: 0 as View,
  sequence: 60 as Sequence,
  digest: D,
  signers: some,
};
const prepared: CertificateName = {
  phase: "prepare",
  view: 4 as View,
  sequence,
  digest: E,
  signers: 0b111 as ReplicaSet,
};
/** Signatures whose bytes say what was asked for. */
const signatures: SignatureSource = {
  certificate: ({ phase, signers }) => new Uint8Array(64 * sizeOf(signers)).fill(phase === "checkpoint" ? 1 : 2),
  proposal: () => new Uint8Array(64).fill(3),
};

/** The one record in an action buffer. */
function onlyRecord(actions: ActionWriter): { kind: number; body: Reader } {
  const reader = new Reader(actions.buffer, 0, actions.length);
  const kind = reader.u8();
  const length = reader.u32();
  if (length !== reader.remaining) throw new Error("one record fills the buffer");
  return { kind, body: reader };
}

interface ActionCase {
  readonly name: keyof typeof ActionKind;
  readonly write: (actions: ActionWriter) => void;
  /** The fields of WIRE.md §7, one after another. */
  readonly read: (body: Reader) => unknown[];
  readonly fields: unknown[];
}

const digests = (body: Reader): Digest[] => Array.from({ length: body.u32() }, () => body.digest());
const actionCases: readonly ActionCase[] = [
  {
    name: "send",
    write: (a) => a.send(some, { type: "complaint", view }),
    read: (b) => [b.set(), b.u8(), b.u53()],
    fields: [some, MessageType.complaint, view],
  },
  {
    name: "assemble",
    write: (a) => a.assemble(view, sequence, batch),
    read: (b) => [b.u53(), b.u53(), b.u53(), digests(b)],
    fields: [view, sequence, 1234, [D, E]],
  },
  { name: "forward", write: (a) => a.forward(some, D), read: (b) => [b.set(), b.digest()], fields: [some, D] },
  {
    name: "fetch",
    write: (a) => a.fetch(some, "newView", D),
    read: (b) => [b.set(), b.u8(), b.digest()],
    fields: [some, 3, D],
  },
  {
    name: "readBatch",
    write: (a) => a.readBatch(sequence, batch),
    read: (b) => [b.u53(), b.u53(), digests(b)],
    fields: [sequence, 1234, [D, E]],
  },
  {
    name: "reply",
    write: (a) =>
      a.reply(
        KEY,
        {
          session: 3 as SessionId,
          batchSequence: sequence,
          view,
          tentative: false,
          entries: [{ sequence: 8, status: "refused", result: Uint8Array.of(1, 2) }],
        },
        true,
      ),
    read: (b) => [
      b.digest(),
      b.u8(),
      b.u53(),
      b.u53(),
      b.u53(),
      b.u8(),
      b.u16(),
      b.u53(),
      b.u8(),
      b.u8(),
      [...b.bytes()],
    ],
    fields: [KEY, 1, 3, sequence, view, 0, 1, 8, 1, 0, [1, 2]],
  },
  { name: "busy", write: (a) => a.busy(D), read: (b) => [b.digest()], fields: [D] },
  { name: "release", write: (a) => a.release([D, E]), read: (b) => [digests(b)], fields: [[D, E]] },
  { name: "pin", write: (a) => a.pin([E]), read: (b) => [digests(b)], fields: [[E]] },
  {
    name: "window",
    write: (a) => a.window(sequence, 270 as Sequence, view, 7 as View),
    read: (b) => [b.u53(), b.u53(), b.u53(), b.u53()],
    fields: [sequence, 270, view, 8],
  },
  { name: "room", write: (a) => a.room(12, 3456), read: (b) => [b.u32(), b.u32()], fields: [12, 3456] },
  {
    name: "stable",
    write: (a) => a.stable(sequence, D, some),
    read: (b) => [b.u53(), b.digest(), b.set()],
    fields: [sequence, D, some],
  },
  {
    name: "seal",
    write: (a) => a.seal({ type: "viewChange", target: view, stable, prepared: [prepared] }),
    read: (b) => [
      [b.u53(), b.u53(), b.digest(), b.set(), b.raw(128)[127]],
      [b.u16(), b.u53(), b.u53(), b.digest(), b.set(), b.raw(192)[191]],
    ],
    fields: [
      [view, 60, D, some, 1],
      [1, 4, sequence, E, 7, 2],
    ],
  },
  {
    name: "forget",
    write: (a) => a.forget("newView", [D, E]),
    read: (b) => [b.u8(), digests(b)],
    fields: [3, [D, E]],
  },
  {
    name: "sendKept",
    write: (a) => a.send(some, { type: "viewChange", target: view, stable: undefined, prepared: [], digest: D }),
    read: (b) => [b.set(), b.digest()],
    fields: [some, D],
  },
  {
    name: "keep",
    write: (a) => a.keep(prepared),
    read: (b) => [b.u53(), b.u53(), b.digest(), b.set()],
    fields: [4, sequence, E, 7],
  },
];

for (const { name, write, read, fields } of actionCases) {
  test(`the action ${name} is written field by field`, (t) => {
    const actions = new ActionWriter(signatures, 1);
    write(actions);
    const { kind, body } = onlyRecord(actions);
    t.is(kind, ActionKind[name]);
    t.deepEqual(read(body), fields);
    t.is(body.remaining, 0);
  });
}

test("every action kind is written by one method", (t) => {
  t.deepEqual(
    actionCases.map(({ name }) => name),
    Object.keys(ActionKind) as (keyof typeof ActionKind)[],
  );
  t.deepEqual(Object.values(ActionKind), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
});

test("a window without a pending view says 0", (t) => {
  const actions = new ActionWriter();
  actions.window(0 as Sequence, 200 as Sequence, view, undefined);
  const { body } = onlyRecord(actions);
  t.deepEqual([body.u53(), body.u53(), body.u53(), body.u53()], [0, 200, view, 0]);
});

test("what the shell says by itself is sent like any message", (t) => {
  const actions = new ActionWriter();
  const fetch = { type: "fetch", kind: "batch", digest: D } as const;
  actions.sendBody(some, "fetch", fetch);
  const { kind, body } = onlyRecord(actions);
  t.is(kind, ActionKind.send);
  t.deepEqual([body.set(), body.u8()], [some, MessageType.fetch]);
  t.deepEqual(decodeBody("fetch", body.raw(body.remaining)), { ok: true, message: fetch });
});

test("a NEW_VIEW is encoded with our signatures once, and then sent by its name", (t) => {
  const actions = new ActionWriter(signatures);
  const newView = (v: number) => ({
    type: "newView" as const,
    view: v as View,
    viewChanges: [{ from: 1 as ReplicaId, digest: D }],
    first: sequence,
    batches: [E],
  });
  actions.send(some, newView(0x1_0000_0002));
  const { kind, body } = onlyRecord(actions);
  t.deepEqual([kind, body.set(), body.u8()], [ActionKind.send, some, MessageType.newView]);
  const decoded = decodeBody("newView", body.raw(body.remaining));
  t.deepEqual(decoded, {
    ok: true,
    message: { message: newView(0x1_0000_0002), proposals: [new Uint8Array(64).fill(3)] },
  });
  actions.reset();
  actions.send(some, newView(0x1_0000_0002));
  const again = onlyRecord(actions);
  t.deepEqual([again.kind, again.body.set()], [ActionKind.sendKept, some]);
  const name = again.body.raw(32);
  t.deepEqual([...name.subarray(0, 8)], [2, 0, 0, 0, 1, 0, 0, 0]);
  t.true(name.subarray(8).every((byte) => byte === 0));
  actions.reset();
  actions.send(some, newView(9));
  t.is(onlyRecord(actions).kind, ActionKind.send);
});

test("what carries certificates cannot be written without a source of signatures", (t) => {
  const actions = new ActionWriter();
  t.throws(() => actions.seal({ type: "viewChange", target: view, stable, prepared: [] }), {
    message: /source of signatures/,
  });
});

test("records follow one another, and a writer is used again after reset", (t) => {
  const actions = new ActionWriter(undefined, 8);
  for (let turn = 0; turn < 3; turn++) {
    actions.reset();
    t.is(actions.length, 0);
    actions.room(1, 2);
    actions.busy(D);
    const reader = new Reader(actions.buffer, 0, actions.length);
    t.deepEqual([reader.u8(), reader.u32(), reader.u32(), reader.u32()], [ActionKind.room, 8, 1, 2]);
    t.deepEqual([reader.u8(), reader.u32(), reader.digest()], [ActionKind.busy, 32, D]);
    t.is(reader.remaining, 0);
  }
});

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
  );
  t.deepEqual(read(bytes), [
    { kind: "votes", phase: "commit", view, sequence, digest: D, signers: some },
    { kind: "conflict", by: 2, evidence: { digest: E, type: "prepare" } },
    { kind: "assembled", view, sequence, digest: D },
    { kind: "body", digest: D, status: "unavailable" },
    { kind: "link", peer: 3, up: false },
    { kind: "rejected", reason: "badSignature", peer: undefined, count: 17 },
    { kind: "sealed", target: view, digest: E },
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
