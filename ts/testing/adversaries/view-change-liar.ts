import type { Certificate, DecodedViewChange } from "../../codec/viewChange.ts";
import { holds, setOf, type ReplicaId, type Sequence, type View } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";
import { certificateOf, padded, partsOf, quorumOf, viewChangeOf, withOwn } from "./forgery.ts";
import type { KnownVote } from "./memory.ts";

/** What is false about it. */
const variants = [
  "dropped",
  "dropped",
  "lowerView",
  "lowerView",
  "exchangedSignature",
  "exchangedSigner",
  "lowerStable",
  "futureStable",
  "fewSigners",
  "fabricated",
  "beyondWindow",
  "otherTarget",
] as const;

type Variant = (typeof variants)[number];

/**
 * A replica whose VIEW-CHANGE hides what it prepared, shows what it prepared before, or shows certificates that nobody made; and
 * another one to each peer. FAULTS V4, B8, S3.
 */
export class ViewChangeLiar implements Adversary {
  readonly name = "viewChangeLiar";

  onDeparture({ name, body, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "viewChange") return undefined;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const changed = change(prng.pick(variants), body as DecodedViewChange, prng, hand);
    const other = changed === undefined ? undefined : hand.seal("viewChange", changed);
    return other === undefined ? undefined : prng.pick([[other], [other], [other, frame], [frame, other]]);
  }
}

function change(variant: Variant, body: DecodedViewChange, prng: Prng, hand: Hand): DecodedViewChange | undefined {
  const { target } = body.message;
  const { stable, prepared } = partsOf(body);
  const low = stable?.name.sequence ?? 0;
  switch (variant) {
    case "dropped":
      return viewChangeOf(target, stable, prng.chance(0.5) ? [] : prepared.filter(() => prng.chance(0.5)));
    case "lowerView":
      return viewChangeOf(
        target,
        stable,
        prepared.map((certificate) => lowest(certificate, hand)),
      );
    case "exchangedSignature":
      return viewChangeOf(target, stable, withOne(prepared, prng, exchangedSignature));
    case "exchangedSigner":
      return viewChangeOf(
        target,
        stable,
        withOne(prepared, prng, (one) => exchangedSigner(one, prng, hand)),
      );
    case "lowerStable":
      return lowerStable(body, prng, hand);
    case "futureStable":
      return viewChangeOf(target, forgedStable(low, prng, hand), prepared);
    case "fewSigners":
    case "fabricated":
    case "beyondWindow":
      return forgedPrepared(variant, body, prng, hand);
    case "otherTarget":
      return viewChangeOf((target + prng.pick([1, 1, 2, hand.n])) as View, stable, prepared);
  }
}

function withOne(
  certificates: readonly Certificate[],
  prng: Prng,
  alter: (certificate: Certificate) => Certificate,
): readonly Certificate[] {
  const chosen = prng.below(Math.max(1, certificates.length));
  return certificates.map((certificate, index) => (index === chosen ? alter(certificate) : certificate));
}

/** The certificate of the lowest view that is known for the same sequence: it was true once. */
function lowest(certificate: Certificate, hand: Hand): Certificate {
  const { sequence, view } = certificate.name;
  for (const vote of hand.memory.preparesAt(sequence)) {
    if (vote.view >= view) break;
    const signatures = withOwn(vote, vote.signatures, hand);
    if (signatures.size >= quorumOf(hand)) return certificateOf(vote, signatures, hand);
  }
  return certificate;
}

/** One true signature in another's place. */
function exchangedSignature({ name, signatures }: Certificate): Certificate {
  const half = signatures.length / 2;
  return { name, signatures: Uint8Array.from([...signatures.subarray(half), ...signatures.subarray(0, half)]) };
}

