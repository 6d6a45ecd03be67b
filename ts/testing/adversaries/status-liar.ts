import type { Status } from "../../protocol/messages.ts";
import { everyone, type Digest, type Sequence, type View } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** Bits of a false bitmap at most: more than any window has. */
const BITS_MAX = 300;
/** Bodies that are said to be missing at most. */
const MISSING_MAX = 200;

/**
 * A replica that says it holds what it lacks and lacks what it holds: false bitmaps, views and sequences that nobody reached, lists
 * of missing bodies without end, fences, and sets of VIEW-CHANGEs that it never got. FAULTS S4, S6, B7.
 */
export class StatusLiar implements Adversary {
  readonly name = "statusLiar";

  onDeparture({ name, body, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "status") return undefined;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const other = hand.seal("status", lie(body as Status, prng, hand));
    return other === undefined ? undefined : prng.pick([[other], [other], [other, frame]]);
  }
}

function lie(own: Status, prng: Prng, hand: Hand): Status {
  const { view, lastExecuted } = own;
  switch (prng.below(8)) {
    case 0:
      return { ...own, ...bitmaps(prng) };
    case 1:
      return { ...own, view: prng.pick([view + 1, view + hand.n, 2 ** 40, Number.MAX_SAFE_INTEGER]) as View };
    case 2:
      return { ...own, lowWatermark: 0 as Sequence, lastExecuted: 0 as Sequence, ...bitmaps(prng) };
    case 3:
      return { ...own, lastExecuted: (lastExecuted + prng.pick([1, hand.window, 2 ** 40])) as Sequence };
    case 4:
      return { ...own, lowWatermark: prng.pick([2 ** 40, Number.MAX_SAFE_INTEGER]) as Sequence };
    case 5:
      return { ...own, missing: Array.from({ length: prng.between(1, MISSING_MAX) }, () => anyDigest(prng, hand)) };
    case 6:
      return { ...own, fence: { view, through: prng.pick([lastExecuted, Number.MAX_SAFE_INTEGER]) as Sequence } };
    default:
      return {
        ...own,
        mode: own.mode === "normal" ? "viewChange" : "normal",
        view: (view + prng.below(2)) as View,
        viewChanges: everyone(hand.n),
      };
  }
}

function bitmaps(prng: Prng): Pick<Status, "proposed" | "prepared" | "committed"> {
  const length = prng.pick([0, 1, prng.below(BITS_MAX)]);
  const share = prng.pick([0, 0.5, 1]);
  const bits = (): boolean[] => Array.from({ length }, () => prng.chance(share));
  return { proposed: bits(), prepared: bits(), committed: bits() };
}

function anyDigest(prng: Prng, hand: Hand): Digest {
  if (prng.chance(0.5) && hand.memory.digests.length > 0) return prng.pick(hand.memory.digests);
  return String.fromCharCode(...Array.from({ length: 16 }, () => prng.below(65_536))) as Digest;
}
