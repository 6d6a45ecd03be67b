import type { PrePrepare, Vote } from "../../protocol/messages.ts";
import type { AgreedTime, Digest, Sequence } from "../../protocol/types.ts";
import { batchDigest } from "../hashing.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** How one proposal becomes another for the same view and sequence. */
const variants = ["otherTime", "fewerBundles", "reversed", "repeated", "ghostBody", "farSequence", "pastTime"] as const;

interface Split {
  readonly other: PrePrepare;
  /** Receivers that are shown the other one. */
  readonly side: readonly number[];
  /** Show both to those. */
  readonly both: boolean;
}

/**
 * A primary that proposes one batch to some backups and another to the rest, and commits to each of them what it was shown.
 * FAULTS P1, P4, P5, P7.
 */
export class Equivocator implements Adversary {
  readonly name = "equivocator";
  private readonly splits = new Map<string, Split | undefined>();

  onDeparture(departure: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (departure.name === "prePrepare") return this.onProposal(departure.body as PrePrepare, departure, hand);
    if (departure.name === "commit") return this.onCommit(departure.body as Vote, departure, hand);
    return undefined;
  }

  private onProposal(body: PrePrepare, { to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const key = `${body.view}/${body.sequence}`;
    if (!this.splits.has(key)) this.splits.set(key, split(body, hand));
    const chosen = this.splits.get(key);
    if (chosen === undefined || !chosen.side.includes(to)) {
      hand.conspiracy.show(body.view, body.sequence, to, body.digest);
      return chosen === undefined ? undefined : [frame, ...this.voteToo(body, hand)];
    }
    hand.conspiracy.show(body.view, body.sequence, to, chosen.other.digest);
    const other = hand.seal("prePrepare", chosen.other);
    if (other === undefined) return undefined;
    const votes = this.voteToo(chosen.other, hand);
    return chosen.both ? [other, ...votes, frame] : [other, ...votes];
  }

  /** The primary prepares its own proposal as if it were a backup as well, to be counted twice. */
  private voteToo({ view, sequence, digest }: PrePrepare, hand: Hand): readonly Uint8Array[] {
    if (hand.acts() === undefined) return [];
    const vote = hand.seal("prepare", { type: "prepare", view, sequence, digest });
    return vote === undefined ? [] : [vote];
  }

  private onCommit(body: Vote, { to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const chosen = this.splits.get(`${body.view}/${body.sequence}`);
    if (chosen === undefined || !chosen.side.includes(to)) return undefined;
    const other = hand.seal("commit", { ...body, digest: chosen.other.digest });
    return other === undefined ? undefined : [other, frame];
  }
}

function split(body: PrePrepare, hand: Hand): Split | undefined {
  const prng = hand.acts();
  if (prng === undefined) return undefined;
  const peers = Array.from({ length: hand.n }, (_, replica) => replica).filter((replica) => replica !== hand.me);
  const side = prng.sample(peers, prng.between(1, peers.length));
  const changed = vary(body, prng, hand);
  const other = { ...changed, digest: batchDigest(changed) };
  return { other, side, both: prng.chance(0.4) };
}

function vary(body: PrePrepare, prng: Prng, hand: Hand): PrePrepare {
  const { bundles } = body;
  switch (prng.pick(variants)) {
    case "otherTime":
      return { ...body, time: (body.time + prng.between(1, 100)) as AgreedTime };
    case "pastTime":
      return { ...body, time: prng.below(1000) as AgreedTime };
    case "fewerBundles":
      return { ...body, bundles: bundles.slice(0, -1) };
    case "reversed":
      return { ...body, bundles: bundles.toReversed(), time: (body.time + 1) as AgreedTime };
    case "repeated":
      return { ...body, bundles: [...bundles, ...bundles.slice(0, 1)] };
    case "ghostBody":
      return { ...body, bundles: [...bundles, ghost(prng)] };
    case "farSequence":
      return { ...body, sequence: (body.sequence + prng.between(1, 3 * hand.n * 10)) as Sequence };
  }
}

/** A digest that no body has. */
function ghost(prng: Prng): Digest {
  return String.fromCharCode(...Array.from({ length: 16 }, () => prng.below(65_536))) as Digest;
}
