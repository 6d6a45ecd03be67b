import type { Adversary, Departure, Hand } from "./adversary.ts";

/** A replica that says what is right just before a timeout would fire, and lets messages overtake each other. FAULTS P3, N6. */
export class Delayer implements Adversary {
  readonly name = "delayer";

  onDeparture({ to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    hand.sendLater(0.9 * hand.timeoutMs * prng.pick([1, prng.float()]), to, frame);
    return [];
  }
}
