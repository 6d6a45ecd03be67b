import { quorumOf, short, type Checker, type Observation, type Setting, type VoteFact } from "../history.ts";

/**
 * Invariant 1: no two honest replicas execute different batches at one sequence. What a process executed of which nothing was durable
 * when it crashed nobody heard of.
 */
export class Agreement implements Checker {
  readonly invariant = 1;
  readonly name = "agreement";
  readonly kinds = ["executed", "durable", "restarted"] as const;
  private readonly executed = new Map<number, Map<number, string>>();
  private readonly durable = new Set<string>();

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "durable": {
        const { replica, record } = observation;
        if (record.type === "prepared" || record.type === "decided")
          this.durable.add(`${replica}/${record.sequence}/${record.digest}`);
        return undefined;
      }
      case "restarted":
        for (const [sequence, by] of this.executed) {
          const { replica } = observation;
          if (!this.durable.has(`${replica}/${sequence}/${by.get(replica)}`)) by.delete(replica);
        }
        return undefined;
      case "executed":
        return this.judge(observation);
      default:
        return undefined;
    }
  }

  private judge({ replica, sequence, digest }: Extract<Observation, { kind: "executed" }>): string | undefined {
    const by = this.executed.get(sequence) ?? new Map<number, string>();
    this.executed.set(sequence, by.set(replica, digest));
    for (const [other, its] of by) {
      if (its !== digest)
        return `sequence ${sequence}: replica ${other} executed ${short(its)}, replica ${replica} executed ${short(digest)}`;
    }
    return undefined;
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
