/** Operations outside of any session, which the replicas themselves execute: OPEN and RECOVER (WIRE.md §4). */
import { decode, Writer } from "../codec/bytes.ts";
import type { Bundle } from "../codec/client.ts";
import type { ClientKey, ReplicaId, SessionId, View } from "../protocol/types.ts";

const OPEN = 1;
const RECOVER = 2;
const OPEN_BYTES = 9;
const RECOVER_BYTES = 18;
const NUMBER_BYTES = 8;

export type SystemOperation =
  /** Opens a session; the bundle's first sequence is the nonce. */
  | { readonly kind: "open"; readonly expiryMs: number }
  /** A replica whose disk was wiped asks for a sequence to count from, in the view that it takes part in. */
  | { readonly kind: "recover"; readonly replica: ReplicaId; readonly nonce: number; readonly view: View };

export function encodeSystemOperation(operation: SystemOperation): Uint8Array {
  const writer = new Writer(operation.kind === "open" ? OPEN_BYTES : RECOVER_BYTES);
  if (operation.kind === "open") {
    writer.u8(OPEN);
    writer.u53(operation.expiryMs);
  } else {
    writer.u8(RECOVER);
    writer.u8(operation.replica);
    writer.u53(operation.nonce);
    writer.u53(operation.view);
  }
  return writer.view();
}

/** RECOVER as its replica's bundle; `attempt` tells equal ones apart. */
export function recoverBundle(
  client: ClientKey,
  recover: Omit<Extract<SystemOperation, { kind: "recover" }>, "kind">,
  attempt: number,
): Bundle {
  const operations = [encodeSystemOperation({ kind: "recover", ...recover })];
  return { client, session: 0 as SessionId, firstSequence: attempt, acknowledgedThrough: 0, operations };
}

/** `undefined` where the bytes are no system operation. */
export function decodeSystemOperation(bytes: Uint8Array): SystemOperation | undefined {
  const decoded = decode<SystemOperation | undefined>(bytes, (reader) => {
    const kind = reader.u8();
    if (kind === OPEN) return { kind: "open", expiryMs: reader.u53() };
    if (kind === RECOVER)
      return { kind: "recover", replica: reader.u8() as ReplicaId, nonce: reader.u53(), view: reader.u53() as View };
    return undefined;
  });
  return decoded.ok ? decoded.message : undefined;
}

/** The result of OPEN (the session) and of RECOVER (the sequence). */
export function encodeNumberResult(value: number): Uint8Array {
  const writer = new Writer(NUMBER_BYTES);
  writer.u53(value);
  return writer.view();
}

/** `undefined` where the bytes are no such result. */
export function decodeNumberResult(bytes: Uint8Array): number | undefined {
  const decoded = decode(bytes, (reader) => reader.u53());
  return decoded.ok ? decoded.message : undefined;
}
