import { quorumOf, short, type Checker, type Observation, type Setting, type VoteFact } from "../history.ts";

/** Invariant 1: no two honest replicas execute different batches at one sequence. */
export class Agreement implements Checker {
  readonly invariant = 1;
  readonly name = "agreement";
  readonly kinds = ["executed"] as const;
  private readonly first = new Map<number, { readonly digest: string; readonly replica: number }>();

  see(observation: Observation): string | undefined {
    if (observation.kind !== "executed") return undefined;
    const { replica, sequence, digest } = observation;
    const known = this.first.get(sequence);
    if (known === undefined) {
      this.first.set(sequence, { digest, replica });
      return undefined;
    }
    if (known.digest === digest) return undefined;
    return `sequence ${sequence}: replica ${known.replica} executed ${short(known.digest)}, replica ${replica} executed ${short(digest)}`;
  }
}

/** Replicas that a place is told apart by. */
const REPLICAS_MAX = 32;

interface Claim {
  /** Undefined for DECIDED, which names none. */
  readonly view: number | undefined;
  readonly digest: string;
  readonly by: Set<number>;
}

/**
 * Invariant 1, before it can break: what a replica executes was committed, which means that it counted COMMITs of Q distinct
 * replicas for one view, sequence and digest, its own among them, or DECIDED of f+1 distinct ones. An agreement that holds by
 * luck is not one.
 */
export class CommitQuorum implements Checker {
  readonly invariant = 1;
  readonly name = "commit quorum";
  readonly kinds = ["emitted", "accepted", "executed"] as const;
  /** Who claimed what before each replica, by sequence. */
  private readonly claims = new Map<number, Claim[]>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "emitted") this.count(observation.replica, observation.replica, observation.vote);
    if (observation.kind === "accepted") this.count(observation.replica, observation.from, observation.vote);
    if (observation.kind !== "executed") return undefined;
    const { replica, sequence, digest } = observation;
    const mine = (this.claims.get(sequence * REPLICAS_MAX + replica) ?? []).filter((claim) => claim.digest === digest);
    const decided = mine.find(({ view }) => view === undefined)?.by.size ?? 0;
    const committed = Math.max(0, ...mine.filter(({ view }) => view !== undefined).map(({ by }) => by.size));
    if (decided > this.setting.f || committed >= quorumOf(this.setting)) return undefined;
    return `replica ${replica} executed ${short(digest)} at ${sequence} on ${committed} COMMITs and ${decided} DECIDED`;
  }

  private count(replica: number, from: number, vote: VoteFact): void {
    if (vote.type !== "commit" && (vote.type !== "decided" || from === replica)) return;
    const view = vote.type === "commit" ? vote.view : undefined;
    const place = vote.sequence * REPLICAS_MAX + replica;
    let claims = this.claims.get(place);
    if (claims === undefined) this.claims.set(place, (claims = []));
    const known = claims.find((claim) => claim.view === view && claim.digest === vote.digest);
    if (known === undefined) claims.push({ view, digest: vote.digest, by: new Set([from]) });
    else known.by.add(from);
  }
}
