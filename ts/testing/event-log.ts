/**
 * The audit of a run: SHA-256 over every event in order. The same seed must give the same digest, on any machine and any day.
 */
import { createHash, type Hash } from "node:crypto";

const BUFFER_BYTES = 16 * 1024;

/** What an entry is about; the numbers are hashed. */
export const entryKinds = {
  delivered: 1,
  turn: 2,
  action: 3,
  persisted: 4,
  executed: 5,
  fault: 6,
  invoked: 7,
  returned: 8,
  adversary: 9,
} as const;

export class EventLog {
  private readonly hash: Hash = createHash("sha256");
  private readonly buffer = new Uint8Array(BUFFER_BYTES);
  private readonly numbers = new DataView(this.buffer.buffer);
  private used = 0;
  private finished: string | undefined;

  /** Adds one entry: when, what, where, and whatever bytes tell it from others. */
  add(atMs: number, kind: keyof typeof entryKinds, node: number, detail: number, bytes?: Uint8Array): void {
    const length = bytes?.length ?? 0;
    if (this.used + 22 + length > BUFFER_BYTES) this.flush();
    const { buffer, numbers } = this;
    numbers.setFloat64(this.used, atMs, true);
    buffer[this.used + 8] = entryKinds[kind];
    buffer[this.used + 9] = node;
    numbers.setFloat64(this.used + 10, detail, true);
    numbers.setUint32(this.used + 18, length, true);
    this.used += 22;
    if (bytes === undefined) return;
    if (length <= BUFFER_BYTES - this.used) {
      buffer.set(bytes, this.used);
      this.used += length;
      return;
    }
    this.flush();
    this.hash.update(bytes);
  }

  /** 64 hexadecimal digits; ends the log. */
  digest(): string {
    if (this.finished === undefined) {
      this.flush();
      this.finished = this.hash.digest("hex");
    }
    return this.finished;
  }

  private flush(): void {
    if (this.used > 0) this.hash.update(this.buffer.subarray(0, this.used));
    this.used = 0;
  }
}
