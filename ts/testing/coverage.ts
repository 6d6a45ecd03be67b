/** How often each interesting situation came up: a suite that never sees one has not tested it. */
import { JOURNAL, VIEW_CHANGE } from "./options.ts";

/** Situations that a batch of seeds must reach; a run of {@link REQUIRED_SEEDS} or more seeds fails where one stays at 0. */
export const requiredSituations = [
  "equivocation seen",
  "conflicting vote seen",
  "conflicting checkpoint seen",
  "proposal buffered early",
  "vote out of window",
  "vote of another view",
  "body fetched",
  "body unavailable",
  "bundle conflict",
  "checkpoint stable",
  "status repair",
  "decided by claims",
  "retransmission to all",
  "retry answered",
  "pool full",
  "watermark stall",
  "message lost",
  "message duplicated",
  "partition",
  "crash",
  "restart",
  "wiped restart",
  "readmitted",
  "amnesia",
  "pause",
  "bad signature rejected",
  "malformed frame rejected",
  "operation refused",
  "operation failed",
  "send waited for the disk",
  "redelivered",
  "liveness asked",
  "adversary: equivocator",
  "adversary: conflicter",
  "adversary: mutator",
  "adversary: scribbler",
  "adversary: omitter",
  "adversary: delayer",
  "adversary: accomplice",
  "adversary: usurper",
  "adversary: censor",
  "adversary: checkpointLiar",
  "adversary: complainer",
  "adversary: statusLiar",
] as const;

/** What is asked of a core that changes views. */
export const requiredOfViewChanges = [
  "view changed",
  "new view with batches",
  "null request in a new view",
  "certificates of two views for one sequence",
  "f consecutive primaries fell",
  "batch fetched",
  "view change fetched",
  "new view fetched",
  "view left: handOver",
  "view left: complaints",
  "view left: joined",
  "ignored: invalidNewView",
  "ignored: invalidViewChange",
  "view timer doubled",
  "forged certificate rejected",
  "adversary: newViewLiar",
  "adversary: sleeper",
  "adversary: slowPrimary",
  "adversary: viewChangeLiar",
  "adversary: viewSpammer",
] as const;

/** What is asked where replicas fall so far behind that they fetch a state. */
export const requiredOfTransfers = [
  "state asked for",
  "state installed",
  "state unavailable",
  "equal subtrees skipped",
  "wrong state refused",
  "adversary: stateLiar",
  "adversary: dripFeeder",
] as const;

/** What is asked where replicas restart from what they recorded. */
export const requiredOfJournals = [
  "restarted from records",
  "restarted from a snapshot",
  "journal truncated",
  "clean stop",
  "view left: fenced",
] as const;

export type Situation =
  | (typeof requiredSituations)[number]
  | (typeof requiredOfViewChanges)[number]
  | (typeof requiredOfTransfers)[number]
  | (typeof requiredOfJournals)[number]
  | "diverged"
  | "state invalid";

/** Fewer seeds may miss a rare situation by chance. */
export const REQUIRED_SEEDS = 500;

export class Coverage {
  private readonly counts = new Map<string, number>();

  /** Any name may be counted; those of {@link requiredSituations} must be. */
  hit(
    situation:
      | Situation
      | `ignored: ${string}`
      | `rejected: ${string}`
      | `adversary: ${string}`
      | `skipped: ${string}`
      | `view left: ${string}`,
    times = 1,
  ): void {
    this.counts.set(situation, (this.counts.get(situation) ?? 0) + times);
  }

  add(counts: Readonly<Record<string, number>>): void {
    for (const [name, count] of Object.entries(counts)) this.counts.set(name, (this.counts.get(name) ?? 0) + count);
  }

  /** By name, in alphabetical order. */
  toJSON(): Record<string, number> {
    return Object.fromEntries([...this.counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Required situations that never came up. */
  missing(): string[] {
    const required = VIEW_CHANGE
      ? [
          ...requiredSituations,
          ...requiredOfViewChanges,
          ...requiredOfTransfers,
          ...(JOURNAL ? requiredOfJournals : []),
        ]
      : requiredSituations;
    return required.filter((situation) => (this.counts.get(situation) ?? 0) === 0);
  }
}
