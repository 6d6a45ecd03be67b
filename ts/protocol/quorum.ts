/**
 * Sums of replicas. Q = ⌈(n+f+1)/2⌉ makes any two quorums meet in an honest replica for every n ≥ 3f+1; for n = 3f+1 it is
 * the 2f+1 of OSDI'99. Wherever the paper writes 2f+1 read Q, and Q−1 for 2f; f+1 stays f+1.
 */
import { sizeOf, type ReplicaSet } from "./types.ts";

export interface Quorums {
  /** Number of replicas. */
  readonly n: number;
  /** Faulty ones tolerated, ≤ ⌊(n−1)/3⌋. */
  readonly f: number;
  /** Q = ⌈(n+f+1)/2⌉. */
  readonly quorum: number;
  /** f+1: at least one of them is honest. */
  readonly weak: number;
}

export function quorumsOf(n: number, f: number): Quorums {
  return { n, f, quorum: Math.ceil((n + f + 1) / 2), weak: f + 1 };
}

/** Whether a set of distinct replicas with matching claims is a quorum. */
export function isQuorum(quorums: Quorums, signers: ReplicaSet): boolean {
  return sizeOf(signers) >= quorums.quorum;
}

/** Whether a set of distinct replicas holds an honest one. */
export function isWeakQuorum(quorums: Quorums, signers: ReplicaSet): boolean {
  return sizeOf(signers) >= quorums.weak;
}
