import type { DecodedNewView } from "../../codec/viewChange.ts";
import type { PrePrepare } from "../../protocol/messages.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** A primary that proposes nothing, and one that never sends the NEW-VIEW that all wait for. Otherwise it does its work. FAULTS P2, V5. */
export class Sleeper implements Adversary {
  readonly name = "sleeper";
  private readonly asleep = new Map<number, boolean>();

  onDeparture({ name, body }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "prePrepare" && name !== "newView") return undefined;
    const view = name === "newView" ? (body as DecodedNewView).message.view : (body as PrePrepare).view;
    let asleep = this.asleep.get(view);
    if (asleep === undefined) {
      asleep = hand.acts() !== undefined;
      this.asleep.set(view, asleep);
    }
    return asleep ? [] : undefined;
  }
}
