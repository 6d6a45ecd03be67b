/**
 * What the core's thread pays per message: encoding and decoding as they happen in a turn, without any crossing.
 * Prints nanoseconds per message.
 */
import test from "ava";
import { Bench } from "tinybench";
import { Writer } from "../dist/codec/bytes.js";
import { digestAt, writeDigest } from "../dist/codec/digest.js";
import { decodeControl, decodePayload, encodeBody, MessageType } from "../dist/codec/messages.js";
import type { Bodies, BodyName } from "../dist/codec/messages.js";
import { ActionWriter, InputKind, readInputs } from "../dist/codec/turn.js";
import type { TurnInput } from "../dist/codec/turn.js";
import type { AgreedTime, ClientKey, Digest, ReplicaSet, Sequence, SessionId, View } from "../dist/protocol/types.js";

const BUNDLES = 64;
const bytes = Uint8Array.from({ length: 32 * BUNDLES }, (_, i) => (i * 2_654_435_761) >>> 13);
const digests = Array.from({ length: BUNDLES }, (_, i) => digestAt(bytes, 32 * i));
const digest = digests[0] as Digest;
const view = 3 as View;
const sequence = 123_456 as Sequence;
const batch = { time: 1_700_000_000_000 as AgreedTime, bundles: digests };
const bits = Array.from({ length: 200 }, (_, i) => i % 3 === 0);

const samples: { readonly [K in BodyName]?: Bodies[K] } = {
  prepare: { type: "prepare", view, sequence, digest },
  prePrepare: { type: "prePrepare", view, sequence, ...batch, digest },
  checkpoint: { type: "checkpoint", sequence, digest },
  status: {
    type: "status",
    mode: "normal",
    view,
    lowWatermark: sequence,
    lastExecuted: sequence,
    proposed: bits,
    prepared: bits,
    committed: bits,
    missing: digests.slice(0, 4),
    viewChanges: 7 as ReplicaSet,
    fence: undefined,
  },
  bundle: {
    client: digest as string as ClientKey,
    session: 9 as SessionId,
    firstSequence: 100,
    acknowledgedThrough: 90,
    operations: Array.from({ length: 16 }, () => new Uint8Array(128)),
  },
  reply: {
    session: 9 as SessionId,
    batchSequence: sequence,
    view,
    tentative: false,
    entries: Array.from({ length: 16 }, (_, i) => ({ sequence: 100 + i, status: "ok", result: new Uint8Array(16) })),
  },
};

/** Enough calls per sample that the clock's resolution does not matter. */
const CALLS = 200;

function repeated(call: () => unknown): () => void {
  return () => {
    for (let i = 0; i < CALLS; i++) call();
  };
}

async function printPerCall(tasks: Readonly<Record<string, () => unknown>>): Promise<number> {
  const bench = new Bench({ time: 200, warmupTime: 100 });
  for (const [name, call] of Object.entries(tasks)) bench.add(name, repeated(call));
  await bench.run();
  for (const { name, result } of bench.tasks) {
    if (result.state !== "completed") throw new Error(`${name} did not complete`);
    console.log(`${name.padEnd(40)} ${((result.latency.p50 * 1e6) / CALLS).toFixed(0).padStart(9)} ns`);
  }
  return bench.tasks.length;
}

test("digests", async (t) => {
  const target = new Uint8Array(32);
  const names = await printPerCall({
    "read a digest": () => digestAt(bytes, 64),
    "write a digest": () => writeDigest(target, 0, digest),
  });
  t.is(names, 2);
});

test("messages", async (t) => {
  const tasks: Record<string, () => unknown> = {};
  const writer = new Writer(64 * 1024);
  const signature = new Uint8Array(64);
  for (const name of Object.keys(samples) as BodyName[]) {
    const body = samples[name] as Bodies[typeof name];
    writer.reset();
    encodeBody(writer, name, body);
    const encoded = writer.copy();
    const whole = Uint8Array.of(...encoded, ...signature);
    const signed = decodePayload(MessageType[name], whole).ok;
    const payload = signed ? whole : encoded;
    t.true(decodePayload(MessageType[name], payload).ok, name);
    tasks[`encode ${name} (${encoded.length} B)`] = () => {
      writer.reset();
      encodeBody(writer, name, body);
    };
    tasks[`decode ${name} (${encoded.length} B)`] = () => decodePayload(MessageType[name], payload);
  }
  const truncated = new Uint8Array(20);
  tasks["refuse a truncated prePrepare"] = () => decodeControl(MessageType.prePrepare, truncated, digest);
  await printPerCall(tasks);
});

test("a turn", async (t) => {
  const records = new Writer(64 * 1024);
  for (let i = 0; i < 8; i++) {
    records.u8(InputKind.votes);
    const place = records.openLength();
    records.u8(i & 1);
    records.u53(view);
    records.u53(sequence + i);
    records.digest(digests[i] as Digest);
    records.u32(7);
    records.closeLength(place);
  }
  const output = records.copy();
  const inputs: TurnInput[] = [];
  const actions = new ActionWriter();
  const names = await printPerCall({
    "read 8 votes records": () => {
      inputs.length = 0;
      readInputs(output, output.length, inputs);
    },
    "write 8 vote actions": () => {
      actions.reset();
      for (let i = 0; i < 8; i++) actions.send(7 as ReplicaSet, { type: "commit", view, sequence, digest });
    },
  });
  t.is(names, 2);
  t.is(inputs.length, 8);
});
