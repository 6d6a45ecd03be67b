/**
 * Messages that carry signatures of several replicas: VIEW-CHANGE and NEW-VIEW, from their signers or fetched. Every signature
 * is verified, once; what passed is kept for whoever fetches it, and goes to the core as its signer's.
 */
import { SIGNATURE_BYTES } from "../codec/bytes.ts";
import { MessageType } from "../codec/messages.ts";
import type { DecodedNewView, DecodedViewChange } from "../codec/viewChange.ts";
import type { CertificateName, NewView, ViewChange } from "../protocol/messages.ts";
import { holds, membersOf, sizeOf, type Digest, type ReplicaId, type Sequence, type View } from "../protocol/types.ts";
import type { MessageStore } from "./ports/message-store.ts";
import { newViewName } from "../protocol/new-view.ts";
import type { VoteTable } from "./ports/vote-table.ts";
import type { Surroundings } from "./surroundings.ts";
import { isAuthentic, proposalBytes, type Opened } from "./wire.ts";

type Frame = Extract<Opened, { readonly ok: true }>;

export interface CompositePorts {
  readonly votes: VoteTable;
  readonly store: MessageStore;
  /** A verified message for the core. */
  readonly control: (from: ReplicaId, message: ViewChange | NewView) => void;
  /** Two of its messages exclude each other; `digest` names the second. */
  readonly accuse: (by: ReplicaId, digest: Digest, type: "viewChange" | "newView") => void;
  /** What an oracle may know: every signature of this VIEW-CHANGE holds, and Q replicas signed each certificate. */
  readonly verified: (signer: ReplicaId, message: ViewChange) => void;
}

export class Composites {
  private readonly around: Surroundings;
  private readonly ports: CompositePorts;

  constructor(around: Surroundings, ports: CompositePorts) {
    this.around = around;
    this.ports = ports;
  }

  /** A VIEW-CHANGE that `signer` is said to have signed. Returns why it was not taken. */
  viewChange(signer: ReplicaId, frame: Frame, body: DecodedViewChange): string | undefined {
    const { store, votes } = this.ports;
    const { digest } = body.message;
    if (signer >= this.around.options.n) return "notMember";
    // The core has it, or is about to hear of it: it may let go of what comes twice while the first is still needed.
    if (store.viewChange(digest)?.from === signer) return "duplicate";
    if (!isAuthentic(frame, signer, this.around.keyring)) return "badSignature";
    const { certificates } = body;
    const complete = certificates.every(({ name }) => this.isComplete(name));
    // Whether enough signed is for the core to say; a port that looks too spares it the rest.
    if (!complete && !this.around.options.naiveVotes) return "malformed";
    if (!certificates.every(({ name, signatures }) => this.verifies(name, signatures))) {
      this.around.coverage.hit("forged certificate rejected");
      return "badSignature";
    }
    const signature = frame.payload.signature as Uint8Array;
    if (store.contradicts(signer, body.message)) this.ports.accuse(signer, digest, "viewChange");
    store.keepViewChange(digest, { from: signer, body, signature });
    const stable = certificates.find(({ name }) => name.phase === "checkpoint");
    if (stable !== undefined) votes.carry(digest, stable);
    if (complete) this.ports.verified(signer, body.message);
    this.ports.control(signer, body.message);
    return undefined;
  }

  /**
   * A NEW-VIEW. While one of its view is kept, another one is not taken: the core knows them by their view alone, and lets go of
   * one that turns out to be wrong.
   */
  newView(frame: Frame, body: DecodedNewView): string | undefined {
    const { store, votes } = this.ports;
    const { view } = body.message;
    const signature = frame.payload.signature as Uint8Array;
    const kept = store.newView(newViewName(view));
    const primary = this.primary(view);
    if (kept === undefined || !isSame(kept.signature, signature)) {
      if (!isAuthentic(frame, primary, this.around.keyring)) return "badSignature";
      if (kept !== undefined) {
        this.ports.accuse(primary, newViewName(view), "newView");
        return "conflict";
      }
      if (!this.verifiesProposals(body)) return "badSignature";
      store.keepNewView(view, { body, signature });
      votes.keepNewView(body);
    }
    this.ports.control(primary, body.message);
    return undefined;
  }

  primary(view: View): ReplicaId {
    return (view % this.around.options.n) as ReplicaId;
  }

  private isComplete({ phase, view, signers }: CertificateName): boolean {
    const { n, f } = this.around.options;
    const quorum = Math.ceil((n + f + 1) / 2);
    return sizeOf(signers) >= quorum && (phase === "checkpoint" || holds(signers, this.primary(view)));
  }

  private verifies(name: CertificateName, signatures: Uint8Array): boolean {
    const bytes = signedVote(name);
    return membersOf(name.signers).every((signer, index) => {
      const signature = signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES);
      return verifiesVote(this.around, name, bytes, signer, signature);
    });
  }

  private verifiesProposals({ message, proposals }: DecodedNewView): boolean {
    const { view, first, batches } = message;
    return batches.every((digest: Digest, index) => {
      const bytes = proposalBytes({ view, sequence: (first + index) as Sequence, digest });
      const signature = proposals[index] as Uint8Array;
      return this.around.keyring.verify(this.primary(view), MessageType.prePrepare, bytes, signature);
    });
  }
}

/** What each signer of a certificate signed. */
export function signedVote(name: CertificateName): Uint8Array {
  const bytes = proposalBytes(name);
  return name.phase === "checkpoint" ? bytes.subarray(8) : bytes;
}

/** Whether this is the signature of one signer of a certificate under {@link signedVote}; the primary's is that of its PRE-PREPARE. */
export function verifiesVote(
  { options, keyring }: Surroundings,
  name: CertificateName,
  bytes: Uint8Array,
  signer: ReplicaId,
  signature: Uint8Array,
): boolean {
  if (name.phase === "checkpoint") return keyring.verify(signer, MessageType.checkpoint, bytes, signature);
  const type = signer === name.view % options.n ? MessageType.prePrepare : MessageType.prepare;
  return keyring.verify(signer, type, bytes, signature);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, index) => byte === b[index]);
}
