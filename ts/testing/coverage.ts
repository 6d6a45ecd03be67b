/** How often each interesting situation came up: a suite that never sees one has not tested it. */

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
] as const;

export type Situation = (typeof requiredSituations)[number];

/** Fewer seeds may miss a rare situation by chance. */
export const REQUIRED_SEEDS = 500;

export class Coverage {
  private readonly counts = new Map<string, number>();

  /** Any name may be counted; those of {@link requiredSituations} must be. */
  hit(
    situation: Situation | `ignored: ${string}` | `rejected: ${string}` | `adversary: ${string}` | `skipped: ${string}`,
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
    return requiredSituations.filter((situation) => (this.counts.get(situation) ?? 0) === 0);
  }
}
