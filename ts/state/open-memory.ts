/**
 * The OPENs that were executed and have not expired. An OPEN that somebody captured and sends again finds the session that
 * it opened, until it has expired and is refused: so it can never evict the live sessions of its owner.
 */
import { Reader, Writer } from "../codec/bytes.ts";
import type { ClientKey, SessionId } from "../protocol/types.ts";
import { EXPIRY_PREFIX, keyOf, lastNumberOf, NONCE_PREFIX } from "./layout.ts";
import type { ReplicatedMap } from "./replicated-map.ts";
import type { SessionLimits } from "./session-limits.ts";

/** Expired OPENs that one OPEN clears away: it adds one, so what has expired never fills the memory. */
const CLEARED_PER_OPEN = 16;
const CLIENT_AT = 9;
const EMPTY = new Uint8Array(0);
const ALL_OPENS = Uint8Array.of(NONCE_PREFIX);
const BY_EXPIRY = Uint8Array.of(EXPIRY_PREFIX);

export class OpenMemory {
  readonly #map: ReplicatedMap;
  readonly #limits: SessionLimits;

  constructor(map: ReplicatedMap, limits: SessionLimits) {
    this.#map = map;
    this.#limits = limits;
  }

  /** The session that an OPEN of this nonce opened, unless that has expired. */
  find(client: ClientKey, nonce: number, nowMs: number): SessionId | undefined {
    const value = this.#map.get(keyOf(NONCE_PREFIX, client, nonce));
    if (value === undefined) return undefined;
    const reader = new Reader(value);
    const session = reader.u53() as SessionId;
    return reader.u53() > nowMs ? session : undefined;
  }

  /** Whether one more OPEN of this client can be remembered. Nothing that has not expired is ever dropped to make room. */
  hasRoom(client: ClientKey): boolean {
    return (
      this.#map.count(ALL_OPENS) < this.#limits.opensMax &&
      this.#map.count(keyOf(NONCE_PREFIX, client)) < this.#limits.opensPerClientMax
    );
  }

  remember(client: ClientKey, nonce: number, session: SessionId, expiryMs: number): void {
    const writer = new Writer(16);
    writer.u53(session);
    writer.u53(expiryMs);
    this.#map.set(keyOf(NONCE_PREFIX, client, nonce), writer.buffer);
    this.#map.set(keyOf(EXPIRY_PREFIX, expiryMs, client, nonce), EMPTY);
  }

  /** Removes some of the OPENs that expired at `nowMs` or before, and this client's own of them all. */
  clearExpired(client: ClientKey, nowMs: number): void {
    const expired: { readonly client: ClientKey; readonly nonce: number; readonly key: Uint8Array }[] = [];
    const end = keyOf(EXPIRY_PREFIX, nowMs + 1);
    for (const [key] of this.#map.range({ prefix: BY_EXPIRY, lt: end, limit: CLEARED_PER_OPEN })) {
      expired.push({ client: new Reader(key, CLIENT_AT).clientKey(), nonce: lastNumberOf(key), key });
    }
    for (const [key, value] of this.#map.range({ prefix: keyOf(NONCE_PREFIX, client) })) {
      const expiryMs = new Reader(value, 8).u53();
      if (expiryMs > nowMs) continue;
      const nonce = lastNumberOf(key);
      expired.push({ client, nonce, key: keyOf(EXPIRY_PREFIX, expiryMs, client, nonce) });
    }
    for (const open of expired) {
      this.#map.delete(keyOf(NONCE_PREFIX, open.client, open.nonce));
      this.#map.delete(open.key);
    }
  }
}
