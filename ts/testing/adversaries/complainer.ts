import type { View } from "../../protocol/types.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** A replica to which every primary is too slow. Fewer than f+1 of them are no reason to leave a view. FAULTS P3. */
export class Complainer implements Adversary {
  readonly name = "complainer";

  onDeparture({ body, to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (!("view" in body) || to >= hand.n) return undefined;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const view = (body.view + prng.pick([0, 0, 0, 1])) as View;
    const complaint = hand.seal("complaint", { type: "complaint", view });
    return complaint === undefined ? undefined : [complaint, frame];
  }
}
