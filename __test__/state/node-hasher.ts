/** SHA-256 of node:crypto behind the interface that a node implements natively. */
import { createHash } from "node:crypto";
import type { Hasher } from "../../dist/state/interfaces.js";

export class NodeHasher implements Hasher {
  calls = 0;
  hashed = 0;

  hashMany(input: Uint8Array, ends: Uint32Array, count: number, output: Uint8Array): void {
    this.calls++;
    this.hashed += count;
    let start = 0;
    for (let i = 0; i < count; i++) {
      const end = ends[i]!;
      output.set(createHash("sha256").update(input.subarray(start, end)).digest(), 32 * i);
      start = end;
    }
  }
}
