/** The state as typed state machines see it: values under string keys. */
import { ByzantineError } from "../errors.ts";
import type { Range, ReadonlyStateView, StateView } from "./interfaces.ts";
import { decodeText, decodeValue, encodeText, encodeValue } from "./value.ts";

/** Keys to walk, in the order of their UTF-8 bytes unless `reverse`. */
export interface TextRange {
  readonly gte?: string;
  readonly lt?: string;
  readonly prefix?: string;
  readonly reverse?: boolean;
  readonly limit?: number;
}

export class ReadonlyTypedState {
  readonly #view: ReadonlyStateView;

  constructor(view: ReadonlyStateView) {
    this.#view = view;
  }

  /** Number of entries. */
  get size(): number {
    return this.#view.size;
  }

  /** The value under a key, or `undefined`. What was stored is decoded anew, so changing it changes no state. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows what it has stored
  get<T = unknown>(key: string): T | undefined {
    const bytes = this.#view.get(encodeText(key));
    return bytes === undefined ? undefined : (stored(bytes) as T);
  }

  has(key: string): boolean {
    return this.#view.has(encodeText(key));
  }

  /** Entries in order. Writing while they are walked ends the walk with an error. */
  *entries<T = unknown>(range: TextRange = {}): IterableIterator<[key: string, value: T]> {
    for (const [key, value] of this.#view.range(bytesRange(range))) yield [decodeText(key) ?? "", stored(value) as T];
  }
}

export class TypedState extends ReadonlyTypedState {
  readonly #view: StateView;

  constructor(view: StateView) {
    super(view);
    this.#view = view;
  }

  /** @throws ByzantineError `INVALID_ARGUMENT` for keys and values that cannot be stored (`value.ts` says which can). */
  set(key: string, value: unknown): void {
    this.#view.set(encodeText(key), encodeValue(value));
  }

  /** Whether there was an entry. */
  delete(key: string): boolean {
    return this.#view.delete(encodeText(key));
  }
}

function stored(bytes: Uint8Array): unknown {
  const value = decodeValue(bytes);
  if (value === undefined)
    throw new ByzantineError("INVALID_ARGUMENT", "the entry was not written by a typed state machine");
  return value;
}

function bytesRange(range: TextRange): Range {
  const bounds: { -readonly [K in keyof Range]: Range[K] } = {};
  for (const name of ["gte", "lt", "prefix"] as const) {
    const text = Object.hasOwn(range, name) ? range[name] : undefined;
    if (text !== undefined) bounds[name] = encodeText(text);
  }
  if (Object.hasOwn(range, "limit") && range.limit !== undefined) bounds.limit = range.limit;
  bounds.reverse = Object.hasOwn(range, "reverse") && range.reverse === true;
  return bounds;
}
