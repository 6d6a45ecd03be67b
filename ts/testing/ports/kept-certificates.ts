/** Prepared certificates of views that the vote table no longer holds votes of, by sequence. */
import type { CertificateName } from "../../protocol/messages.ts";
import type { Digest, ReplicaId, Sequence, View } from "../../protocol/types.ts";

/** By signer; undefined where a replica is not among them. */
export type SignaturesBySigner = readonly (Uint8Array | undefined)[];

interface Kept {
  readonly view: View;
  readonly digest: Digest;
  readonly signatures: SignaturesBySigner;
}

export class KeptCertificates {
  /** The complete certificate of the highest view that was left. */
  private readonly left = new Map<Sequence, Kept>();
  /** The certificate that the core named last: it has counted fewer votes than wait here, so this may be a lower one. */
  private readonly named = new Map<Sequence, Kept>();

  leave({ view, sequence, digest }: Omit<CertificateName, "phase" | "signers">, signatures: SignaturesBySigner): void {
    if ((this.left.get(sequence)?.view ?? -1) <= view) this.left.set(sequence, { view, digest, signatures });
  }

  name({ view, sequence, digest }: CertificateName, signatures: SignaturesBySigner): void {
    this.named.set(sequence, { view, digest, signatures });
  }

  signature({ view, sequence, digest }: CertificateName, signer: ReplicaId): Uint8Array | undefined {
    for (const kept of [this.left.get(sequence), this.named.get(sequence)]) {
      const signature = kept?.view === view && kept.digest === digest ? kept.signatures[signer] : undefined;
      if (signature !== undefined) return signature;
    }
    return undefined;
  }

  /** Frees what is at or below the low watermark. */
  free(low: Sequence): void {
    for (const certificates of [this.left, this.named]) {
      for (const sequence of certificates.keys()) if (sequence <= low) certificates.delete(sequence);
    }
  }

  get size(): number {
    return this.left.size + this.named.size;
  }
}
