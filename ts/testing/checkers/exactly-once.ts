import type { Checker, Observation } from "../history.ts";
import { Operations } from "./operations.ts";

interface Applied {
  readonly sequence: number;
  readonly index: number;
}

/** Invariant 4: a replica's state machine runs each operation of each client at most once. */
export class ExactlyOnce implements Checker {
  readonly invariant = 4;
  readonly name = "exactly once";
  readonly kinds = ["applied", "restarted"] as const;
  /** Where each replica's state has each operation. */
  private readonly applied = new Map<number, Operations<Applied>>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "restarted") {
      // What came after its snapshot a new process has not done yet.
      this.applied.get(observation.replica)?.deleteWhere(({ sequence }) => sequence > observation.snapshot);
      return undefined;
    }
    if (observation.kind !== "applied") return undefined;
    const { replica, client, identity, sequence, index } = observation;
    let applied = this.applied.get(replica);
    if (applied === undefined) this.applied.set(replica, (applied = new Operations()));
    const before = applied.get(client, identity);
    applied.set(client, identity, { sequence, index });
    return before === undefined
      ? undefined
      : `replica ${replica} applied one operation at ${before.sequence}.${before.index} and again at ${sequence}.${index}`;
  }
}
