/**
 * The addon as the rest of TypeScript sees it: it imports this file alone, and no other room knows the generated binding.
 *
 * Every error is a `ByzantineError`, except for a panic on the native side, which is a bug and stays a plain `Error`.
 * Arguments are used during the call only: nothing that is handed over is read or written after it returns.
 */
import { ByzantineError } from "../errors.ts";
import type {
  NativeBodyStore as BodyStoreBinding,
  NativeReactor,
  NativeSigner,
  NativeStatistics,
  NativeTransport,
  NativeVoteTable as VoteTableBinding,
} from "./binding.cjs";
import { binding, translate, typed } from "./call.ts";

export type { NativePeerStatistics, NativeReactorStatistics, NativeStatistics, NativeTraffic } from "./binding.cjs";
export {
  initDataDir,
  inspectDataDir,
  inspectSegment,
  removeSnapshot,
  segmentNumbers,
  SNAPSHOT_CHUNK_BYTES_MAX,
  SnapshotFileReader,
  SnapshotFileWriter,
  verifySnapshots,
} from "./data-dir.ts";
export type {
  DataDirContents,
  DataDirOwner,
  DataDirProblem,
  DataDirRefusal,
  SegmentContents,
  SnapshotContents,
  SnapshotRefusal,
  SnapshotStatus,
} from "./data-dir.ts";

export interface MemberConfig {
  /** Raw Ed25519 public key, 32 bytes. */
  readonly key: Uint8Array;
  /** "host:port"; "" where it is not known yet. */
  readonly address: string;
}

export interface LimitsConfig {
  readonly operationBytesMax: number;
  readonly batchBundlesMax: number;
  /** At most 4 MiB. */
  readonly batchBytesMax: number;
}

export interface TransportConfig {
  /** 32 bytes. */
  readonly clusterId: Uint8Array;
  readonly epoch: number;
  readonly maxFaults: number;
  /** In the order of replica ids, 1 to 31. */
  readonly members: readonly MemberConfig[];
  /** This replica; `undefined` for a client. */
  readonly me?: number | undefined;
  /** PKCS#8 PEM. */
  readonly secretKeyPem: string;
  readonly listenHost?: string | undefined;
  /** 0 for any free port. */
  readonly listenPort?: number | undefined;
  /** Admitted client keys; `undefined` for any. Members are always admitted. */
  readonly clients?: readonly Uint8Array[] | undefined;
  /** What both sides of a connection must agree on: 32-byte digests by unique names of 1 to 32 bytes. */
  readonly hello: readonly { readonly name: string; readonly digest: Uint8Array }[];
  readonly limits: LimitsConfig;
  /** Largest UDP payload, 1200 to 6500; 1452 by default. */
  readonly mtu?: number | undefined;
  /** Where a replica's journal is; without it nothing is durable. */
  readonly dataDir?: string | undefined;
}

/** Bytes that the output of a turn must hold: the largest frame or batch and its record. */
export const OUTPUT_BYTES_MIN: number = binding.outputBytesMin();

/**
 * The reactor of a replica. It lives in the worker thread that runs the core; each {@link Reactor.turn} drives the QUIC
 * endpoint on that very thread.
 */
export class Reactor {
  readonly #native: NativeReactor;
  readonly #outputs = new WeakSet<ArrayBufferLike>();

  /**
   * Opens the journal of `dataDir`, reads it, and binds the endpoint. `me`, `listenHost` and `listenPort` are required.
   * @throws ByzantineError `DATA_DIR` (`data.reason`: inUse, wiped, foreign, unsupportedVersion, corrupt, disk) before anything is bound.
   */
  constructor(config: TransportConfig) {
    this.#native = typed(() => new binding.NativeReactor(config as never));
  }

  /** The number that {@link wakeReactor} takes, in any thread. */
  get wakeHandle(): number {
    return this.#native.wakeHandle;
  }

  get localPort(): number {
    return this.#native.localPort;
  }

