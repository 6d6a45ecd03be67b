import type { Checker, Observation } from "../history.ts";

/** Invariant 4: a replica's state machine runs each operation of each client at most once. */
export class ExactlyOnce implements Checker {
  readonly invariant = 4;
  readonly name = "exactly once";
  readonly kinds = ["applied", "restarted"] as const;
  /** Where each replica's state has each operation. */
  private readonly applied = new Map<number, Map<string, { readonly sequence: number; readonly index: number }>>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "restarted") {
      // What came after its snapshot a new process has not done yet.
      const applied = this.applied.get(observation.replica);
      for (const [key, { sequence }] of applied ?? []) if (sequence > observation.snapshot) applied?.delete(key);
      return undefined;
    }
    if (observation.kind !== "applied") return undefined;
    const { replica, client, identity, sequence, index } = observation;
    const applied = this.applied.get(replica) ?? new Map<string, { sequence: number; index: number }>();
    this.applied.set(replica, applied);
    const key = `${client}/${identity}`;
    const before = applied.get(key);
    applied.set(key, { sequence, index });
    return before === undefined
      ? undefined
      : `replica ${replica} applied one operation at ${before.sequence}.${before.index} and again at ${sequence}.${index}`;
  }
}
