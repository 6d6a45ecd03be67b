/**
 * The contract between a client's protocol and what drives it: what happens is a {@link ClientInput}, what is wanted is a
 * {@link ClientAction}. `client.ts` runs it over QUIC, the simulator under virtual time.
 *
 * Nothing leaves in answer to anything but `tick`: all other inputs only record and may make `deadline()` due at once. So
 * whatever a turn brings (submissions, replies that make room) is flushed together, and shares one signature.
 */
import type { Executed } from "../errors.ts";
import type { Reply } from "../codec/client.ts";
import type { ResultStatus } from "../protocol/messages.ts";
import type { AgreedTime, ReplicaId, ReplicaSet, SessionId } from "../protocol/types.ts";

export type ClientInput =
  /** A new operation; `id` is the caller's and never used again. The bytes must not change until it is settled. */
  | { readonly kind: "submit"; readonly id: number; readonly operation: Uint8Array }
  /** A decoded REPLY from the channel of `from`. Its bytes are copied where they are kept. */
  | { readonly kind: "reply"; readonly from: ReplicaId; readonly reply: Reply }
  | { readonly kind: "busy"; readonly from: ReplicaId; readonly session: SessionId; readonly firstSequence: number }
  | { readonly kind: "link"; readonly peer: ReplicaId; readonly up: boolean }
  /** Nobody waits for the result any more. What has left may still be executed. */
  | { readonly kind: "abandon"; readonly id: number; readonly code: AbandonCode }
  /** Time has passed; `wallClock` is this machine's clock, used for the expiry of OPEN alone. */
  | { readonly kind: "tick"; readonly wallClock: AgreedTime };

export type AbandonCode = "TIMEOUT" | "ABORTED" | "CLOSED";

export type ClientAction =
  /**
   * `payload` is a BUNDLE without its signature, given at the first sending only: the driver signs it, keeps the signed bytes
   * under `bundle` and sends the same bytes whenever the handle is named again.
   */
  | { readonly kind: "send"; readonly to: ReplicaSet; readonly bundle: number; readonly payload?: Uint8Array }
  /** The handle will not be named again. */
  | { readonly kind: "forget"; readonly bundle: number }
  /** f+1 replicas (or Q, where tentative replies take part) vouch for the result; its bytes belong to the receiver. */
  | { readonly kind: "resolve"; readonly id: number; readonly status: SettledStatus; readonly result: Uint8Array }
  | {
      readonly kind: "reject";
      readonly id: number;
      readonly code: RejectCode;
      readonly executed: Executed;
      /** For `OPERATION_REFUSED`, which here means that the cluster refused to open a session: its reason. */
      readonly reason?: string;
    };

/** How an operation ended that was executed, or was refused by the state machine. */
export type SettledStatus = Extract<ResultStatus, "ok" | "refused" | "failed">;
export type RejectCode = AbandonCode | "SESSION_EXPIRED" | "BUSY" | "INVALID_ARGUMENT" | "OPERATION_REFUSED";

/** SHA-256(0x04 | status | result), packed like a Digest. Called for results above {@link SHORT_RESULT_BYTES} alone. */
export type ResultDigest = (status: ResultStatus, result: Uint8Array) => string;

/** Results up to here always travel in full, so they are compared as they are. WIRE.md §4. */
export const SHORT_RESULT_BYTES = 64;

/** Bounds and times of a client. All have defaults in {@link defaultLimits}. */
export interface ClientLimits {
  /** Client sequences that may be in flight above what is acknowledged: `sessions.windowOperations` of the cluster. */
  readonly windowOperations: number;
  /** Longest operation in bytes: `limits.operationBytesMax` of the cluster. */
  readonly operationBytesMax: number;
  /** Bundles that may be in flight. */
  readonly bundlesInFlightMax: number;
  /** Operations and bytes that may wait for a place in flight; more are refused as `BUSY`. */
  readonly queueOperationsMax: number;
  readonly queueBytesMax: number;
  /** How far ahead of this machine's clock the expiry of an OPEN lies, in milliseconds. */
  readonly openExpiryMs: number;
  /** Silence before all replicas are asked: bounds of what is derived from measured round trips, in milliseconds. */
  readonly silenceMsMin: number;
  readonly silenceMsMax: number;
  /** Longest pause between two sendings of one bundle, in milliseconds. */
  readonly retryMsMax: number;
}

export const defaultLimits: ClientLimits = {
  windowOperations: 1024,
  operationBytesMax: 256 * 1024,
  // One bundle in flight would make every operation wait for the one before; each further one halves the operations that share
  // a signature. Four cover the phases of a batch.
  bundlesInFlightMax: 4,
  queueOperationsMax: 65_536,
  queueBytesMax: 64 * 1024 * 1024,
  openExpiryMs: 60_000,
  // Below 100 ms a pause of the replicas' garbage collection would already make every client ask everybody.
  silenceMsMin: 100,
  silenceMsMax: 2_000,
  retryMsMax: 10_000,
};

/** What a client counted since it started. */
export interface ClientCounters {
  submitted: number;
  resolved: number;
  rejected: number;
  bundles: number;
  retries: number;
  sessionsOpened: number;
  /** Reply entries that changed nothing: the operation was settled before (half of all, normally). */
  lateEntries: number;
  /** Replies and BUSYs that name no session or no operation of this client: a replica's fault or an older session. */
  unknownReplies: number;
  busy: number;
}
