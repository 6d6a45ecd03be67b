import { quorumOf, short, type Checker, type Observation, type Setting } from "../history.ts";

/**
 * Invariant 11: honest replicas have equal state digests at equal sequences, and a checkpoint is stable only on claims of Q
 * distinct replicas for one digest.
 */
export class Checkpoints implements Checker {
  readonly invariant = 11;
  readonly name = "checkpoints";
  readonly kinds = ["checkpointed", "emitted", "accepted", "viewChange", "stable"] as const;
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
      case "viewChange":
        return this.certificate(observation.replica, observation.stable);
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

  /** Whoever verified a VIEW-CHANGE has seen the claims that its stable certificate is made of. */
  private certificate(
    replica: number,
    stable: { readonly sequence: number; readonly digest: string; readonly signers: readonly number[] } | undefined,
  ): undefined {
    if (stable === undefined) return undefined;
    const { sequence, digest } = stable;
    for (const signer of stable.signers) this.claim(replica, signer, { type: "checkpoint", sequence, digest });
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

/** Invariant 11: whoever signs a CHECKPOINT has the state itself, by executing up to there or by installing it, and none besides. */
export class StatesBehindCheckpoints implements Checker {
  readonly invariant = 11;
  readonly name = "states behind checkpoints";
  readonly kinds = ["checkpointed", "emitted"] as const;
  private readonly states = new Set<string>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "checkpointed") {
      this.states.add(`${observation.replica}/${observation.sequence}/${observation.digest}`);
      return undefined;
    }
    if (observation.kind !== "emitted" || observation.vote.type !== "checkpoint") return undefined;
    const { sequence, digest } = observation.vote;
    if (this.states.has(`${observation.replica}/${sequence}/${digest}`)) return undefined;
    return `replica ${observation.replica} signed ${short(digest)} at ${sequence} and never had that state`;
  }
}

/**
 * Invariant 11: a primary that has a stable checkpoint without its state proposes nothing of its own. What it chose before the
 * checkpoint became stable may leave later, when its digest is computed.
 */
export class StateBehindProposals implements Checker {
  readonly invariant = 11;
  readonly name = "state behind proposals";
  readonly kinds = ["executed", "installed", "stable", "chosen", "restarted"] as const;
  /** Up to where each replica has handed batches to execution, or installed a state. */
  private readonly reached = new Map<number, number>();
  private readonly low = new Map<number, number>();

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "executed":
      case "installed":
        this.reached.set(observation.replica, observation.sequence);
        return undefined;
      case "stable":
        this.low.set(observation.replica, observation.sequence);
        return undefined;
      case "restarted":
        this.reached.set(observation.replica, observation.snapshot);
        this.low.set(observation.replica, observation.low);
        return undefined;
      case "chosen":
        return this.judge(observation.replica, observation.sequence);
      default:
        return undefined;
    }
  }

  private judge(replica: number, sequence: number): string | undefined {
    const reached = this.reached.get(replica) ?? 0;
    const low = this.low.get(replica) ?? 0;
    return reached >= low
      ? undefined
      : `replica ${replica} chose what to propose at ${sequence} with the state of ${reached}, and ${low} is stable`;
  }
}

/**
 * Invariant 11: a fetched node is compared with the digest that it was asked for by before it becomes a part of the state, so what
 * is whole has the certified root. A source that lies costs its own answer, never the transfer.
 */
export class VerifiedStates implements Checker {
  readonly invariant = 11;
  readonly name = "verified states";
  readonly kinds = ["misfetched"] as const;

  see(observation: Observation): string | undefined {
    if (observation.kind !== "misfetched") return undefined;
    return `replica ${observation.replica} put together a state out of nodes that it was not certified by`;
  }
}
