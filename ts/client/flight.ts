/** What is in flight in one session: client sequences, the bundles that carry them, and what is acknowledged. */
import type { InFlightBundle, InFlightOperation } from "./bundle.ts";
import type { SessionId } from "../protocol/types.ts";

export class SessionFlight {
  readonly session: SessionId;
  readonly operations = new Map<number, InFlightOperation>();
  readonly bundles = new Map<number, InFlightBundle>();
  #nextSequence = 1;
  #acknowledgedThrough = 0;

  constructor(session: SessionId) {
    this.session = session;
  }

  /** Client sequence of the next operation. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  /** Highest client sequence at and below which every result has been delivered. */
  get acknowledgedThrough(): number {
    return this.#acknowledgedThrough;
  }

  /** Operations that may be added without leaving the replicas' window above what is acknowledged. */
  room(windowOperations: number): number {
    return windowOperations - (this.#nextSequence - 1 - this.#acknowledgedThrough);
  }

  add(operation: InFlightOperation): void {
    this.operations.set(operation.sequence, operation);
    this.#nextSequence = operation.sequence + 1;
  }

  /** Whether the bundle of the operation is done with it. */
  settle(operation: InFlightOperation): boolean {
    const { bundle } = operation;
    operation.tally.close();
    this.operations.delete(operation.sequence);
    while (this.#acknowledgedThrough + 1 < this.#nextSequence && !this.operations.has(this.#acknowledgedThrough + 1)) {
      this.#acknowledgedThrough++;
    }
    bundle.unsettled--;
    if (bundle.unsettled > 0) return false;
    this.bundles.delete(bundle.handle);
    return true;
  }
}
