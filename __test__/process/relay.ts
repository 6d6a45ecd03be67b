/**
 * A UDP relay in front of each replica: everybody reaches a replica through it, so every link of a cluster passes one. It
 * forwards datagrams as they are, remembers how links began, and can drop what a test tells it to.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";

export interface Datagram {
  /** The replica whose relay this is. */
  readonly replica: number;
  /** The source port of whoever reaches the replica through the relay. */
  readonly from: number;
  readonly toReplica: boolean;
  readonly bytes: Uint8Array;
}

/** How one party reaches one replica. */
interface Flow {
  readonly socket: Socket;
  readonly first: Datagram;
}

export class Relay {
  /** Decides about every datagram; true drops it. */
  drops: (datagram: Datagram) => boolean = () => false;
  dropped = 0;
  forwarded = 0;
  readonly #replica: number;
  readonly #front = createSocket("udp4");
  readonly #flows = new Map<number, Flow>();
  #target = 0;

  private constructor(replica: number) {
    this.#replica = replica;
  }

  /** Listens on a free port; nothing passes before {@link aim}. */
  static async open(replica: number): Promise<Relay> {
    const relay = new Relay(replica);
    relay.#front.on("message", (bytes, from) => relay.#in(bytes, from));
    await new Promise<void>((resolve) => relay.#front.bind(0, "127.0.0.1", resolve));
    return relay;
  }

  get port(): number {
    return this.#front.address().port;
  }

  /** The first datagram of every party that reached the replica. */
  get beginnings(): readonly Datagram[] {
    return [...this.#flows.values()].map(({ first }) => first);
  }

  /** Forwards to the replica that listens on this port of loopback. */
  aim(port: number): void {
    this.#target = port;
  }

  close(): void {
    this.#front.close();
    for (const { socket } of this.#flows.values()) socket.close();
  }

  #in(bytes: Buffer, from: RemoteInfo): void {
    if (this.#target === 0) return;
    const datagram = { replica: this.#replica, from: from.port, toReplica: true, bytes };
    const flow = this.#flows.get(from.port) ?? this.#open(from.port, datagram);
    this.#pass(datagram, () => flow.socket.send(bytes, this.#target, "127.0.0.1"));
  }

  #open(from: number, first: Datagram): Flow {
    const socket = createSocket("udp4");
    socket.on("message", (bytes) => {
      const datagram = { replica: this.#replica, from, toReplica: false, bytes };
      this.#pass(datagram, () => this.#front.send(bytes, from, "127.0.0.1"));
    });
    const flow = { socket, first };
    this.#flows.set(from, flow);
    return flow;
  }

  #pass(datagram: Datagram, send: () => void): void {
    if (this.drops(datagram)) {
      this.dropped += 1;
      return;
    }
    this.forwarded += 1;
    send();
  }
}
