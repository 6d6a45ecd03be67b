import type { Checker, Ending, Observation } from "../history.ts";
import { Operations } from "./operations.ts";

/** A sequential specification, written without the product: what one operation after another must return. */
export interface Model {
  apply(client: string, operation: string): { readonly status: string; readonly result: string };
}

interface Call {
  readonly invokedAt: number;
  returned: { readonly at: number; readonly status: string; readonly result: string } | undefined;
  place: number;
}

/**
 * Invariant 19: the history that clients saw is linearizable. The order of execution is the witness: an operation that
 * returned before another began stands before it, and every result is what the model returns in that order. A history without
 * such an order fails, however the replicas agree among themselves.
 */
export class Linearizability implements Checker {
  readonly invariant = 19;
  readonly name = "linearizability";
  readonly kinds = ["invoked", "returned", "applied"] as const;
  private readonly calls = new Operations<Call>();
  private readonly order = new Map<
    string,
    { readonly sequence: number; readonly index: number; readonly client: string; readonly operation: string }
  >();
  private readonly model: Model | undefined;

  /** Without a model only the order in real time is checked. */
  constructor(model: Model | undefined) {
    this.model = model;
  }

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "invoked":
        this.calls.set(observation.client, observation.operation, {
          invokedAt: observation.at,
          returned: undefined,
          place: -1,
        });
        return undefined;
      case "returned": {
        const call = this.calls.get(observation.client, observation.operation);
        if (call === undefined) return "a client got a result for what it never sent";
        call.returned = observation;
        return undefined;
      }
      case "applied":
        this.order.set(`${observation.sequence}.${observation.index}`, observation);
        return undefined;
      default:
        return undefined;
    }
  }

  finish(_ending: Ending): string | undefined {
    const order = [...this.order.values()].sort((a, b) => a.sequence - b.sequence || a.index - b.index);
    let lastInvoked = 0;
    for (const [place, applied] of order.entries()) {
      const expected = this.model?.apply(applied.client, applied.operation);
      const call = this.calls.get(applied.client, applied.operation);
      if (call === undefined) continue;
      call.place = place;
      const wrong = call.returned === undefined ? undefined : compare(call.returned, expected, lastInvoked);
      if (wrong !== undefined)
        return `operation ${applied.sequence}.${applied.index} of client ${applied.client}: ${wrong}`;
      lastInvoked = Math.max(lastInvoked, call.invokedAt);
    }
    return undefined;
  }
}

function compare(
  returned: { readonly at: number; readonly status: string; readonly result: string },
  expected: { readonly status: string; readonly result: string } | undefined,
  lastInvoked: number,
): string | undefined {
  if (returned.at < lastInvoked)
    return `returned at ${returned.at} ms, and stands after one invoked at ${lastInvoked} ms`;
  if (expected === undefined || !["ok", "refused", "failed"].includes(returned.status)) return undefined;
  if (returned.status === expected.status && returned.result === expected.result) return undefined;
  return `returned ${returned.status} "${returned.result}", the model ${expected.status} "${expected.result}"`;
}