  /**
   * One turn, `WIRE.md` §7: carries out the first `length` bytes of `actions` and fills `output` with inputs. It returns
   * as soon as an input is ready or the reactor is woken, and sleeps no longer than `waitMs` and 50 ms; 0 polls.
   * Inputs that do not fit into `output` wait for the next turn.
   * @param output At least {@link OUTPUT_BYTES_MIN} bytes, in other memory than `actions`; neither in shared memory.
   * @returns How many bytes of `output` hold inputs.
   * @throws ByzantineError INVALID_ARGUMENT where an action is malformed, and after `shutdown` CLOSED.
   */
  turn(actions: Uint8Array, length: number, output: Uint8Array, waitMs: number): number {
    try {
      if (!this.#outputs.has(output.buffer)) this.#requireUnshared(output);
      if (!this.#outputs.has(actions.buffer)) this.#requireUnshared(actions);
      return this.#native.turn(actions, length, output, waitMs);
    } catch (error) {
      throw translate(error);
    }
  }

  /** From now on this replica is dialled at `address`, "host:port". */
  setMemberAddress(replica: number, address: string): void {
    typed(() => this.#native.setMemberAddress(replica, address));
  }

  /** Smoothed round trip time to each replica in milliseconds, in the order of their numbers; NaN where there is none. */
  roundTrips(): Float64Array {
    return typed(() => this.#native.roundTrips());
  }

  /**
   * Verified signatures of `signers` (a set) under a prepared certificate, by replica ascending, 64 bytes each; fewer where one is
   * not held. Ours is made where it is missing, and counts as sent.
   */
  preparedCertificate(view: number, sequence: number, digest: Uint8Array, signers: number): Uint8Array {
    return typed(() => this.#native.preparedCertificate(view, sequence, digest, signers));
  }

  /** The same under a checkpoint. */
  stableCertificate(sequence: number, digest: Uint8Array, signers: number): Uint8Array {
    return typed(() => this.#native.stableCertificate(sequence, digest, signers));
  }

  /** Our own PRE-PREPARE signature of (view, sequence, digest), which counts as sent; 64 bytes. */
  proposalSignature(view: number, sequence: number, digest: Uint8Array): Uint8Array {
    return typed(() => this.#native.proposalSignature(view, sequence, digest));
  }

  /** The two messages that a conflict names: records `u8 type | u32 length | signed payload | signature`; empty where they are not held. */
  evidence(digest: Uint8Array): Uint8Array {
    return typed(() => this.#native.evidence(digest));
  }

  /** What the journal holds, `WIRE.md` §7; can be taken once. Empty without a journal. */
  recovery(): Uint8Array {
    return typed(() => this.#native.recovery());
  }

  /**
   * Marks the journal as stopped in order and closes it; nothing that binds may be sent afterwards.
   * @throws ByzantineError `DATA_DIR` where the disk does not take it within `withinMs`.
   */
  cleanStop(withinMs: number): void {
    typed(() => this.#native.cleanStop(withinMs));
  }

  /** How long the journal's running write with its sync has lasted, in milliseconds; 0 when it is idle. */
  writingForMs(): number {
    return typed(() => this.#native.writingForMs());
  }

  /** A fresh object each time; meant for a few calls per second. */
  statistics(): NativeStatistics {
    return typed(() => this.#native.statistics());
  }

  /** Sends what is queued and closes all connections, in at most `withinMs` (60,000). Later calls do nothing. */
  shutdown(withinMs: number): void {
    typed(() => this.#native.shutdown(withinMs));
  }

  #requireUnshared({ buffer }: Uint8Array): void {
    if (!(buffer instanceof ArrayBuffer)) {
      throw new ByzantineError("INVALID_ARGUMENT", "the buffers of a turn are not shared between threads");
    }
    this.#outputs.add(buffer);
  }
}

/** Ends the sleep of the reactor with this handle, from any thread. Unknown and closed handles are ignored. */
export function wakeReactor(handle: number): void {
  binding.wakeReactor(handle);
}

/**
 * A transport on a native thread of its own, for programs that are not a replica's reactor.
 *
 * `onEvents` gets everything that arrived since its last call, in records `u8 kind | u32 length | body`:
 * - 1 FRAME: u8 from (255 for a client) | u32 client id | u8 lane | u8 type | payload
 * - 2 LINK: u8 peer | u8 up
 * - 3 REFUSED: u8 peer (255 for none) | reason
 * - 4 CLIENT: u32 client id | u8 up | key
 *
 * An open transport does not keep the process alive.
 */
export class Transport {
  readonly #native: NativeTransport;

  /** Binds the endpoint and begins to dial. */
  constructor(config: TransportConfig, onEvents: (events: Uint8Array) => void) {
    this.#native = typed(() => new binding.NativeTransport(config as never, onEvents));
  }

  /** 0 where it does not listen. */
  get localPort(): number {
    return this.#native.localPort;
  }

  /**
   * Sends records `u32 to | u8 lane | u8 type | u32 length | payload` as they are; nothing is signed. `to` is a set of
   * replicas, or 0x80000000 plus the id of a client. What cannot be queued is dropped and counted.
   */
  send(records: Uint8Array): void {
    typed(() => this.#native.send(records));
  }

  /** From now on this replica is dialled at `address`, "host:port". */
  setMemberAddress(replica: number, address: string): void {
    typed(() => this.#native.setMemberAddress(replica, address));
  }

  /** A fresh object each time. */
  statistics(): NativeStatistics {
    return typed(() => this.#native.statistics());
  }

  /** Sends what is queued, closes all connections and ends the thread. Idempotent. */
  async close(): Promise<void> {
    await typed(() => this.#native.close());
  }
}

/** A signing key that stays on the native side. */
export class Signer {
  readonly #native: NativeSigner;

  /** @param secretKeyPem PKCS#8 PEM. */
  constructor(secretKeyPem: string) {
    this.#native = typed(() => new binding.NativeSigner(secretKeyPem));
  }

  /** 32 bytes. */
  get publicKey(): Uint8Array {
    return this.#native.publicKey;
  }

  /** 64 bytes over the domain tag (cluster, epoch, type) and the payload. */
  sign(clusterId: Uint8Array, epoch: number, type: number, payload: Uint8Array): Uint8Array {
    return typed(() => this.#native.sign(clusterId, epoch, type, payload));
  }
}

/** A new key, PKCS#8 PEM. */
export function generateKey(): string {
  return typed(() => binding.generateKey());
}

/** The public key of a PKCS#8 PEM, 64 lower-case hexadecimal digits. */
export function publicKeyOf(secretKeyPem: string): string {
  return typed(() => binding.publicKeyOf(secretKeyPem));
}

/** "" for an acceptable public key, otherwise what is wrong with it. */
export function checkPublicKey(key: Uint8Array): string {
  return binding.checkPublicKey(key);
}

/** Whether `signature` is `key`'s over the domain tag and the payload (ZIP-215). */
export function verify(
  key: Uint8Array,
  clusterId: Uint8Array,
  epoch: number,
  type: number,
  payload: Uint8Array,
  signature: Uint8Array,
): boolean {
  return typed(() => binding.verify(key, clusterId, epoch, type, payload, signature));
}

/** One verdict (0, 1) per record `key 32 | u8 type | u32 length | payload | signature 64`: the same as {@link verify} of each. */
export function verifyBatch(clusterId: Uint8Array, epoch: number, items: Uint8Array): Uint8Array {
  return typed(() => binding.verifyRecords(clusterId, epoch, items));
}

/** 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return binding.sha256(bytes);
}

/** Digest of a BUNDLE payload with its signature, 32 bytes. */
export function bundleDigest(signedBundle: Uint8Array): Uint8Array {
  return binding.bundleDigest(signedBundle);
}

/** Digest of a batch of bundles whose digests stand in `digests`, 32 bytes each. */
export function batchDigest(timeMs: number, digests: Uint8Array): Uint8Array {
  return typed(() => binding.batchDigest(timeMs, digests));
}

/** Digest of a result; `status` is its number on the wire. */
export function resultDigest(status: number, result: Uint8Array): Uint8Array {
  return binding.resultDigest(status, result);
}

/** Writes the SHA-256 of `input[ends[i-1] … ends[i])` to `output[32 i …]`, for i < count, in one crossing. */
export function hashMany(input: Uint8Array, ends: Uint32Array, count: number, output: Uint8Array): void {
  typed(() => binding.hashMany(input, ends, count, output));
}

/** What the native decoder makes of a payload: "" or a `DecodeReason`. For the differential fuzz test. */
export function decodeCheck(type: number, payload: Uint8Array): string {
  return binding.decodeCheck(type, payload);
}

/** The addon's version. */
export function nativeVersion(): string {
  return binding.nativeVersion();
}

/** The vote table by itself, for the contract tests that its simulated form shares. */
export const NativeVoteTable: typeof VoteTableBinding = binding.NativeVoteTable;
export type NativeVoteTable = VoteTableBinding;
/** The body store by itself, for the same. */
export const NativeBodyStore: typeof BodyStoreBinding = binding.NativeBodyStore;
export type NativeBodyStore = BodyStoreBinding;
