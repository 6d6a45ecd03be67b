/**
 * The transport by itself: QUIC connections with pinned Ed25519 identities, frames on lanes. A `ByzantineNode` does not go
 * through this class (its reactor drives QUIC in its own thread); programs that speak to replicas in their own way do.
 */
import { EventEmitter } from "node:events";
import { lanes, type Lane } from "../codec/messages.ts";
import { Transport, type NativeStatistics, type TransportConfig } from "../native/native.ts";

/** A frame that has come in. */
export interface TransportMessage {
  /** Replica that sent it; `undefined` for a client. */
  readonly from: number | undefined;
  /** Number of the client's connection; 0 for a replica. */
  readonly client: number;
  readonly lane: Lane;
  /** Message type, `WIRE.md` §2. */
  readonly type: number;
  readonly payload: Uint8Array;
}

type TransportEvents = {
  /** A connection to a replica came up or went down. */
  peer: [peer: number, connected: boolean];
  /** A connection was refused, and why. */
  refused: [peer: number | undefined, reason: string];
};

export type MessageHandler = (message: TransportMessage) => void;

/** Kinds of event records, see `native.ts`. */
const FRAME = 1;
const LINK = 2;
const REFUSED = 3;
/** Stands for "no replica" in an event record. */
const NOBODY = 255;
/** A client's connection in place of a set of replicas: this bit and its number. */
const TO_CLIENT = 0x80000000;

export class QuicTransportLayer extends EventEmitter<TransportEvents> implements AsyncDisposable {
  readonly #transport: Transport;
  readonly #handlers = new Map<number, Set<MessageHandler>>();
  readonly #peers = new Set<number>();
  readonly #everyone: number;

  /**
   * Starts at once: listens if the configuration says so, and dials the members.
   * @throws ByzantineError `LISTEN_FAILED`, `INVALID_KEY`, `INVALID_CONFIG`.
   */
  constructor(config: TransportConfig) {
    super();
    const everyone = 2 ** config.members.length - 1;
    this.#everyone = config.me === undefined ? everyone : everyone - 2 ** config.me;
    this.#transport = new Transport(config, (events) => this.#onEvents(events));
  }

  /** Replicas with a live connection, ascending. */
  get peers(): readonly number[] {
    return [...this.#peers].sort((a, b) => a - b);
  }

  /** The UDP port; 0 when not listening. */
  get port(): number {
    return this.#transport.localPort;
  }

  /** Calls `handler` for every frame of a type. @returns A function that ends it. */
  onMessage(type: number, handler: MessageHandler): () => void {
    const handlers = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, handlers.add(handler));
    return () => void handlers.delete(handler);
  }

  /** Queues a frame to one replica. What a full queue or a missing connection loses is counted in {@link statistics}. */
  send(to: number, frame: { readonly lane: Lane; readonly type: number; readonly payload: Uint8Array }): void {
    this.#send(2 ** to, frame);
  }

  /** Queues a frame to every other replica that is connected. */
  broadcast(frame: { readonly lane: Lane; readonly type: number; readonly payload: Uint8Array }): void {
    this.#send(this.#everyone, frame);
  }

  /** Queues a frame to a client that is connected to this member. */
  sendToClient(
    client: number,
    frame: { readonly lane: Lane; readonly type: number; readonly payload: Uint8Array },
  ): void {
    this.#send(TO_CLIENT + client, frame);
  }

  statistics(): NativeStatistics {
    return this.#transport.statistics();
  }

  /** Closes all connections; afterwards the process can exit. Idempotent. */
  async close(): Promise<void> {
    await this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #send(
    set: number,
    { lane, type, payload }: { readonly lane: Lane; readonly type: number; readonly payload: Uint8Array },
  ): void {
    const record = Buffer.alloc(10 + payload.length);
    record.writeUInt32LE(set, 0);
    record.writeUInt8(lanes.indexOf(lane), 4);
    record.writeUInt8(type, 5);
    record.writeUInt32LE(payload.length, 6);
    record.set(payload, 10);
    this.#transport.send(record);
  }

  #onEvents(events: Uint8Array): void {
    const records = Buffer.from(events); // copied: handlers may keep what they get
    for (let at = 0; at < records.length;) {
      const kind = records.readUInt8(at);
      const end = at + 5 + records.readUInt32LE(at + 1);
      this.#onEvent(kind, records.subarray(at + 5, end));
      at = end;
    }
  }

  #onEvent(kind: number, body: Buffer): void {
    const peer = body.readUInt8(0);
    if (kind === FRAME) return this.#onFrame(body);
    if (kind === REFUSED) {
      this.emit("refused", peer === NOBODY ? undefined : peer, body.toString("utf8", 1));
    } else if (kind === LINK) {
      const connected = body.readUInt8(1) === 1;
      if (connected) this.#peers.add(peer);
      else this.#peers.delete(peer);
      this.emit("peer", peer, connected);
    }
  }

  #onFrame(body: Buffer): void {
    const from = body.readUInt8(0);
    const type = body.readUInt8(6);
    const message: TransportMessage = {
      from: from === NOBODY ? undefined : from,
      client: body.readUInt32LE(1),
      lane: lanes[body.readUInt8(5)] ?? "control",
      type,
      payload: body.subarray(7),
    };
    for (const handler of this.#handlers.get(type) ?? []) handler(message);
  }
}
