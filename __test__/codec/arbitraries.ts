/** Every message as fast-check makes it up, within what the formats allow. */
import * as fc from "fast-check";
import { WINDOW_MAX, Writer } from "../../dist/codec/bytes.js";
import { resultStatuses } from "../../dist/codec/client.js";
import { digestAt } from "../../dist/codec/digest.js";
import { isSigned } from "../../dist/codec/messages.js";
import { STATE_BYTES_MAX, STATE_PATH_MAX } from "../../dist/codec/state.js";
import type { Bodies, BodyName, Payload } from "../../dist/codec/messages.js";
import { sizeOf, ZERO_DIGEST } from "../../dist/protocol/types.js";
import type { CertificateName } from "../../dist/protocol/messages.js";
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

const NUMBER_MAX = Number.MAX_SAFE_INTEGER;

const u53 = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, NUMBER_MAX));
const sequence = u53.map((n) => n as Sequence);
const view = u53.map((n) => n as View);
const time = u53.map((n) => n as AgreedTime);
const bytes = fc.uint8Array({ maxLength: 80 });
const bytesOf = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
export const digest: fc.Arbitrary<Digest> = bytesOf(32).map((b) => digestAt(b, 0));
const digests = fc.array(digest, { maxLength: 6 });
const clientKey = digest.map((d) => d as string as ClientKey);
const signature = bytesOf(64);
const replica = fc.nat(30).map((n) => n as ReplicaId);
const set = fc.oneof(fc.nat(15), fc.nat(2 ** 31 - 1)).map((n) => n as ReplicaSet);

const sessionBundle = fc.record({
  client: clientKey,
  session: fc.integer({ min: 1, max: NUMBER_MAX }).map((n) => n as SessionId),
  firstSequence: fc.integer({ min: 0, max: NUMBER_MAX - 8 }),
  acknowledgedThrough: u53,
  operations: fc.array(bytes, { minLength: 1, maxLength: 8 }),
});

const looseBundle = fc.record({
  client: clientKey,
  session: fc.constant(0 as SessionId),
  firstSequence: u53,
  acknowledgedThrough: fc.constant(0),
  operations: fc.array(bytes, { minLength: 1, maxLength: 1 }),
});

const bundle = fc.oneof(sessionBundle, looseBundle);
const status = fc.constantFrom(...resultStatuses);
const outcome = fc.oneof(fc.record({ status, result: bytes }), fc.record({ status, digest }));

function certificate(phase: CertificateName["phase"], v: View, s: Sequence) {
  return fc.record({ digest, signers: set }).chain((part) =>
    bytesOf(64 * sizeOf(part.signers)).map((signatures) => ({
      name: { phase, view: v, sequence: s, ...part },
      signatures,
    })),
  );
}

const ascending = <T extends number>(arb: fc.Arbitrary<T>, maxLength: number): fc.Arbitrary<T[]> =>
  fc.uniqueArray(arb, { maxLength }).map((list) => list.sort((a, b) => a - b));

const stable = fc
  .oneof(fc.constant(0), fc.integer({ min: 1, max: NUMBER_MAX }))
  .chain((s) => (s === 0 ? fc.constant(undefined) : certificate("checkpoint", 0 as View, s as Sequence)));

const prepared = ascending(sequence, 3).chain((list) =>
  fc.tuple(...list.map((s) => view.chain((v) => certificate("prepare", v, s)))),
);

const viewChange = fc.record({ target: view, stable, prepared }).map((made) => ({
  message: {
    type: "viewChange" as const,
    target: made.target,
    stable: made.stable?.name,
    prepared: made.prepared.map(({ name }) => name),
    digest: ZERO_DIGEST,
  },
  certificates: [...(made.stable === undefined ? [] : [made.stable]), ...made.prepared],
}));

const newView = fc
  .record({
    view,
    viewChanges: ascending(replica, 5).chain((list) =>
      fc.tuple(...list.map((from) => digest.map((d) => ({ from, digest: d })))),
    ),
    first: fc.integer({ min: 0, max: NUMBER_MAX - 8 }).map((n) => n as Sequence),
    batches: fc.array(fc.tuple(digest, signature), { maxLength: 4 }),
  })
  .map(({ batches, ...rest }) => ({
    message: { type: "newView" as const, ...rest, batches: batches.map(([d]) => d) },
    proposals: batches.map(([, s]) => s),
  }));

const statusMessage = fc.oneof(fc.nat(40), fc.constant(WINDOW_MAX)).chain((count) => {
  const bitmap = fc.array(fc.boolean(), { minLength: count, maxLength: count, size: "max" });
  return fc.record({
    type: fc.constant("status" as const),
    mode: fc.constantFrom("normal" as const, "viewChange" as const),
    view,
    lowWatermark: sequence,
    lastExecuted: sequence,
    proposed: bitmap,
    prepared: bitmap,
    committed: bitmap,
    missing: digests,
    viewChanges: set,
    fence: fc.option(fc.record({ view, through: sequence }), { nil: undefined }),
  });
});

