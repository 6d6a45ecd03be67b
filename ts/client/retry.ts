/**
 * When to ask again: silence measured in round trips, exponential pauses with jitter, and a budget that keeps retries a small
 * share of what is sent, so that an overloaded cluster is not loaded further by those who wait for it.
 */
import type { Instant } from "../protocol/types.ts";

/** A number from 0 to 2^53−1, injected so that a seed makes the whole run. */
export type Random = () => number;

/** Silence is this many deviations above the smoothed round trip, as in RFC 6298 §2. */
const DEVIATIONS = 4;
/** Batches of different sizes make round trips differ by small factors without anything being wrong. */
const SILENCE_FACTOR = 3;
/** Silence before the first measurement: longer than a healthy cluster takes, however far away. RFC 6298 §2.1 has 1 s for one path. */
const UNMEASURED_MS = 500;
/** Retries that may go at once after a quiet time: twice the bundles that are in flight by default. */
export const RETRIES_AT_ONCE = 8;
/** Retries per first sending, in the long run. */
const RETRIES_PER_BUNDLE = 0.2;
/** Retries per second while nothing new is sent: a cluster that was away is found again. */
const RETRIES_PER_SECOND = 4;

/** Smoothed round trip and its deviation; RFC 6298 §2 with Karn's rule left to the caller. */
export class RoundTrip {
  #smoothed = 0;
  #deviation = 0;
  #measured = false;

  record(ms: number): void {
    if (!this.#measured) {
      this.#measured = true;
      this.#smoothed = ms;
      this.#deviation = ms / 2;
      return;
    }
    this.#deviation += (Math.abs(this.#smoothed - ms) - this.#deviation) / 4;
    this.#smoothed += (ms - this.#smoothed) / 8;
  }

  /** Milliseconds; 0 before the first measurement. */
  get smoothedMs(): number {
    return this.#smoothed;
  }

  /** How long to wait before silence means something, in milliseconds within the bounds. */
  silenceMs(min: number, max: number): number {
    const silence = this.#measured ? SILENCE_FACTOR * (this.#smoothed + DEVIATIONS * this.#deviation) : UNMEASURED_MS;
    return Math.min(max, Math.max(min, silence));
  }
}

/** A pause of `baseMs` doubled `attempt` times up to `maxMs`, give or take a quarter so that clients do not march in step. */
export function pauseMs(baseMs: number, attempt: number, maxMs: number, random: Random): number {
  const pause = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
  return pause * (0.75 + (0.5 * random()) / Number.MAX_SAFE_INTEGER);
}

/** A bucket of retries, filled by what is sent for the first time and slowly by time. */
export class RetryBudget {
  #tokens = RETRIES_AT_ONCE;
  #filledAt: Instant | undefined;

  onFirstSending(): void {
    this.#tokens = Math.min(RETRIES_AT_ONCE, this.#tokens + RETRIES_PER_BUNDLE);
  }

  /** Whether one retry may go now; counts it if so. */
  take(now: Instant): boolean {
    const elapsed = Math.max(0, now - (this.#filledAt ?? now));
    this.#filledAt = now;
    this.#tokens = Math.min(RETRIES_AT_ONCE, this.#tokens + (elapsed / 1000) * RETRIES_PER_SECOND);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Milliseconds until a retry may go. */
  get waitMs(): number {
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) / RETRIES_PER_SECOND) * 1000;
  }
}
