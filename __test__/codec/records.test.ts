import test from "ava";
import * as fc from "fast-check";
import { Reader, Writer } from "../../dist/codec/bytes.js";
import { readRecovered, writeRecord } from "../../dist/codec/records.js";
import { encodeBody } from "../../dist/codec/messages.js";
import { writeViewChange, type SignatureSource } from "../../dist/codec/viewChange.js";
import type { DurableRecord } from "../../dist/protocol/core.js";
import type { BundleRef, CertificateName, NewView, ViewChange } from "../../dist/protocol/messages.js";
import { sizeOf } from "../../dist/protocol/types.js";
import type { Lsn, ReplicaId, ReplicaSet, Sequence, SessionId, View } from "../../dist/protocol/types.js";
import { batch, D, E, KEY, sequence, view } from "./samples.ts";

const certificate: CertificateName = { phase: "prepare", view, sequence, digest: E, signers: 0b111 as ReplicaSet };
const stable: CertificateName = { ...certificate, phase: "checkpoint", view: 0 as View };
const newView: NewView = {
  type: "newView",
  view,
  viewChanges: [{ from: 1 as ReplicaId, digest: D }],
  first: sequence,
  batches: [E],
};
const viewChange: ViewChange = { type: "viewChange", target: view, stable, prepared: [certificate], digest: E };
const bundle: BundleRef = {
  digest: D,
  client: KEY,
  session: 2 as SessionId,
  firstSequence: 3,
  acknowledgedThrough: 2,
  count: 4,
  bytes: 500,
};
const signatures: SignatureSource = {
  certificate: ({ signers }) => new Uint8Array(64 * sizeOf(signers)),
  proposal: () => new Uint8Array(64),
};

const RECORDS: readonly DurableRecord[] = [
  { type: "lease", view, through: sequence },
  { type: "prepared", certificate, batch },
  { type: "viewLeft", target: view, cause: "handOver", message: D },
  { type: "viewEntered", newView },
  { type: "decided", sequence, digest: E, batch },
  { type: "checkpoint", sequence, digest: D, first: 61 as Sequence, batches: [E, D] },
  { type: "stable", certificate: stable },
  { type: "cleanStop", view, through: sequence },
  { type: "readmitted", view, ordered: sequence },
];

interface Past {
  readonly kind: 0 | 1 | 2 | 3;
  readonly clean?: boolean;
  readonly records?: readonly DurableRecord[];
  readonly bundles?: readonly BundleRef[];
  readonly viewChanges?: readonly { readonly from: ReplicaId; readonly message: ViewChange }[];
}

/** What the addon recovers, as it writes it. */
function recovered({ kind, clean = false, records = [], bundles = [], viewChanges = [] }: Past): Uint8Array {
  const writer = new Writer();
  writer.u8(kind);
  writer.boolean(clean);
  writer.u32(records.length);
  for (const [index, record] of records.entries()) {
    writer.u53(index + 1);
    const place = writer.openLength();
    writeRecord(writer, record, signatures);
    writer.closeLength(place);
  }
  writer.u32(bundles.length);
  for (const { digest, client, session, firstSequence, acknowledgedThrough, count, bytes } of bundles) {
    writer.digest(digest);
    writer.digest(client);
    for (const number of [session, firstSequence, acknowledgedThrough]) writer.u53(number);
    writer.u16(count);
    writer.u32(bytes);
  }
  writer.u32(viewChanges.length);
  for (const { from, message } of viewChanges) {
    writer.u8(from);
    writer.digest(message.digest);
    const place = writer.openLength();
    writeViewChange(writer, message, signatures);
    writer.closeLength(place);
  }
  return writer.copy();
}

test("every record comes back as it was written, with its number", (t) => {
  const past = readRecovered(recovered({ kind: 1, records: RECORDS }));
  t.deepEqual(past, {
    type: "restart",
    clean: false,
    wiped: false,
    records: RECORDS.map((record, index) => ({ lsn: (index + 1) as Lsn, record })),
    bundles: [],
    viewChanges: [],
  });
});

test("bundles, VIEW-CHANGEs and the mark of a clean stop come back", (t) => {
  const viewChanges = [{ from: 3 as ReplicaId, message: viewChange }];
  const past = readRecovered(recovered({ kind: 1, clean: true, bundles: [bundle], viewChanges }));
  t.deepEqual(past, {
    type: "restart",
    clean: true,
    wiped: false,
    records: [],
    bundles: [bundle],
    viewChanges,
  });
});

test("a first start and a wiped disk are told apart", (t) => {
  t.deepEqual(readRecovered(recovered({ kind: 0 })), { type: "genesis" });
  t.deepEqual(readRecovered(recovered({ kind: 2 })), { type: "wiped" });
  t.like(readRecovered(recovered({ kind: 3 })), { type: "restart", wiped: true });
});

test("a NEW-VIEW that the addon keeps is named by its view alone", (t) => {
  const writer = new Writer();
  writeRecord(writer, { type: "viewEntered", newView }, undefined);
  const reader = new Reader(writer.copy());
  t.deepEqual([reader.u8(), reader.u53(), reader.bytes().length, reader.remaining], [4, view, 0, 0]);
});

test("a NEW-VIEW under the number of another view is refused", (t) => {
  const bytes = recovered({ kind: 1, records: [{ type: "viewEntered", newView }] });
  const inner = new Writer();
  encodeBody(inner, "newView", { message: newView, proposals: [new Uint8Array(64)] });
  const at = Buffer.from(bytes).indexOf(Buffer.from(inner.copy()));
  t.true(at > 0);
  bytes[at]! ^= 1;
  t.throws(() => readRecovered(bytes), { message: /notCanonical/ });
});

test("whatever is changed in what was recovered, reading it ends in a value or in one kind of error", (t) => {
  const bytes = recovered({ kind: 1, records: RECORDS, bundles: [bundle] });
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.nat(bytes.length),
      (at, bits, length) => {
        const changed = bytes.slice(0, Math.max(at + 1, length));
        changed[at]! ^= bits;
        try {
          readRecovered(changed);
        } catch (error) {
          t.regex(String(error), /what the addon recovered is malformed/);
        }
      },
    ),
    { numRuns: 2_000 },
  );
});
