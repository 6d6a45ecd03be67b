/**
 * Signatures under checkpoints. The highest of each signer are kept, also far above the window: that is how a replica learns
 * that it fell behind. What certificates may name stays resolvable: what was pushed out until its turn has ended, the
 * certificates of VIEW-CHANGEs as long as those are held, and the stable one until the next.
 */
import type { Certificate } from "../../codec/viewChange.ts";
import { SIGNATURE_BYTES } from "../../codec/bytes.ts";
import { holds, membersOf, type Digest, type ReplicaId, type ReplicaSet, type Sequence } from "../../protocol/types.ts";

/** CHECKPOINTs kept per signer, the highest ones: as many as the core counts. */
const CHECKPOINTS_MAX = 16;

interface Claim {
  readonly digest: Digest;
  readonly signature: Uint8Array;
}

interface Stable {
  readonly sequence: Sequence;
  readonly digest: Digest;
  readonly signatures: ReadonlyMap<ReplicaId, Uint8Array>;
}

export type CheckpointVerdict = "taken" | "duplicate" | "conflict" | "belowWindow" | "aboveWindow";

export class CheckpointVotes {
  private readonly claims = new Map<ReplicaId, Map<Sequence, Claim>>();
  /** Claims that had to make room since the last turn ended, by place and signer. */
  private readonly evicted = new Map<string, Uint8Array>();
  /** Certificates of VIEW-CHANGEs that are held, by the digest of those. */
  private readonly carried = new Map<Digest, Certificate>();
  private stable: Stable | undefined;

  /** Files a verified signature; the lowest of its signer makes room for a higher one. */
  file(from: ReplicaId, sequence: Sequence, digest: Digest, signature: Uint8Array): CheckpointVerdict {
    if (sequence < (this.stable?.sequence ?? 0)) return "belowWindow";
    let claims = this.claims.get(from);
    if (claims === undefined) this.claims.set(from, (claims = new Map()));
    const known = claims.get(sequence);
    if (known?.digest === digest) return "duplicate";
    if (this.contradicts(from, sequence, digest)) return "conflict";
    if (claims.size >= CHECKPOINTS_MAX) {
      const lowest = Math.min(...claims.keys()) as Sequence;
      if (sequence < lowest) return "aboveWindow";
      const { digest: left, signature: its } = claims.get(lowest) as Claim;
      claims.delete(lowest);
      this.evicted.set(placeOf(lowest, left, from), its);
    }
    claims.set(sequence, { digest, signature });
    return "taken";
  }

  /** Whether this signer signed another digest for the sequence, in a claim or in a certificate of a VIEW-CHANGE. */
  contradicts(from: ReplicaId, sequence: Sequence, digest: Digest): boolean {
    const known = this.claims.get(from)?.get(sequence);
    if (known !== undefined && known.digest !== digest) return true;
    for (const { name } of this.carried.values())
      if (name.sequence === sequence && name.digest !== digest && holds(name.signers, from)) return true;
    return false;
  }

  /** Keeps the stable certificate of a VIEW-CHANGE beside the claims, which may contradict it where a signer lies. */
  carry(viewChange: Digest, certificate: Certificate): void {
    this.carried.set(viewChange, certificate);
  }

  drop(viewChange: Digest): void {
    this.carried.delete(viewChange);
  }

  /** Keeps exactly these signatures until the next stable checkpoint, and frees the claims below it. */
  settle(sequence: Sequence, digest: Digest, signers: ReplicaSet): void {
    const signatures = new Map<ReplicaId, Uint8Array>();
    for (const signer of membersOf(signers)) {
      const signature = this.signature(sequence, digest, signer);
      if (signature !== undefined) signatures.set(signer, signature);
    }
    this.stable = { sequence, digest, signatures };
    for (const claims of this.claims.values()) {
      for (const claimed of claims.keys()) if (claimed < sequence) claims.delete(claimed);
    }
  }

  /** The core has seen everything that this turn brought: what it has not named by now it cannot name any more. */
  endTurn(): void {
    if (this.evicted.size > 0) this.evicted.clear();
  }

  signature(sequence: Sequence, digest: Digest, signer: ReplicaId): Uint8Array | undefined {
    if (this.stable?.sequence === sequence && this.stable.digest === digest) {
      const kept = this.stable.signatures.get(signer);
      if (kept !== undefined) return kept;
    }
    const claim = this.claims.get(signer)?.get(sequence);
    if (claim?.digest === digest) return claim.signature;
    return this.evicted.get(placeOf(sequence, digest, signer)) ?? this.carriedBy(sequence, digest, signer);
  }

  /** Claims held now. */
  get size(): number {
    let size = 0;
    for (const claims of this.claims.values()) size += claims.size;
    return size;
  }

  private carriedBy(sequence: Sequence, digest: Digest, signer: ReplicaId): Uint8Array | undefined {
    for (const { name, signatures } of this.carried.values()) {
      if (name.sequence !== sequence || name.digest !== digest || !holds(name.signers, signer)) continue;
      const index = membersOf(name.signers).indexOf(signer);
      return signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES);
    }
    return undefined;
  }
}

function placeOf(sequence: Sequence, digest: Digest, signer: ReplicaId): string {
  return `${sequence}/${signer}/${digest}`;
}
