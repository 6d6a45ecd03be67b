/**
 * The primary of view 0 with its real key. It takes the bundles of real clients and, when told to, proposes different batches
 * of them to different replicas at one sequence, and votes for each of them.
 */
import { decodePayload, MessageType } from "../../dist/codec/messages.js";
import { bytesOf, digestAt } from "../../dist/codec/digest.js";
import { MessageCrypto, type ClusterConfig } from "../../dist/index.js";
import type { AgreedTime, Digest, Sequence, View } from "../../dist/protocol/types.js";
import { Program } from "./member.ts";

const VIEW = 0 as View;
const BACKUPS = [1, 2, 3];

export interface TakenBundle {
  readonly digest: Digest;
  readonly payload: Uint8Array;
  readonly client: string;
  /** Outside of a session: OPEN. */
  readonly opens: boolean;
}

/** Who is told what, in order of sending. */
export type Story = readonly { readonly to: readonly number[]; readonly batch: readonly TakenBundle[] }[];

export class EquivocatingPrimary extends Program {
  readonly #taken = new Map<Digest, TakenBundle>();
  #sequence = 0;
  #time = Date.now();
  /** Bundles of sessions that wait until a test says what to do with them. */
  readonly waiting: TakenBundle[] = [];

  constructor(cluster: ClusterConfig, key: string) {
    super({ cluster, key, me: 0 });
    this.transport.onMessage(MessageType.bundle, ({ payload }) => this.#take(payload.slice()));
  }

  /** The last sequence proposed. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Tells each replica its part of the story about the next sequence, and votes for all of it. */
  tell(story: Story): void {
    this.#sequence += 1;
    this.#time = Math.max(this.#time + 1, Date.now());
    for (const { to, batch } of story) for (const replica of to) this.#propose(replica, batch);
  }

  #propose(to: number, batch: readonly TakenBundle[]): void {
    const bundles = batch.map(({ digest }) => digest);
    const time = this.#time as AgreedTime;
    const sequence = this.#sequence as Sequence;
    const digest = digestAt(
      MessageCrypto.batchDigest(time, Buffer.concat(bundles.map((bundle) => bytesOf(bundle)))),
      0,
    );
    const message = this.body("prePrepare", { type: "prePrepare", view: VIEW, sequence, time, bundles, digest });
    const vote = { type: "commit", view: VIEW, sequence, digest } as const;
    // What is signed names the batch by its digest, in the shape of a vote.
    const signature = this.crypto.sign(MessageType.prePrepare, this.body("commit", vote));
    for (const { payload } of batch) this.send(to, "bundle", payload);
    this.send(to, "prePrepare", Buffer.concat([message, signature]));
    this.send(to, "commit", this.body("commit", vote));
  }

  /** A bundle of a client, straight or by way of a backup. Sessions are opened as an honest primary would. */
  #take(payload: Uint8Array): void {
    const decoded = decodePayload(MessageType.bundle, payload);
    if (!decoded.ok || decoded.message.name !== "bundle")
      throw new Error("a bundle of an honest client does not decode");
    const { client, session } = decoded.message.body;
    const digest = digestAt(MessageCrypto.bundleDigest(payload), 0);
    if (this.#taken.has(digest)) return;
    const bundle = { digest, payload, client, opens: session === 0 };
    this.#taken.set(digest, bundle);
    if (bundle.opens) this.tell([{ to: BACKUPS, batch: [bundle] }]);
    else this.waiting.push(bundle);
  }
}
