/** Reactors and transports over loopback, and records taken apart. */
import {
  generateKey,
  OUTPUT_BYTES_MIN,
  publicKeyOf,
  Reactor,
  Signer,
  type TransportConfig,
} from "../../dist/native/native.js";

export const CLUSTER = new Uint8Array(32).fill(7);
export const EPOCH = 1;
/** Turns after which what should happen counts as not happening; each sleeps a millisecond where nothing does. */
const TURNS_MAX = 5000;
const NOTHING = new Uint8Array(0);

export interface Rec {
  readonly kind: number;
  readonly body: Buffer;
}

export interface Identity {
  readonly pem: string;
  readonly key: Uint8Array;
}

export function identity(): Identity {
  const pem = generateKey();
  return { pem, key: new Uint8Array(Buffer.from(publicKeyOf(pem), "hex")) };
}

export function configOf(members: readonly Identity[], own: Identity, me: number | undefined): TransportConfig {
  return {
    clusterId: CLUSTER,
    epoch: EPOCH,
    maxFaults: Math.floor((members.length - 1) / 3),
    members: members.map(({ key }) => ({ key, address: "" })),
    me,
    secretKeyPem: own.pem,
    ...(me === undefined ? {} : { listenHost: "127.0.0.1", listenPort: 0 }),
    hello: [{ name: "cluster", digest: CLUSTER }],
    limits: { operationBytesMax: 1024, batchBundlesMax: 16, batchBytesMax: 1 << 20 },
  };
}

/** `u8 kind | u32 length | body` */
export function record(kind: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.writeUInt8(kind, 0);
  head.writeUInt32LE(body.length, 1);
  return Buffer.concat([head, body]);
}

export function records(bytes: Uint8Array): Rec[] {
  const all: Rec[] = [];
  const buffer = Buffer.from(bytes);
  for (let at = 0; at < buffer.length;) {
    const end = at + 5 + buffer.readUInt32LE(at + 1);
    all.push({ kind: buffer.readUInt8(at), body: buffer.subarray(at + 5, end) });
    at = end;
  }
  return all;
}

export function u8(value: number): Buffer {
  return Buffer.from([value]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u53(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** A BUNDLE payload of one operation, signed by `pem`. */
export function signedBundle(pem: string, first: number, operation: Uint8Array): Buffer {
  const signer = new Signer(pem);
  const head = [signer.publicKey, u53(1), u53(first), u53(0), Buffer.from([1, 0])];
  const payload = Buffer.concat([...head, u32(operation.length), operation]);
  return Buffer.concat([payload, signer.sign(CLUSTER, EPOCH, 0x10, payload)]);
}

/** Opens the window 1 … 100 of view 0 and grants room for requests. */
export const OPEN = Buffer.concat([record(10, u53(0), u53(100), u53(0), u53(0)), record(11, u32(1000), u32(1 << 20))]);

/** Replicas in one process, each turned from this thread. */
export class Cluster {
  readonly members: readonly Identity[];
  readonly reactors: readonly Reactor[];
  readonly #output = new Uint8Array(OUTPUT_BYTES_MIN);

  constructor(size: number) {
    this.members = Array.from({ length: size }, identity);
    this.reactors = this.members.map((member, me) => new Reactor(configOf(this.members, member, me)));
    for (const reactor of this.reactors) {
      this.addresses.forEach((address, replica) => reactor.setMemberAddress(replica, address));
    }
  }

  get addresses(): string[] {
    return this.reactors.map(({ localPort }) => `127.0.0.1:${localPort}`);
  }

  turn(replica: number, actions: Uint8Array = NOTHING, waitMs = 0): Rec[] {
    const length = this.reactors[replica]!.turn(actions, actions.length, this.#output, waitMs);
    return records(this.#output.subarray(0, length));
  }

  /** Turns all replicas until each of `expected` has come at its replica; its body may go on after `body`. */
  run(expected: readonly { readonly at: number; readonly kind: number; readonly body: Uint8Array }[]): void {
    let open = [...expected];
    for (let turns = 0; turns < TURNS_MAX; turns += 1) {
      for (const replica of this.reactors.keys()) {
        for (const { kind, body } of this.turn(replica, NOTHING, 1)) {
          open = open.filter(
            (wanted) =>
              wanted.at !== replica ||
              wanted.kind !== kind ||
              !body.subarray(0, wanted.body.length).equals(Buffer.from(wanted.body)),
          );
        }
      }
      if (open.length === 0) return;
    }
    throw new Error(`these records never came: ${JSON.stringify(open)}`);
  }

  connect(): void {
    const replicas = [...this.reactors.keys()];
    this.run(
      replicas.flatMap((at) =>
        replicas.filter((peer) => peer !== at).map((peer) => ({ at, kind: 8, body: Buffer.from([peer, 1]) })),
      ),
    );
  }

  close(): void {
    for (const reactor of this.reactors) reactor.shutdown(500);
  }
}
