/**
 * Four programs with replicas' keys on real QUIC connections: they agree by definition (what one receives first is executed
 * once, and all reply) with encoded REPLYs, honestly or not.
 */
import { Reader, Writer } from "../../dist/codec/bytes.js";
import type { Bundle, ReplyEntry } from "../../dist/codec/client.js";
import { helloFields, resolveCluster, type ClusterConfig } from "../../dist/codec/cluster.js";
import { decodePayload, encodeBody, lanes, MessageType } from "../../dist/codec/messages.js";
import { bytesOf } from "../../dist/codec/digest.js";
import { generateKey, publicKeyOf, sha256, Transport, verify } from "../../dist/native/native.js";
import type { Sequence, View } from "../../dist/protocol/types.js";
import { ok, sessionBytes, status, text } from "./rig.ts";

/** `silent` replicas take bundles and say nothing, `lying` ones tell a wrong result. */
export type Manner = "honest" | "silent" | "lying";

const CLIENT_LANE = lanes.indexOf("client");
const FRAME = 1;
const CLIENT = 4;
const TO_CLIENT = 0x80000000;

interface Arrival {
  readonly bundle: Bundle;
  readonly payload: Uint8Array;
}

export class Stage {
  readonly manners: Manner[] = ["honest", "honest", "honest", "honest"];
  readonly clientKey = generateKey();
  /** Bundles as they arrived, from all replicas. */
  readonly arrivals: Arrival[] = [];
  readonly #secrets: readonly string[];
  readonly #names = [0, 1, 2, 3].map((i) => `replica-${i}`);
  readonly #clusterId = "5a".repeat(32);
  readonly #transports: Transport[] = [];
  readonly #ports: number[] = [];
  readonly #results = new Map<string, readonly ReplyEntry[]>();
  /** Numbers of connected clients by replica and key. */
  readonly #clients = new Map<string, number>();
  readonly #waiters = new Set<{ readonly condition: () => boolean; readonly resolve: () => void }>();
  /** A transport does not keep a process alive; a stage does. */
  readonly #alive = setInterval(() => undefined, 60_000);
  #sessions = 0;
  #sum = 0;

  constructor() {
    this.#secrets = this.#names.map(() => generateKey());
    for (let me = 0; me < 4; me++) this.#ports.push(this.#listen(me, 0));
  }

  /** The configuration for clients; ports are those that the replicas really listen on. */
  get cluster(): ClusterConfig {
    return this.#clusterAt(this.#ports);
  }

  /** Resolves when `condition` holds after an arrival, or holds already. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.add({ condition, resolve });
      this.#wakeWaiters();
    });
  }

  async stop(me: number): Promise<void> {
    await this.#transports[me]!.close();
  }

  /** Listens again where this replica did. */
  restart(me: number): void {
    this.#listen(me, this.#ports[me]!);
  }

  async close(): Promise<void> {
    clearInterval(this.#alive);
    await Promise.all(this.#transports.map((transport) => transport.close()));
  }

  #clusterAt(ports: readonly number[]): ClusterConfig {
    return resolveCluster({
      clusterId: this.#clusterId,
      nodes: this.#names.map((nodeId, i) => ({
        nodeId,
        host: "127.0.0.1",
        port: ports[i],
        publicKey: publicKeyOf(this.#secrets[i]!),
      })),
    });
  }

  #listen(me: number, port: number): number {
    // Replicas have nothing to say to each other here; clients compare keys and not addresses.
    const cluster = this.#clusterAt([1, 2, 3, 4]);
    const transport = new Transport(
      {
        clusterId: Buffer.from(this.#clusterId, "hex"),
        epoch: cluster.epoch,
        maxFaults: cluster.maxFaults,
        members: cluster.nodes.map((node) => ({
          key: Buffer.from(node.publicKey, "hex"),
          address: `${node.host}:${node.port}`,
        })),
        me,
        secretKeyPem: this.#secrets[me]!,
        listenHost: "127.0.0.1",
        listenPort: port,
        hello: helloFields(cluster, sha256),
        limits: cluster.limits,
      },
      (events) => this.#onEvents(me, events),
    );
    this.#transports[me] = transport;
    return transport.localPort;
  }

  #onEvents(me: number, events: Uint8Array): void {
    const reader = new Reader(events);
    while (reader.remaining > 0) {
      const kind = reader.u8();
      const record = new Reader(reader.bytes());
      if (kind === CLIENT) this.#onClient(me, record);
      if (kind !== FRAME || record.u8() !== 255) continue;
      record.u32();
      record.u8();
      const type = record.u8();
      if (type === MessageType.bundle) this.#onBundle(me, record.raw(record.remaining).slice());
    }
  }

  #onBundle(me: number, payload: Uint8Array): void {
    const decoded = decodePayload(MessageType.bundle, payload);
    if (!decoded.ok || decoded.message.name !== "bundle") throw new Error("a client's bundle does not decode");
    const { body: bundle, signature } = decoded.message;
    const signed = payload.subarray(0, payload.length - 64);
    const clusterId = Buffer.from(this.#clusterId, "hex");
    if (!verify(bytesOf(bundle.client), clusterId, 0, MessageType.bundle, signed, signature!)) {
      throw new Error("a client's signature does not verify");
    }
    this.arrivals.push({ bundle, payload });
    this.#wakeWaiters();
    if (this.manners[me] === "silent") return;
    const entries = this.#execute(bundle);
    for (const [replica, manner] of this.manners.entries()) {
      if (manner !== "silent") this.#reply(replica, bundle, manner === "lying" ? entries.map(falsified) : entries);
    }
  }

  #onClient(me: number, record: Reader): void {
    const id = record.u32();
    // A connection that ended is replaced by the client's next one.
    if (record.boolean()) this.#clients.set(`${me}/${record.clientKey()}`, id);
  }

  #execute(bundle: Bundle): readonly ReplyEntry[] {
    const key = `${bundle.session}/${bundle.firstSequence}`;
    const before = this.#results.get(key);
    if (before !== undefined) return before;
    const entries = bundle.operations.map((operation, index) =>
      bundle.session === 0
        ? ok(bundle.firstSequence, sessionBytes(++this.#sessions))
        : this.#apply(bundle.firstSequence + index, text(operation)),
    );
    this.#results.set(key, entries);
    return entries;
  }

  #apply(sequence: number, operation: string): ReplyEntry {
    if (operation === "refuse") return status(sequence, "refused", "TOO_MUCH");
    if (operation === "fail") return status(sequence, "failed");
    this.#sum += Number(operation);
    return ok(sequence, `${this.#sum}`);
  }

  #reply(me: number, bundle: Bundle, entries: readonly ReplyEntry[]): void {
    const client = this.#clients.get(`${me}/${bundle.client}`);
    if (client === undefined) return;
    const body = new Writer(1024);
    const view = 0 as View;
    encodeBody(body, "reply", {
      session: bundle.session,
      batchSequence: 1 as Sequence,
      view,
      tentative: false,
      entries,
    });
    const record = new Writer(1024);
    record.u32(TO_CLIENT + client);
    record.u8(CLIENT_LANE);
    record.u8(MessageType.reply);
    record.bytes(body.view());
    this.#transports[me]!.send(record.view());
  }

  #wakeWaiters(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.condition()) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}

function falsified(entry: ReplyEntry): ReplyEntry {
  return ok(entry.sequence, "lie");
}
