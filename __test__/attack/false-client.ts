/** A client that signs with its own key, lets signatures go bad, and sends what other clients have signed. */
import { MessageType, decodePayload } from "../../dist/codec/messages.js";
import type { Reply } from "../../dist/codec/client.js";
import { digestFromHex } from "../../dist/codec/digest.js";
import type { ClusterConfig } from "../../dist/index.js";
import type { ClientKey, SessionId } from "../../dist/protocol/types.js";
import { Program } from "./member.ts";

/** Agreed time from now until an OPEN is no longer executed. */
const OPEN_EXPIRY_MS = 60_000;
const OPEN = 1;

export class FalseClient extends Program {
  readonly key: ClientKey;
  readonly replies: { readonly from: number | undefined; readonly reply: Reply }[] = [];

  constructor(cluster: ClusterConfig, pair: { readonly privateKey: string; readonly publicKey: string }) {
    super({ cluster, key: pair.privateKey });
    this.key = digestFromHex(pair.publicKey) as string as ClientKey;
    this.transport.onMessage(MessageType.reply, ({ from, payload }) => {
      const decoded = decodePayload(MessageType.reply, payload.slice());
      if (decoded.ok && decoded.message.name === "reply") this.replies.push({ from, reply: decoded.message.body });
    });
  }

  /** A bundle of one operation, rightly signed. */
  bundle(session: number, firstSequence: number, operation: Uint8Array): Uint8Array {
    return this.signed("bundle", {
      client: this.key,
      session: session as SessionId,
      firstSequence,
      acknowledgedThrough: 0,
      operations: [operation],
    });
  }

  /** The bundle that opens a session. */
  opening(nonce: number): Uint8Array {
    const operation = Buffer.alloc(9);
    operation.writeUInt8(OPEN);
    operation.writeBigUInt64LE(BigInt(Date.now() + OPEN_EXPIRY_MS), 1);
    return this.bundle(0, nonce, operation);
  }

  /** Sends bytes as a bundle to every replica, whoever signed them. */
  sendAll(bundle: Uint8Array): void {
    for (const replica of this.cluster.nodes.keys()) this.send(replica, "bundle", bundle);
  }

  /** Replies to a client sequence (or nonce) so far, by replica. */
  answers(session: number, sequence: number): Map<number, Reply["entries"][number]> {
    const answers = new Map<number, Reply["entries"][number]>();
    for (const { from, reply } of this.replies) {
      const entry = reply.entries.find((candidate) => candidate.sequence === sequence);
      if (reply.session === session && entry !== undefined && from !== undefined) answers.set(from, entry);
    }
    return answers;
  }
}

/** A copy with one bit of its signature turned. */
export function forged(bundle: Uint8Array): Uint8Array {
  const copy = bundle.slice();
  copy[copy.length - 40]! ^= 1;
  return copy;
}
