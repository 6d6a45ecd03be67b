import type { Bodies, BodyName } from "../../codec/messages.ts";
import type { ClientKey } from "../../protocol/types.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** A replica that does not hear one client, so that as primary it proposes everybody's bundles but that one's. FAULTS P2. */
export class Censor implements Adversary {
  readonly name = "censor";
  private victim: ClientKey | undefined;

  onDeparture(_departure: Departure, _hand: Hand): undefined {
    return undefined;
  }

  hides(name: BodyName, body: Bodies[BodyName], hand: Hand): boolean {
    if (name !== "bundle") return false;
    const { client } = body as Bodies["bundle"];
    if (this.victim === undefined && hand.acts() !== undefined) this.victim = client;
    return client === this.victim;
  }
}
