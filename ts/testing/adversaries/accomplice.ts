import type { Vote } from "../../protocol/messages.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/**
 * The second of a colluding pair: before each peer it prepares and commits exactly what the equivocating primary showed to that
 * peer, so that both sides of a split count one vote more than honest replicas gave.
 */
export class Accomplice implements Adversary {
  readonly name = "accomplice";

  onDeparture({ name, body, to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "prepare" && name !== "commit") return undefined;
    const { view, sequence, digest } = body as Vote;
    const shown = hand.conspiracy.shownTo(view, sequence, to);
    if (shown === undefined || shown === digest) return undefined;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const prepare = hand.seal("prepare", { type: "prepare", view, sequence, digest: shown });
    const commit = hand.seal("commit", { type: "commit", view, sequence, digest: shown });
    if (prepare === undefined || commit === undefined) return undefined;
    return prng.chance(0.3) ? [prepare, commit, frame] : [prepare, commit];
  }
}
