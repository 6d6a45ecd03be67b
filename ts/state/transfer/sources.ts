/**
 * Whom to ask. Every source may be slow, silent or a liar; what it sends is checked, so all that it can cost is time. Each has
 * a few requests in flight; one that failed is left alone for a while, longer each time, and is asked last.
 */
import type { Instant, ReplicaId } from "../../protocol/types.ts";

/** Requests in flight to one source: one is on its way while the other is answered. */
const REQUESTS_PER_SOURCE = 2;
/** Requests in flight in all, which bounds what waits to be checked. */
export const REQUESTS_MAX = 8;

/** Until a source has answered once. */
const DEADLINE_FIRST_MS = 2_000;
const DEADLINE_MIN_MS = 500;
/** However often a source was late: a cluster that is slow altogether still gets there. */
const DEADLINE_MAX_MS = 16_000;
/** An answer is late when it takes so many times what they usually take. */
const LATE_FACTOR = 8;
/** Weight of the newest answer in the usual time. */
const NEWEST_WEIGHT = 0.25;
/** A source rests after a failure for so long, doubled with each further one. */
const REST_MIN_MS = 500;
const REST_MAX_MS = 16_000;
/** An answer that takes so much longer than usual is not waited for when all else is here. */
const HEDGE_MIN_MS = 100;
const HEDGE_FACTOR = 3;
/** Late answers after which a source counts as silent. */
const SILENT_AFTER = 3;

export class Source {
  readonly id: ReplicaId;
  inFlight = 0;
  /** Bytes of nodes that were right. */
  bytes = 0;
  #usualMs: number | undefined;
  /** Late or useless answers in a row. */
  #failures = 0;
  /** Wrong answers ever. */
  #lies = 0;
  #restsUntil = 0;
  /** The target that it says it does not hold. */
  #without: number | undefined;

  constructor(id: ReplicaId) {
    this.id = id;
  }

  /** How long an answer may take. */
  get deadlineMs(): number {
    const usual = this.#usualMs === undefined ? DEADLINE_FIRST_MS : LATE_FACTOR * this.#usualMs;
    return Math.min(DEADLINE_MAX_MS, Math.max(DEADLINE_MIN_MS, usual) * 2 ** Math.min(this.#failures, 5));
  }

  /** When it may be asked again; in the past if now. */
  get restsUntil(): Instant {
    return this.#restsUntil as Instant;
  }

  isFree(now: Instant): boolean {
    return this.inFlight < REQUESTS_PER_SOURCE && this.#restsUntil <= now;
  }

  /** Requests that it may have in flight. */
  slots(now: Instant): number {
    return this.#restsUntil <= now ? REQUESTS_PER_SOURCE : 0;
  }

  /** Lower is better. */
  get rank(): number {
    return 4 * this.#lies + 2 * this.#failures + this.inFlight;
  }

  /** Whether nothing of `target` can be expected of it for now. */
  isHopeless(target: number): boolean {
    return this.#without === target || this.#failures >= SILENT_AFTER;
  }

  /** Whether it has said that it does not hold `target`. */
  isWithout(target: number): boolean {
    return this.#without === target;
  }

  /** What its answers usually take; unknown before the first. */
  get usualMs(): number | undefined {
    return this.#usualMs;
  }

  /** It is asked afresh, whatever it lacked or failed to do before. */
  forgive(): void {
    this.#without = undefined;
    this.#failures = 0;
  }

  onAnswer(tookMs: number): void {
    this.#failures = 0;
    this.#without = undefined;
    this.#usualMs = this.#usualMs === undefined ? tookMs : this.#usualMs + NEWEST_WEIGHT * (tookMs - this.#usualMs);
  }

  onUnavailable(target: number, now: Instant): void {
    this.#without = target;
    this.#rest(this.#failures, now);
  }

  onLate(now: Instant): void {
    this.#rest(this.#failures++, now);
  }

  onLie(now: Instant): void {
    this.#rest(this.#lies++, now);
  }

  #rest(times: number, now: Instant): void {
    this.#restsUntil = Math.max(this.#restsUntil, now + Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** Math.min(times, 8)));
  }
}

/** After so long another source is asked for the last things that are missing: the quickest would have answered. */
export function hedgeMs(sources: readonly Source[]): number {
  const quickest = sources.reduce((least, { usualMs = Infinity }) => Math.min(least, usualMs), Infinity);
  return quickest === Infinity ? HEDGE_MIN_MS : Math.max(HEDGE_MIN_MS, HEDGE_FACTOR * quickest);
}

/** Sources that may be asked now, the best first. */
export function freeSources(sources: readonly Source[], now: Instant): Source[] {
  return sources.filter((source) => source.isFree(now)).sort((a, b) => a.rank - b.rank);
}
