/** The ordered operation that opens a session: OPEN, outside of any session, named by a nonce. WIRE.md §4. */
import { decode, Writer } from "../codec/bytes.ts";
import type { Bundle } from "../codec/client.ts";
import type { AgreedTime, ClientKey, Instant, SessionId } from "../protocol/types.ts";
import type { InFlightOperation } from "./bundle.ts";
import { pauseMs, type Random } from "./retry.ts";
import type { Verdict } from "./tally.ts";

/** An OPEN in flight. */
export interface Opening {
  readonly status: "opening";
  readonly open: InFlightOperation;
  /** When the replicas refuse it at the latest, on our monotonic clock. */
  readonly expiresAt: Instant;
}

const OPEN = 1;
/** Refusals in a row after which those who wait are told, instead of asking for ever with new nonces. */
const REFUSALS_MAX = 3;
const PAUSE_MS = 100;
const PAUSE_MS_MAX = 5_000;
/** Bytes of a refusal's reason that are kept. */
const REASON_BYTES_MAX = 128;

/** @param nonce Fresh for each OPEN, random: a repeated one means the same session. */
export function openBundle(client: ClientKey, nonce: number, expiry: AgreedTime): Bundle {
  const operation = new Writer(9);
  operation.u8(OPEN);
  operation.u53(expiry);
  const session = 0 as SessionId;
  return { client, session, firstSequence: nonce, acknowledgedThrough: 0, operations: [operation.view()] };
}

/** The session that f+1 replicas say was opened; undefined when it was refused. */
export function openedSession(verdict: Verdict): SessionId | undefined {
  if (verdict.status !== "ok" || verdict.result === undefined) return undefined;
  const session = decode(verdict.result, (reader) => reader.u53());
  return session.ok && session.message > 0 ? (session.message as SessionId) : undefined;
}

/** Counts refusals in a row. */
export class OpenRefusals {
  #count = 0;

  onOpened(): void {
    this.#count = 0;
  }

  /** How long to wait before the next OPEN, and the cluster's reason once those who wait should be told. */
  onRefused(verdict: Verdict, random: Random): { readonly pauseMs: number; readonly reason: string | undefined } {
    const pause = pauseMs(PAUSE_MS, this.#count, PAUSE_MS_MAX, random);
    this.#count++;
    if (this.#count < REFUSALS_MAX) return { pauseMs: pause, reason: undefined };
    this.#count = 0;
    return { pauseMs: pause, reason: reasonOf(verdict) };
  }
}

function reasonOf(verdict: Verdict): string {
  if (verdict.status !== "refused" || verdict.result === undefined) return verdict.status;
  return new TextDecoder().decode(verdict.result.subarray(0, REASON_BYTES_MAX));
}
