import test from "ava";
import * as fc from "fast-check";
import { Writer } from "../../dist/codec/bytes.js";
import {
  decodeBody,
  decodeControl,
  decodePayload,
  encodeBody,
  encodeOutgoing,
  encodePayload,
  isSigned,
  laneOf,
  MessageType,
  typeName,
} from "../../dist/codec/messages.js";
import type { BodyName, MessageTypeName, Payload } from "../../dist/codec/messages.js";
import { holds, membersOf } from "../../dist/protocol/types.js";
import type { CertificateName } from "../../dist/protocol/messages.js";
import type { Outgoing } from "../../dist/protocol/messages.js";
import { bodies, bodyNames, digest, mutate, mutation, payload } from "./arbitraries.ts";

function encoded(message: Payload): Uint8Array {
  const writer = new Writer(16);
  encodePayload(writer, message);
  return writer.copy();
}

for (const name of bodyNames) {
  const type = MessageType[name];

  test(`${name}: what is encoded decodes to itself`, (t) => {
    fc.assert(
      fc.property(payload(name), (message) => {
        t.deepEqual(decodePayload(type, encoded(message)), { ok: true, message });
      }),
    );
  });

  test(`${name}: no proper prefix decodes, and nothing may follow`, (t) => {
    fc.assert(
      fc.property(payload(name), fc.uint8Array({ minLength: 1, maxLength: 3 }), (message, tail) => {
        const bytes = encoded(message);
        for (let length = 0; length < bytes.length; length++) {
          t.deepEqual(decodePayload(type, bytes.subarray(0, length)), { ok: false, error: "truncated" });
        }
        const longer = Uint8Array.of(...bytes, ...tail);
        t.deepEqual(decodePayload(type, longer), { ok: false, error: "trailing" });
      }),
      { numRuns: 10 },
    );
  });

  test(`${name}: whatever decodes is the one encoding of its message`, (t) => {
    let accepted = 0;
    fc.assert(
      fc.property(payload(name), fc.array(mutation, { minLength: 1, maxLength: 3 }), (message, changes) => {
        const bytes = changes.reduce(mutate, encoded(message));
        const decoded = decodePayload(type, bytes);
        if (!decoded.ok) return;
        accepted++;
        t.deepEqual(encoded(decoded.message), bytes);
      }),
      { numRuns: 500 },
    );
    t.true(accepted > 0, "some mutations leave a message");
  });

  test(`${name}: arbitrary bytes decode or are refused, without a throw`, (t) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const decoded = decodePayload(type, bytes);
        if (decoded.ok) t.deepEqual(encoded(decoded.message), bytes);
        else t.is(typeof decoded.error, "string");
      }),
    );
  });
}

test("every type has its number, lane and authentication", (t) => {
  // WIRE.md §2.
  const table: readonly (readonly [number, MessageTypeName, string, boolean?])[] = [
    [0x01, "hello", "control"],
    [0x10, "bundle", "client", true],
    [0x11, "reply", "client", false],
    [0x12, "busy", "client", false],
    [0x20, "prePrepare", "control", true],
    [0x21, "prepare", "votes", true],
    [0x22, "commit", "votes", false],
    [0x23, "checkpoint", "control", true],
    [0x24, "viewChange", "control", true],
    [0x25, "newView", "control", true],
    [0x26, "status", "control", false],
    [0x27, "decided", "control", false],
    [0x28, "complaint", "control", false],
    [0x30, "fetch", "control", false],
    [0x31, "unavailable", "control", false],
    [0x32, "fetchedBundle", "bulk", true],
    [0x33, "fetchedBatch", "bulk", false],
    [0x34, "fetchedViewChange", "bulk", true],
    [0x35, "fetchedNewView", "bulk", true],
    [0x40, "stateFetch", "control", false],
    [0x41, "stateNodes", "bulk", false],
    [0x50, "read", "client", false],
    [0x51, "readAnswer", "client", false],
  ];
  t.is(table.length, Object.keys(MessageType).length);
  for (const [number, name, lane, signed] of table) {
    t.is(MessageType[name] as number, number);
    t.is(typeName(number), name);
    t.is(laneOf(name) as string, lane);
    if (signed !== undefined) t.is(isSigned(name as BodyName), signed, name);
  }
});

test("numbers without a message are refused", (t) => {
  for (let type = 0; type < 256; type++) {
    const name = typeName(type);
    if (name !== undefined && name !== "hello") continue;
    t.deepEqual(decodePayload(type, new Uint8Array(100)), { ok: false, error: "unknownType" });
  }
});

