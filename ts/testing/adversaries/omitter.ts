import type { Adversary, Departure, Hand } from "./adversary.ts";

/** A replica that is silent towards some peers about some types, for good. FAULTS P2, P8, K5. */
export class Omitter implements Adversary {
  readonly name = "omitter";
  private readonly silent = new Map<string, boolean>();

  onDeparture({ to, name }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const key = `${to}/${name}`;
    let silent = this.silent.get(key);
    if (silent === undefined) {
      silent = hand.acts()?.chance(0.5) === true;
      this.silent.set(key, silent);
    }
    return silent ? [] : undefined;
  }
}
