/**
 * One client session: which of its operations were executed, and their results until the client has them.
 *
 * It mirrors what the map holds, and is read from there when it is first needed after a start or an undo:
 *
 *     0x01 | session           key client | u53 lastExecuted | u53 acknowledgedThrough | u16 count | count × (u16 first | u16 last)
 *     0x02 | session | first   u16 count | count × (u8 status | bytes result)
 *
 * The pairs are ranges of executed client sequences, as distances from acknowledgedThrough + 1. Results of consecutive
 * operations share an entry, so that a bundle costs one or two writes of the map and not one per operation.
 */
import { Reader, Writer } from "../codec/bytes.ts";
import { resultStatuses } from "../codec/client.ts";
import { hexOf } from "../codec/digest.ts";
import type { SessionSummary } from "../protocol/core.ts";
import type { ResultEntry, ResultStatus } from "../protocol/messages.ts";
import type { ClientKey, SessionId } from "../protocol/types.ts";
import { ExecutedSet } from "./executed-set.ts";
import { keyOf, lastNumberOf, RESULTS_PREFIX, SESSION_PREFIX } from "./layout.ts";
import type { ReplicatedMap } from "./replicated-map.ts";
import { RUN_BYTES } from "./session-limits.ts";
import type { SessionLimits } from "./session-limits.ts";

/** An entry of results is closed beyond this, so that results are dropped in small portions; one result may be longer. */
const RUN_BYTES_MAX = 16 * 1024;
const EMPTY = new Uint8Array(0);

/** Results of consecutive operations in one entry of the map. */
interface ResultRun {
  readonly first: number;
  readonly count: number;
  /** Of the entry's value. */
  readonly bytes: number;
}

/** What a session says of an operation before it is executed. */
export type Standing = "new" | "executed" | "acknowledged" | "outOfWindow";

export class Session {
  readonly id: SessionId;
  readonly client: ClientKey;
  /** The client's key for user code, in hexadecimal. */
  readonly clientHex: string;
  /** The last batch that executed an operation of it, or opened it. */
  lastExecuted: number;
  #acknowledgedThrough: number;
  readonly #executed: ExecutedSet = new ExecutedSet();
  readonly #runs: ResultRun[] = [];
  #resultBytes = 0;
  readonly #map: ReplicatedMap;
  readonly #limits: SessionLimits;
  /** Results of the open run: operations that were executed since the last `closeRun`. */
  readonly #writer: Writer;
  #first = 0;
  #count = 0;
  /** The run that was read last, since duplicates come as whole bundles. */
  #decoded: { readonly first: number; readonly entries: readonly ResultEntry[] } | undefined;

  private constructor(
    map: ReplicatedMap,
    limits: SessionLimits,
    writer: Writer,
    header: { id: SessionId; client: ClientKey; lastExecuted: number; acknowledgedThrough: number },
  ) {
    this.#map = map;
    this.#limits = limits;
    this.#writer = writer;
    this.id = header.id;
    this.client = header.client;
    this.clientHex = hexOf(header.client);
    this.lastExecuted = header.lastExecuted;
    this.#acknowledgedThrough = header.acknowledgedThrough;
  }

  static open(
    map: ReplicatedMap,
    limits: SessionLimits,
    writer: Writer,
    id: SessionId,
    client: ClientKey,
    lastExecuted: number,
  ): Session {
    return new Session(map, limits, writer, { id, client, lastExecuted, acknowledgedThrough: 0 });
  }

  /** Reads a session from the map; `undefined` if there is none of this id. */
  static load(map: ReplicatedMap, limits: SessionLimits, writer: Writer, id: SessionId): Session | undefined {
    const value = map.get(keyOf(SESSION_PREFIX, id));
    if (value === undefined) return undefined;
    const reader = new Reader(value);
    const client = reader.clientKey();
    const lastExecuted = reader.u53();
    const acknowledgedThrough = reader.u53();
    const session = new Session(map, limits, writer, { id, client, lastExecuted, acknowledgedThrough });
    for (let left = reader.u16(); left > 0; left--) {
      const first = acknowledgedThrough + 1 + reader.u16();
      session.#executed.add(first, acknowledgedThrough + 1 + reader.u16());
    }
    for (const [key, run] of map.range({ prefix: keyOf(RESULTS_PREFIX, id) })) {
      session.#runs.push({ first: lastNumberOf(key), count: new Reader(run).u16(), bytes: run.length });
      session.#resultBytes += RUN_BYTES + run.length;
    }
    return session;
  }

  /** The batch that a stored session was last executed in, without reading the rest of it. */
  static lastExecutedOf(header: Uint8Array): number {
    return new Reader(header, 32).u53();
  }

