import { quorumOf, short, type Checker, type Observation, type Setting } from "../history.ts";

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

/**
 * Invariant 1, before it can break: what a replica executes was committed, which means that it counted COMMITs of Q distinct
 * replicas for one view, sequence and digest, its own among them, or DECIDED of f+1 distinct ones. An agreement that holds by
 * luck is not one.
 */
export class CommitQuorum implements Checker {
  readonly invariant = 1;
  readonly name = "commit quorum";
  readonly kinds = ["emitted", "accepted", "executed"] as const;
  private readonly claims = new Map<string, Set<number>>();
  private readonly decided = new Map<string, Set<number>>();
  private readonly committedViews = new Map<string, Set<number>>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "emitted") this.count(observation.replica, observation.replica, observation.vote);
    if (observation.kind === "accepted") this.count(observation.replica, observation.from, observation.vote);
    if (observation.kind !== "executed") return undefined;
    const { replica, sequence, digest } = observation;
    const claim = `${replica}/${sequence}/${digest}`;
    if ((this.decided.get(claim)?.size ?? 0) > this.setting.f) return undefined;
    let most = 0;
    for (const view of this.committedViews.get(claim) ?? [])
      most = Math.max(most, this.claims.get(`${claim}/${view}`)?.size ?? 0);
    if (most >= quorumOf(this.setting)) return undefined;
    return `replica ${replica} executed ${short(digest)} at ${sequence} on ${most} COMMITs and ${this.decided.get(claim)?.size ?? 0} DECIDED`;
  }

  private count(
    replica: number,
    from: number,
    vote: { type: string; view: number; sequence: number; digest: string },
  ): void {
    const claim = `${replica}/${vote.sequence}/${vote.digest}`;
    if (vote.type === "decided" && from !== replica) add(this.decided, claim, from);
    if (vote.type !== "commit") return;
    add(this.committedViews, claim, vote.view);
    add(this.claims, `${claim}/${vote.view}`, from);
  }
}

function add(sets: Map<string, Set<number>>, key: string, member: number): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([member]));
  else set.add(member);
}
