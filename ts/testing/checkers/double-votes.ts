import { short, type Checker, type Observation } from "../history.ts";

/** Invariant 7: an honest replica votes for one digest per type, view and sequence, over all its incarnations. */
export class NoDoubleVotes implements Checker {
  readonly invariant = 7;
  readonly name = "no double votes";
  readonly kinds = ["emitted"] as const;
  private readonly votes = new Map<string, string>();

  see(observation: Observation): string | undefined {
    if (observation.kind !== "emitted" || observation.vote.type === "decided") return undefined;
    const { type, view, sequence, digest } = observation.vote;
    // PRE-PREPARE and PREPARE are one vote of one phase.
    const key = `${observation.replica}/${type === "prePrepare" ? "prepare" : type}/${view}/${sequence}`;
    const before = this.votes.get(key);
    this.votes.set(key, digest);
    if (before === undefined || before === digest) return undefined;
    return `replica ${observation.replica} sent ${type} of ${short(before)} and of ${short(digest)} at ${sequence} in view ${view}`;
  }
}

/**
 * Invariant 7, before it can break: a replica that came back to a wiped disk has forgotten what it promised, so it votes for
 * nothing any more. That a vote happens to repeat the forgotten one is luck.
 */
export class NoVotesAfterWipe implements Checker {
  readonly invariant = 7;
  readonly name = "no votes after a wipe";
  readonly kinds = ["restarted", "emitted", "left"] as const;
  private readonly wiped = new Set<number>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "restarted") {
      if (observation.disk === "wiped") this.wiped.add(observation.replica);
      return undefined;
    }
    if (observation.kind !== "emitted" && observation.kind !== "left") return undefined;
    const { replica, vote } = observation;
    if (vote === undefined || !this.wiped.has(replica)) return undefined;
    return `replica ${replica} sent ${vote.type} of ${vote.sequence} in view ${vote.view} after it had lost its disk`;
  }
}
