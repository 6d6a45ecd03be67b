/**
 * Messages as the bytes that the simulated network carries: type, payload, signature. Everything is encoded by its sender and
 * decoded from its bytes with the product's codec, once for all who receive the same frame: what they share is read-only.
 */
import { SIGNATURE_BYTES, Writer } from "../codec/bytes.ts";
import { decodePayload, encodeBody, encodeOutgoing, isSigned, MessageType, typeName } from "../codec/messages.ts";
import type { Bodies, BodyName, Payload } from "../codec/messages.ts";
import type { SignatureSource } from "../codec/viewChange.ts";
import type { Outgoing } from "../protocol/messages.ts";
import { ZERO_DIGEST, type Digest } from "../protocol/types.ts";
import { batchDigest, bundleDigest, messageDigest } from "./hashing.ts";
import type { Keyring } from "./keyring.ts";

/** Signs a payload of the type that the byte stands for. */
export type Signer = (type: number, signedPayload: Uint8Array) => Uint8Array;

const writer = new Writer();
const scratch = new Writer();

/** Who carries no certificates of others. */
export const noSignatures: SignatureSource = {
  certificate: () => new Uint8Array(0),
  proposal: () => new Uint8Array(0),
};

/** The frame of a message of the core. */
export function sealOutgoing(message: Outgoing, sign: Signer, source: SignatureSource): Uint8Array {
  writer.reset();
  writer.u8(MessageType[message.type]);
  encodeOutgoing(writer, message, source);
  if (!isSigned(message.type)) return frameOf(writer.view());
  return signed(message.type === "prePrepare" ? proposalBytes(message) : undefined, sign);
}

/** The frame of any other message. PRE-PREPAREs that adversaries make go through here too. */
export function sealBody<K extends BodyName>(name: K, body: Bodies[K], sign: Signer): Uint8Array {
  writer.reset();
  writer.u8(MessageType[name]);
  encodeBody(writer, name, body);
  if (!isSigned(name)) return frameOf(writer.view());
  return signed(name === "prePrepare" ? proposalBytes(body as Bodies["prePrepare"]) : undefined, sign);
}

/** The frame of a body that carries its signature with it: a bundle that is passed on. */
export function sealSigned<K extends BodyName>(name: K, body: Bodies[K], signature: Uint8Array): Uint8Array {
  return sealBody(name, body, () => signature);
}

/** What the primary signs: view, sequence and batch digest, so that a certificate needs no list of bundles. */
export function proposalBytes(proposal: {
  readonly view: number;
  readonly sequence: number;
  readonly digest: Digest;
}): Uint8Array {
  scratch.reset();
  scratch.u53(proposal.view);
  scratch.u53(proposal.sequence);
  scratch.digest(proposal.digest);
  return scratch.copy();
}

function signed(payload: Uint8Array | undefined, sign: Signer): Uint8Array {
  const frame = writer.view();
  const signature = sign(frame[0] as number, payload ?? frame.subarray(1));
  writer.raw(signature);
  return frameOf(writer.view());
}

/** Frames lie one behind the other in memory of this size: to allocate and free each by itself takes longer than to fill it. */
const SLAB_BYTES = 64 * 1024;
let slab = new Uint8Array(SLAB_BYTES);
let slabUsed = 0;

/** A copy for the network. */
function frameOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length > SLAB_BYTES - slabUsed) {
    slab = new Uint8Array(Math.max(SLAB_BYTES, bytes.length));
    slabUsed = 0;
  }
  slab.set(bytes, slabUsed);
  const frame = slab.subarray(slabUsed, slabUsed + bytes.length);
  slabUsed += bytes.length;
  return frame;
}

export type Opened =
  | {
      readonly ok: true;
      readonly payload: Payload;
      /** Batch digest, bundle digest or message digest, where the message has one. */
      readonly digest: Digest | undefined;
      /** What its signature must cover. */
      readonly signedPayload: Uint8Array | undefined;
      /** The last answer of {@link isAuthentic}: receivers of one frame ask for the same signer. */
      verdict?: { readonly node: number; readonly keyring: Keyring; readonly authentic: boolean };
    }
  | { readonly ok: false; readonly error: string };

/** Where a frame keeps what it decodes to: a property costs a tenth of what a WeakMap does, which would eat the gain. */
const OPENED = Symbol("opened");

/** Decodes a frame; verifies nothing. Nobody writes to a frame that was sent, so the next receiver gets the same answer. */
export function open(frame: Uint8Array & { [OPENED]?: Opened }): Opened {
  return (frame[OPENED] ??= decodeFrame(frame));
}

function decodeFrame(frame: Uint8Array): Opened {
  const decoded = decodePayload(frame[0] ?? 0, frame, ZERO_DIGEST, 1);
  if (!decoded.ok) return { ok: false, error: decoded.error };
  const { name, body, signature } = decoded.message;
  switch (name) {
    case "prePrepare": {
      const digest = batchDigest(body);
      const payload = { name, body: { ...body, digest }, signature } as Payload;
      const { view, sequence } = body;
      return { ok: true, payload, digest, signedPayload: proposalBytes({ view, sequence, digest }) };
    }
    case "fetchedBatch":
    case "decided": {
      const digest = batchDigest(body);
      return {
        ok: true,
        payload: { name, body: { ...body, digest }, signature } as Payload,
        digest,
        signedPayload: undefined,
      };
    }
    case "bundle":
    case "fetchedBundle":
      return {
        ok: true,
        payload: decoded.message,
        digest: bundleDigest(body, signature as Uint8Array),
        signedPayload: signedPart(frame),
      };
    case "viewChange":
    case "fetchedViewChange": {
      // A fetched one says in front who signed the rest.
      const from = name === "viewChange" ? 1 : 2;
      const digest = messageDigest(MessageType.viewChange, frame.subarray(from));
      const payload = { name, body: { ...body, message: { ...body.message, digest } }, signature } as Payload;
      return { ok: true, payload, digest, signedPayload: signedPart(frame, from) };
    }
    default: {
      const signedPayload = signature === undefined ? undefined : signedPart(frame);
      return { ok: true, payload: decoded.message, digest: undefined, signedPayload };
    }
  }
}

/** Of a frame that ends in a signature, what lies before it from byte `from` on: behind the type. */
function signedPart(frame: Uint8Array, from = 1): Uint8Array {
  return frame.subarray(from, frame.length - SIGNATURE_BYTES);
}

/** What is passed on was signed once, for whatever message carries it. */
const signedAs: Readonly<Partial<Record<BodyName, BodyName>>> = {
  fetchedBundle: "bundle",
  fetchedViewChange: "viewChange",
  fetchedNewView: "newView",
};

/** Whether a frame's signature is that of `node`; true where the type is not signed. */
export function isAuthentic(opened: Extract<Opened, { ok: true }>, node: number, keyring: Keyring): boolean {
  const { name, signature } = opened.payload;
  if (signature === undefined) return true;
  const { verdict } = opened;
  if (verdict?.node === node && verdict.keyring === keyring) return verdict.authentic;
  const type = MessageType[signedAs[name] ?? name];
  const authentic = keyring.verify(node, type, opened.signedPayload ?? new Uint8Array(0), signature);
  opened.verdict = { node, keyring, authentic };
  return authentic;
}

/** The name of a frame's type, for traces. */
export function frameName(frame: Uint8Array): string {
  return typeName(frame[0] ?? 0) ?? `type ${frame[0]}`;
}
