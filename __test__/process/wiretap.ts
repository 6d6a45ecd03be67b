/**
 * Stands between all replicas of a cluster and hears everything that they say to each other. It holds the keys of all: to each
 * replica it is every other one. Frames pass as they are, so that nothing but the network is different for the replicas.
 */
import { createHash } from "node:crypto";
import { bytesOf, hexOf } from "../../dist/codec/digest.js";
import { decodePayload, MessageType, type Lane } from "../../dist/codec/messages.js";
import { ByzantineError, MessageCrypto, type ClusterConfig } from "../../dist/index.js";
import type { BatchContent, NewView, ViewChange } from "../../dist/protocol/messages.js";
import { Program } from "../attack/member.ts";
import { eventually } from "./ports.ts";
import { VoteRecord, type Passage } from "./vote-record.ts";

/** A frame between two replicas. */
export interface Frame {
  readonly from: number;
  readonly to: number;
  readonly lane: Lane;
  readonly type: number;
  readonly payload: Uint8Array;
}

const SIGNATURE_BYTES = 64;

export class Wiretap {
  readonly record = new VoteRecord();
  /** Decides about every frame that was heard; true loses it. */
  loses: (frame: Frame) => boolean = () => false;
  /** What it could not read, in words. */
  readonly unreadable: string[] = [];
  readonly #cluster: ClusterConfig;
  readonly #keys: readonly string[];
  readonly #ports: readonly number[];
  /** As whom it speaks to the others, while that replica runs. */
  readonly #voices = new Map<number, Program>();
  readonly #ending = new Map<number, Promise<void>>();
  readonly #connections = new Map<string, number>();

  /**
   * @param cluster With the addresses where the replicas listen.
   * @param keys PKCS#8 PEM, by replica.
   * @param ports Where the tap listens as each of them.
   */
  constructor(cluster: ClusterConfig, keys: readonly string[], ports: readonly number[]) {
    this.#cluster = cluster;
    this.#keys = keys;
    this.#ports = ports;
  }

  /** The configuration of a replica: it reaches the others through the tap. */
  clusterOf(replica: number): ClusterConfig {
    return this.#withPorts((i, port) => (i === replica ? port : this.#ports[i]!));
  }

  /** The others hear this replica from now on. */
  async up(replica: number): Promise<void> {
    await this.#ending.get(replica);
    if (this.#voices.has(replica)) return;
    const cluster = this.#withPorts((i, port) => (i === replica ? this.#ports[i]! : port));
    // A child of this process that is between fork and exec still holds the socket of the tap that was closed.
    const voice = await eventually(`the tap's port of replica ${replica}`, () => this.#listen(cluster, replica));
    this.#voices.set(replica, voice);
    voice.transport.on("peer", (from, connected) => {
      if (connected) this.#connections.set(`${from} ${replica}`, this.#connection(from, replica) + 1);
    });
    for (const type of Object.values(MessageType)) {
      voice.transport.onMessage(type, ({ from, lane, payload }) => {
        if (from !== undefined) this.#pass({ from, to: replica, lane, type, payload });
      });
    }
  }

  #listen(cluster: ClusterConfig, replica: number): Program | undefined {
    try {
      return new Program({ cluster, key: this.#keys[replica]!, me: replica });
    } catch (error) {
      if (error instanceof ByzantineError && error.code === "LISTEN_FAILED") return undefined;
      throw error;
    }
  }

  /** It has ended: its connections to the others end too. */
  down(replica: number): void {
    const voice = this.#voices.get(replica);
    if (voice === undefined) return;
    this.#voices.delete(replica);
    this.#ending.set(replica, voice.close());
  }

  async close(): Promise<void> {
    for (const replica of this.#voices.keys()) this.down(replica);
    await Promise.all(this.#ending.values());
  }

  #withPorts(portOf: (replica: number, own: number) => number): ClusterConfig {
    const nodes = this.#cluster.nodes.map((node, i) => ({ ...node, port: portOf(i, node.port) }));
    return { ...this.#cluster, nodes };
  }

  #connection(from: number, to: number): number {
    return this.#connections.get(`${from} ${to}`) ?? 0;
  }

  #pass(frame: Frame): void {
    const { from, to, lane, type, payload } = frame;
    this.#note(frame);
    if (!this.loses(frame)) this.#voices.get(from)?.transport.send(to, { lane, type, payload });
  }

  /** What a frame binds, and whom: others pass on what was signed before. */
  #note({ from, to, type, payload }: Frame): void {
    const decoded = decodePayload(type, payload);
    if (!decoded.ok) {
      this.unreadable.push(`message type ${type} of replica ${from}: ${decoded.error}`);
      return;
    }
    const own = { sender: from, receiver: to, connection: this.#connection(from, to) };
    const said = decoded.message;
    switch (said.name) {
      case "prepare":
      case "commit":
      case "checkpoint":
        return this.record.add(own, { ...said.body, digest: hexOf(said.body.digest) });
      case "prePrepare": {
        const { view, sequence } = said.body;
        return this.record.add(own, { type: "prePrepare", view, sequence, digest: batchDigestOf(said.body) });
      }
      case "decided": {
        const { sequence } = said.body;
        return this.record.add(own, { type: "decided", sequence, digest: batchDigestOf(said.body) });
      }
      case "viewChange":
        return this.#noteViewChange(own, said.body.message, payload);
      case "fetchedViewChange": {
        const { from: sender, message } = said.body;
        return this.#noteViewChange({ sender, receiver: to, connection: undefined }, message, payload.subarray(1));
      }
      case "newView":
        return this.#noteNewView(own, said.body.message, payload);
      case "fetchedNewView": {
        const sender = said.body.message.view % this.#cluster.nodes.length;
        return this.#noteNewView({ sender, receiver: to, connection: undefined }, said.body.message, payload);
      }
    }
  }

  #noteViewChange(passage: Passage, { target }: ViewChange, payload: Uint8Array): void {
    this.record.add(passage, { type: "viewChange", target, digest: digestOf(payload) });
  }

  /** It proposes all that it names. */
  #noteNewView(passage: Passage, { view, first, batches }: NewView, payload: Uint8Array): void {
    this.record.add(passage, { type: "newView", view, digest: digestOf(payload) });
    for (const [i, digest] of batches.entries())
      this.record.add(passage, { type: "prePrepare", view, sequence: first + i, digest: hexOf(digest) });
  }
}

function batchDigestOf({ time, bundles }: BatchContent): string {
  return Buffer.from(MessageCrypto.batchDigest(time, Buffer.concat(bundles.map(bytesOf)))).toString("hex");
}

/** Of a message without its sender's signature. */
function digestOf(payload: Uint8Array): string {
  return createHash("sha256")
    .update(payload.subarray(0, payload.length - SIGNATURE_BYTES))
    .digest("hex");
}
