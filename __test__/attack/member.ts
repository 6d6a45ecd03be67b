/** A program that holds a member's real key and speaks to the others as that member, in its own way. */
import { Writer } from "../../dist/codec/bytes.js";
import { helloFields } from "../../dist/codec/hello.js";
import { encodeBody, laneOf, MessageType, type Bodies, type BodyName } from "../../dist/codec/messages.js";
import { MessageCrypto, QuicTransportLayer, type ClusterConfig } from "../../dist/index.js";
import type { TransportConfig } from "../../dist/native/native.js";

/** Who speaks: a member (who also listens, as others dial it), or a client. */
export interface Speaker {
  readonly cluster: ClusterConfig;
  /** PKCS#8 PEM. */
  readonly key: string;
  /** Replica number; absent for a client. */
  readonly me?: number;
}

function transportConfigOf({ cluster, key, me }: Speaker): TransportConfig {
  return {
    clusterId: Buffer.from(cluster.clusterId, "hex"),
    epoch: cluster.epoch,
    maxFaults: cluster.maxFaults,
    members: cluster.nodes.map(({ publicKey, host, port }) => ({
      key: Buffer.from(publicKey, "hex"),
      address: `${host}:${port}`,
    })),
    me,
    secretKeyPem: key,
    listenHost: me === undefined ? undefined : cluster.nodes[me]!.host,
    listenPort: me === undefined ? undefined : cluster.nodes[me]!.port,
    hello: helloFields(cluster, (bytes) => MessageCrypto.sha256(bytes), me === undefined ? "client" : "replica"),
    limits: cluster.limits,
  };
}

/** Connections with a key of the cluster, and messages that are encoded and signed as they should be. */
export class Program {
  readonly cluster: ClusterConfig;
  readonly transport: QuicTransportLayer;
  readonly crypto: MessageCrypto;

  constructor(speaker: Speaker) {
    this.cluster = speaker.cluster;
    const domain = { clusterId: Buffer.from(speaker.cluster.clusterId, "hex"), epoch: speaker.cluster.epoch };
    this.crypto = new MessageCrypto(domain, speaker.key);
    this.transport = new QuicTransportLayer(transportConfigOf(speaker));
  }

  /** The payload of a message without signature. */
  body<K extends BodyName>(name: K, body: Bodies[K]): Uint8Array {
    const writer = new Writer();
    encodeBody(writer, name, body);
    return writer.copy();
  }

  /** The payload of a message that is signed whole. */
  signed<K extends BodyName>(name: K, body: Bodies[K]): Uint8Array {
    const payload = this.body(name, body);
    return Buffer.concat([payload, this.crypto.sign(MessageType[name], payload)]);
  }

  send(to: number, name: BodyName, payload: Uint8Array): void {
    this.transport.send(to, { lane: laneOf(name), type: MessageType[name], payload });
  }

  async close(): Promise<void> {
    await this.transport.close();
  }
}
