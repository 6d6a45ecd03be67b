/** What this replica can show against others: pairs of signed messages that exclude each other. */
import { hexOf, bytesOf } from "../codec/digest.ts";
import { typeName } from "../codec/messages.ts";
import type { EvidenceRef } from "../protocol/core.ts";
import type { ReplicaId } from "../protocol/types.ts";

/** Pieces that are remembered, the newest: as many as the addon keeps messages for. */
const EVIDENCE_MAX = 64;
const SIGNATURE_BYTES = 64;

/** Two messages that one replica signed although no honest replica signs both. */
export interface Evidence {
  /** Who signed both. */
  readonly nodeId: string;
  /** The type of both: `prePrepare`, `prepare`, `checkpoint`, `viewChange` or `newView`. */
  readonly type: string;
  /** Names this piece, 64 hexadecimal digits. */
  readonly digest: string;
  /** What was signed (without the domain tag) and the Ed25519 signatures, 64 bytes each: `MessageCrypto.verify` checks them. */
  readonly messages: readonly { readonly payload: Uint8Array; readonly signature: Uint8Array }[];
}

export class EvidenceLog {
  readonly #nodeId: (replica: ReplicaId) => string;
  readonly #bytesOf: (digest: Uint8Array) => Uint8Array;
  readonly #refs: { readonly by: ReplicaId; readonly evidence: EvidenceRef }[] = [];

  /**
   * @param bytes The addon's records of the messages that a digest names, `u8 type | u32 length | payload | signature` each; the
   * length covers both.
   */
  constructor(nodeId: (replica: ReplicaId) => string, bytes: (digest: Uint8Array) => Uint8Array) {
    this.#nodeId = nodeId;
    this.#bytesOf = bytes;
  }

  add(by: ReplicaId, evidence: EvidenceRef): void {
    if (this.#refs.some(({ evidence: { digest } }) => digest === evidence.digest)) return;
    this.#refs.push({ by, evidence });
    if (this.#refs.length > EVIDENCE_MAX) this.#refs.shift();
  }

  /** What is held now, oldest first; what the addon had to forget is left out. */
  read(): Evidence[] {
    return this.#refs.flatMap(({ by, evidence: { digest, type } }) => {
      const messages = readMessages(this.#bytesOf(bytesOf(digest)), type);
      return messages.length === 0 ? [] : [{ nodeId: this.#nodeId(by), type, digest: hexOf(digest), messages }];
    });
  }
}

function readMessages(bytes: Uint8Array, type: EvidenceRef["type"]): Evidence["messages"] {
  const messages: Evidence["messages"][number][] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + view.getUint32(at + 1, true);
    const payload = bytes.slice(at + 5, end - SIGNATURE_BYTES);
    const signature = bytes.slice(end - SIGNATURE_BYTES, end);
    if (typeName(bytes[at] ?? 0) === type) messages.push({ payload, signature });
    at = end;
  }
  return messages;
}
