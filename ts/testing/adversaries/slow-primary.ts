import type { Adversary, Departure, Hand } from "./adversary.ts";

/** Share of the timeout that a proposal takes: no request timer ever fires. */
const SHARE = 0.9;

/** A primary that makes everybody wait for each proposal as long as nobody may leave it for that. FAULTS P3. */
export class SlowPrimary implements Adversary {
  readonly name = "slowPrimary";

  onDeparture({ name, to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "prePrepare" && name !== "newView") return undefined;
    if (hand.acts() === undefined) return undefined;
    hand.sendLater(SHARE * hand.timeoutMs, to, frame);
    return [];
  }
}
