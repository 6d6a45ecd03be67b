import test from "ava";
import { ActionKind, ActionWriter } from "../../dist/codec/actions.js";
import { Reader } from "../../dist/codec/bytes.js";
import { decodeBody, MessageType } from "../../dist/codec/messages.js";
import type { SignatureSource } from "../../dist/codec/viewChange.js";
import type { CertificateName } from "../../dist/protocol/messages.js";
import { sizeOf } from "../../dist/protocol/types.js";
import type { Digest, Lsn, ReplicaId, ReplicaSet, Sequence, SessionId, View } from "../../dist/protocol/types.js";
import { batch, D, E, KEY, sequence, some, view } from "./samples.ts";

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
    name: "persist",
    write: (a) => a.persist(7 as Lsn, { type: "lease", view, through: sequence }, false),
    read: (b) => [b.u53(), b.u8(), b.u53(), b.u53()],
    fields: [7, 1, view, sequence],
  },
  {
    name: "truncate",
    write: (a) => a.truncate(9 as Lsn),
    read: (b) => [b.u53()],
    fields: [9],
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
  t.deepEqual(Object.values(ActionKind), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]);
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

test("a NEW_VIEW of our own is encoded with our signatures where it is persisted, and sent by its name", (t) => {
  const actions = new ActionWriter(signatures);
  const newView = {
    type: "newView" as const,
    view: 0x1_0000_0002 as View,
    viewChanges: [{ from: 1 as ReplicaId, digest: D }],
    first: sequence,
    batches: [E],
  };
  actions.persist(1 as Lsn, { type: "viewEntered", newView }, true);
  const { body } = onlyRecord(actions);
  t.deepEqual([body.u53(), body.u8(), body.u53()], [1, 4, newView.view]);
  const decoded = decodeBody("newView", body.bytes());
  t.deepEqual(decoded, { ok: true, message: { message: newView, proposals: [new Uint8Array(64).fill(3)] } });
  actions.reset();
  actions.persist(2 as Lsn, { type: "viewEntered", newView }, false);
  const known = onlyRecord(actions).body;
  t.deepEqual([known.u53(), known.u8(), known.u53(), known.bytes().length], [2, 4, newView.view, 0]);
  actions.reset();
  actions.send(some, newView);
  const sent = onlyRecord(actions);
  t.deepEqual([sent.kind, sent.body.set()], [ActionKind.sendKept, some]);
  const name = sent.body.raw(32);
  t.deepEqual([...name.subarray(0, 8)], [2, 0, 0, 0, 1, 0, 0, 0]);
  t.true(name.subarray(8).every((byte) => byte === 0));
});

test("what carries certificates cannot be written without a source of signatures", (t) => {
  const actions = new ActionWriter();
  const source = { message: /source of signatures/ };
  t.throws(() => actions.seal({ type: "viewChange", target: view, stable, prepared: [] }), source);
  const newView = { type: "newView" as const, view, viewChanges: [], first: sequence, batches: [] };
  t.throws(() => actions.persist(1 as Lsn, { type: "viewEntered", newView }, true), source);
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