  /** What the core has to know of a stored session. */
  static summaryOf(session: SessionId, header: Uint8Array): SessionSummary {
    const reader = new Reader(header);
    const client = reader.clientKey();
    reader.u53();
    const acknowledgedThrough = reader.u53();
    const executed: (readonly [number, number])[] = [];
    for (let left = reader.u16(); left > 0; left--) {
      const first = acknowledgedThrough + 1 + reader.u16();
      executed.push([first, acknowledgedThrough + 1 + reader.u16()]);
    }
    return { session, client, acknowledgedThrough, executed };
  }

  get acknowledgedThrough(): number {
    return this.#acknowledgedThrough;
  }

  /** Takes note that the client has all results up to `through`; whether that is news. */
  acknowledge(through: number): boolean {
    if (through <= this.#acknowledgedThrough) return false;
    this.#acknowledgedThrough = through;
    this.#executed.dropThrough(through);
    let gone = 0;
    for (; gone < this.#runs.length; gone++) {
      const run = this.#runs[gone]!;
      if (run.first + run.count - 1 > through) break;
      this.#forget(run);
    }
    this.#runs.splice(0, gone);
    return true;
  }

  standingOf(sequence: number): Standing {
    if (sequence <= this.#acknowledgedThrough) return "acknowledged";
    if (sequence - this.#acknowledgedThrough > this.#limits.window) return "outOfWindow";
    return this.#executed.has(sequence) ? "executed" : "new";
  }

  /** The result of an operation that was executed before, or that it is gone. */
  resultOf(sequence: number): ResultEntry {
    const run = this.#runOf(sequence);
    if (run === undefined) return { sequence, status: "forgotten", result: EMPTY };
    if (this.#decoded?.first !== run.first) this.#decoded = { first: run.first, entries: this.#read(run) };
    return this.#decoded.entries[sequence - run.first]!;
  }

  /** Records a result; sequences that do not follow one another begin another run. */
  record(sequence: number, status: ResultStatus, result: Uint8Array): void {
    if (this.#count > 0 && (sequence !== this.#first + this.#count || this.#writer.length > RUN_BYTES_MAX))
      this.closeRun();
    if (this.#count === 0) {
      this.#first = sequence;
      this.#writer.reset();
      this.#writer.u16(0);
    }
    this.#count++;
    this.#writer.choice(resultStatuses, status);
    this.#writer.bytes(result);
  }

  /** Stores what was recorded, and drops the results of the lowest sequences beyond the bound. */
  closeRun(): void {
    if (this.#count === 0) return;
    const value = this.#writer.copy();
    value[0] = this.#count;
    value[1] = this.#count >>> 8;
    const run = { first: this.#first, count: this.#count, bytes: value.length };
    this.#count = 0;
    this.#executed.add(run.first, run.first + run.count - 1);
    this.#map.set(keyOf(RESULTS_PREFIX, this.id, run.first), value);
    this.#runs.splice(this.#indexAfter(run.first), 0, run);
    this.#resultBytes += RUN_BYTES + run.bytes;
    let gone = 0;
    while (this.#resultBytes > this.#limits.resultBytesMax) this.#forget(this.#runs[gone++]!);
    if (gone > 0) this.#runs.splice(0, gone);
  }

  /** Writes the session's own entry. */
  store(): void {
    const { firsts, lasts } = this.#executed;
    const base = this.#acknowledgedThrough + 1;
    const writer = new Writer(50 + 4 * firsts.length);
    writer.digest(this.client);
    writer.u53(this.lastExecuted);
    writer.u53(this.#acknowledgedThrough);
    writer.u16(firsts.length);
    for (let i = 0; i < firsts.length; i++) {
      writer.u16(firsts[i]! - base);
      writer.u16(lasts[i]! - base);
    }
    this.#map.set(keyOf(SESSION_PREFIX, this.id), writer.buffer);
  }

  /** Removes everything of it from the map. */
  remove(): void {
    for (const run of this.#runs) this.#forget(run);
    this.#map.delete(keyOf(SESSION_PREFIX, this.id));
  }

  #forget(run: ResultRun): void {
    this.#map.delete(keyOf(RESULTS_PREFIX, this.id, run.first));
    this.#resultBytes -= RUN_BYTES + run.bytes;
    this.#decoded = undefined;
  }

  #runOf(sequence: number): ResultRun | undefined {
    const run = this.#runs[this.#indexAfter(sequence) - 1];
    return run !== undefined && sequence < run.first + run.count ? run : undefined;
  }

  #read(run: ResultRun): ResultEntry[] {
    const reader = new Reader(this.#map.get(keyOf(RESULTS_PREFIX, this.id, run.first))!, 2);
    const entries: ResultEntry[] = [];
    for (let i = 0; i < run.count; i++) {
      entries.push({ sequence: run.first + i, status: reader.choice(resultStatuses), result: reader.bytes() });
    }
    return entries;
  }

  /** Number of runs that begin at `sequence` or before. */
  #indexAfter(sequence: number): number {
    let low = 0;
    let high = this.#runs.length;
    if (high > 0 && this.#runs[high - 1]!.first <= sequence) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle]!.first <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
