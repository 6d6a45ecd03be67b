import type { Checker, Observation } from "../history.ts";

/**
 * Invariant 2: what a replica executes is gap-free and append-only, but for a state that takes its place: one that was fetched, or
 * the snapshot that a restart begins with.
 */
export class TotalOrder implements Checker {
  readonly invariant = 2;
  readonly name = "total order";
  readonly kinds = ["executed", "applied", "installed", "restarted"] as const;
  private readonly executed = new Map<number, number>();
  private readonly applied = new Map<number, { readonly sequence: number; readonly index: number }>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "executed") {
      const { replica, sequence } = observation;
      const last = this.executed.get(replica) ?? 0;
      this.executed.set(replica, sequence);
      return sequence === last + 1 ? undefined : `replica ${replica} executed ${sequence} after ${last}`;
    }
    if (observation.kind === "installed" || observation.kind === "restarted") {
      const { replica } = observation;
      const sequence = observation.kind === "installed" ? observation.sequence : observation.snapshot;
      this.executed.set(replica, sequence);
      this.applied.set(replica, { sequence, index: Infinity });
      return undefined;
    }
    if (observation.kind !== "applied") return undefined;
    const { replica, sequence, index } = observation;
    const last = this.applied.get(replica) ?? { sequence: 0, index: -1 };
    this.applied.set(replica, { sequence, index });
    if (sequence > last.sequence || (sequence === last.sequence && index > last.index)) return undefined;
    return `replica ${replica} applied operation ${sequence}.${index} after ${last.sequence}.${last.index}`;
  }
}
