import type { DecodedNewView, DecodedViewChange } from "../../codec/viewChange.ts";
import type { NewView, Vote } from "../../protocol/messages.ts";
import type { View } from "../../protocol/types.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";
import { newViewOf, quorumOf } from "./forgery.ts";
import { change, drawnFrom, foreign, restated, variants, type Variant } from "./new-view-drafts.ts";

interface Plan {
  readonly variant: Variant;
  /** Who gets what is false; the others get what is right. */
  readonly side: readonly number[];
  readonly frames: readonly Uint8Array[];
}

/**
 * A primary that starts its view from what does not follow from the VIEW-CHANGEs it has, or names such that nobody can follow it;
 * or shows two NEW-VIEWs of one view, both sound, to different backups. FAULTS V2, V3, V5.
 */
export class NewViewLiar implements Adversary {
  readonly name = "newViewLiar";
  private readonly plans = new Map<View, Plan | undefined>();

  onDeparture(departure: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (departure.name === "viewChange") return this.tooEarly(departure, hand);
    if (departure.name === "commit") return this.restate(departure, hand);
    if (departure.name !== "newView") return undefined;
    const { message } = departure.body as DecodedNewView;
    if (!this.plans.has(message.view)) this.plans.set(message.view, draw(message, hand));
    const plan = this.plans.get(message.view);
    return plan?.side.includes(departure.to) === true ? plan.frames : undefined;
  }

  /** Once something is prepared in the view, those who were left out get another beginning of it. */
  private restate({ body, to }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const { view } = body as Vote;
    const plan = this.plans.get(view);
    return plan?.variant === "restated" && plan.side.includes(to) ? restated(view, hand) : undefined;
  }

  /** A NEW-VIEW before enough replicas asked for it. */
  private tooEarly({ body, to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const { target } = (body as DecodedViewChange).message;
    if (target % hand.n !== hand.me) return undefined;
    const known = hand.memory.viewChangesFor(target);
    const prng = known.length < quorumOf(hand) ? hand.acts() : undefined;
    if (prng === undefined || !prng.chance(0.3)) return undefined;
    const early = hand.seal("newView", newViewOf({ type: "newView", ...drawnFrom(target, known) }, hand));
    if (early !== undefined) hand.send(to, early);
    return [frame];
  }
}

function draw(message: NewView, hand: Hand): Plan | undefined {
  const prng = hand.acts();
  if (prng === undefined) return undefined;
  const peers = Array.from({ length: hand.n }, (_, replica) => replica).filter((replica) => replica !== hand.me);
  const side = prng.chance(0.5) ? peers : prng.sample(peers, prng.between(1, peers.length));
  const variant = prng.pick(variants);
  if (variant === "withheld" || variant === "restated") return { variant, side, frames: [] };
  if (variant === "ofAnotherView") return { variant, side, frames: foreign(message, prng, hand) };
  const draft = { type: "newView", ...change(variant, message, prng, hand) } as const;
  const frame = hand.seal("newView", newViewOf(draft, hand));
  return frame && { variant, side, frames: [frame] };
}
