import type { PrePrepare, Vote } from "../../protocol/messages.ts";
import type { AgreedTime, Sequence, View } from "../../protocol/types.ts";
import { batchDigest } from "../hashing.ts";
import { EPOCH_MS } from "../surroundings.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/**
 * A backup that proposes: in the primary's place, or as the primary of the next view that would be its own, before anybody
 * changed views. FAULTS B3, B6.
 */
export class Usurper implements Adversary {
  readonly name = "usurper";

  onDeparture({ name, body, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "prepare" && name !== "commit") return undefined;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const { view, sequence } = body as Vote;
    const own = view + ((hand.me - (view % hand.n) + hand.n) % hand.n);
    const time = (EPOCH_MS + prng.below(1000)) as AgreedTime;
    const proposal: PrePrepare = {
      type: "prePrepare",
      view: prng.pick([view, own]) as View,
      sequence: (sequence + prng.between(0, 2)) as Sequence,
      time,
      bundles: [],
      digest: batchDigest({ time, bundles: [] }),
    };
    const usurped = hand.seal("prePrepare", proposal);
    return usurped === undefined ? undefined : [usurped, frame];
  }
}
