import type { View } from "../../protocol/types.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";
import { viewChangeOf } from "./forgery.ts";

/** VIEW-CHANGEs in a burst, one per millisecond, and bursts in a run. */
const BURST = 40;
const BURSTS_MAX = 12;
/** The views asked for grow as fast, to 2^40. */
const DOUBLINGS_MAX = 40;

/** A replica that asks every millisecond for another view, the next one or one that nobody will live to see. FAULTS V7, N3. */
export class ViewSpammer implements Adversary {
  readonly name = "viewSpammer";
  private view = 0;
  private bursts = 0;

  onDeparture({ body, to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if ("view" in body) this.view = body.view;
    if (to >= hand.n || this.bursts >= BURSTS_MAX) return undefined;
    const prng = hand.acts();
    if (prng === undefined || !prng.chance(0.2)) return undefined;
    this.bursts++;
    const doubling = prng.chance(0.5);
    for (let index = 0; index < BURST; index++) {
      const above = doubling ? 2 ** Math.min(index, DOUBLINGS_MAX) : index + 1;
      const spam = hand.seal("viewChange", viewChangeOf((this.view + above) as View, undefined, []));
      if (spam !== undefined) hand.sendLater(index, to, spam);
    }
    return [frame];
  }
}
