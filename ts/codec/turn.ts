/**
 * What crosses between TypeScript and the addon in one turn, `WIRE.md` §7: records `u8 kind | u32 length | body`.
 *
 * Both sides are this release, so a record that does not parse is our bug and throws. The payload of a control message comes
 * from a peer: one that the addon let through and this codec refuses is counted as rejected and never throws.
 * The addon has verified what it hands up; this is the place that turns its word into the type `Verified`.
 */
import type { DiskReason, EvidenceRef, Input } from "../protocol/core.ts";
import type { Control, Phase } from "../protocol/messages.ts";
import { REPLICAS_MAX } from "../protocol/types.ts";
import type { AgreedTime, Digest, ReplicaId } from "../protocol/types.ts";
import type { Lsn, Sequence, Verified, View } from "../protocol/types.ts";
import { DecodeError, DIGEST_BYTES, malformed, Reader } from "./bytes.ts";
import { decodeBody, decodeControl, typeName } from "./messages.ts";
import type { Bodies } from "./messages.ts";
import { readBundleRef } from "./records.ts";

export { ActionKind, ActionWriter } from "./actions.ts";

/** Why the addon dropped something, by the number of the reason in a REJECTED record. */
export const rejectReasons = [
  "malformed",
  "unexpectedType",
  "frameTooLong",
  "badSignature",
  "wrongSigner",
  "notPrimary",
  "notMember",
  "badHandshake",
  "helloDiffers",
  "unknownClient",
  "wrongClient",
  "wrongView",
  "belowWindow",
  "aboveWindow",
  "conflictingVote",
  "primaryVoted",
  "batchTooLarge",
  "bundleTooLarge",
  "overQuota",
  "unasked",
  "duplicate",
  "busy",
  "barred",
  "conflictingBundle",
] as const;

export type RejectReason = (typeof rejectReasons)[number];

/** The kinds of input records. */
export const InputKind = {
  control: 1,
  votes: 2,
  conflict: 3,
  request: 4,
  assembled: 5,
  body: 6,
  batch: 7,
  link: 8,
  rejected: 9,
  sealed: 10,
  persisted: 11,
  diskFailed: 12,
} as const;

/** The content of a batch whose bodies are held, for execution. */
export interface BatchRecord {
  readonly kind: "batch";
  readonly sequence: Sequence;
  readonly time: AgreedTime;
  /** In the order of the batch: payloads of BUNDLE without signature. Their bytes stay valid after the turn. */
  readonly bundles: readonly { readonly digest: Digest; readonly payload: Uint8Array }[];
}

/** Something was dropped `count` times; `peer` is undefined where no replica is to blame. */
export interface RejectedRecord {
  readonly kind: "rejected";
  readonly reason: RejectReason;
  readonly peer: ReplicaId | undefined;
  readonly count: number;
}

/** The types of messages that the shell handles without the core. */
export type ShellMessageName = "stateFetch" | "stateNodes";

/** A message for the shell; its bytes stay valid after the turn. */
export type PeerRecord = {
  readonly [K in ShellMessageName]: {
    readonly kind: "peer";
    readonly from: ReplicaId;
    readonly name: K;
    readonly body: Bodies[K];
  };
}[ShellMessageName];

/** What a turn brings: inputs of the core, and records for the shell. */
export type TurnInput =
  | Extract<
      Input,
      {
        readonly kind:
          | "persisted"
          | "diskFailed"
          | "control"
          | "votes"
          | "conflict"
          | "sealed"
          | "request"
          | "assembled"
          | "body"
          | "link";
      }
    >
  | BatchRecord
  | RejectedRecord
  | PeerRecord;

/** Stands for "no replica" where a record has a replica. */
const NO_REPLICA = 255;
/** Stands for a client's connection that sent again what was announced before. */
const AGAIN = 254;
const PHASES: readonly Phase[] = ["prepare", "commit"];
const BODY_STATUSES = ["invalid", "unavailable"] as const;
const DISK_REASONS: readonly DiskReason[] = ["fsyncFailed", "full", "readOnly", "corrupt", "stalled"];

/**
 * Appends the records of a turn to `inputs`, in their order.
 * @param buffer The output of the native call; nothing in `inputs` refers to it afterwards.
 * @throws Error where a record is malformed: addon and TypeScript are of different releases.
 */
export function readInputs(buffer: Uint8Array, length: number, inputs: TurnInput[]): void {
  const records = new Reader(buffer, 0, length);
  while (records.remaining > 0) {
    const at = records.position;
    try {
      const kind = records.u8();
      const size = records.u32();
      const body = records.position;
      records.raw(size);
      const record = new Reader(buffer, body, body + size);
      inputs.push(readRecord(kind, record));
      record.end();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      throw new Error(`the addon's record at byte ${at} of ${length} is malformed: ${error.reason}`, { cause: error });
    }
  }
}

