/**
 * Who says what about one operation: the client's quorum.
 *
 * Replies match in session, client sequence, status and result; f+1 committed ones decide, or Q where tentative ones take part,
 * which then also match in (view, batch sequence) while a committed one counts with any. TOCS'02 §5.1.
 */
import type { ReplyEntry } from "../codec/client.ts";
import type { ResultStatus } from "../protocol/messages.ts";
import { isQuorum, isWeakQuorum, quorumsOf, type Quorums } from "../protocol/quorum.ts";
import { EMPTY_SET, setOf, union, type ReplicaId, type ReplicaSet } from "../protocol/types.ts";
import { SHORT_RESULT_BYTES, type ResultDigest } from "./interfaces.ts";

/** Under which circumstances a replica's reply was made. */
export interface Circumstance {
  readonly tentative: boolean;
  readonly view: number;
  readonly batchSequence: number;
}

/** What one replica last said about one operation. */
interface Claim extends Circumstance {
  /** Equal for equal (status, result), different otherwise. */
  readonly key: string;
  /** A copy of a long result that came in full and for which its sender had room. */
  readonly held: Uint8Array | undefined;
}

export interface Verdict {
  readonly status: ResultStatus;
  /** Undefined where only digests, or wrong full results, have come. A copy. */
  readonly result: Uint8Array | undefined;
  readonly vouchers: ReplicaSet;
}

/** Bytes of long results that one replica may make us hold for undecided operations; beyond it only their digests count. */
export const HELD_BYTES_PER_REPLICA_MAX = 8 * 1024 * 1024;

/** What the tallies of one client share: quorums, the digest, and how much each replica makes us hold. */
export class TallyRoom {
  readonly quorums: Quorums;
  readonly digestOf: ResultDigest;
  readonly #heldBytes: number[];

  constructor(n: number, f: number, digestOf: ResultDigest) {
    this.quorums = quorumsOf(n, f);
    this.digestOf = digestOf;
    this.#heldBytes = Array.from({ length: n }, () => 0);
  }

  /** Bytes held now, over all replicas. */
  get heldBytes(): number {
    return this.#heldBytes.reduce((sum, bytes) => sum + bytes, 0);
  }

  hold(from: ReplicaId, result: Uint8Array): Uint8Array | undefined {
    const held = this.#heldBytes[from]! + result.length;
    if (held > HELD_BYTES_PER_REPLICA_MAX) return undefined;
    this.#heldBytes[from] = held;
    return result.slice();
  }

  release(from: ReplicaId, held: Uint8Array | undefined): void {
    if (held !== undefined) this.#heldBytes[from]! -= held.length;
  }
}

export class ResultTally {
  /** By replica: one place each, so that nobody counts twice and nobody can make it grow. */
  readonly #claims: (Claim | undefined)[] = [];
  readonly #room: TallyRoom;

  constructor(room: TallyRoom) {
    this.#room = room;
  }

  /** Records a replica's word in place of its earlier one, and says whether the quorum is there now. */
  add(from: ReplicaId, circumstance: Circumstance, entry: ReplyEntry): Verdict | undefined {
    const previous = this.#claims[from];
    // Its committed word is final; a tentative one that was overtaken on the way says less.
    if (previous !== undefined && !previous.tentative && circumstance.tentative) return undefined;
    const long = "result" in entry && entry.result.length > SHORT_RESULT_BYTES;
    const key = this.#keyOf(entry);
    this.#room.release(from, previous?.held);
    const held = long ? this.#room.hold(from, entry.result) : undefined;
    const { tentative, view, batchSequence } = circumstance;
    const claim: Claim = { key, held, tentative, view, batchSequence };
    this.#claims[from] = claim;
    const vouchers = this.#vouchersOf(claim);
    if (vouchers === EMPTY_SET) return undefined;
    const result = long || "digest" in entry ? this.#heldUnder(key, entry) : entry.result.slice();
    return { status: entry.status, result, vouchers };
  }

  /** Gives back the room of what was held. The tally must not be used afterwards. */
  close(): void {
    for (let replica = 0; replica < this.#claims.length; replica++) {
      this.#room.release(replica as ReplicaId, this.#claims[replica]?.held);
    }
  }

  /** Those who vouch for the same as `claim`, when they are a quorum; otherwise nobody. */
  #vouchersOf(claim: Claim): ReplicaSet {
    let committed = EMPTY_SET;
    for (let replica = 0; replica < this.#claims.length; replica++) {
      const other = this.#claims[replica];
      if (other !== undefined && other.key === claim.key && !other.tentative) {
        committed = union(committed, setOf(replica as ReplicaId));
      }
    }
    if (isWeakQuorum(this.#room.quorums, committed)) return committed;
    return this.#tentativeVouchers(claim, committed);
  }

  /** Tentative words of one (view, batch sequence) together with all committed ones of the same result. */
  #tentativeVouchers(claim: Claim, committed: ReplicaSet): ReplicaSet {
    // A committed word joins every group, so each group it may complete is looked at.
    for (const group of this.#claims) {
      if (group === undefined || !group.tentative || group.key !== claim.key) continue;
      if (claim.tentative && !sameBatch(group, claim)) continue;
      let members = committed;
      for (let replica = 0; replica < this.#claims.length; replica++) {
        const other = this.#claims[replica];
        if (other !== undefined && other.tentative && other.key === claim.key && sameBatch(other, group)) {
          members = union(members, setOf(replica as ReplicaId));
        }
      }
      if (isQuorum(this.#room.quorums, members)) return members;
    }
    return EMPTY_SET;
  }

  #heldUnder(key: string, entry: ReplyEntry): Uint8Array | undefined {
    for (const claim of this.#claims) if (claim?.key === key && claim.held !== undefined) return claim.held;
    // Its digest was just computed to be `key`, so the result is right although its sender has no room left to make us hold it.
    return "result" in entry ? entry.result.slice() : undefined;
  }

  #keyOf(entry: ReplyEntry): string {
    if ("digest" in entry) return `#${entry.digest}`;
    if (entry.result.length > SHORT_RESULT_BYTES) return `#${this.#room.digestOf(entry.status, entry.result)}`;
    return `${entry.status}:${String.fromCharCode.apply(null, entry.result as unknown as number[])}`;
  }
}

function sameBatch(a: Circumstance, b: Circumstance): boolean {
  return a.view === b.view && a.batchSequence === b.batchSequence;
}
