import { quorumOf, type Observation, type Setting } from "../history.ts";

/** Replicas that a place is told apart by. */
const REPLICAS_MAX = 32;

/** A batch that is committed in a view: a replica that prepared it there has COMMITs of Q distinct ones, its own among them. */
export interface Commitment {
  readonly view: number;
  readonly sequence: number;
  readonly digest: string;
}

interface Count extends Commitment {
  readonly by: Set<number>;
}

/** Counts COMMITs before each honest replica, and tells of each batch when it is committed at the first of them. */
export class Commitments {
  static readonly kinds = ["left", "accepted"] as const;
  private readonly counts = new Map<number, Count[]>();
  private readonly bySequence = new Map<number, Commitment[]>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  /** What this observation commits, if it does. */
  see(observation: Observation): Commitment | undefined {
    if (observation.kind !== "left" && observation.kind !== "accepted") return undefined;
    const { replica, vote } = observation;
    if (vote?.type !== "commit") return undefined;
    const by = this.countOf(replica, vote).by.add(observation.kind === "left" ? replica : observation.from);
    if (by.size < quorumOf(this.setting) || !by.has(replica)) return undefined;
    const known = this.at(vote.sequence);
    if (known.some(({ view, digest }) => view === vote.view && digest === vote.digest)) return undefined;
    this.bySequence.set(vote.sequence, [...known, vote]);
    return vote;
  }

  at(sequence: number): readonly Commitment[] {
    return this.bySequence.get(sequence) ?? [];
  }

  all(): readonly Commitment[] {
    return [...this.bySequence.values()].flat();
  }

  private countOf(replica: number, { view, sequence, digest }: Commitment): Count {
    const place = sequence * REPLICAS_MAX + replica;
    let counts = this.counts.get(place);
    if (counts === undefined) this.counts.set(place, (counts = []));
    let count = counts.find((known) => known.view === view && known.digest === digest);
    if (count === undefined) counts.push((count = { view, sequence, digest, by: new Set() }));
    return count;
  }
}
