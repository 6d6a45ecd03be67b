/** Operations that left under one signature, and how they are written. */
import { writeBundle, type Bundle } from "../codec/client.ts";
import { Writer } from "../codec/bytes.ts";
import { EMPTY_SET, type Instant, type ReplicaSet, type SessionId } from "../protocol/types.ts";
import type { ResultTally } from "./tally.ts";

/** WIRE.md §5: bytes of a signed bundle. */
export const BUNDLE_BYTES_MAX = 512 * 1024;
/** Key, session, first sequence, acknowledgement, count and signature. */
export const BUNDLE_OVERHEAD_BYTES = 32 + 8 + 8 + 8 + 2 + 64;
/** The length before each operation. */
export const OPERATION_OVERHEAD_BYTES = 4;

export interface InFlightOperation {
  readonly sequence: number;
  readonly bundle: InFlightBundle;
  readonly tally: ResultTally;
  /** The caller's name for it; undefined once nobody waits for it. */
  id: number | undefined;
  /** A quorum vouched for a digest and the replicas were asked for the result itself. */
  fullAsked: boolean;
}

export interface InFlightBundle {
  readonly handle: number;
  readonly session: SessionId;
  /** The nonce where `session` is 0. */
  readonly firstSequence: number;
  /** Operations that are not settled. */
  unsettled: number;
  readonly firstSentAt: Instant;
  /** Sendings so far. */
  attempts: number;
  retryAt: Instant;
  /** Who answered BUSY since the last sending. */
  busy: ReplicaSet;
  /** Rounds of BUSY so far. */
  busyRounds: number;
  /** Replicas that hold a result of which only the digest has come; asked at the next sending. */
  holders: ReplicaSet;
}

export function newBundle(handle: number, bundle: Bundle, now: Instant): InFlightBundle {
  return {
    handle,
    session: bundle.session,
    firstSequence: bundle.firstSequence,
    unsettled: bundle.operations.length,
    firstSentAt: now,
    attempts: 0,
    retryAt: now,
    busy: EMPTY_SET,
    busyRounds: 0,
    holders: EMPTY_SET,
  };
}

/** A BUNDLE without its signature. */
export function encodeBundle(bundle: Bundle): Uint8Array {
  let length = BUNDLE_OVERHEAD_BYTES;
  for (const operation of bundle.operations) length += OPERATION_OVERHEAD_BYTES + operation.length;
  const writer = new Writer(length);
  writeBundle(writer, bundle);
  return writer.view();
}
