/** Where replicas say something once: by who, type, view and sequence. No string is made to look a place up. */
import type { Observation, VoteFact, VoteType } from "../history.ts";

/** What a place can be of: votes, and messages about a view, whose sequence is 0. */
export type PlaceType = VoteType | "viewChange" | "newView";

const typeCodes: Readonly<Record<PlaceType, number>> = {
  prePrepare: 0,
  prepare: 1,
  commit: 2,
  checkpoint: 3,
  decided: 4,
  viewChange: 5,
  newView: 6,
};
const TYPES = 8;

/** What is known of each place. */
export class Places<T> {
  /** By replica and type, then by view, then by sequence. */
  private readonly tables: (Map<number, Map<number, T>> | undefined)[] = [];

  get(replica: number, type: PlaceType, view: number, sequence: number): T | undefined {
    return this.tables[replica * TYPES + typeCodes[type]]?.get(view)?.get(sequence);
  }

  set(replica: number, type: PlaceType, view: number, sequence: number, what: T): void {
    const table = (this.tables[replica * TYPES + typeCodes[type]] ??= new Map());
    let bySequence = table.get(view);
    if (bySequence === undefined) table.set(view, (bySequence = new Map()));
    bySequence.set(sequence, what);
  }

  /** Of all places of one replica and type. */
  *of(replica: number, type: PlaceType): Iterable<T> {
    for (const bySequence of this.tables[replica * TYPES + typeCodes[type]]?.values() ?? []) yield* bySequence.values();
  }
}

/** What was said at each place: digests, or other strings that are only compared. */
export class Said {
  private readonly places = new Places<Set<string>>();

  /** Returns all that was said there, this included. */
  add(replica: number, type: PlaceType, view: number, sequence: number, what: string): ReadonlySet<string> {
    let said = this.places.get(replica, type, view, sequence);
    if (said === undefined) this.places.set(replica, type, view, sequence, (said = new Set()));
    return said.add(what);
  }

  has(replica: number, type: PlaceType, view: number, sequence: number, what: string): boolean {
    return this.places.get(replica, type, view, sequence)?.has(what) === true;
  }

  /** At all places of one replica and type. */
  of(replica: number, type: PlaceType): Iterable<ReadonlySet<string>> {
    return this.places.of(replica, type);
  }
}

/** Where replicas have voted: what one of them sends of a type there later is the same vote again. */
export class Voted {
  private readonly places = new Places<true>();

  /** False where it has voted before. */
  isFirst(replica: number, { type, view, sequence }: VoteFact): boolean {
    if (this.places.get(replica, type, view, sequence) === true) return false;
    this.places.set(replica, type, view, sequence, true);
    return true;
  }

  /** A NEW-VIEW stands for these PRE-PREPAREs: its primary may send them again one by one. */
  carry({ replica, view, first, count }: Extract<Observation, { kind: "carried" }>): void {
    for (let sequence = first; sequence < first + count; sequence++)
      this.places.set(replica, "prePrepare", view, sequence, true);
  }
}
