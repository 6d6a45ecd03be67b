import type { Checker, Observation, RecordFact, Setting, VoteFact } from "../history.ts";
import { Said } from "./vote-places.ts";

interface Durable {
  readonly leases: Map<number, number>;
  /** Certificates, as the COMMITs that rest on them, and checkpoints. */
  readonly votes: Said;
  /** Digests of VIEW-CHANGEs. */
  readonly left: Set<string>;
  readonly views: Set<number>;
}

/**
 * Invariant 8: what binds leaves only when the records it rests on are durable. A COMMIT rests on its prepared certificate, a
 * PRE-PREPARE or PREPARE on a lease of its view, a CHECKPOINT on its record, a VIEW-CHANGE on having left for good, and a NEW-VIEW on having entered.
 */
export class PersistBeforeSend implements Checker {
  readonly invariant = 8;
  readonly name = "persist before send";
  readonly kinds = ["durable", "left", "viewChange", "newView", "restarted"] as const;
  private readonly disks = new Map<number, Durable>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (!this.setting.durable) return undefined;
    if (observation.kind === "durable") {
      record(this.disk(observation.replica), observation.record);
      return undefined;
    }
    if (observation.kind === "viewChange" || observation.kind === "newView") return this.view(observation);
    if (observation.kind === "restarted" && observation.disk === "wiped") this.disks.delete(observation.replica);
    if (observation.kind !== "left") return undefined;
    const { replica, what, after, durable, vote } = observation;
    if (after > durable)
      return `replica ${replica} sent ${what}, which rests on record ${after}, with ${durable} durable`;
    if (vote === undefined || implied(this.disk(replica), vote)) return undefined;
    return `replica ${replica} sent ${vote.type} of ${vote.sequence} in view ${vote.view} and its disk knows nothing of it`;
  }

  private view(observation: Extract<Observation, { kind: "viewChange" | "newView" }>): string | undefined {
    if (observation.how !== "sent") return undefined;
    const { replica } = observation;
    const { left, views } = this.disk(replica);
    if (observation.kind === "viewChange")
      return left.has(observation.digest)
        ? undefined
        : `replica ${replica} sent a VIEW-CHANGE that its disk does not know`;
    if (views.has(observation.view)) return undefined;
    return `replica ${replica} sent the NEW-VIEW of view ${observation.view} that its disk does not know`;
  }

  private disk(replica: number): Durable {
    let disk = this.disks.get(replica);
    if (disk === undefined) {
      disk = { leases: new Map(), votes: new Said(), left: new Set(), views: new Set() };
      this.disks.set(replica, disk);
    }
    return disk;
  }
}

function record(disk: Durable, fact: RecordFact): void {
  if (fact.type === "lease") disk.leases.set(fact.view, Math.max(fact.through, disk.leases.get(fact.view) ?? 0));
  if (fact.type === "prepared") disk.votes.add(0, "commit", fact.view, fact.sequence, fact.digest);
  if (fact.type === "viewLeft") disk.left.add(fact.message);
  if (fact.type === "viewEntered") disk.views.add(fact.view);
  if (fact.type === "checkpoint") disk.votes.add(0, "checkpoint", 0, fact.sequence, fact.digest);
}

function implied(disk: Durable, vote: VoteFact): boolean {
  switch (vote.type) {
    case "prePrepare":
    case "prepare":
      return (disk.leases.get(vote.view) ?? 0) >= vote.sequence;
    case "commit":
      return disk.votes.has(0, "commit", vote.view, vote.sequence, vote.digest);
    case "checkpoint":
      return disk.votes.has(0, "checkpoint", 0, vote.sequence, vote.digest);
    case "decided":
      return true;
  }
}
