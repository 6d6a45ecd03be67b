/**
 * The client's connections to all replicas: signs bundles, packs what leaves into one buffer per flush, and turns what arrives
 * into inputs. Keys are pinned and connections made again by the transport.
 */
import { Reader, Writer } from "../codec/bytes.ts";
import { resultStatuses } from "../codec/client.ts";
import { addressOf, mtuOf, type ClusterConfig } from "../codec/cluster.ts";
import { bytesOf, digestAt, digestFromHex } from "../codec/digest.ts";
import { helloFields } from "../codec/hello.ts";
import { decodeBody, laneOf, lanes, MessageType } from "../codec/messages.ts";
import { resultDigest, sha256, Signer, Transport, type NativeStatistics } from "../native/native.ts";
import { assert } from "../protocol/assert.ts";
import type { ClientKey, ReplicaId } from "../protocol/types.ts";
import type { ClientAction, ClientInput, ResultDigest } from "./interfaces.ts";

/** Kinds of the transport's event records. */
const FRAME = 1;
const LINK = 2;
const REFUSED = 3;
const CLIENT_LANE = lanes.indexOf(laneOf("bundle"));
/** What a replica's refusal may say; longer reasons are cut. */
const REASON_BYTES_MAX = 256;

/** What one event of the network means to the client. */
export type ConnectionEvent =
  | Extract<ClientInput, { kind: "reply" | "busy" | "link" }>
  | { readonly kind: "refused"; readonly peer: number; readonly reason: string };

type Send = Extract<ClientAction, { kind: "send" }>;

export class ReplicaConnections {
  readonly client: ClientKey;
  readonly #signer: Signer;
  readonly #transport: Transport;
  readonly #clusterId: Uint8Array;
  readonly #epoch: number;
  /** Signed bundles in flight by handle: a retry sends the same bytes. */
  readonly #signed = new Map<number, Uint8Array>();
  readonly #writer = new Writer(64 * 1024);
  #malformedFrames = 0;

  /**
   * @param onEvents Gets all that arrived since the last call, in order; byte strings in it are valid during the call alone.
   * @throws ByzantineError `INVALID_KEY`, `INVALID_CONFIG`, `NATIVE_BINDING`.
   */
  constructor(cluster: ClusterConfig, key: string, onEvents: (events: readonly ConnectionEvent[]) => void) {
    this.#signer = new Signer(key);
    this.client = digestAt(this.#signer.publicKey, 0) as string as ClientKey;
    this.#clusterId = keyBytes(cluster.clusterId);
    this.#epoch = cluster.epoch;
    this.#transport = new Transport(
      {
        clusterId: this.#clusterId,
        epoch: cluster.epoch,
        maxFaults: cluster.maxFaults,
        members: cluster.nodes.map((node) => ({ key: keyBytes(node.publicKey), address: addressOf(node) })),
        secretKeyPem: key,
        hello: helloFields(cluster, sha256, "client"),
        limits: cluster.limits,
        mtu: mtuOf(cluster),
      },
      (records) => onEvents(this.#eventsIn(records)),
    );
  }

  /** Frames from replicas that were not what a client gets, or did not decode. */
  get malformedFrames(): number {
    return this.#malformedFrames;
  }

  /** Sends and forgets bundles, in order; all that leaves goes in one native call. Bundles are signed when they first leave. */
  carryOut(actions: readonly ClientAction[]): void {
    this.#writer.reset();
    for (const action of actions) {
      if (action.kind === "send") this.#write(action);
      else if (action.kind === "forget") this.#signed.delete(action.bundle);
    }
    if (this.#writer.length > 0) this.#transport.send(this.#writer.view());
  }

  statistics(): NativeStatistics {
    return this.#transport.statistics();
  }

  async close(): Promise<void> {
    this.#signed.clear();
    await this.#transport.close();
  }

  #write({ to, bundle, payload }: Send): void {
    if (payload !== undefined) this.#signed.set(bundle, this.#sign(payload));
    const signed = this.#signed.get(bundle);
    assert(signed !== undefined, "a bundle is kept until it is forgotten");
    this.#writer.set(to);
    this.#writer.u8(CLIENT_LANE);
    this.#writer.u8(MessageType.bundle);
    this.#writer.bytes(signed);
  }

  #sign(payload: Uint8Array): Uint8Array {
    const signature = this.#signer.sign(this.#clusterId, this.#epoch, MessageType.bundle, payload);
    const signed = new Uint8Array(payload.length + signature.length);
    signed.set(payload);
    signed.set(signature, payload.length);
    return signed;
  }

  #eventsIn(records: Uint8Array): ConnectionEvent[] {
    const events: ConnectionEvent[] = [];
    const reader = new Reader(records);
    while (reader.remaining > 0) {
      const kind = reader.u8();
      const event = this.#eventIn(kind, new Reader(reader.bytes()));
      if (event !== undefined) events.push(event);
    }
    return events;
  }

  #eventIn(kind: number, record: Reader): ConnectionEvent | undefined {
    switch (kind) {
      case FRAME:
        return this.#frameIn(record);
      case LINK:
        return { kind: "link", peer: record.u8() as ReplicaId, up: record.boolean() };
      case REFUSED: {
        const peer = record.u8();
        const reason = record.raw(Math.min(record.remaining, REASON_BYTES_MAX));
        return { kind: "refused", peer, reason: new TextDecoder().decode(reason) };
      }
      default:
        return undefined;
    }
  }

  #frameIn(record: Reader): ConnectionEvent | undefined {
    const from = record.u8() as ReplicaId;
    record.raw(4);
    const lane = record.u8();
    const type = record.u8();
    const payload = record.raw(record.remaining);
    if (lane === CLIENT_LANE && type === MessageType.reply) {
      const decoded = decodeBody("reply", payload);
      if (decoded.ok) return { kind: "reply", from, reply: decoded.message };
    } else if (lane === CLIENT_LANE && type === MessageType.busy) {
      const decoded = decodeBody("busy", payload);
      if (decoded.ok) return { kind: "busy", from, ...decoded.message };
    }
    this.#malformedFrames++;
    return undefined;
  }
}

/** The digest of results by the addon, packed. */
export const nativeResultDigest: ResultDigest = (status, result) =>
  digestAt(resultDigest(resultStatuses.indexOf(status), result), 0);

function keyBytes(hex: string): Uint8Array {
  const key = digestFromHex(hex);
  assert(key !== undefined, "a checked configuration holds keys of 64 hexadecimal digits");
  return bytesOf(key);
}
