/**
 * Every message of `WIRE.md` §4 as canonical bytes, and back. Bodies are payloads without the sender's signature, which whoever
 * holds the key appends; the families are in `batch.ts`, `viewChange.ts`, `status.ts`, `state.ts` and `client.ts`.
 */
import type {
  Checkpoint,
  Complaint,
  Control,
  Decided,
  Fetch,
  FetchedBatch,
  Outgoing,
  PrePrepare,
  StateFetch,
  StateNodes,
  Status,
  Unavailable,
  Vote,
} from "../protocol/messages.ts";
import { ZERO_DIGEST } from "../protocol/types.ts";
import type { Digest, ReplicaId } from "../protocol/types.ts";
import * as batch from "./batch.ts";
import { decode, malformed, SIGNATURE_BYTES } from "./bytes.ts";
import type { DecodeResult, Reader, Writer } from "./bytes.ts";
import * as client from "./client.ts";
import type { Bundle, Busy, Read, ReadAnswer, Reply } from "./client.ts";
import * as state from "./state.ts";
import * as status from "./status.ts";
import * as viewChange from "./viewChange.ts";
import type { Certificate, DecodedNewView, DecodedViewChange, SignatureSource } from "./viewChange.ts";

/** The types of messages by their number on the wire. HELLO is the transport's own and has no codec here. */
export const MessageType = {
  hello: 0x01,
  bundle: 0x10,
  reply: 0x11,
  busy: 0x12,
  prePrepare: 0x20,
  prepare: 0x21,
  commit: 0x22,
  checkpoint: 0x23,
  viewChange: 0x24,
  newView: 0x25,
  status: 0x26,
  decided: 0x27,
  complaint: 0x28,
  fetch: 0x30,
  unavailable: 0x31,
  fetchedBundle: 0x32,
  fetchedBatch: 0x33,
  fetchedViewChange: 0x34,
  fetchedNewView: 0x35,
  stateFetch: 0x40,
  stateNodes: 0x41,
  read: 0x50,
  readAnswer: 0x51,
} as const;

export type MessageTypeName = keyof typeof MessageType;

/** The lanes of a connection by their number on the wire. */
export const lanes = ["votes", "control", "client", "bulk"] as const;
export type Lane = (typeof lanes)[number];

const LANE_OF: Readonly<Record<MessageTypeName, Lane>> = {
  hello: "control",
  bundle: "client",
  reply: "client",
  busy: "client",
  prePrepare: "control",
  prepare: "votes",
  commit: "votes",
  checkpoint: "control",
  viewChange: "control",
  newView: "control",
  status: "control",
  decided: "control",
  complaint: "control",
  fetch: "control",
  unavailable: "control",
  fetchedBundle: "bulk",
  fetchedBatch: "bulk",
  fetchedViewChange: "bulk",
  fetchedNewView: "bulk",
  stateFetch: "control",
  stateNodes: "bulk",
  read: "client",
  readAnswer: "client",
};

const NAME_OF = new Map(Object.entries(MessageType).map(([name, type]) => [type as number, name as MessageTypeName]));

/** The name of a type, or `undefined` where the number stands for none. */
export function typeName(type: number): MessageTypeName | undefined {
  return NAME_OF.get(type);
}

export function laneOf(name: MessageTypeName): Lane {
  return LANE_OF[name];
}

/** What each payload says. Byte strings and signatures inside of decoded ones are views of the input. */
export interface Bodies {
  readonly bundle: Bundle;
  readonly reply: Reply;
  readonly busy: Busy;
  readonly prePrepare: PrePrepare;
  readonly prepare: Vote;
  readonly commit: Vote;
  readonly checkpoint: Checkpoint;
  readonly viewChange: DecodedViewChange;
  readonly newView: DecodedNewView;
  readonly status: Status;
  readonly decided: Decided;
  readonly complaint: Complaint;
  readonly fetch: Fetch;
  readonly unavailable: Unavailable;
  readonly fetchedBundle: Bundle;
  readonly fetchedBatch: FetchedBatch;
  readonly fetchedViewChange: DecodedViewChange & { readonly from: ReplicaId };
  readonly fetchedNewView: DecodedNewView;
  readonly stateFetch: StateFetch;
  readonly stateNodes: StateNodes;
  readonly read: Read;
  readonly readAnswer: ReadAnswer;
}

export type BodyName = keyof Bodies;

/** A whole payload; `signature` (64 bytes) is there exactly where the type is signed. */
export type Payload = {
  readonly [K in BodyName]: { readonly name: K; readonly body: Bodies[K]; readonly signature: Uint8Array | undefined };
}[BodyName];

interface BodyCodec<T> {
  readonly signed: boolean;
  read(reader: Reader, digest: Digest): T;
  write(writer: Writer, body: T): void;
}

const BUNDLE: BodyCodec<Bundle> = { signed: true, read: client.readBundle, write: client.writeBundle };

const VIEW_CHANGE: BodyCodec<DecodedViewChange> = {
  signed: true,
  read: viewChange.readViewChange,
  write: (writer, { message, certificates }) => viewChange.writeViewChange(writer, message, carried(certificates)),
};

const NEW_VIEW: BodyCodec<DecodedNewView> = {
  signed: true,
  read: viewChange.readNewView,
  write: (writer, { message, proposals }) => viewChange.writeNewView(writer, message, carried([], proposals)),
};

