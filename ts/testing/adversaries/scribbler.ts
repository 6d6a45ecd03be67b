import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** Any scope: frames of bytes that may mean nothing, and frames of others replayed as its own. FAULTS B7, L4, X3, B2. */
export class Scribbler implements Adversary {
  readonly name = "scribbler";

  onDeparture({ frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    return prng.chance(0.5) ? [scribble(frame, prng, hand), frame] : [scribble(frame, prng, hand)];
  }
}

function scribble(frame: Uint8Array, prng: Prng, hand: Hand): Uint8Array {
  switch (prng.below(5)) {
    case 0: {
      const flipped = frame.slice();
      for (let flips = prng.between(1, 3); flips > 0; flips--)
        flipped[prng.below(flipped.length)]! ^= 1 << prng.below(8);
      return flipped;
    }
    case 1:
      return frame.slice(0, prng.below(frame.length));
    case 2:
      return Uint8Array.from([...frame, ...prng.bytes(prng.between(1, 8))]);
    case 3: {
      const random = prng.bytes(prng.between(1, 200));
      random[0] = frame[0] as number;
      return random;
    }
    default:
      return hand.memory.frames.length > 0 ? prng.pick(hand.memory.frames) : frame;
  }
}
