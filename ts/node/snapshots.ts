/**
 * Our own snapshots: the state after a stable checkpoint, written from its frozen version while later batches execute, a chunk between
 * two turns; and the newest sound one when a process starts. Nothing here waits for the disk: a native thread writes and syncs.
 */
import { bytesOf, digestAt } from "../codec/digest.ts";
import { SnapshotFileReader, SnapshotFileWriter, removeSnapshot, type DataDirOwner } from "../native/native.ts";
import type { Digest, Instant, Sequence } from "../protocol/types.ts";
import type { Hasher } from "../state/interfaces.ts";
import { ReplicatedMap, type MapVersion } from "../state/replicated-map.ts";
import { SnapshotDecoder, SnapshotEncoder } from "../state/snapshot.ts";

/** A chunk between two turns takes about a millisecond to copy. */
const CHUNK_BYTES = 256 * 1024;
/** While the disk is behind, its thread is asked again so often. */
const POLL_MS = 5;
/** A file is written no more often than this. */
const PAUSE_MS = 1_000;
/** A state up to this size is written at any time. */
const SMALL_BYTES = 1024 * 1024;
/**
 * Bytes executed until the next one of a larger state, as a share of the last one's: so all that is written stays within three times
 * what is executed, and a restart executes no more than this again.
 */
const GROWTH = 0.5;
/** At most so many bytes are executed again at a restart, however large the state. */
const GROWTH_BYTES_MAX = 256 * 1024 * 1024;

/** A state to start from. */
export interface LoadedSnapshot {
  readonly sequence: Sequence;
  readonly version: MapVersion;
}

/** What is to be written; `version` stays as it is. */
interface Wanted {
  readonly sequence: Sequence;
  readonly digest: Digest;
  readonly version: MapVersion;
}

interface Writing {
  readonly wanted: Wanted;
  readonly file: SnapshotFileWriter;
  readonly encoder: SnapshotEncoder;
  /** The chunk that the disk's thread had no room for. */
  chunk: Uint8Array | undefined;
  /** All chunks are handed over. */
  finished: boolean;
  bytes: number;
}

export class Snapshots {
  readonly #dir: string;
  readonly #owner: DataDirOwner;
  #writing: Writing | undefined;
  /** The one to write when the one before is durable. */
  #next: Wanted | undefined;
  #durable: Sequence[] = [];
  /** Bytes of the last one, and of what was executed since it was begun. */
  #lastBytes = 0;
  #executedBytes = 0;
  #begunAt = -Infinity;
  /** When {@link work} has something to do again. */
  #workAt = 0;

  constructor(dir: string, owner: DataDirOwner) {
    this.#dir = dir;
    this.#owner = owner;
  }

  /**
   * The newest that is whole and has the root that its header names. Others are removed, so that they do not outlive it.
   * @throws ByzantineError `DATA_DIR` where the directory cannot be read.
   */
  load(hasher: Hasher): LoadedSnapshot | undefined {
    for (const sequence of SnapshotFileReader.list(this.#dir, this.#owner)) {
      try {
        return this.#read(sequence as Sequence, hasher);
      } catch (error) {
        process.emitWarning(`the snapshot of sequence ${sequence} is not used: ${String(error)}`, {
          type: "ByzantineWarning",
          code: "BYZANTINE_SNAPSHOT_DAMAGED",
        });
        removeSnapshot(this.#dir, sequence);
      }
    }
    return undefined;
  }

  /** So many bytes of operations were executed. */
  executed(bytes: number): void {
    this.#executedBytes += bytes;
  }

  /** Whether enough was executed since the last one. */
  due(now: Instant): boolean {
    const growth = this.#lastBytes <= SMALL_BYTES ? 0 : Math.min(this.#lastBytes * GROWTH, GROWTH_BYTES_MAX);
    return this.#executedBytes >= growth && now >= this.#begunAt + PAUSE_MS && this.#writing === undefined;
  }

  /** Writes a state; {@link take} tells when it is durable, unless a newer one takes its place. */
  write(wanted: Wanted, now: Instant): void {
    this.#next = wanted;
    this.#begin(now);
  }

  /** Whether {@link work} has something to do now. */
  ready(now: Instant): boolean {
    return this.#durable.length > 0 || (this.#pending && now >= this.#workAt);
  }

  deadline(): Instant | undefined {
    return this.#pending ? (this.#workAt as Instant) : undefined;
  }

  /** Hands over one chunk, or looks whether all are durable. */
  work(now: Instant): void {
    if (now < this.#workAt) return;
    this.#begin(now);
    const writing = this.#writing;
    if (writing === undefined) return;
    if (writing.finished) return this.#poll(writing, now);
    writing.chunk ??= writing.encoder.next();
    if (writing.chunk === undefined) {
      writing.file.finish();
      writing.finished = true;
    } else if (writing.file.write(writing.chunk)) {
      writing.bytes += writing.chunk.length;
      writing.chunk = undefined;
    } else this.#poll(writing, now);
  }

  /** The sequences whose states became durable since the last call. */
  take(): Sequence[] {
    return this.#durable.splice(0);
  }

  get #pending(): boolean {
    return this.#writing !== undefined || this.#next !== undefined;
  }

  #poll({ wanted, file, bytes }: Writing, now: Instant): void {
    this.#workAt = now + POLL_MS;
    const status = file.status();
    if (status.state === "writing") return;
    this.#writing = undefined;
    if (status.state === "done") {
      this.#lastBytes = bytes;
      this.#durable.push(wanted.sequence);
      return;
    }
    // Nothing rests on it: the journal keeps its records. The disk may have room again later.
    process.emitWarning(
      `the snapshot of sequence ${wanted.sequence} could not be written: ${status.reason}: ${status.text}`,
      {
        type: "ByzantineWarning",
        code: "BYZANTINE_SNAPSHOT_FAILED",
      },
    );
    this.#next ??= wanted;
    this.#workAt = now + PAUSE_MS;
  }

  #begin(now: Instant): void {
    if (this.#writing !== undefined || this.#next === undefined) return;
    const wanted = this.#next;
    this.#next = undefined;
    this.#executedBytes = 0;
    this.#begunAt = now;
    const { sequence, digest, version } = wanted;
    const file = new SnapshotFileWriter(this.#dir, this.#owner, sequence, bytesOf(digest));
    const encoder = new SnapshotEncoder(version, CHUNK_BYTES);
    this.#writing = { wanted, file, encoder, chunk: undefined, finished: false, bytes: 0 };
  }

  #read(sequence: Sequence, hasher: Hasher): LoadedSnapshot {
    const file = new SnapshotFileReader(this.#dir, this.#owner, sequence);
    const map = new ReplicatedMap();
    const decoder = new SnapshotDecoder(map);
    for (let chunk = file.nextChunk(); chunk !== null; chunk = file.nextChunk()) {
      decoder.add(chunk);
      this.#lastBytes += chunk.length;
    }
    decoder.finish();
    const version = map.freeze();
    if (version.root(hasher) !== digestAt(file.digest, 0)) throw new Error("its entries have another root");
    return { sequence, version };
  }
}
