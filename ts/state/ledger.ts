/** The one entry that each batch writes: how far execution has come. */
import { Reader, Writer } from "../codec/bytes.ts";
import { keyOf, LEDGER_PREFIX } from "./layout.ts";
import type { MapReader, ReplicatedMap } from "./replicated-map.ts";

const KEY = keyOf(LEDGER_PREFIX);
const LEDGER_BYTES = 24;

export interface Ledger {
  /** The last executed batch; 0 before the first. */
  sequence: number;
  /** Agreed time of that batch, never decreasing. */
  timeMs: number;
  /** Sessions opened ever: the id of the latest. */
  sessionsOpened: number;
}

export function readLedger(map: MapReader): Ledger {
  const value = map.get(KEY);
  if (value === undefined) return { sequence: 0, timeMs: 0, sessionsOpened: 0 };
  const reader = new Reader(value);
  return { sequence: reader.u53(), timeMs: reader.u53(), sessionsOpened: reader.u53() };
}

export function writeLedger(map: ReplicatedMap, ledger: Ledger): void {
  const writer = new Writer(LEDGER_BYTES);
  writer.u53(ledger.sequence);
  writer.u53(ledger.timeMs);
  writer.u53(ledger.sessionsOpened);
  map.set(KEY, writer.buffer);
}
