import { quorumOf, short, type Checker, type Observation, type Setting, type VoteFact } from "../history.ts";
import { Commitments, type Commitment } from "./committed.ts";
import { Places, Said } from "./vote-places.ts";

/** Who signed what: the register of every signature made in a run, by distinct signer. */
class Signatures {
  private readonly signers = new Places<Map<string, Set<number>>>();

  add(signer: number, { type, view, sequence, digest }: VoteFact): Set<number> {
    // The primary's PRE-PREPARE is its PREPARE.
    const phase = type === "prePrepare" ? "prepare" : type;
    let byDigest = this.signers.get(0, phase, view, sequence);
    if (byDigest === undefined) this.signers.set(0, phase, view, sequence, (byDigest = new Map()));
    let set = byDigest.get(digest);
    if (set === undefined) byDigest.set(digest, (set = new Set()));
    return set.add(signer);
  }

  of(type: "prepare" | "checkpoint", vote: Omit<VoteFact, "type">): ReadonlySet<number> | undefined {
    return this.signers.get(0, type, vote.view, vote.sequence)?.get(vote.digest);
  }
}

/**
 * Invariant 5: for one view and sequence no two digests are ever signed by a quorum, so at most one can be prepared. What an honest
 * replica signed counts when it has left: a crash before that takes it back.
 */
export class CertificateUniqueness implements Checker {
  readonly invariant = 5;
  readonly name = "certificate uniqueness";
  readonly kinds = ["signed", "left", "newView", "certificate"] as const;
  private readonly signatures = new Signatures();
  private readonly prepared = new Places<string>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "signed":
        return this.setting.honest.includes(observation.signer)
          ? undefined
          : this.count(observation.signer, observation.vote);
      case "left":
        return observation.vote === undefined ? undefined : this.count(observation.replica, observation.vote);
      case "newView":
        return observation.how === "sent" ? this.countAll(observation) : undefined;
      case "certificate":
        return observation.phase === "prepare" ? this.unique(observation) : undefined;
      default:
        return undefined;
    }
  }

  /** A NEW-VIEW is its primary's PRE-PREPARE of each batch. */
  private countAll({ replica, view, first, batches }: Extract<Observation, { kind: "newView" }>): string | undefined {
    let wrong: string | undefined;
    for (const [index, digest] of batches.entries())
      wrong ??= this.count(replica, { type: "prePrepare", view, sequence: first + index, digest });
    return wrong;
  }

  private count(signer: number, vote: VoteFact): string | undefined {
    if (vote.type !== "prePrepare" && vote.type !== "prepare") return undefined;
    return this.signatures.add(signer, vote).size >= quorumOf(this.setting) ? this.unique(vote) : undefined;
  }

  private unique(vote: {
    readonly view: number;
    readonly sequence: number;
    readonly digest: string;
  }): string | undefined {
    const known = this.prepared.get(0, "prepare", vote.view, vote.sequence);
    if (known === undefined) this.prepared.set(0, "prepare", vote.view, vote.sequence, vote.digest);
    if (known === undefined || known === vote.digest) return undefined;
    return `two certificates in view ${vote.view} for ${vote.sequence}: ${short(known)} and ${short(vote.digest)}`;
  }
}

/** Invariant 5, B6: an honest backup prepares only what the primary of that view signed. */
export class ProposalsOfPrimary implements Checker {
  readonly invariant = 5;
  readonly name = "proposals of the primary";
  readonly kinds = ["signed", "emitted"] as const;
  private readonly proposed = new Said();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "signed" && observation.vote.type === "prePrepare") {
      const { view, sequence, digest } = observation.vote;
      if (observation.signer === view % this.setting.n) this.proposed.add(0, "prePrepare", view, sequence, digest);
      return undefined;
    }
    if (observation.kind !== "emitted" || observation.vote.type !== "prepare") return undefined;
    const { view, sequence, digest } = observation.vote;
    if (this.proposed.has(0, "prePrepare", view, sequence, digest)) return undefined;
    return `replica ${observation.replica} prepared ${short(digest)} at ${sequence} in view ${view}, which the primary never proposed`;
  }
}

/** Invariant 13: every certificate that an honest replica makes holds Q distinct signers who really signed that. */
export class VerifiableCertificates implements Checker {
  readonly invariant = 13;
  readonly name = "verifiable certificates";
  readonly kinds = ["signed", "certificate"] as const;
  private readonly signatures = new Signatures();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "signed") {
      this.signatures.add(observation.signer, observation.vote);
      return undefined;
    }
    if (observation.kind !== "certificate") return undefined;
    const { replica, phase, view, sequence, digest, signers } = observation;
    const distinct = new Set(signers);
    const wrong = (how: string): string =>
      `replica ${replica}: ${phase} certificate of ${short(digest)} at ${sequence} in view ${view} ${how}`;
    if (distinct.size < quorumOf(this.setting)) return wrong(`has ${distinct.size} signers`);
    const signed = this.signatures.of(phase, observation);
    for (const signer of distinct) {
      if (signed?.has(signer) !== true) return wrong(`names ${signer}, who never signed that`);
    }
    if (phase === "prepare" && !distinct.has(view % this.setting.n)) return wrong("lacks the primary's proposal");
    return undefined;
  }
}

/**
 * Invariant 5 across views: what is committed at a sequence in one view is all that can be prepared there in a later one. Certificates
 * in verified VIEW-CHANGEs count like those that replicas make.
 */
export class CertificatesAcrossViews implements Checker {
  readonly invariant = 5;
  readonly name = "certificates across views";
  readonly kinds = [...Commitments.kinds, "certificate", "viewChange"] as const;
  private readonly commitments: Commitments;
  private readonly prepared = new Map<number, Commitment[]>();

  constructor(setting: Setting) {
    this.commitments = new Commitments(setting);
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "viewChange") return this.first(observation.prepared);
    if (observation.kind === "certificate")
      return observation.phase === "prepare" ? this.first([observation]) : undefined;
    const committed = this.commitments.see(observation);
    if (committed === undefined) return undefined;
    const later = this.prepared.get(committed.sequence)?.find((one) => excludes(committed, one));
    return later && contradiction(committed, later);
  }

  private first(prepared: readonly Commitment[]): string | undefined {
    for (const one of prepared) {
      const known = this.prepared.get(one.sequence) ?? [];
      if (known.some(({ view, digest }) => view === one.view && digest === one.digest)) continue;
      this.prepared.set(one.sequence, [...known, one]);
      const committed = this.commitments.at(one.sequence).find((before) => excludes(before, one));
      if (committed !== undefined) return contradiction(committed, one);
    }
    return undefined;
  }
}

function excludes(committed: Commitment, prepared: Commitment): boolean {
  return prepared.view > committed.view && prepared.digest !== committed.digest;
}

function contradiction(committed: Commitment, { view, digest }: Commitment): string {
  return `${short(committed.digest)} was committed at ${committed.sequence} in view ${committed.view}, and ${short(digest)} is prepared there in view ${view}`;
}
