/** Bounds of the session table. All replicas must have the same: they decide who is evicted and what is answered. */
import { ByzantineError } from "../errors.ts";

export interface SessionLimits {
  /** Sessions of all clients. */
  readonly sessionsMax: number;
  /** Sessions of one client key. */
  readonly sessionsPerClientMax: number;
  /** Remembered OPENs of all clients that have not expired. */
  readonly opensMax: number;
  /** The same of one client key. */
  readonly opensPerClientMax: number;
  /** Client sequences above `acknowledgedThrough` that a session may execute. */
  readonly window: number;
  /** Bytes of results that a session keeps for duplicates, with {@link RUN_BYTES} for each entry of the map. */
  readonly resultBytesMax: number;
  /** How far ahead of the agreed time an OPEN may expire, in milliseconds. */
  readonly openLifetimeMsMax: number;
}

/** What an entry of the map costs besides its results: so many tiny results cannot take more memory than a few large ones. */
export const RUN_BYTES = 128;
/** How far ahead of the agreed time an OPEN may expire: 5 minutes, what a client with a wrong clock and a retry needs. */
export const OPEN_LIFETIME_MS_MAX = 300_000;
/** Executed sequences are written as 16-bit distances from `acknowledgedThrough`. */
export const WINDOW_MAX = 65_535;

/**
 * At most 4,096 × 257 KiB ≈ 1 GiB of results in the worst case, some MiB in practice; remembered OPENs take at most about 32 MiB.
 * A window of 4,096 holds four of the largest bundles; one result of the largest size (256 KiB) fits into a session.
 */
export const SESSION_LIMITS: SessionLimits = {
  sessionsMax: 4096,
  sessionsPerClientMax: 32,
  opensMax: 65_536,
  opensPerClientMax: 64,
  window: 4096,
  resultBytesMax: 257 * 1024,
  openLifetimeMsMax: OPEN_LIFETIME_MS_MAX,
};

/** @throws ByzantineError `INVALID_CONFIG` with the field and the accepted range. */
export function requireSessionLimits(limits: SessionLimits): void {
  for (const name of Object.keys(SESSION_LIMITS) as (keyof SessionLimits)[]) {
    const max = name === "window" ? WINDOW_MAX : 2 ** 31;
    const value = limits[name];
    if (!Number.isSafeInteger(value) || value < 1 || value > max) {
      const data = { field: `limits.${name}`, accepted: `1 … ${max}` };
      throw new ByzantineError("INVALID_CONFIG", `limits.${name} is an integer from 1 to ${max}`, data);
    }
  }
}
