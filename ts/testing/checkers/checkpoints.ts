import { quorumOf, short, type Checker, type Observation, type Setting } from "../history.ts";

/**
 * Invariant 11: honest replicas have equal state digests at equal sequences, and a checkpoint is stable only on claims of Q
 * distinct replicas for one digest.
 */
export class Checkpoints implements Checker {
  readonly invariant = 11;
  readonly name = "checkpoints";
  readonly kinds = ["checkpointed", "emitted", "accepted", "stable"] as const;
  private readonly states = new Map<number, { readonly digest: string; readonly replica: number }>();
  private readonly claims = new Map<string, Set<number>>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "checkpointed":
        return this.equal(observation.replica, observation.sequence, observation.digest);
      case "emitted":
        return this.claim(observation.replica, observation.replica, observation.vote);
      case "accepted":
        return this.claim(observation.replica, observation.from, observation.vote);
      case "stable":
        return this.stable(observation.replica, observation.sequence, observation.digest);
      default:
        return undefined;
    }
  }

  private equal(replica: number, sequence: number, digest: string): string | undefined {
    const known = this.states.get(sequence);
    if (known === undefined) this.states.set(sequence, { digest, replica });
    if (known === undefined || known.digest === digest) return undefined;
    return `state at ${sequence}: replica ${known.replica} has ${short(known.digest)}, replica ${replica} has ${short(digest)}`;
  }

  private claim(replica: number, from: number, vote: { type: string; sequence: number; digest: string }): undefined {
    if (vote.type !== "checkpoint") return undefined;
    const key = `${replica}/${vote.sequence}/${vote.digest}`;
    const set = this.claims.get(key);
    if (set === undefined) this.claims.set(key, new Set([from]));
    else set.add(from);
    return undefined;
  }

  private stable(replica: number, sequence: number, digest: string): string | undefined {
    const claims = this.claims.get(`${replica}/${sequence}/${digest}`)?.size ?? 0;
    if (claims < quorumOf(this.setting)) {
      return `replica ${replica} took checkpoint ${sequence} ${short(digest)} for stable on ${claims} claims`;
    }
    const known = this.states.get(sequence);
    if (known === undefined || known.digest === digest) return undefined;
    return `checkpoint ${sequence} became stable at ${short(digest)}, and replica ${known.replica} has ${short(known.digest)}`;
  }
}
