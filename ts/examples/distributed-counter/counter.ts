/** A counter that the cluster agrees on: the state machine of this example, and of the command line's `client`. */
import { defineStateMachine, OperationError } from "../../index.ts";

type State = { get<T>(key: string): T | undefined; set(key: string, value: unknown): void };

const KEY = "value";

/** Clients send what they like: a number that cannot be counted with is refused, on every replica alike. */
function requireWhole(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw new OperationError("NOT_A_WHOLE_NUMBER");
  return value as number;
}

function change(state: State, next: (value: number) => number): number {
  const value = next(state.get<number>(KEY) ?? 0);
  if (!Number.isSafeInteger(value)) throw new OperationError("OUT_OF_RANGE");
  state.set(KEY, value);
  return value;
}

export const counter = defineStateMachine({
  name: "counter",
  operations: {
    increment: (state) => change(state, (value) => value + 1),
    decrement: (state) => change(state, (value) => value - 1),
    add: (state, args: { amount: number }) => change(state, (value) => value + requireWhole(args?.amount)),
    set: (state, args: { value: number }) => change(state, () => requireWhole(args?.value)),
  },
  queries: {
    value: (state: Pick<State, "get">) => state.get<number>(KEY) ?? 0,
  },
});

export default counter;
