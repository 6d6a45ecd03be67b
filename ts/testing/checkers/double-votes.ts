import { short, type Checker, type Observation, type VoteFact } from "../history.ts";
import { Places } from "./vote-places.ts";

/** Invariant 7: an honest replica votes for one digest per type, view and sequence, over all its incarnations. */
export class NoDoubleVotes implements Checker {
  readonly invariant = 7;
  readonly name = "no double votes";
  readonly kinds = ["emitted", "left", "restarted"] as const;
  /** What each process decided to send, by replica: what had not left when it crashed never was. */
  private readonly emitted = new Map<number, Places<string>>();
  private readonly left = new Places<string>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "restarted") {
      this.emitted.delete(observation.replica);
      return undefined;
    }
    if (observation.kind !== "emitted" && observation.kind !== "left") return undefined;
    const { replica, vote } = observation;
    if (vote === undefined || vote.type === "decided") return undefined;
    const { type, view, sequence, digest } = vote;
    // PRE-PREPARE and PREPARE are one vote of one phase.
    const phase = type === "prePrepare" ? "prepare" : type;
    const said = observation.kind === "left" ? this.left : this.emittedBy(replica);
    const before = this.left.get(replica, phase, view, sequence) ?? said.get(replica, phase, view, sequence);
    said.set(replica, phase, view, sequence, digest);
    if (before === undefined || before === digest) return undefined;
    return `replica ${observation.replica} sent ${type} of ${short(before)} and of ${short(digest)} at ${sequence} in view ${view}`;
  }

  private emittedBy(replica: number): Places<string> {
    let emitted = this.emitted.get(replica);
    if (emitted === undefined) this.emitted.set(replica, (emitted = new Places()));
    return emitted;
  }
}

/**
 * Invariant 7, before it can break: a process that comes after one that crashed does not vote where a durable lease let that one
 * vote. That a vote happens to repeat the forgotten one is luck.
 */
export class Fenced implements Checker {
  readonly invariant = 7;
  readonly name = "fenced";
  readonly kinds = ["durable", "restarted", "emitted"] as const;
  /** By replica and view, the highest sequence of a durable lease. */
  private readonly leases = new Map<string, number>();
  private readonly fences = new Map<string, number>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "durable") {
      const { replica, record } = observation;
      if (record.type !== "lease") return undefined;
      const key = `${replica}/${record.view}`;
      this.leases.set(key, Math.max(record.through, this.leases.get(key) ?? 0));
    } else if (observation.kind === "restarted") {
      const { replica, view, clean, disk } = observation;
      const key = `${replica}/${view}`;
      // What it knows no more it is kept from by other means.
      if (disk === "wiped")
        for (const lease of this.leases.keys()) if (lease.startsWith(`${replica}/`)) this.leases.delete(lease);
      if (!clean) this.fences.set(key, this.leases.get(key) ?? 0);
    } else if (observation.kind === "emitted") {
      const { replica, vote } = observation;
      if (vote.type !== "prePrepare" && vote.type !== "prepare") return undefined;
      const fence = this.fences.get(`${replica}/${vote.view}`) ?? 0;
      if (vote.sequence <= fence)
        return `replica ${replica} sent ${vote.type} of ${vote.sequence} in view ${vote.view}, where it may have voted up to ${fence} before it crashed`;
    }
    return undefined;
  }
}

/**
 * Invariant 7, before it can break: a replica that came back to a wiped disk has forgotten what it promised, so it votes for
 * nothing before it is readmitted, and never again where it may have voted. That a vote happens to repeat the forgotten one is luck.
 */
export class NoForgottenVotes implements Checker {
  readonly invariant = 7;
  readonly name = "no forgotten votes";
  readonly kinds = ["restarted", "readmitted", "emitted"] as const;
  private readonly silent = new Set<number>();
  /** The highest sequence that each replica has voted on, and had when it last lost its disk. */
  private readonly highest = new Map<number, number>();
  private readonly forgotten = new Map<number, number>();

  see(observation: Observation): string | undefined {
    const { replica } = observation as { replica: number };
    if (observation.kind === "restarted" && observation.disk === "wiped") {
      this.silent.add(replica);
      this.forgotten.set(replica, this.highest.get(replica) ?? 0);
    } else if (observation.kind === "readmitted") this.silent.delete(replica);
    else if (observation.kind === "emitted") return this.judge(replica, observation.vote);
    return undefined;
  }

  private judge(replica: number, { type, view, sequence }: VoteFact): string | undefined {
    if (type === "decided" || type === "checkpoint") return undefined;
    this.highest.set(replica, Math.max(sequence, this.highest.get(replica) ?? 0));
    const vote = `replica ${replica} sent ${type} of ${sequence} in view ${view}`;
    if (this.silent.has(replica)) return `${vote} after it had lost its disk`;
    const forgotten = this.forgotten.get(replica) ?? 0;
    return sequence > forgotten ? undefined : `${vote}, and may have voted up to ${forgotten} before it lost its disk`;
  }
}
