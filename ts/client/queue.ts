/** Operations that wait for a place in flight, in the order of their submission. */
import { BUNDLE_OPERATIONS_MAX } from "../codec/client.ts";
import { BUNDLE_BYTES_MAX, BUNDLE_OVERHEAD_BYTES, OPERATION_OVERHEAD_BYTES } from "./bundle.ts";
import type { ClientLimits } from "./interfaces.ts";

export class SubmissionQueue {
  /** A Map keeps the order of insertion and forgets one in the middle without moving the others. */
  readonly #waiting = new Map<number, Uint8Array>();
  readonly #limits: ClientLimits;
  #bytes = 0;

  constructor(limits: ClientLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** False when there is no room. */
  add(id: number, operation: Uint8Array): boolean {
    if (this.#waiting.size >= this.#limits.queueOperationsMax) return false;
    if (this.#bytes + operation.length > this.#limits.queueBytesMax) return false;
    this.#waiting.set(id, operation);
    this.#bytes += operation.length;
    return true;
  }

  /** Whether the operation was waiting. */
  remove(id: number): boolean {
    const operation = this.#waiting.get(id);
    if (operation === undefined) return false;
    this.#waiting.delete(id);
    this.#bytes -= operation.length;
    return true;
  }

  /** Takes what fits in one bundle, at most `room` operations. */
  take(room: number): { readonly ids: number[]; readonly operations: Uint8Array[] } {
    const ids: number[] = [];
    const operations: Uint8Array[] = [];
    let bytes = BUNDLE_OVERHEAD_BYTES;
    for (const [id, operation] of this.#waiting) {
      bytes += OPERATION_OVERHEAD_BYTES + operation.length;
      if (ids.length >= Math.min(room, BUNDLE_OPERATIONS_MAX) || bytes > BUNDLE_BYTES_MAX) break;
      this.remove(id);
      ids.push(id);
      operations.push(operation);
    }
    return { ids, operations };
  }

  /** Takes all, for a queue whose operations will not leave. */
  drain(): number[] {
    const ids = [...this.#waiting.keys()];
    this.#waiting.clear();
    this.#bytes = 0;
    return ids;
  }
}