function readRecord(kind: number, record: Reader): TurnInput {
  switch (kind) {
    case InputKind.control:
      return readControl(record);
    case InputKind.votes:
      return readVotes(record);
    case InputKind.conflict:
      return readConflict(record);
    case InputKind.request:
      return readRequest(record);
    case InputKind.assembled:
      return {
        kind: "assembled",
        view: record.u53() as View,
        sequence: record.u53() as Sequence,
        digest: record.digest(),
      };
    case InputKind.body:
      return { kind: "body", digest: record.digest(), status: record.choice(BODY_STATUSES) };
    case InputKind.batch:
      return readBatchRecord(record);
    case InputKind.link:
      return { kind: "link", peer: readPeer(record), up: record.boolean() };
    case InputKind.rejected:
      return readRejected(record);
    case InputKind.sealed:
      return { kind: "sealed", target: record.u53() as View, digest: record.digest() };
    case InputKind.persisted:
      return { kind: "persisted", upTo: record.u53() as Lsn };
    case InputKind.diskFailed:
      return { kind: "diskFailed", reason: record.choice(DISK_REASONS) };
    default:
      return malformed("unknownType");
  }
}

function readControl(record: Reader): TurnInput {
  const from = readPeer(record);
  const type = record.u8();
  const digest = record.digest();
  const body = record.raw(record.remaining);
  const name = typeName(type);
  switch (name) {
    case "stateFetch":
    case "stateNodes": {
      // Parts of it are views of what it is read from, and the turn's buffer is used again.
      const decoded = decodeBody(name, body.slice());
      return decoded.ok ? ({ kind: "peer", from, name, body: decoded.message } as PeerRecord) : refused(from);
    }
    default: {
      const decoded = decodeControl(type, body, digest);
      return decoded.ok ? controlInput(from, decoded.message) : refused(from);
    }
  }
}

function controlInput(from: ReplicaId, message: Control): TurnInput {
  return { kind: "control", from, message: verified(message) };
}

function readVotes(record: Reader): TurnInput {
  return {
    kind: "votes",
    phase: record.choice(PHASES),
    view: record.u53() as View,
    sequence: record.u53() as Sequence,
    digest: record.digest(),
    signers: verified(record.set()),
  };
}

function readConflict(record: Reader): TurnInput {
  const by = readPeer(record);
  const type = typeName(record.u8());
  const digest = record.digest();
  return { kind: "conflict", by, evidence: verified({ digest, type: requireEvidence(type) }) };
}

function readRequest(record: Reader): TurnInput {
  const origin = record.u8();
  const bundle = readBundleRef(record);
  const ofClient = origin === NO_REPLICA || origin === AGAIN;
  if (!ofClient && origin >= REPLICAS_MAX) malformed("outOfRange");
  const from = ofClient ? undefined : (origin as ReplicaId);
  return { kind: "request", bundle: verified(bundle), from, again: origin === AGAIN };
}

function readBatchRecord(turn: Reader): BatchRecord {
  // One copy for the whole batch: the turn's buffer is used again. What a payload holds is execution's to decode.
  const record = new Reader(turn.raw(turn.remaining).slice());
  const sequence = record.u53() as Sequence;
  const time = record.u53() as AgreedTime;
  const count = record.count32(DIGEST_BYTES + 4);
  const bundles: BatchRecord["bundles"][number][] = [];
  for (let i = 0; i < count; i++) {
    bundles.push({ digest: record.digest(), payload: record.bytes() });
  }
  record.end();
  return { kind: "batch", sequence, time, bundles };
}

function readRejected(record: Reader): RejectedRecord {
  const reason = record.choice(rejectReasons);
  return { kind: "rejected", reason, peer: readPeerOrNone(record), count: record.u32() };
}

function refused(peer: ReplicaId): RejectedRecord {
  return { kind: "rejected", reason: "malformed", peer, count: 1 };
}

function readPeer(record: Reader): ReplicaId {
  return readPeerOrNone(record) ?? malformed("outOfRange");
}

function readPeerOrNone(record: Reader): ReplicaId | undefined {
  const peer = record.u8();
  if (peer === NO_REPLICA) return undefined;
  if (peer >= REPLICAS_MAX) malformed("outOfRange");
  return peer as ReplicaId;
}

function requireEvidence(type: string | undefined): EvidenceRef["type"] {
  switch (type) {
    case "prePrepare":
    case "prepare":
    case "checkpoint":
    case "viewChange":
    case "newView":
      return type;
    default:
      return malformed("unknownType");
  }
}

function verified<T>(value: T): Verified<T> {
  return value as Verified<T>;
}
