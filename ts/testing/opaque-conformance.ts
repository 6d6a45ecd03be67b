/**
 * Whether an opaque state machine keeps the promises that its replica cannot check: two instances that execute the same operations, one
 * of them restored in between, must give the same results, digests and chunks. Without a cluster, as fast as the machine is.
 *
 * ```ts
 * import { compareOpaque } from "byzantine-quic/testing";
 * const difference = await compareOpaque({ make: () => new VectorIndex(), operations });
 * if (difference !== undefined) throw new Error(difference);
 * ```
 */
import { digestOf, hasher } from "./hashing.ts";
import type { OpaqueStateMachine } from "../state/interfaces.ts";
import { OpaqueState } from "../state/opaque-state.ts";
import { ReplicatedMap } from "../state/replicated-map.ts";

export interface OpaqueComparison {
  /** A machine without contents, each time it is called. */
  readonly make: () => OpaqueStateMachine | Promise<OpaqueStateMachine>;
  /** What both execute, in this order, each as a batch of its own. */
  readonly operations: readonly Uint8Array[];
  /** Operations from one comparison to the next, at least 1; default 16. */
  readonly interval?: number;
}

const INTERVAL = 16;
const CLIENT = "00".repeat(32);

/** A machine with the map that its replica would have. */
class Instance {
  readonly #map = new ReplicatedMap();
  readonly state: OpaqueState;

  constructor(machine: OpaqueStateMachine, interval: number) {
    this.state = new OpaqueState(machine, this.#map, hasher, interval);
  }

  /** What the operation came to, as text to compare. */
  async execute(operation: Uint8Array, sequence: number): Promise<string> {
    const batch = { sequence, digest: digestOf(operation), timestampMs: sequence };
    // A copy, since a machine may change what it is given.
    const { status, result } = await this.state.run(operation.slice(), CLIENT, 0, batch);
    return `${status} ${digestOf(result)}`;
  }

  /** The root of what a checkpoint would hold of it. */
  root(): string {
    const version = this.#map.freeze();
    const root = version.root(hasher);
    version.release();
    return root;
  }

  /** Continues from what another has in its map. */
  async restoreFrom(other: Instance, sequence: number): Promise<void> {
    this.#map.restoreTo(other.#map.freeze());
    await this.state.restore(sequence);
  }
}

/**
 * Compares and says what differs first; undefined where nothing does.
 * @throws HaltExecution where the machine fails in a way that would stop a replica, and what `make` throws.
 */
export async function compareOpaque(comparison: OpaqueComparison): Promise<string | undefined> {
  const { make, operations, interval = INTERVAL } = comparison;
  const first = new Instance(await make(), interval);
  let second = new Instance(await make(), interval);
  for (const [index, operation] of operations.entries()) {
    const sequence = index + 1;
    const [result, other] = [await first.execute(operation, sequence), await second.execute(operation, sequence)];
    if (result !== other) return `operation ${index} has two results`;
    if (sequence % interval !== 0 && sequence !== operations.length) continue;
    await first.state.seal(sequence);
    await second.state.seal(sequence);
    if (first.root() !== second.root()) return `after operation ${index} digests or chunks differ`;
    // The next interval is executed on contents that did not come about by operations.
    second = new Instance(await make(), interval);
    await second.restoreFrom(first, sequence);
    await second.state.seal(sequence);
    if (first.root() !== second.root()) return `restored after operation ${index} digests or chunks differ`;
    const applied = await second.state.lastApplied();
    if (applied > sequence) return `restored at sequence ${sequence} lastApplied says ${applied}`;
  }
  return undefined;
}
