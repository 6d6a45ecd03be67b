/** Per replica whose disk was wiped, its RECOVER that counts: in the replicated map, so that every replica has the same. */
import { Reader, Writer } from "../codec/bytes.ts";
import type { RecoverMark } from "../protocol/core.ts";
import type { ReplicaId, Sequence, View } from "../protocol/types.ts";
import { keyOf, lastNumberOf, RECOVER_PREFIX } from "./layout.ts";
import type { ReplicatedMap } from "./replicated-map.ts";

/** Nonce, view and sequence. */
const MARK_BYTES = 24;
const ALL = Uint8Array.of(RECOVER_PREFIX);

/**
 * Takes note of a RECOVER where it counts: above the last nonce, or under it above the last view. A captured one counts for nothing.
 * @returns The mark of its replica after that.
 */
export function markRecover(map: ReplicatedMap, asked: RecoverMark): RecoverMark {
  const key = keyOf(RECOVER_PREFIX, asked.replica);
  const before = map.get(key);
  const known = before === undefined ? undefined : readMark(asked.replica, before);
  const isNewer =
    known === undefined || asked.nonce > known.nonce || (asked.nonce === known.nonce && asked.view > known.view);
  if (!isNewer) return known;
  const writer = new Writer(MARK_BYTES);
  for (const number of [asked.nonce, asked.view, asked.sequence]) writer.u53(number);
  map.set(key, writer.copy());
  return asked;
}

/** All of them, by replica. */
export function recoverMarks(map: ReplicatedMap): RecoverMark[] {
  return Array.from(map.range({ prefix: ALL }), ([key, value]) => readMark(lastNumberOf(key) as ReplicaId, value));
}

function readMark(replica: ReplicaId, bytes: Uint8Array): RecoverMark {
  const reader = new Reader(bytes);
  return { replica, nonce: reader.u53(), view: reader.u53() as View, sequence: reader.u53() as Sequence };
}