const kind = fc.constantFrom("bundle" as const, "batch" as const, "viewChange" as const, "newView" as const);
const named = <T extends string>(type: T) => fc.record({ type: fc.constant(type), kind, digest });
const vote = <T extends string>(type: T) => fc.record({ type: fc.constant(type), view, sequence, digest });
const zero = fc.constant(ZERO_DIGEST);

const path = fc
  .oneof(
    { weight: 9, arbitrary: fc.array(fc.nat(16), { maxLength: 8 }) },
    { weight: 1, arbitrary: fc.constant(Array.from({ length: STATE_PATH_MAX }, (_, i) => i % 17)) },
  )
  .map((symbols) => Uint8Array.from(symbols));

/** One arbitrary per message; digests that the wire does not carry are zero. */
export const bodies: { readonly [K in BodyName]: fc.Arbitrary<Bodies[K]> } = {
  bundle,
  reply: fc.record({
    session: u53.map((n) => n as SessionId),
    batchSequence: sequence,
    view,
    tentative: fc.boolean(),
    entries: fc.array(
      fc.tuple(u53, outcome).map(([s, o]) => ({ sequence: s, ...o })),
      { maxLength: 5 },
    ),
  }),
  busy: fc.record({ session: u53.map((n) => n as SessionId), firstSequence: u53 }),
  prePrepare: fc.record({
    type: fc.constant("prePrepare" as const),
    view,
    sequence,
    time,
    bundles: digests,
    digest: zero,
  }),
  prepare: vote("prepare"),
  commit: vote("commit"),
  checkpoint: fc.record({ type: fc.constant("checkpoint" as const), sequence, digest }),
  viewChange,
  newView,
  status: statusMessage,
  decided: fc.record({ type: fc.constant("decided" as const), sequence, time, bundles: digests, digest: zero }),
  complaint: fc.record({ type: fc.constant("complaint" as const), view }),
  fetch: named("fetch"),
  unavailable: named("unavailable"),
  fetchedBundle: bundle,
  fetchedBatch: fc.record({ type: fc.constant("fetchedBatch" as const), time, bundles: digests, digest: zero }),
  fetchedViewChange: fc.tuple(replica, viewChange).map(([from, body]) => ({ from, ...body })),
  fetchedNewView: newView,
  stateFetch: fc.record({
    type: fc.constant("stateFetch" as const),
    sequence,
    request: fc.nat(2 ** 32 - 1),
    bytesMax: fc.oneof(fc.integer({ min: 1, max: STATE_BYTES_MAX }), fc.constantFrom(1, STATE_BYTES_MAX)),
    items: fc.array(fc.record({ path, deep: fc.boolean() }), { minLength: 1, maxLength: 5 }),
  }),
  stateNodes: fc.tuple(fc.nat(2 ** 32 - 1), fc.array(bytes, { maxLength: 4 })).map(([request, nodes]) => {
    const writer = new Writer();
    for (const node of nodes) writer.bytes(node);
    return { type: "stateNodes" as const, request, count: nodes.length, nodes: writer.copy() };
  }),
  read: fc.record({ nonce: u53, question: bytes }),
  readAnswer: fc.tuple(u53, sequence, outcome).map(([nonce, version, o]) => ({ nonce, version, ...o })),
};

export const bodyNames = Object.keys(bodies) as BodyName[];

export function payload(name: BodyName): fc.Arbitrary<Payload> {
  const signed = isSigned(name) ? signature : fc.constant(undefined);
  return fc
    .tuple(bodies[name] as fc.Arbitrary<unknown>, signed)
    .map(([body, s]) => ({ name, body, signature: s }) as Payload);
}

/** A change of a byte string: a flipped bit, a set byte, a cut, an insertion, a u64 that is too large. */
export type Mutation =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "set"; readonly at: number; readonly value: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "insert"; readonly at: number; readonly value: number }
  | { readonly kind: "remove"; readonly at: number };

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const byte = fc.oneof(fc.constantFrom(0, 1, 2, 0x1f, 0x20, 0x7f, 0x80, 0xff), fc.nat(255));

export const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant("set" as const), at: place, value: byte }),
  fc.record({ kind: fc.constant("cut" as const), at: place }),
  fc.record({ kind: fc.constant("insert" as const), at: place, value: byte }),
  fc.record({ kind: fc.constant("remove" as const), at: place }),
);

/** `at` is a share of the length, so that a mutation fits any input. */
export function mutate(input: Uint8Array, { at: share, ...change }: Mutation): Uint8Array {
  const at = Math.floor(share * input.length);
  const head = input.subarray(0, at);
  switch (change.kind) {
    case "flip":
      return input.map((value, i) => (i === at ? value ^ (1 << change.bit) : value));
    case "set":
      return input.map((value, i) => (i === at ? change.value : value));
    case "cut":
      return head.slice();
    case "insert":
      return Uint8Array.of(...head, change.value, ...input.subarray(at));
    default:
      return Uint8Array.of(...head, ...input.subarray(at + 1));
  }
}
