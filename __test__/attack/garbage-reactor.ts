/** A member's reactor that also sends bytes which are no message at all, under every type that leaves unsigned. */
import { randomFillSync } from "node:crypto";
import { ActionKind } from "../../dist/codec/actions.js";
import { Writer } from "../../dist/codec/bytes.js";
import { MessageType } from "../../dist/codec/messages.js";
import { Reactor, type TransportConfig } from "../../dist/native/native.js";
import type { ReplicaSet } from "../../dist/protocol/types.js";

const TYPES = [
  MessageType.commit,
  MessageType.status,
  MessageType.decided,
  MessageType.complaint,
  MessageType.fetch,
  MessageType.unavailable,
  MessageType.stateFetch,
  MessageType.stateNodes,
];
const GARBAGE_BYTES = 200;

export class GarbageReactor extends Reactor {
  readonly #to: ReplicaSet;
  readonly #everyMs: number;
  readonly #writer = new Writer();
  #at = 0;
  #sent = 0;
  /** Whether it sends garbage now. */
  on: boolean;

  /** @param to Everybody else. */
  constructor(config: TransportConfig, to: ReplicaSet, everyMs: number, on: boolean) {
    super(config);
    this.#to = to;
    this.#everyMs = everyMs;
    this.on = on;
  }

  override turn(actions: Uint8Array, length: number, output: Uint8Array, waitMs: number): number {
    if (!this.on) return super.turn(actions, length, output, waitMs);
    const now = performance.now();
    this.#writer.reset();
    this.#writer.raw(actions.subarray(0, length));
    // As many as are due since the last turn; what has piled up over a second is not made up for.
    for (this.#at = Math.max(this.#at, now - 1_000); this.#at < now; this.#at += this.#everyMs) this.#garbage();
    return super.turn(this.#writer.buffer, this.#writer.length, output, Math.min(waitMs, this.#everyMs));
  }

  #garbage(): void {
    const payload = randomFillSync(new Uint8Array(GARBAGE_BYTES));
    this.#sent += 1;
    this.#writer.u8(ActionKind.send);
    const place = this.#writer.openLength();
    this.#writer.set(this.#to);
    this.#writer.u8(TYPES[this.#sent % TYPES.length]!);
    this.#writer.raw(payload);
    this.#writer.closeLength(place);
  }
}
