import type { Checker, Ending, Observation, Setting } from "../history.ts";
import { Operations } from "./operations.ts";

/** Statuses that say "this executed, and that was its result". */
const executed = new Set(["ok", "refused", "failed"]);

interface Operation {
  /** Honest replicas that executed it. */
  readonly applied: Set<number>;
  /** Where it was executed: a fetched state of that sequence or a later one has it. */
  sequence: number;
  /** Its client was told that it was executed, or that it was not. */
  returned: boolean;
  denied: boolean;
}

/**
 * Invariant 12: a result that a client accepts was made by an honest replica, and all honest ones execute it in the end; what a
 * client is told was not executed never is.
 */
export class AcceptedReplies implements Checker {
  readonly invariant = 12;
  readonly name = "accepted replies";
  readonly kinds = ["applied", "returned", "installed"] as const;
  private readonly operations = new Operations<Operation>();
  private readonly installed = new Map<number, number>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "applied") {
      const operation = this.operation(observation.client, observation.operation);
      operation.sequence = observation.sequence;
      operation.applied.add(observation.replica);
      return operation.denied
        ? `replica ${observation.replica} executed what its client was told is not executed`
        : undefined;
    }
    if (observation.kind === "installed") this.installed.set(observation.replica, observation.sequence);
    if (observation.kind !== "returned") return undefined;
    const operation = this.operation(observation.client, observation.operation);
    const isApplied = operation.applied.size > 0;
    if (observation.status.endsWith(" no")) {
      operation.denied = true;
      return isApplied ? "a client was told that an executed operation is not executed" : undefined;
    }
    if (!executed.has(observation.status)) return undefined;
    operation.returned = true;
    return isApplied ? undefined : "a client accepted a result that no honest replica made";
  }

  finish(ending: Ending): string | undefined {
    for (const { returned, sequence, applied } of this.operations.values()) {
      if (!returned) continue;
      for (const replica of ending.core) {
        const fetched = sequence <= (this.installed.get(replica) ?? 0);
        if (!fetched && !applied.has(replica))
          return `replica ${replica} never executed an operation that its client saw executed`;
      }
    }
    return undefined;
  }

  private operation(client: string, operation: string): Operation {
    let known = this.operations.get(client, operation);
    if (known === undefined) {
      known = { applied: new Set(), sequence: Infinity, returned: false, denied: false };
      this.operations.set(client, operation, known);
    }
    return known;
  }
}

/** Invariant 17: once the network is healed, every operation returns and the healed replicas end in one state. */
export class Liveness implements Checker {
  readonly invariant = 17;
  readonly name = "liveness";
  readonly kinds = ["invoked", "returned", "halted"] as const;
  private readonly open = new Map<string, { readonly client: string; readonly at: number }>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "invoked":
        this.open.set(`${observation.client}/${observation.operation}`, observation);
        return undefined;
      case "returned":
        this.open.delete(`${observation.client}/${observation.operation}`);
        return undefined;
      case "halted":
        if (!this.setting.honest.includes(observation.replica)) return undefined;
        return `honest replica ${observation.replica} halted: ${observation.reason}`;
      default:
        return undefined;
    }
  }

  finish(ending: Ending): string | undefined {
    if (ending.core.length === 0) return undefined;
    for (const { client, at } of this.open.values()) {
      return `${this.open.size} operations never returned, the first by client ${client} since ${at} ms`;
    }
    const core = ending.lastExecuted.filter(({ replica }) => ending.core.includes(replica));
    for (const other of core) {
      const first = core[0];
      if (first === undefined || (other.sequence === first.sequence && other.state === first.state)) continue;
      return `replica ${first.replica} ended at ${first.sequence}, replica ${other.replica} at ${other.sequence}`;
    }
    return undefined;
  }
}
