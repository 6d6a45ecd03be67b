/**
 * The simulated body store: verified bundles by digest, from arrival until the core releases them, and fetches under way.
 *
 * A bundle is handed to the core once. Clients' and replicas' wait for the room that the core grants and take turns in it; those
 * that the core named (pinned or fetched) are handed over at once.
 */
import type { Bundle } from "../../codec/client.ts";
import type { Input } from "../../protocol/core.ts";
import type { BundleRef } from "../../protocol/messages.ts";
import {
  holds,
  setOf,
  union,
  without,
  type Digest,
  type ReplicaId,
  type ReplicaSet,
  type SessionId,
  type Verified,
} from "../../protocol/types.ts";

/** Bundles of one replica, or of all clients, that wait for room; more are refused. */
export const WAITING_MAX = 64;
/** Digests that may be pinned, or fetched, at once. */
const ASKED_MAX = 4096;

export interface Body {
  readonly digest: Digest;
  readonly bundle: Bundle;
  readonly signature: Uint8Array;
  /** Length of the signed bundle. */
  readonly bytes: number;
}

export type BodyVerdict = "taken" | "duplicate" | "overQuota";

interface Held extends Body {
  /** Undefined for a client's connection. */
  readonly from: ReplicaId | undefined;
  delivered: boolean;
}

type QueueName = "wanted" | "pushed" | "clients";

const pushedFirst: readonly QueueName[] = ["wanted", "pushed", "clients"];
const clientsFirst: readonly QueueName[] = ["wanted", "clients", "pushed"];

export class BodyStore {
  private readonly held = new Map<Digest, Held>();
  private readonly pinned = new Set<Digest>();
  private readonly fetches = new Map<Digest, ReplicaSet>();
  private readonly queues: Record<QueueName, Held[]> = { wanted: [], pushed: [], clients: [] };
  private inputs: Input[] = [];
  private readonly room = { bundles: 0, bytes: 0 };
  /** Which of the two queues within the room is looked at first. */
  private clientsTurn = false;

  /** What the core can take now besides what it named. */
  setRoom(room: { readonly bundles: number; readonly bytes: number }): void {
    this.room.bundles = room.bundles;
    this.room.bytes = room.bytes;
  }

  /** Takes a verified body; `from` is undefined for a client's connection. */
  take(body: Body, from: ReplicaId | undefined): BodyVerdict {
    const known = this.held.get(body.digest);
    if (known !== undefined) {
      // A client's retry is told to the core, which answers it or not.
      if (from === undefined && known.delivered) this.announce(known, undefined, true);
      return "duplicate";
    }
    const wanted = this.pinned.has(body.digest) || this.fetches.has(body.digest);
    if (!wanted && this.waitingOf(from) >= WAITING_MAX) return "overQuota";
    const held = heldOf(body, from, false);
    this.held.set(body.digest, held);
    this.pinned.delete(body.digest);
    this.fetches.delete(body.digest);
    this.queues[wanted ? "wanted" : from === undefined ? "clients" : "pushed"].push(held);
    return "taken";
  }

  /** A body that was stored beside a record: the core hears of it by other ways. */
  restore(body: Body): void {
    this.held.set(body.digest, heldOf(body, undefined, true));
  }

  get(digest: Digest): Body | undefined {
    return this.held.get(digest);
  }

  /** Hands these over at once, whether they are here or come later. */
  pin(bundles: readonly Digest[]): void {
    for (const digest of bundles) {
      const held = this.held.get(digest);
      if (held === undefined && this.pinned.size < ASKED_MAX) this.pinned.add(digest);
      else if (held?.delivered === false) this.queues.wanted.push(held);
    }
  }

  release(bundles: readonly Digest[]): void {
    for (const digest of bundles) {
      this.held.delete(digest);
      this.pinned.delete(digest);
      this.fetches.delete(digest);
    }
  }

  /** These replicas are being asked. */
  fetching(digest: Digest, from: ReplicaSet): void {
    if (this.held.has(digest) || this.fetches.size >= ASKED_MAX) return;
    this.fetches.set(digest, union(this.fetches.get(digest) ?? (0 as ReplicaSet), from));
  }

  /** One of those asked does not have it; when none is left the core hears of it. False when it was not asked. */
  unavailable(digest: Digest, from: ReplicaId): boolean {
    const open = this.fetches.get(digest);
    if (open === undefined || !holds(open, from)) return false;
    const left = without(open, setOf(from));
    this.fetches.set(digest, left);
    if (left !== 0) return true;
    this.fetches.delete(digest);
    this.inputs.push({ kind: "body", digest, status: "unavailable" });
    return true;
  }

  /** What the turn hands to the core. */
  drain(): Input[] {
    for (let next = this.next(); next !== undefined; next = this.next()) {
      next.delivered = true;
      this.announce(next, next.from, false);
    }
    const { inputs } = this;
    this.inputs = [];
    return inputs;
  }

  /** Whether the next turn has something to take. */
  get hasInputs(): boolean {
    return this.inputs.length > 0 || this.peek() !== undefined;
  }

  get size(): number {
    return this.held.size;
  }

  private waitingOf(from: ReplicaId | undefined): number {
    const queue = from === undefined ? this.queues.clients : this.queues.pushed;
    let waiting = 0;
    for (const body of queue) if (body.from === from && this.waits(body)) waiting++;
    return waiting;
  }

  private next(): Held | undefined {
    const name = this.peek();
    if (name === undefined) return undefined;
    const body = this.queues[name].shift() as Held;
    if (name === "wanted") return body;
    this.room.bundles--;
    this.room.bytes -= body.bytes;
    this.clientsTurn = name === "pushed";
    return body;
  }

  /** What the core named first; then pushed and clients' bundles in turns, as far as the room reaches. */
  private peek(): QueueName | undefined {
    for (const name of this.clientsTurn ? clientsFirst : pushedFirst) {
      const queue = this.queues[name];
      while (queue[0] !== undefined && !this.waits(queue[0])) queue.shift();
      if (queue[0] === undefined) continue;
      if (name === "wanted") return name;
      return this.room.bundles > 0 && this.room.bytes >= queue[0].bytes ? name : undefined;
    }
    return undefined;
  }

  private waits(body: Held): boolean {
    return !body.delivered && this.held.get(body.digest) === body;
  }

  private announce(body: Body, from: ReplicaId | undefined, again: boolean): void {
    this.inputs.push({ kind: "request", bundle: refOf(body) as Verified<BundleRef>, from, again });
  }
}

function heldOf({ digest, bundle, signature, bytes }: Body, from: ReplicaId | undefined, delivered: boolean): Held {
  return { digest, bundle, signature, bytes, from, delivered };
}

/** What the core is told of a body. */
export function refOf({ digest, bundle, bytes }: Body): BundleRef {
  const { client, session, firstSequence, acknowledgedThrough, operations } = bundle;
  const count = operations.length;
  return { digest, client, session: session as SessionId, firstSequence, acknowledgedThrough, count, bytes };
}
