/**
 * Numbers and names that must not be mixed, and the sets of replicas that quorums are made of.
 *
 * Everything in this folder is pure: no input or output, no clock, no randomness, no native code.
 */

declare const brand: unique symbol;

/** A value of type `T` that only the place which may vouch for it can make. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A view number, 0 … 2^53−1. The primary of view v is replica v mod n. */
export type View = Brand<number, "View">;
/** A sequence number, 1 … 2^53−1; 0 is the state before the first batch. */
export type Sequence = Brand<number, "Sequence">;
/** A replica's place in the list of members sorted by `nodeId`, 0 … n−1, n ≤ 31. */
export type ReplicaId = Brand<number, "ReplicaId">;
/** A set of replicas: bit i stands for replica i. */
export type ReplicaSet = Brand<number, "ReplicaSet">;
/**
 * A SHA-256 digest as a string of 16 UTF-16 units (little-endian pairs of its bytes): compared by `===`, usable as the key
 * of a Map, made without hexadecimal. It is not text; `hexOf` in `ts/codec/digest.ts` prints it.
 */
export type Digest = Brand<string, "Digest">;
/** A client's Ed25519 public key, packed like a {@link Digest}. */
export type ClientKey = Brand<string, "ClientKey">;
/** The number of a client session, a counter in the replicated state; 0 stands for operations outside of any session. */
export type SessionId = Brand<number, "SessionId">;
/** Milliseconds on a monotonic clock whose zero means nothing. */
export type Instant = Brand<number, "Instant">;
/** Milliseconds since the Unix epoch as the replicas agreed on them. */
export type AgreedTime = Brand<number, "AgreedTime">;
/** The number of a durable record; the core numbers its own records densely from 1. 0 means "rests on nothing". */
export type Lsn = Brand<number, "Lsn">;
/** Grows by one at every undo or install; results of older runs are ignored. */
export type Run = Brand<number, "Run">;
/** Something whose signature, or whose channel, was verified. Only a verifier may make one (a cast to this type elsewhere is a bug). */
export type Verified<T> = T & { readonly [verified]: true };
declare const verified: unique symbol;

/** Highest number that fits every counter on the wire. */
export const NUMBER_MAX = Number.MAX_SAFE_INTEGER;
/** Most replicas a cluster may have: a {@link ReplicaSet} is one 32-bit integer with its sign bit unused. */
export const REPLICAS_MAX = 31;

/** The digest that stands for "no digest": 32 zero bytes. */
export const ZERO_DIGEST = "\0".repeat(16) as Digest;
export const EMPTY_SET = 0 as ReplicaSet;

export function setOf(...replicas: readonly ReplicaId[]): ReplicaSet {
  let bits = 0;
  for (const replica of replicas) bits |= 1 << replica;
  return bits as ReplicaSet;
}

/** All replicas of a cluster of n. */
export function everyone(n: number): ReplicaSet {
  return (2 ** n - 1) as ReplicaSet;
}

export function holds(set: ReplicaSet, replica: ReplicaId): boolean {
  return (set & (1 << replica)) !== 0;
}

export function union(a: ReplicaSet, b: ReplicaSet): ReplicaSet {
  return (a | b) as ReplicaSet;
}

export function without(set: ReplicaSet, removed: ReplicaSet): ReplicaSet {
  return (set & ~removed) as ReplicaSet;
}

/** Number of replicas in a set. */
export function sizeOf(set: ReplicaSet): number {
  let bits = set - ((set >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return (((bits + (bits >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

export function membersOf(set: ReplicaSet): ReplicaId[] {
  const members: ReplicaId[] = [];
  for (let bits: number = set; bits !== 0; bits &= bits - 1) members.push((31 - Math.clz32(bits & -bits)) as ReplicaId);
  return members;
}
