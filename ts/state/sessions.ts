/**
 * The table of client sessions, all of it in the replicated map: what it decides survives restart, undo and state transfer,
 * and two replicas that executed the same batches have equal roots.
 *
 * Who goes when it is full: a client's own oldest session if that client has too many; otherwise the session that was least
 * recently executed, by batch, then by lowest id; in the order of the operations inside a batch.
 */
import { Writer } from "../codec/bytes.ts";
import type { SessionSummary } from "../protocol/core.ts";
import type { ClientKey, SessionId } from "../protocol/types.ts";
import { EvictionOrder } from "./eviction-order.ts";
import { CLIENT_PREFIX, keyOf, lastNumberOf, SESSION_PREFIX } from "./layout.ts";
import type { Ledger } from "./ledger.ts";
import { OpenMemory } from "./open-memory.ts";
import type { ReplicatedMap } from "./replicated-map.ts";
import { Session } from "./session.ts";
import type { SessionLimits } from "./session-limits.ts";

const EMPTY = new Uint8Array(0);
const ALL_SESSIONS = Uint8Array.of(SESSION_PREFIX);

export type OpenRefusal =
  /** Its expiry is not after the agreed time. */
  | "OPEN_EXPIRED"
  /** Its expiry is more than `openLifetimeMsMax` after the agreed time. */
  | "EXPIRY_TOO_FAR"
  /** As many OPENs as may be remembered have not expired yet. */
  | "TOO_MANY_OPENS";

export type Opened =
  | { readonly refused: OpenRefusal }
  /** `opened` is false for a repeated OPEN. */
  | {
      readonly refused: undefined;
      readonly session: SessionId;
      readonly opened: boolean;
      readonly evicted: readonly SessionId[];
    };

export class Sessions {
  readonly #map: ReplicatedMap;
  readonly #limits: SessionLimits;
  readonly #opens: OpenMemory;
  /** Sessions read from the map so far; never more than the map has. */
  readonly #loaded = new Map<SessionId, Session>();
  /** Sessions to be written at the end of the batch. */
  readonly #changed = new Set<Session>();
  /** Built when a session has to go for the first time, and kept from there. */
  #order: EvictionOrder | undefined;
  readonly #writer = new Writer();

  constructor(map: ReplicatedMap, limits: SessionLimits) {
    this.#map = map;
    this.#limits = limits;
    this.#opens = new OpenMemory(map, limits);
  }

  /** Forgets what was read from the map; to be called when the map was restored to another version. */
  reload(): void {
    this.#loaded.clear();
    this.#changed.clear();
    this.#order = undefined;
  }

  /** All sessions, by id. Nothing may be waiting to be written. */
  summaries(): SessionSummary[] {
    const summaries: SessionSummary[] = [];
    for (const [key, header] of this.#map.range({ prefix: ALL_SESSIONS })) {
      summaries.push(Session.summaryOf(lastNumberOf(key) as SessionId, header));
    }
    return summaries;
  }

  /** The session of this id if it is this client's. */
  of(client: ClientKey, id: SessionId): Session | undefined {
    const session = this.#find(id);
    return session?.client === client ? session : undefined;
  }

  /** Whether there is a session of this id, whosever it is. */
  has(id: SessionId): boolean {
    return this.#find(id) !== undefined;
  }

  /** Executes OPEN at agreed time `ledger.timeMs`. */
  open(client: ClientKey, nonce: number, expiryMs: number, ledger: Ledger): Opened {
    if (expiryMs <= ledger.timeMs) return { refused: "OPEN_EXPIRED" };
    if (expiryMs - ledger.timeMs > this.#limits.openLifetimeMsMax) return { refused: "EXPIRY_TOO_FAR" };
    const known = this.#opens.find(client, nonce, ledger.timeMs);
    if (known !== undefined) return { refused: undefined, session: known, opened: false, evicted: [] };
    this.#opens.clearExpired(client, ledger.timeMs);
    if (!this.#opens.hasRoom(client)) return { refused: "TOO_MANY_OPENS" };
    const evicted = this.#makeRoom(client);
    const id = ++ledger.sessionsOpened as SessionId;
    const session = Session.open(this.#map, this.#limits, this.#writer, id, client, ledger.sequence);
    this.#loaded.set(id, session);
    this.#order?.touch(id, undefined, ledger.sequence);
    session.store();
    this.#map.set(keyOf(CLIENT_PREFIX, client, id), EMPTY);
    this.#opens.remember(client, nonce, id, expiryMs);
    return { refused: undefined, session: id, opened: true, evicted };
  }

  /** Takes note that an operation of the session was executed in a batch. */
  touch(session: Session, sequence: number): void {
    this.#changed.add(session);
    if (session.lastExecuted === sequence) return;
    this.#order?.touch(session.id, session.lastExecuted, sequence);
    session.lastExecuted = sequence;
  }

  /** Takes note that the session has to be written. */
  changed(session: Session): void {
    this.#changed.add(session);
  }

  /** Writes what the batch has changed. */
  store(): void {
    for (const session of this.#changed) session.store();
    this.#changed.clear();
  }

  #find(id: SessionId): Session | undefined {
    let session = this.#loaded.get(id);
    if (session !== undefined) return session;
    session = Session.load(this.#map, this.#limits, this.#writer, id);
    if (session !== undefined) this.#loaded.set(id, session);
    return session;
  }

  #makeRoom(client: ClientKey): SessionId[] {
    const evicted: SessionId[] = [];
    const own = keyOf(CLIENT_PREFIX, client);
    while (this.#map.count(own) >= this.#limits.sessionsPerClientMax) {
      const [oldest] = this.#map.range({ prefix: own, limit: 1 });
      evicted.push(this.#evict(lastNumberOf(oldest![0]) as SessionId));
    }
    while (this.#map.count(ALL_SESSIONS) >= this.#limits.sessionsMax) {
      this.#order ??= this.#sorted();
      evicted.push(this.#evict(this.#order.first()));
    }
    return evicted;
  }

  #evict(id: SessionId): SessionId {
    const session = this.#find(id)!;
    session.remove();
    this.#map.delete(keyOf(CLIENT_PREFIX, session.client, id));
    this.#order?.delete(id, session.lastExecuted);
    this.#loaded.delete(id);
    this.#changed.delete(session);
    return id;
  }

  #sorted(): EvictionOrder {
    const sessions: { id: SessionId; lastExecuted: number }[] = [];
    for (const [key, value] of this.#map.range({ prefix: ALL_SESSIONS })) {
      const id = lastNumberOf(key) as SessionId;
      sessions.push({ id, lastExecuted: this.#loaded.get(id)?.lastExecuted ?? Session.lastExecutedOf(value) });
    }
    return new EvictionOrder(sessions);
  }
}
