import type { Checkpoint, Decided, Vote } from "../../protocol/messages.ts";
import type { AgreedTime, Digest } from "../../protocol/types.ts";
import { batchDigest } from "../hashing.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/**
 * A replica that votes for different digests before different peers, or for several before one, and says one vote many times.
 * FAULTS B1, B2, B3, B5.
 */
export class Conflicter implements Adversary {
  readonly name = "conflicter";

  onDeparture(departure: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const { name, body } = departure;
    if (name === "prepare" || name === "commit") return this.onVote(name, body as Vote, departure, hand);
    if (name === "checkpoint") return this.onCheckpoint(body as Checkpoint, departure, hand);
    if (name === "decided") return this.onDecided(body as Decided, departure, hand);
    return undefined;
  }

  private onVote(
    name: "prepare" | "commit",
    body: Vote,
    { frame }: Departure,
    hand: Hand,
  ): readonly Uint8Array[] | undefined {
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    if (prng.chance(0.2)) return [frame, frame, frame];
    const digest = otherDigest(body.digest, hand.memory.digestsAt(body.view, body.sequence), prng);
    const other = hand.seal(name, { ...body, digest });
    return other === undefined ? undefined : both(other, frame, prng);
  }

  private onCheckpoint(body: Checkpoint, { frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const other = hand.seal("checkpoint", { ...body, digest: otherDigest(body.digest, hand.memory.digests, prng) });
    return other === undefined ? undefined : both(other, frame, prng);
  }

  private onDecided(body: Decided, { frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const changed = { ...body, time: (body.time + 1) as AgreedTime };
    const other = hand.seal("decided", { ...changed, digest: batchDigest(changed) });
    return other === undefined ? undefined : both(other, frame, prng);
  }
}

/** The other alone, or before or after the true one. */
function both(other: Uint8Array, frame: Uint8Array, prng: Prng): readonly Uint8Array[] {
  return prng.pick([[other], [other, frame], [frame, other]]);
}

function otherDigest(own: Digest, known: readonly Digest[], prng: Prng): Digest {
  const others = known.filter((digest) => digest !== own);
  if (others.length > 0 && prng.chance(0.7)) return prng.pick(others);
  return (own.slice(1) + own.slice(0, 1)) as Digest;
}
