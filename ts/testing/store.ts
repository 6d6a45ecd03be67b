/**
 * The state machine that runs in most simulations: a small key-value store whose operations are text, `number kind key
 * argument`, with one of every way in which an operation can end.
 */
import { OperationError } from "../state/operation-error.ts";
import type { StateMachine, StateView } from "../state/interfaces.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();
/** Longer values are refused, so that a run of appends ends. */
const VALUE_MAX = 200;

export const store: StateMachine = {
  execute(state: StateView, operation: Uint8Array): Uint8Array {
    const [, kind, key = "", argument = ""] = decoder.decode(operation).split(" ");
    const name = encoder.encode(key);
    const held = state.get(name);
    const value = held === undefined ? "" : decoder.decode(held);
    const write = (next: string): Uint8Array => {
      state.set(name, encoder.encode(next));
      return encoder.encode(next);
    };
    switch (kind) {
      case "put":
        write(argument);
        return encoder.encode(value);
      case "get":
        return encoder.encode(value);
      case "add":
        return write(String(Number(value === "" ? 0 : value) + Number(argument)));
      case "append":
        if (value.length >= VALUE_MAX) throw new OperationError("FULL");
        return write(value + argument);
      case "refuse":
        write("refused writes are undone");
        throw new OperationError("REFUSED");
      case "fail":
        write("failed writes are undone");
        throw new Error("an operation that fails");
      default:
        return new Uint8Array(0);
    }
  },
};
