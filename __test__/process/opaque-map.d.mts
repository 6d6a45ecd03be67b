import type { OpaqueStateMachine } from "../../dist/index.js";

export class OpaqueMap implements OpaqueStateMachine {
  readonly opaque: true;
  entries: Map<string, string>;
  applied: number;
  restores: number;
  execute: OpaqueStateMachine["execute"];
  query: (question: Uint8Array) => Promise<Uint8Array>;
  digest(): Uint8Array;
  snapshot(): AsyncGenerator<Uint8Array>;
  restore(chunks: AsyncIterable<Uint8Array>, sequence: number): Promise<void>;
  lastApplied(): number;
  chunks(): Uint8Array[];
}

declare const machine: OpaqueMap;
export default machine;
