/**
 * State machines of typed operations:
 *
 *     export const counter = defineStateMachine({
 *       name: "counter",
 *       operations: {
 *         add(state, args: { amount: number }) {
 *           const total = (state.get<number>("total") ?? 0) + args.amount;
 *           state.set("total", total);
 *           return total;
 *         },
 *       },
 *       queries: { total: (state) => state.get<number>("total") ?? 0 },
 *     });
 *     await client.submit(counter.operation("add", { amount: 5 }));
 *
 * Names, arguments and results travel in the canonical bytes of `value.ts`. Arguments come from clients: they are values of
 * some kind, and no more; what their fields hold is for the operation to check, and to refuse by `OperationError`.
 */
import { ByzantineError } from "../errors.ts";
import type { OperationContext, StateMachine } from "./interfaces.ts";
import { OperationError } from "./operation-error.ts";
import { RESULT_BYTES_MAX } from "./operation.ts";
import { ReadonlyTypedState, TypedState } from "./typed-state.ts";
import { decodeValue, encodeValue } from "./value.ts";

/** Each operation declares the type of its own arguments. */
export type Operation = (state: TypedState, args: never, context: OperationContext) => unknown;
/** The same for queries. */
export type Query = (state: ReadonlyTypedState, args: never) => unknown;

/** The arguments that a caller gives: none where the function takes only the state. */
export type ArgumentsOf<F extends Operation | Query> =
  Parameters<F> extends [unknown, infer A, ...unknown[]] ? [args: A] : [];
/** What a caller gets: `null` where the function returns nothing. */
export type ResultOf<F extends Operation | Query> = ReturnType<F> extends void ? null : ReturnType<F>;

export interface Definition<O extends Record<string, Operation>, Q extends Record<string, Query>> {
  /** For people: logs and the dashboard. */
  readonly name: string;
  readonly operations: O;
  readonly queries?: Q;
}

export interface DefinedStateMachine<
  O extends Record<string, Operation>,
  Q extends Record<string, Query>,
> extends Required<Omit<StateMachine, "opaque">> {
  readonly name: string;
  /** The bytes to submit. @throws ByzantineError `INVALID_ARGUMENT` for an unknown name and arguments that cannot be encoded. */
  operation<K extends keyof O & string>(name: K, ...args: ArgumentsOf<O[K]>): Uint8Array;
  /** What an operation returned. @throws ByzantineError `INVALID_ARGUMENT` for bytes that are no result. */
  result<K extends keyof O & string>(name: K, bytes: Uint8Array): ResultOf<O[K]>;
  /** The bytes to ask. */
  question<K extends keyof Q & string>(name: K, ...args: ArgumentsOf<Q[K]>): Uint8Array;
  /** What a query returned. */
  answer<K extends keyof Q & string>(name: K, bytes: Uint8Array): ResultOf<Q[K]>;
}

/** @throws ByzantineError `INVALID_CONFIG` if an operation or a query is no function. */
export function defineStateMachine<O extends Record<string, Operation>, Q extends Record<string, Query>>(
  definition: Definition<O, Q>,
): DefinedStateMachine<O, Q> {
  const operations = functionsOf("operations", definition.operations);
  const queries = functionsOf("queries", definition.queries ?? {});
  return {
    name: definition.name,
    execute(view, bytes, context) {
      const { handler, args } = parse(operations, bytes);
      return encodeValue(handler(new TypedState(view), args, context) ?? null, RESULT_BYTES_MAX);
    },
    query(view, bytes) {
      const { handler, args } = parse(queries, bytes);
      return encodeValue(handler(new ReadonlyTypedState(view), args) ?? null, RESULT_BYTES_MAX);
    },
    operation: (name, ...args) => encodeCall(operations, name, args),
    question: (name, ...args) => encodeCall(queries, name, args),
    result: (_, bytes) => decodeReturned(bytes) as never,
    answer: (_, bytes) => decodeReturned(bytes) as never,
  };
}

/** The functions by name, in a Map: a name from a client reaches no prototype. */
function functionsOf<F extends Operation | Query>(
  field: string,
  functions: Readonly<Record<string, F>>,
): Map<string, F> {
  const byName = new Map<string, F>(Object.entries(functions));
  for (const [name, handler] of byName) {
    if (typeof handler === "function") continue;
    throw new ByzantineError("INVALID_CONFIG", `${field}.${name} is a function`, {
      field: `${field}.${name}`,
      accepted: "a function",
    });
  }
  return byName;
}

function parse<F>(handlers: ReadonlyMap<string, F>, bytes: Uint8Array): { handler: F; args: never } {
  const call = decodeValue(bytes);
  if (!Array.isArray(call) || call.length !== 2 || typeof call[0] !== "string")
    throw new OperationError("MALFORMED_OPERATION");
  const handler = handlers.get(call[0]);
  if (handler === undefined) throw new OperationError("UNKNOWN_OPERATION");
  return { handler, args: call[1] as never };
}

function encodeCall(handlers: ReadonlyMap<string, unknown>, name: string, args: readonly unknown[]): Uint8Array {
  if (!handlers.has(name)) throw new ByzantineError("INVALID_ARGUMENT", `there is no ${name}`, { name });
  return encodeValue([name, args[0] ?? null]);
}

function decodeReturned(bytes: Uint8Array): unknown {
  const value = decodeValue(bytes);
  if (value === undefined)
    throw new ByzantineError("INVALID_ARGUMENT", "these bytes are no result of a typed state machine");
  return value;
}
