/**
 * `byzantine-quic/testing`: the simulator that the product is developed in, for state machines of one's own.
 *
 * ```ts
 * import { simulate } from "byzantine-quic/testing";
 * const result = simulate({ seed: 7n, machine, operations: ["add 1", "add 2"] });
 * if (result.violation !== undefined) throw new Error(result.violation.message);
 * ```
 *
 * A whole cluster runs in one synchronous call under virtual time: bad networks, crashes and lying replicas included, all of it
 * made by the seed. A machine that is not deterministic shows as invariant 11 (state digests differ) or 19 (results differ).
 */
import type { StateMachine } from "../state/interfaces.ts";
import type { Model } from "./checkers/linearizability.ts";
import { chooseOptions, type SimOptions } from "./options.ts";
import { drawPlan, type PlannedOperation } from "./plan.ts";
import { Prng } from "./prng.ts";
import { World, type RunResult } from "./world.ts";

export type { Model } from "./checkers/linearizability.ts";
export type { Violation } from "./history.ts";
export { compareOpaque, type OpaqueComparison } from "./opaque-conformance.ts";
export type { SimOptions } from "./options.ts";
export type { RunResult } from "./world.ts";

export interface Simulation {
  /** Makes the whole run; 0 … 2^64−1. */
  readonly seed: bigint;
  readonly machine: StateMachine;
  /**
   * What the clients submit, in this order, as UTF-8 text. Each must be different from the others: oracles tell operations apart by
   * their bytes.
   */
  readonly operations: readonly string[];
  /** Checks results against this sequential specification; a fresh one per run. */
  readonly model?: () => Model;
  /** Options that the seed would choose otherwise, such as `{ n: 4, byzantine: [], faultCount: 0 }`. */
  readonly options?: Partial<SimOptions>;
  /** Hears one line for everything that happens in any core. */
  readonly narrate?: (line: string) => void;
}

/**
 * Simulates one seed and returns what happened; `violation` is undefined when every oracle was satisfied.
 * @throws RangeError if two operations are equal.
 */
export function simulate({ seed, machine, operations, model, options = {}, narrate }: Simulation): RunResult {
  if (new Set(operations).size !== operations.length)
    throw new RangeError("operations of a simulation differ from each other");
  const root = new Prng(seed);
  // A client that lies would need to know what operations mean.
  const given = { ...options, forkingClients: 0, operations: operations.length };
  const chosen = chooseOptions(seed, root, given);
  const plan = drawPlan(chosen, root, spread(operations, chosen, root.split("spread")));
  const world = new World(plan, { subject: { machine, identify: (operation) => operation }, model, narrate });
  return world.run();
}

/** Gives each operation a client and a time, one after another. */
function spread(operations: readonly string[], options: SimOptions, prng: Prng): PlannedOperation[] {
  let atMs = 0;
  return operations.map((operation) => {
    atMs += options.thinkMs > 0 ? Math.round(prng.exponential(options.thinkMs / options.clients)) : 0;
    return { client: prng.below(options.clients), atMs, operation };
  });
}