test("the digest that the wire does not carry is the verifier's", (t) => {
  const names = ["prePrepare", "decided", "fetchedBatch"] as const;
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      digest,
      fc.record({ prePrepare: bodies.prePrepare, decided: bodies.decided, fetchedBatch: bodies.fetchedBatch }),
      (name, d, made) => {
        const writer = new Writer();
        encodeBody(writer, name, made[name]);
        const decoded = decodeControl(MessageType[name], writer.view(), d);
        t.deepEqual(decoded, { ok: true, message: { ...made[name], digest: d } });
      },
    ),
  );
});

test("a control message decodes to what was sent, certificates by name", (t) => {
  fc.assert(
    fc.property(bodies.viewChange, bodies.newView, digest, (viewChange, newView, d) => {
      const writer = new Writer();
      encodeBody(writer, "viewChange", viewChange);
      const first = decodeControl(MessageType.viewChange, writer.view(), d);
      t.deepEqual(first, { ok: true, message: { ...viewChange.message, digest: d } });
      writer.reset();
      encodeBody(writer, "newView", newView);
      t.deepEqual(decodeControl(MessageType.newView, writer.view(), d), { ok: true, message: newView.message });
    }),
  );
});

test("only types for the core decode as control messages", (t) => {
  const control = new Set<string>(
    "prePrepare checkpoint viewChange newView status decided complaint fetchedBatch".split(" "),
  );
  for (const name of bodyNames.filter((candidate) => !control.has(candidate))) {
    const result = decodeControl(MessageType[name], new Uint8Array(200), "\0".repeat(16) as never);
    t.deepEqual(result, { ok: false, error: "unknownType" }, name);
  }
});

test("certificates are signed by whoever the source says, in the order of replicas", (t) => {
  fc.assert(
    fc.property(bodies.viewChange, ({ message }) => {
      const asked: CertificateName[] = [];
      const source = {
        certificate(name: CertificateName): Uint8Array {
          asked.push(name);
          return Uint8Array.from(
            membersOf(name.signers).flatMap((replica) => Array.from({ length: 64 }, () => replica as number)),
          );
        },
        proposal: () => new Uint8Array(64),
      };
      const writer = new Writer();
      encodeOutgoing(writer, message, source);
      const decoded = decodeBody("viewChange", writer.view());
      if (!decoded.ok) throw new Error(decoded.error);
      const names = [...(message.stable === undefined ? [] : [message.stable]), ...message.prepared];
      t.deepEqual(asked, names);
      t.deepEqual(
        decoded.message.certificates.map(({ name }) => name),
        names,
      );
      for (const { name, signatures } of decoded.message.certificates) {
        for (let i = 0; i < signatures.length; i++) {
          const replica = signatures[i]!;
          t.true(holds(name.signers, replica as never));
          t.is(replica, membersOf(name.signers)[i >>> 6] as number);
        }
      }
    }),
    { numRuns: 30 },
  );
});

test("a NEW_VIEW asks for the signature of each of its proposals by view and sequence", (t) => {
  fc.assert(
    fc.property(bodies.newView, ({ message }) => {
      const asked: unknown[] = [];
      const writer = new Writer();
      encodeOutgoing(writer, message, {
        certificate: () => new Uint8Array(0),
        proposal(view, sequence, batch) {
          asked.push([view, sequence, batch]);
          return new Uint8Array(64);
        },
      });
      t.deepEqual(
        asked,
        message.batches.map((batch, i) => [message.view, message.first + i, batch]),
      );
    }),
    { numRuns: 30 },
  );
});

test("a source that has too few signatures, or none, is our bug", (t) => {
  const message: Outgoing = {
    type: "newView",
    view: 1 as never,
    viewChanges: [],
    first: 1 as never,
    batches: ["\0".repeat(16) as never],
  };
  const writer = new Writer();
  t.throws(() => encodeOutgoing(writer, message, undefined), { message: /source of signatures/ });
  const source = { certificate: () => new Uint8Array(0), proposal: () => new Uint8Array(63) };
  t.throws(() => encodeOutgoing(writer, message, source), { instanceOf: RangeError });
});

test("a payload is encoded with a signature exactly where its type has one", (t) => {
  const writer = new Writer();
  const complaint = { type: "complaint", view: 1 as never } as const;
  t.throws(() => encodePayload(writer, { name: "complaint", body: complaint, signature: new Uint8Array(64) }), {
    instanceOf: RangeError,
  });
  const checkpoint = { type: "checkpoint", sequence: 1 as never, digest: "\0".repeat(16) as never } as const;
  for (const signature of [undefined, new Uint8Array(63)]) {
    t.throws(() => encodePayload(writer, { name: "checkpoint", body: checkpoint, signature }), {
      instanceOf: RangeError,
    });
  }
});
