/** A backup with its real key that passes other members' votes on as its own, proposes although it is no primary, and lies about counts. */
import { MessageType } from "../../dist/codec/messages.js";
import { bytesOf, digestAt } from "../../dist/codec/digest.js";
import { MessageCrypto, type ClusterConfig } from "../../dist/index.js";
import type { AgreedTime, Sequence, View } from "../../dist/protocol/types.js";
import { Program } from "./member.ts";

const VIEW = 0 as View;
/** Where the count stands in a PRE_PREPARE: behind view, sequence and time. */
const COUNT_AT = 24;

export class FalseBackup extends Program {
  readonly me: number;
  /** Bundles that the primary passed on: signed by clients that know nothing of it. */
  readonly captured: Uint8Array[] = [];
  /** Votes of others that were passed on as one's own. */
  stolen = 0;

  constructor(cluster: ClusterConfig, key: string, me: number) {
    super({ cluster, key, me });
    this.me = me;
    this.transport.onMessage(MessageType.bundle, ({ payload }) => this.captured.push(payload.slice()));
  }

  /** From now on every PREPARE of `victim` goes to the others once more, from here. */
  stealVotes(victim: number): void {
    this.transport.onMessage(MessageType.prepare, ({ from, payload }) => {
      if (from !== victim) return;
      this.stolen += 1;
      this.#toOthers((other) => this.send(other, "prepare", payload), victim);
    });
  }

  /** A PRE_PREPARE of the null batch, rightly signed by somebody who is not the primary. */
  usurp(sequence: number): void {
    const proposal = this.#proposal(sequence);
    this.#toOthers((other) => this.send(other, "prePrepare", proposal));
  }

  /** The same, with a count of bundles that are not there. */
  miscount(sequence: number): void {
    const proposal = this.#proposal(sequence);
    new DataView(proposal.buffer, proposal.byteOffset).setUint32(COUNT_AT, 0xffffffff, true);
    this.#toOthers((other) => this.send(other, "prePrepare", proposal));
  }

  /** Gives everybody the captured bundles again, as if they had just come from their clients. */
  replay(): void {
    for (const bundle of this.captured) this.#toOthers((other) => this.send(other, "bundle", bundle));
  }

  #proposal(sequence: number): Uint8Array {
    const time = 0 as AgreedTime;
    const digest = digestAt(MessageCrypto.batchDigest(time, new Uint8Array()), 0);
    const place = { view: VIEW, sequence: sequence as Sequence };
    const body = this.body("prePrepare", { type: "prePrepare", ...place, time, bundles: [], digest });
    const name = Buffer.concat([
      this.body("commit", { type: "commit", ...place, digest }).subarray(0, 16),
      bytesOf(digest),
    ]);
    return Buffer.concat([body, this.crypto.sign(MessageType.prePrepare, name)]);
  }

  #toOthers(send: (other: number) => void, except = this.me): void {
    for (const other of this.cluster.nodes.keys()) if (other !== this.me && other !== except) send(other);
  }
}
