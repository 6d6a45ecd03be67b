/** A replica's data directory: made once, looked at, and the snapshots in it. Passed on by `native.ts`. */
import type {
  NativeDataDir,
  NativeDataDirProblem,
  NativeDataDirRefusal,
  NativeSegment,
  NativeSnapshot,
  NativeSnapshotReader,
  NativeSnapshotRefusal,
  NativeSnapshotWriter,
} from "./binding.cjs";
import { binding, typed } from "./call.ts";

/** Whose data directory it is. */
export interface DataDirOwner {
  /** 32 bytes. */
  readonly clusterId: Uint8Array;
  readonly epoch: number;
  /** The replica's public key, 32 bytes. */
  readonly replicaKey: Uint8Array;
}

/** Why a data directory, a segment or a snapshot cannot be used. */
export type DataDirProblem = Readonly<NativeDataDirProblem>;
/** What recovery would find in a data directory. */
export type DataDirContents = Readonly<NativeDataDir>;
/** What recovery would refuse, and why. */
export type DataDirRefusal = Readonly<NativeDataDirRefusal>;
/** A segment file with all that is in it; `header` is text where there is none. */
export type SegmentContents = Readonly<NativeSegment>;
/** A snapshot of which every byte was checked. */
export type SnapshotContents = Readonly<NativeSnapshot>;
/** A snapshot that cannot be used, and why. */
export type SnapshotRefusal = Readonly<NativeSnapshotRefusal>;

/** Bytes of a snapshot's chunk at most. */
export const SNAPSHOT_CHUNK_BYTES_MAX: number = binding.snapshotChunkBytesMax();

/** How far a snapshot is. */
export type SnapshotStatus =
  | { readonly state: "writing" }
  /** Durable under its name. */
  | { readonly state: "done" }
  /** `reason` is "fsyncFailed", "full", "readOnly", "corrupt" or "aborted"; the snapshots before it are untouched. */
  | { readonly state: "failed"; readonly reason: string; readonly text: string };

const WRITING: SnapshotStatus = { state: "writing" };
const DONE: SnapshotStatus = { state: "done" };

/**
 * Writes a snapshot on a native thread of its own; no call blocks on the disk. Without {@link SnapshotFileWriter.finish}
 * it never was, also where the object is collected. One is written at a time in a directory: the second of two waits for
 * the end of the first. It does not keep the process alive.
 */
export class SnapshotFileWriter {
  readonly #native: NativeSnapshotWriter;

  /**
   * Begins a snapshot of the state after `sequence`. What the disk refuses is in {@link SnapshotFileWriter.status}.
   * @param digest Of the state, 32 bytes.
   * @param firstBytes The first chunk.
   */
  constructor(dir: string, owner: DataDirOwner, sequence: number, digest: Uint8Array, firstBytes?: Uint8Array) {
    const { clusterId, epoch, replicaKey } = owner;
    this.#native = typed(
      () => new binding.NativeSnapshotWriter(dir, clusterId, epoch, replicaKey, sequence, digest, firstBytes),
    );
  }

  /**
   * Copies a chunk of at most {@link SNAPSHOT_CHUNK_BYTES_MAX} bytes.
   * @returns False while 4 chunks wait already, and for ever once the snapshot has failed: nothing was copied then.
   * @throws ByzantineError INVALID_ARGUMENT where it is longer, CLOSED after `finish` or `abort`.
   */
  write(chunk: Uint8Array): boolean {
    return typed(() => this.#native.write(chunk));
  }

  /** There are no more chunks: what waits is written and the snapshot made durable, also without this object. */
  finish(): void {
    typed(() => this.#native.finish());
  }

  /** Gives the snapshot up; nothing after `finish`. */
  abort(): void {
    typed(() => this.#native.abort());
  }

  /** How far it is; nothing announces a change. */
  status(): SnapshotStatus {
    const text = typed(() => this.#native.status());
    if (text === "writing") return WRITING;
    if (text === "done") return DONE;
    const [, reason = "", why = ""] = /^failed: (\w+): (.*)$/su.exec(text) ?? [];
    return { state: "failed", reason, text: why };
  }
}

/** Reads a snapshot chunk by chunk; every call blocks on the disk. */
export class SnapshotFileReader {
  readonly #native: NativeSnapshotReader;

  /**
   * Sequences of the owner's snapshots in `dir` whose headers are sound, the newest first.
   * @throws ByzantineError DATA_DIR "disk" where the directory cannot be read.
   */
  static list(dir: string, { clusterId, epoch, replicaKey }: DataDirOwner): readonly number[] {
    return typed(() => binding.NativeSnapshotReader.list(dir, clusterId, epoch, replicaKey));
  }

  /** @throws ByzantineError DATA_DIR: "corrupt", "foreign", "unsupportedVersion" or "disk". */
  constructor(dir: string, { clusterId, epoch, replicaKey }: DataDirOwner, sequence: number) {
    this.#native = typed(() => new binding.NativeSnapshotReader(dir, clusterId, epoch, replicaKey, sequence));
  }

  get sequence(): number {
    return this.#native.sequence;
  }

  /** The state's digest, 32 bytes. */
  get digest(): Uint8Array {
    return this.#native.digest;
  }

  /**
   * The next chunk, which was checked.
   * @returns Null after the last one, once the snapshot is known to be complete.
   * @throws ByzantineError DATA_DIR "corrupt" or "disk": what was handed out before must not be used then.
   */
  nextChunk(): Uint8Array | null {
    return typed(() => this.#native.nextChunk());
  }
}

/**
 * Removes a snapshot durably, such as a damaged one that would outlive a sound older one.
 * @throws ByzantineError DATA_DIR "disk", also where there is none.
 */
export function removeSnapshot(dir: string, sequence: number): void {
  typed(() => binding.removeSnapshot(dir, sequence));
}

/**
 * Makes `dir` a data directory, durably; a new one has mode 0700. Once per replica, by the operator. `wiped` says that the
 * disk was lost: an empty journal is then never taken for a first start.
 * @throws ByzantineError DATA_DIR: "alreadyInitialized", "notEmpty", "inUse" or "disk"; nothing was changed except by the last.
 */
export function initDataDir(dir: string, { clusterId, epoch, replicaKey }: DataDirOwner, wiped: boolean): void {
  typed(() => binding.initDataDir(dir, clusterId, epoch, replicaKey, wiped));
}

/** What recovery would find, or why it would refuse. Changes nothing, takes no lock; a running replica's tail may look torn. */
export function inspectDataDir(dir: string): DataDirContents | DataDirRefusal {
  return typed(() => binding.inspectDataDir(dir));
}

/**
 * Numbers of the segment files that are there, ascending.
 * @throws ByzantineError DATA_DIR "disk" where the directory cannot be read.
 */
export function segmentNumbers(dir: string): readonly number[] {
  return typed(() => binding.segmentNumbers(dir));
}

/**
 * One segment with its damage. Memory: the file, at most 64 MiB and a little, and an object per item.
 * @throws ByzantineError DATA_DIR where the marker or the file cannot be read.
 */
export function inspectSegment(dir: string, number: number): SegmentContents {
  return typed(() => binding.inspectSegment(dir, number));
}

/**
 * Reads every snapshot whole, whoever it belongs to, the newest first. Changes nothing and takes no lock.
 * @throws ByzantineError DATA_DIR "disk" where the directory cannot be read.
 */
export function verifySnapshots(dir: string): readonly (SnapshotContents | SnapshotRefusal)[] {
  return typed(() => binding.verifySnapshots(dir));
}
