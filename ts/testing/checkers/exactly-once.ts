import type { Checker, Observation } from "../history.ts";

/** Invariant 4: a replica's state machine runs each operation of each client at most once. */
export class ExactlyOnce implements Checker {
  readonly invariant = 4;
  readonly name = "exactly once";
  readonly kinds = ["applied"] as const;
  private readonly applied = new Map<string, string>();

  see(observation: Observation): string | undefined {
    if (observation.kind !== "applied") return undefined;
    const { replica, client, identity, sequence, index } = observation;
    const key = `${replica}/${client}/${identity}`;
    const place = `${sequence}.${index}`;
    const before = this.applied.get(key);
    this.applied.set(key, place);
    return before === undefined
      ? undefined
      : `replica ${replica} applied one operation at ${before} and again at ${place}`;
  }
}
