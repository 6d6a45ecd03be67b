/** A backup with its real key that says two things at once: every PREPARE and CHECKPOINT of its goes to everybody with two digests. */
import { bytesOf, digestAt } from "../../dist/codec/digest.js";
import { decodePayload, MessageType } from "../../dist/codec/messages.js";
import { MessageCrypto, type ClusterConfig } from "../../dist/index.js";
import type { Digest, Sequence, View } from "../../dist/protocol/types.js";
import { otherThan } from "./liar.ts";
import { Program } from "./member.ts";

export class DoubleVoter extends Program {
  readonly #me: number;
  readonly #checkpoints = new Set<number>();
  /** Pairs of messages that went to everybody. */
  told = 0;

  constructor(cluster: ClusterConfig, key: string, me: number) {
    super({ cluster, key, me });
    this.#me = me;
    this.transport.onMessage(MessageType.prePrepare, ({ payload }) => this.#vote(payload.slice()));
    this.transport.onMessage(MessageType.checkpoint, ({ payload }) => this.#sign(payload.slice()));
  }

  /** For what the primary proposed, and for what nobody proposed. */
  #vote(payload: Uint8Array): void {
    const decoded = decodePayload(MessageType.prePrepare, payload);
    if (!decoded.ok || decoded.message.name !== "prePrepare") throw new Error("a proposal does not decode");
    const { view, sequence, time, bundles } = decoded.message.body;
    const digest = digestAt(MessageCrypto.batchDigest(time, Buffer.concat(bundles.map(bytesOf))), 0);
    this.#both(digest, (said) => this.#prepare(view, sequence, said));
    const commit = this.body("commit", { type: "commit", view, sequence, digest });
    this.#toOthers((other) => this.send(other, "commit", commit));
  }

  #prepare(view: View, sequence: Sequence, digest: Digest): void {
    const prepare = this.signed("prepare", { type: "prepare", view, sequence, digest });
    this.#toOthers((other) => this.send(other, "prepare", prepare));
  }

  /** What the first of the others signed, and something else. */
  #sign(payload: Uint8Array): void {
    const decoded = decodePayload(MessageType.checkpoint, payload);
    if (!decoded.ok || decoded.message.name !== "checkpoint") throw new Error("a checkpoint does not decode");
    const { sequence, digest } = decoded.message.body;
    if (this.#checkpoints.has(sequence)) return;
    this.#checkpoints.add(sequence);
    this.#both(digest, (said) => {
      const checkpoint = this.signed("checkpoint", { type: "checkpoint", sequence, digest: said });
      this.#toOthers((other) => this.send(other, "checkpoint", checkpoint));
    });
  }

  #both(digest: Digest, say: (digest: Digest) => void): void {
    say(digest);
    say(otherThan(digest));
    this.told += 1;
  }

  #toOthers(send: (other: number) => void): void {
    for (const other of this.cluster.nodes.keys()) if (other !== this.#me) send(other);
  }
}
