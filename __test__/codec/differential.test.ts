/**
 * Payloads are decoded twice, here and in the addon: both must accept the same bytes for the same type. What the addon lets
 * through reaches the core's thread; what only one of them accepts would split or stall replicas.
 */
import test from "ava";
import * as fc from "fast-check";
import { Writer } from "../../dist/codec/bytes.js";
import { decodePayload, encodePayload, MessageType } from "../../dist/codec/messages.js";
import { decodeCheck } from "../../dist/native/native.js";
import { bodyNames, mutate, mutation, payload } from "./arbitraries.ts";

const PAYLOADS = 20_000;
const seed = Number(process.env["BYZANTINE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Of every type: some as they are encoded, most changed in up to three places, some of them read as another type. */
const candidate = fc
  .constantFrom(...bodyNames)
  .chain((name) =>
    fc.tuple(
      payload(name),
      fc.array(mutation, { maxLength: 3 }),
      fc.oneof(
        { weight: 9, arbitrary: fc.constant(MessageType[name] as number) },
        { weight: 1, arbitrary: fc.nat(255) },
      ),
    ),
  )
  .map(([message, changes, type]) => {
    const writer = new Writer(64);
    encodePayload(writer, message);
    return { type, payload: changes.reduce(mutate, writer.copy()) };
  });

test(`${PAYLOADS} payloads are accepted by both decoders or by none (BYZANTINE_SEED=${seed})`, (t) => {
  let accepted = 0;
  for (const { type, payload: bytes } of fc.sample(candidate, { numRuns: PAYLOADS, seed })) {
    const here = decodePayload(type, bytes);
    const there = decodeCheck(type, bytes);
    if (here.ok) accepted++;
    if (here.ok === (there === "")) continue;
    const hex = Buffer.from(bytes).toString("hex");
    throw new Error(`type ${type}: ${here.ok ? "accepted" : here.error} here, "${there}" there: ${hex}`);
  }
  t.log(`${accepted} accepted, ${PAYLOADS - accepted} refused, seed ${seed}`);
  t.true(accepted > PAYLOADS / 20 && accepted < (PAYLOADS * 19) / 20, "both verdicts are well represented");
});
