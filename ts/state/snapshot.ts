/**
 * The entries of a map as one stream of bytes, in the order of their keys: `u16 key length | u32 value length | key | value`. The tree
 * depends on the entries alone, so whoever reads them has the same root.
 */
import { ByzantineError } from "../errors.ts";
import { VALUE_BYTES_MAX } from "./interfaces.ts";
import { MAP_KEY_BYTES_MAX, type Entry, type MapVersion, type ReplicatedMap } from "./replicated-map.ts";

const HEAD_BYTES = 6;
const ENTRY_BYTES_MAX = HEAD_BYTES + MAP_KEY_BYTES_MAX + VALUE_BYTES_MAX;

/** Writes a version a chunk at a time. */
export class SnapshotEncoder {
  readonly #entries: IterableIterator<Entry>;
  readonly #chunk: Uint8Array;
  readonly #entry = new Uint8Array(ENTRY_BYTES_MAX);
  readonly #view = new DataView(this.#entry.buffer);
  /** What of the current entry is not in a chunk yet. */
  #from = 0;
  #to = 0;

  constructor(version: MapVersion, chunkBytes: number) {
    this.#entries = version.range();
    this.#chunk = new Uint8Array(chunkBytes);
  }

  /** The next chunk, valid until the call after; undefined when all are written. */
  next(): Uint8Array | undefined {
    let filled = 0;
    while (filled < this.#chunk.length && (this.#from < this.#to || this.#load())) {
      const part = this.#entry.subarray(this.#from, Math.min(this.#to, this.#from + this.#chunk.length - filled));
      this.#chunk.set(part, filled);
      this.#from += part.length;
      filled += part.length;
    }
    return filled === 0 ? undefined : this.#chunk.subarray(0, filled);
  }

  #load(): boolean {
    const { value: entry, done } = this.#entries.next();
    if (done === true) return false;
    const [key, value] = entry;
    this.#view.setUint16(0, key.length, true);
    this.#view.setUint32(2, value.length, true);
    this.#entry.set(key, HEAD_BYTES);
    this.#entry.set(value, HEAD_BYTES + key.length);
    this.#from = 0;
    this.#to = HEAD_BYTES + key.length + value.length;
    return true;
  }
}

/** Fills a map with what a {@link SnapshotEncoder} wrote, however it was cut. */
export class SnapshotDecoder {
  readonly #map: ReplicatedMap;
  readonly #entry = new Uint8Array(ENTRY_BYTES_MAX);
  readonly #view = new DataView(this.#entry.buffer);
  #filled = 0;

  constructor(map: ReplicatedMap) {
    this.#map = map;
  }

  /** @throws ByzantineError `DATA_DIR` where this is no entry. */
  add(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const part = chunk.subarray(at, at + this.#wanted() - this.#filled);
      this.#entry.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === this.#wanted()) this.#store();
    }
  }

  /** @throws ByzantineError `DATA_DIR` where an entry is not whole. */
  finish(): void {
    if (this.#filled > 0) damaged("it ends inside an entry");
  }

  /** Bytes of the entry as far as is known: its head, then all of it. */
  #wanted(): number {
    if (this.#filled < HEAD_BYTES) return HEAD_BYTES;
    const [keyBytes, valueBytes] = this.#lengths();
    if (keyBytes > MAP_KEY_BYTES_MAX || valueBytes > VALUE_BYTES_MAX) damaged("an entry is too long");
    return HEAD_BYTES + keyBytes + valueBytes;
  }

  #store(): void {
    const [keyBytes, valueBytes] = this.#lengths();
    // A head that has just become whole may announce more.
    if (this.#filled < HEAD_BYTES + keyBytes + valueBytes) return;
    const valueAt = HEAD_BYTES + keyBytes;
    this.#map.set(this.#entry.slice(HEAD_BYTES, valueAt), this.#entry.slice(valueAt, valueAt + valueBytes));
    this.#filled = 0;
  }

  #lengths(): [keyBytes: number, valueBytes: number] {
    return [this.#view.getUint16(0, true), this.#view.getUint32(2, true)];
  }
}

function damaged(what: string): never {
  throw new ByzantineError("DATA_DIR", `this is no snapshot: ${what}`, { reason: "corrupt" });
}
