/**
 * Checking of configuration, field by field: every complaint names the field by its path and what would be accepted.
 *
 * Input is whatever JSON or a caller's object holds; output is plain and complete. Nothing here knows which fields there are.
 */
import { ByzantineError } from "../errors.ts";

/** One value of a configuration with the path that leads to it. */
export class Field {
  readonly path: string;
  readonly value: unknown;

  constructor(path: string, value: unknown) {
    this.path = path;
    this.value = value;
  }

  /** @throws ByzantineError `INVALID_CONFIG`, `data` being `{field, accepted, got}`. */
  refuse(accepted: string): never {
    const got = printable(this.value);
    const field = this.path === "" ? "configuration" : this.path;
    throw new ByzantineError("INVALID_CONFIG", `${field} must be ${accepted}; got ${got}`, { field, accepted, got });
  }

  /** Whether the value was left out; `null` is a value. */
  get absent(): boolean {
    return this.value === undefined;
  }

  /** An integer in the range; `fallback` where the field is absent. */
  integer(min: number, max: number, fallback?: number): number {
    const { value } = this;
    if (value === undefined && fallback !== undefined) return fallback;
    // JSON and callers can say −0, which is not another number.
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value + 0;
    return this.refuse(`an integer, ${min} … ${max}`);
  }

  boolean(fallback?: boolean): boolean {
    if (this.value === undefined && fallback !== undefined) return fallback;
    return typeof this.value === "boolean" ? this.value : this.refuse("true or false");
  }

  /** @param accepted What the pattern means, for people. */
  text(pattern: RegExp, accepted: string): string {
    return typeof this.value === "string" && pattern.test(this.value) ? this.value : this.refuse(accepted);
  }

  oneOf<const T extends string>(names: readonly T[], fallback?: T): T {
    if (this.value === undefined && fallback !== undefined) return fallback;
    const found = names.find((name) => name === this.value);
    return found ?? this.refuse(names.map((name) => `"${name}"`).join(" or "));
  }

  /** The elements of an array of `min` to `max`. */
  list(min: number, max: number, accepted: string): Field[] {
    const { value } = this;
    if (!Array.isArray(value) || value.length < min || value.length > max) return this.refuse(accepted);
    return Array.from(value, (element: unknown, i) => new Field(`${this.path}[${i}]`, element));
  }

  /** The fields of an object that has no others than `names`; one that is left out is a `Field` that is `absent`. */
  object<const Name extends string>(names: readonly Name[]): Readonly<Record<Name, Field>> {
    const { value } = this;
    if (typeof value !== "object" || value === null || Array.isArray(value)) return this.refuse("an object");
    const given = value as Readonly<Record<string, unknown>>;
    for (const name of Object.keys(given)) {
      if (!(names as readonly string[]).includes(name) && given[name] !== undefined) {
        this.#at(name, given[name]).refuse(`absent: known here are ${names.join(", ")}`);
      }
    }
    const fields = {} as Record<Name, Field>;
    for (const name of names) fields[name] = this.#at(name, Object.hasOwn(given, name) ? given[name] : undefined);
    return fields;
  }

  /** Like {@link object}, where leaving all of it out means all defaults. */
  orEmpty<const Name extends string>(names: readonly Name[]): Readonly<Record<Name, Field>> {
    return this.absent ? new Field(this.path, {}).object(names) : this.object(names);
  }

  #at(name: string, value: unknown): Field {
    return new Field(this.path === "" ? name : `${this.path}.${name}`, value);
  }
}

/** Refuses the second of two fields with one value; `what` says what has to differ. */
export function requireDistinct(fields: readonly Field[], keys: readonly string[], what: string): void {
  const seen = new Map<string, Field>();
  for (const [i, key] of keys.entries()) {
    const field = fields[i]!;
    const earlier = seen.get(key);
    if (earlier !== undefined) field.refuse(`${what} of its own; ${earlier.path} has the same`);
    seen.set(key, field);
  }
}

/** Longest excerpt of a refused value in a message. */
const PRINTED_MAX = 80;

function printable(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number" || typeof value === "function" || typeof value === "symbol")
    return clipped(String(value));
  try {
    return clipped(JSON.stringify(value) ?? typeof value);
  } catch {
    return typeof value;
  }
}

function clipped(text: string): string {
  return text.length <= PRINTED_MAX ? text : `${text.slice(0, PRINTED_MAX)}…`;
}