const CODECS: { readonly [K in BodyName]: BodyCodec<Bodies[K]> } = {
  bundle: BUNDLE,
  reply: { signed: false, read: client.readReply, write: client.writeReply },
  busy: { signed: false, read: client.readBusy, write: client.writeBusy },
  prePrepare: { signed: true, read: batch.readPrePrepare, write: batch.writePrePrepare },
  prepare: { signed: true, read: (reader) => batch.readVote(reader, "prepare"), write: batch.writeVote },
  commit: { signed: false, read: (reader) => batch.readVote(reader, "commit"), write: batch.writeVote },
  checkpoint: { signed: true, read: batch.readCheckpoint, write: batch.writeCheckpoint },
  viewChange: VIEW_CHANGE,
  newView: NEW_VIEW,
  status: { signed: false, read: status.readStatus, write: status.writeStatus },
  decided: { signed: false, read: batch.readDecided, write: batch.writeDecided },
  complaint: { signed: false, read: status.readComplaint, write: status.writeComplaint },
  fetch: { signed: false, read: (reader) => status.readNamed(reader, "fetch"), write: status.writeNamed },
  unavailable: { signed: false, read: (reader) => status.readNamed(reader, "unavailable"), write: status.writeNamed },
  fetchedBundle: BUNDLE,
  fetchedBatch: { signed: false, read: batch.readFetchedBatch, write: batch.writeBatch },
  fetchedViewChange: {
    signed: true,
    read: (reader, digest) => ({ from: viewChange.readReplica(reader), ...VIEW_CHANGE.read(reader, digest) }),
    write: (writer, body) => {
      writer.u8(body.from);
      VIEW_CHANGE.write(writer, body);
    },
  },
  fetchedNewView: NEW_VIEW,
  stateFetch: { signed: false, read: state.readStateFetch, write: state.writeStateFetch },
  stateNodes: { signed: false, read: state.readStateNodes, write: state.writeStateNodes },
  read: { signed: false, read: client.readRead, write: client.writeRead },
  readAnswer: { signed: false, read: client.readReadAnswer, write: client.writeReadAnswer },
};

/** Whether payloads of this type end in their sender's signature. */
export function isSigned(name: BodyName): boolean {
  return CODECS[name].signed;
}

/** Writes a payload without its sender's signature. */
export function encodeBody<K extends BodyName>(writer: Writer, name: K, body: Bodies[K]): void {
  CODECS[name].write(writer, body);
}

/**
 * Reads a payload without its sender's signature.
 * @param digest What the message is known by where the wire does not say it (PRE_PREPARE, DECIDED, FETCHED_BATCH, VIEW_CHANGE); computed by whoever verified it.
 */
export function decodeBody<K extends BodyName>(
  name: K,
  body: Uint8Array,
  digest: Digest = ZERO_DIGEST,
): DecodeResult<Bodies[K]> {
  return decode(body, (reader) => CODECS[name].read(reader, digest));
}

/** Writes a whole payload. The signature is there exactly where the type is signed. */
export function encodePayload(writer: Writer, payload: Payload): void {
  const { name, body, signature } = payload;
  if (
    (signature !== undefined) !== isSigned(name) ||
    (signature !== undefined && signature.length !== SIGNATURE_BYTES)
  ) {
    throw new RangeError(
      `${name} ${isSigned(name) ? `ends in a signature of ${SIGNATURE_BYTES} bytes` : "is not signed"}`,
    );
  }
  (CODECS[name] as BodyCodec<typeof body>).write(writer, body);
  if (signature !== undefined) writer.raw(signature);
}

/** Reads a whole payload, from `start` on; verifies no signature. `digest` as in {@link decodeBody}. */
export function decodePayload(
  type: number,
  payload: Uint8Array,
  digest: Digest = ZERO_DIGEST,
  start = 0,
): DecodeResult<Payload> {
  const read = (reader: Reader): Payload => {
    const name = typeName(type);
    if (name === undefined || name === "hello") return malformed("unknownType");
    const codec = CODECS[name];
    const body = codec.read(reader, digest);
    return { name, body, signature: codec.signed ? reader.raw(SIGNATURE_BYTES) : undefined } as Payload;
  };
  return decode(payload, read, start);
}

/** Writes the body of what the core sends to replicas; only VIEW_CHANGE and NEW_VIEW carry `signatures` of others. */
export function encodeOutgoing(writer: Writer, message: Outgoing, signatures: SignatureSource | undefined): void {
  switch (message.type) {
    case "viewChange":
      return viewChange.writeViewChange(writer, message, viewChange.requireSource(signatures));
    case "newView":
      return viewChange.writeNewView(writer, message, viewChange.requireSource(signatures));
    default:
      return (CODECS[message.type] as BodyCodec<typeof message>).write(writer, message);
  }
}

/** The types that reach the core one by one. */
const CONTROL: ReadonlySet<MessageTypeName> = new Set<Control["type"]>([
  "prePrepare",
  "checkpoint",
  "viewChange",
  "newView",
  "status",
  "decided",
  "complaint",
  "fetchedBatch",
]);

/** Reads the body of a message for the core; certificates come without their signatures. `digest` as in {@link decodeBody}. */
export function decodeControl(type: number, body: Uint8Array, digest: Digest): DecodeResult<Control> {
  return decode(body, (reader) => {
    const name = typeName(type);
    if (name === undefined || !CONTROL.has(name)) return malformed("unknownType");
    if (name === "viewChange") return VIEW_CHANGE.read(reader, digest).message;
    if (name === "newView") return NEW_VIEW.read(reader, digest).message;
    return CODECS[name as Exclude<Control["type"], "viewChange" | "newView">].read(reader, digest);
  });
}

/** The signatures that came with a decoded message, in the order in which encoding it again asks for them. */
function carried(certificates: readonly Certificate[], proposals: readonly Uint8Array[] = []): SignatureSource {
  let certificate = 0;
  let proposal = 0;
  return {
    certificate: () => certificates[certificate++]?.signatures ?? new Uint8Array(0),
    proposal: () => proposals[proposal++] ?? new Uint8Array(0),
  };
}