/** The same signatures under other names. */
function exchangedSigner({ name, signatures }: Certificate, prng: Prng, hand: Hand): Certificate {
  const absent = Array.from({ length: hand.n }, (_, id) => id as ReplicaId).filter((id) => !holds(name.signers, id));
  const present = Array.from({ length: hand.n }, (_, id) => id as ReplicaId).filter((id) => holds(name.signers, id));
  if (absent.length === 0 || present.length === 0) return { name, signatures };
  const signers = name.signers ^ setOf(prng.pick(present)) ^ setOf(prng.pick(absent));
  return { name: { ...name, signers: signers as typeof name.signers }, signatures };
}

/** An older stable checkpoint, or none, and what is prepared within the window above that. */
function lowerStable(body: DecodedViewChange, prng: Prng, hand: Hand): DecodedViewChange {
  const { stable, prepared } = partsOf(body);
  const known = hand.memory
    .viewChangesFor(undefined)
    .map((other) => partsOf(other.body).stable)
    .filter((other) => other !== undefined && other.name.sequence < (stable?.name.sequence ?? 0));
  const older = prng.pick([undefined, ...known]);
  const high = (older?.name.sequence ?? 0) + hand.window;
  return viewChangeOf(
    body.message.target,
    older,
    prepared.filter(({ name }) => name.sequence <= high),
  );
}

/** A stable checkpoint above all, which conspirators alone have signed; with wrong signatures of others or without. */
function forgedStable(low: number, prng: Prng, hand: Hand): Certificate | undefined {
  const vote = forgeableCheckpoint(low, prng, hand);
  if (vote === undefined) return undefined;
  const signatures = withOwn(vote, vote.signatures, hand);
  const forged = prng.chance(0.3) ? padded(signatures, hand) : signatures;
  return certificateOf(vote, forged, hand, quorumOf(hand) - prng.below(2));
}

/** A certificate of the highest view that a target allows, and no quorum ever signed. */
function forgedPrepared(
  variant: Variant,
  body: DecodedViewChange,
  prng: Prng,
  hand: Hand,
): DecodedViewChange | undefined {
  const { target } = body.message;
  const { stable, prepared } = partsOf(body);
  const low = stable?.name.sequence ?? 0;
  const beyond = variant === "beyondWindow" ? hand.window : 0;
  const sequence = (low + beyond + prng.between(1, hand.window)) as Sequence;
  const vote = forgeable(sequence, target, prng, hand);
  if (vote === undefined) return undefined;
  const signatures = withOwn(vote, vote.signatures, hand);
  const forged =
    variant === "fabricated"
      ? certificateOf(vote, padded(signatures, hand), hand)
      : certificateOf(vote, signatures, hand, beyond > 0 ? hand.n : quorumOf(hand) - 1);
  return viewChangeOf(target, stable, [...prepared.filter(({ name }) => name.sequence !== sequence), forged]);
}

/** A vote of which as much as possible is true: one that was seen, or one of a view in which a conspirator proposes. */
function forgeable(sequence: Sequence, target: View, prng: Prng, hand: Hand): KnownVote | undefined {
  const seen = hand.memory.preparesAt(sequence).filter(({ view }) => view < target);
  const views = hand.conspiracy.members().map((member) => {
    const behind = (((target - 1 - member) % hand.n) + hand.n) % hand.n;
    return target - 1 - behind;
  });
  const view = Math.max(...views);
  const digests = hand.memory.digests;
  if (view < 0 || digests.length === 0 || (seen.length > 0 && prng.chance(0.5))) return seen.at(-1);
  const place = { phase: "prepare", view: view as View, sequence, digest: prng.pick(digests) } as const;
  return { ...place, signatures: new Map() };
}

/** A checkpoint of which as much as possible is true: one that some have signed, or one that only conspirators sign. */
function forgeableCheckpoint(low: number, prng: Prng, hand: Hand): KnownVote | undefined {
  const seen = hand.memory.checkpoints().filter(({ sequence }) => sequence > low);
  if (seen.length > 0 && prng.chance(0.7)) return prng.pick(seen);
  const sequence = (low + hand.checkpointInterval * prng.between(1, 8)) as Sequence;
  const digest = hand.memory.digests.at(-1);
  return digest && { phase: "checkpoint", view: 0 as View, sequence, digest, signatures: new Map() };
}
