import type { Checkpoint } from "../../protocol/messages.ts";
import type { Digest, Sequence } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** Claims for checkpoints far above the window: as many as push out all that a table keeps of one signer. */
const FLOOD = 20;

/**
 * A replica that signs states that nobody has: another one for each peer, one that all liars agree on, or checkpoints of a
 * future that nobody has reached. FAULTS B5, S3.
 */
export class CheckpointLiar implements Adversary {
  readonly name = "checkpointLiar";

  onDeparture({ name, body, to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "checkpoint") return undefined;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const lies = lie(body as Checkpoint, to, prng, hand);
    const frames = lies.flatMap((checkpoint) => hand.seal("checkpoint", checkpoint) ?? []);
    return prng.pick([frames, [frame, ...frames], [...frames, frame]]);
  }
}

function lie(own: Checkpoint, to: number, prng: Prng, hand: Hand): readonly Checkpoint[] {
  const { sequence, digest } = own;
  const ahead = (intervals: number): Sequence => (sequence + intervals * hand.checkpointInterval) as Sequence;
  switch (prng.below(5)) {
    case 0:
      return [{ ...own, digest: falseState(digest, 1 + to) }];
    case 1:
      return [{ ...own, digest: falseState(digest, 0) }];
    case 2:
      return [{ ...own, sequence: ahead(prng.between(1, 8)), digest: falseState(digest, 0) }];
    case 3:
      return Array.from({ length: FLOOD }, (_, index) => ({ ...own, sequence: ahead(1000 + index) }));
    default:
      return [{ ...own, sequence: (sequence + prng.between(1, hand.checkpointInterval)) as Sequence }];
  }
}

/** The same for everybody who takes the same state and number. */
function falseState(digest: Digest, number: number): Digest {
  return (digest.slice(1) + String.fromCharCode(digest.charCodeAt(0) ^ (0x100 + number))) as Digest;
}
