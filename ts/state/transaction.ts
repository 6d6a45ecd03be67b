/** What a state machine sees of the replicated map: its own entries, and writes that last only if the operation succeeds. */
import { ByzantineError } from "../errors.ts";
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from "./interfaces.ts";
import type { Range, ReadonlyStateView, StateView } from "./interfaces.ts";
import { APPLICATION_PREFIX } from "./layout.ts";
import type { Entry, MapReader, ReplicatedMap } from "./replicated-map.ts";

const PREFIX = Uint8Array.of(APPLICATION_PREFIX);
/** Arrays up to here lie within the engine's own heap, where a copy costs less than asking what memory it is a view of. */
const SMALL_BYTES_MAX = 64;

/** The application's entries of the map or of one of its versions. */
export class ApplicationView implements ReadonlyStateView {
  readonly #map: MapReader;
  /** A map key under construction. */
  protected readonly scratch: Uint8Array = new Uint8Array(KEY_BYTES_MAX + 1).fill(APPLICATION_PREFIX, 0, 1);

  constructor(map: MapReader) {
    this.#map = map;
  }

  get size(): number {
    return this.#map.count(PREFIX);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const length = this.load(key);
    return length > this.scratch.length ? undefined : this.#map.find(this.scratch, length);
  }

  has(key: Uint8Array): boolean {
    return this.get(key) !== undefined;
  }

  range(range: Range = {}): IterableIterator<Entry> {
    return withoutPrefix(this.#map.range(prefixed(range)));
  }

  /** Brings the key behind the application's prefix into `scratch`, if it fits; returns the length of both. */
  protected load(key: Uint8Array): number {
    if (!(key instanceof Uint8Array)) throw new ByzantineError("INVALID_ARGUMENT", "a key is a Uint8Array");
    const { scratch } = this;
    const { length } = key;
    if (length > SMALL_BYTES_MAX) {
      if (length < scratch.length) scratch.set(key, 1);
    } else {
      for (let i = 0; i < length; i++) scratch[i + 1] = key[i]!;
    }
    return length + 1;
  }
}

/**
 * The view that `execute` gets. It keeps what each write replaced, so that undoing a failed operation costs as much as its
 * writes did and no version has to be frozen per operation. Between operations it refuses everything: a state machine that
 * keeps its view and uses it later would do so at another moment on each replica.
 */
export class Transaction extends ApplicationView implements StateView {
  readonly #map: ReplicatedMap;
  #active = false;
  /** Counts operations, so that a walk does not outlive the one that began it. */
  #operation = 0;
  readonly #keys: Uint8Array[] = [];
  readonly #before: (Uint8Array | undefined)[] = [];

  constructor(map: ReplicatedMap) {
    super(map);
    this.#map = map;
  }

  begin(): void {
    this.#active = true;
    this.#operation++;
  }

  /** Ends the operation; its writes stay. */
  commit(): void {
    this.#active = false;
    this.#keys.length = 0;
    this.#before.length = 0;
  }

  /** Ends the operation and undoes its writes, the last one first. */
  rollback(): void {
    for (let i = this.#keys.length - 1; i >= 0; i--) {
      const before = this.#before[i];
      if (before === undefined) this.#map.delete(this.#keys[i]!);
      else this.#map.set(this.#keys[i]!, before);
    }
    this.commit();
  }

  override get size(): number {
    this.#requireActive();
    return super.size;
  }

  set(key: Uint8Array, value: Uint8Array): void {
    const length = this.load(key);
    if (length > this.scratch.length) {
      throw new ByzantineError("INVALID_ARGUMENT", `a key has at most ${KEY_BYTES_MAX} bytes, not ${key.length}`);
    }
    if (!(value instanceof Uint8Array)) throw new ByzantineError("INVALID_ARGUMENT", "a value is a Uint8Array");
    if (value.length > VALUE_BYTES_MAX) {
      throw new ByzantineError("INVALID_ARGUMENT", `a value has at most ${VALUE_BYTES_MAX} bytes, not ${value.length}`);
    }
    const before = this.#map.find(this.scratch, length);
    const entry = this.#map.put(this.scratch, length, compact(value));
    this.#keys.push(entry.key);
    this.#before.push(before);
  }

  delete(key: Uint8Array): boolean {
    const length = this.load(key);
    if (length > this.scratch.length) return false;
    const entry = this.#map.entry(this.scratch, length);
    if (entry === undefined) return false;
    this.#keys.push(entry.key);
    this.#before.push(entry.value);
    return this.#map.remove(this.scratch, length);
  }

  override range(range: Range = {}): IterableIterator<Entry> {
    this.#requireActive();
    return this.#whileActive(super.range(range), this.#operation);
  }

  protected override load(key: Uint8Array): number {
    this.#requireActive();
    return super.load(key);
  }

  #requireActive(): void {
    if (!this.#active) throw closed();
  }

  *#whileActive(entries: IterableIterator<Entry>, operation: number): IterableIterator<Entry> {
    for (;;) {
      if (!this.#active || this.#operation !== operation) throw closed();
      const next = entries.next();
      if (next.done === true) return;
      yield next.value;
    }
  }
}

/** The value as an array that owns its memory, so that a small value cannot keep a large buffer alive. */
function compact(value: Uint8Array): Uint8Array {
  if (value.length <= SMALL_BYTES_MAX) return new Uint8Array(value);
  const whole = value.length === value.buffer.byteLength && value.constructor === Uint8Array;
  return whole ? value : new Uint8Array(value);
}

function closed(): ByzantineError {
  return new ByzantineError("CLOSED", "a state view is used while its operation executes, not later");
}

function prefixed(range: Range): Range {
  const own = (name: "gte" | "lt" | "prefix"): Uint8Array | undefined => {
    const key = Object.hasOwn(range, name) ? range[name] : undefined;
    if (key !== undefined && !(key instanceof Uint8Array)) {
      throw new ByzantineError("INVALID_ARGUMENT", `${name} of a range is a Uint8Array`);
    }
    return key === undefined ? undefined : behindPrefix(key);
  };
  const gte = own("gte");
  const lt = own("lt");
  return {
    prefix: own("prefix") ?? PREFIX,
    ...(gte === undefined ? {} : { gte }),
    ...(lt === undefined ? {} : { lt }),
    ...(Object.hasOwn(range, "limit") && range.limit !== undefined ? { limit: range.limit } : {}),
    reverse: Object.hasOwn(range, "reverse") && range.reverse === true,
  };
}

function behindPrefix(key: Uint8Array): Uint8Array {
  const whole = new Uint8Array(key.length + 1);
  whole[0] = APPLICATION_PREFIX;
  whole.set(key, 1);
  return whole;
}

function* withoutPrefix(entries: IterableIterator<Entry>): IterableIterator<Entry> {
  for (const [key, value] of entries) yield [key.slice(1), value];
}
