import type { DefinedStateMachine } from "../../dist/state/define.js";

export declare const totals: DefinedStateMachine<
  {
    add(state: unknown, args: { readonly amount: number }): number;
    keep(
      state: unknown,
      args: {
        readonly key: string;
        readonly bytes: Uint8Array;
        readonly answerBytes: number;
        readonly answer: number;
      },
    ): Uint8Array;
    fill(state: unknown, args: { readonly first: number; readonly count: number; readonly bytes: number }): number;
    refuse(state: unknown): void;
    fail(state: unknown): void;
  },
  { total(state: unknown): number }
>;
export default totals;
