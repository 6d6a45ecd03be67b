/** Certificates, VIEW-CHANGEs and NEW-VIEWs as liars put them together: of true signatures, of their own, and of wrong ones. */
import { SIGNATURE_BYTES } from "../../codec/bytes.ts";
import type { Certificate, DecodedNewView, DecodedViewChange } from "../../codec/viewChange.ts";
import type { CertificateName, NewView } from "../../protocol/messages.ts";
import { membersOf, setOf, type Digest, type ReplicaId, type Sequence, type View } from "../../protocol/types.ts";
import type { Hand } from "./adversary.ts";
import type { KnownVote } from "./memory.ts";

type Place = Omit<CertificateName, "signers">;

/** Q = ⌈(n+f+1)/2⌉. */
export function quorumOf({ n, f }: Hand): number {
  return Math.floor((n + f) / 2) + 1;
}

/** The vote with the signatures that conspirators can add to it. */
export function withOwn(place: Place, known: KnownVote["signatures"], hand: Hand): Map<ReplicaId, Uint8Array> {
  const signatures = new Map(known);
  for (const signer of hand.conspiracy.members()) {
    const type =
      place.phase === "checkpoint" ? "checkpoint" : place.view % hand.n === signer ? "prePrepare" : "prepare";
    const signature = hand.conspiracy.sign(signer, type, place);
    if (signature !== undefined) signatures.set(signer, signature);
  }
  return signatures;
}

/** A certificate of these signatures, at most `most` of them; the primary's is among them where it is known. */
export function certificateOf(
  { phase, view, sequence, digest }: Place,
  signatures: ReadonlyMap<ReplicaId, Uint8Array>,
  hand: Hand,
  most = hand.n,
): Certificate {
  const primary = (view % hand.n) as ReplicaId;
  const ordered = [...signatures.keys()].sort((a, b) => Number(b === primary) - Number(a === primary) || a - b);
  const signers = setOf(...ordered.slice(0, most));
  const bytes = new Uint8Array(membersOf(signers).length * SIGNATURE_BYTES);
  for (const [index, signer] of membersOf(signers).entries())
    bytes.set(signatures.get(signer) as Uint8Array, index * SIGNATURE_BYTES);
  return { name: { phase, view, sequence, digest, signers }, signatures: bytes };
}

/** Fills a set of signatures up to a quorum with those of others under these names: nobody signed that. */
export function padded(signatures: ReadonlyMap<ReplicaId, Uint8Array>, hand: Hand): ReadonlyMap<ReplicaId, Uint8Array> {
  const filled = new Map(signatures);
  const wrong = signatures.values().next().value ?? new Uint8Array(SIGNATURE_BYTES);
  for (let replica = 0; replica < hand.n && filled.size < quorumOf(hand); replica++)
    if (!filled.has(replica as ReplicaId)) filled.set(replica as ReplicaId, wrong);
  return filled;
}

/** A VIEW-CHANGE with these certificates, in the order that the format asks for. */
export function viewChangeOf(
  target: View,
  stable: Certificate | undefined,
  prepared: readonly Certificate[],
): DecodedViewChange {
  const ordered = prepared.toSorted((a, b) => a.name.sequence - b.name.sequence);
  const message = {
    type: "viewChange",
    target,
    stable: stable?.name,
    prepared: ordered.map(({ name }) => name),
    digest: "\0".repeat(16) as Digest,
  } as const;
  return { message, certificates: stable === undefined ? ordered : [stable, ...ordered] };
}

/** The certificates of a VIEW-CHANGE, apart. */
export function partsOf({ certificates }: DecodedViewChange): {
  readonly stable: Certificate | undefined;
  readonly prepared: readonly Certificate[];
} {
  const stable = certificates.find(({ name }) => name.phase === "checkpoint");
  return { stable, prepared: certificates.filter(({ name }) => name.phase === "prepare") };
}

/** A NEW-VIEW whose proposals are signed by the one who holds `hand`. */
export function newViewOf(message: NewView, hand: Hand): DecodedNewView {
  const { view, first, batches } = message;
  const proposals = batches.map((digest, index) => {
    const place = { view, sequence: (first + index) as Sequence, digest };
    return hand.conspiracy.sign(hand.me as ReplicaId, "prePrepare", place) ?? new Uint8Array(SIGNATURE_BYTES);
  });
  return { message, proposals };
}
