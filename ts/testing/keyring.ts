/**
 * Signatures of a simulated cluster. The stub is unforgeable because each node's secret stays in here: whoever wants a
 * signature names the node that signs, and an adversary's hand can name none but its own.
 */
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { SIGNATURE_BYTES } from "../codec/bytes.ts";
import { digestAt } from "../codec/digest.ts";
import type { ClientKey } from "../protocol/types.ts";
import { sha256 } from "./hashing.ts";
import type { Prng } from "./prng.ts";

export interface Keyring {
  /** The 64-byte signature of `node` over a message of this type. */
  sign(node: number, type: number, payload: Uint8Array): Uint8Array;
  verify(node: number, type: number, payload: Uint8Array, signature: Uint8Array): boolean;
  /** The public key of a node, packed. */
  keyOf(node: number): ClientKey;
  /** The node that has this key. */
  nodeOf(key: ClientKey): number | undefined;
}

/** Who has which key; the same for both kinds of signatures. */
export abstract class KeyDirectory {
  private readonly keys: readonly ClientKey[];
  private readonly nodes: ReadonlyMap<ClientKey, number>;

  protected constructor(publicKeys: readonly Uint8Array[]) {
    this.keys = publicKeys.map((key) => digestAt(key, 0) as string as ClientKey);
    this.nodes = new Map(this.keys.map((key, node) => [key, node]));
  }

  keyOf(node: number): ClientKey {
    const key = this.keys[node];
    if (key === undefined) throw new RangeError(`no node ${node}`);
    return key;
  }

  nodeOf(key: ClientKey): number | undefined {
    return this.nodes.get(key);
  }
}

/**
 * A keyed hash under a secret per node. Not a cryptographic one: nobody in a simulation computes, adversaries only ask, and a
 * real one would cost more than everything else that a message does.
 */
export class StubKeyring extends KeyDirectory implements Keyring {
  private readonly secrets: readonly Uint8Array[];

  constructor(prng: Prng, nodes: number) {
    const secrets = Array.from({ length: nodes }, () => prng.bytes(32));
    super(secrets.map((secret) => sha256(secret)));
    this.secrets = secrets;
  }

  sign(node: number, type: number, payload: Uint8Array): Uint8Array {
    const secret = this.secrets[node];
    if (secret === undefined) throw new RangeError(`no node ${node}`);
    return keyedHash(secret, type, payload);
  }

  verify(node: number, type: number, payload: Uint8Array, signature: Uint8Array): boolean {
    const secret = this.secrets[node];
    if (secret === undefined || signature.length !== SIGNATURE_BYTES) return false;
    const expected = keyedHash(secret, type, payload);
    for (let index = 0; index < SIGNATURE_BYTES; index++) if (signature[index] !== expected[index]) return false;
    return true;
  }
}

/** 64 bytes from two lanes of 32 bits over secret, type, length and payload. */
function keyedHash(secret: Uint8Array, type: number, payload: Uint8Array): Uint8Array {
  let a = Math.imul(type + 1, 0x9e3779b1) ^ payload.length;
  let b = a ^ 0x85ebca77;
  for (const bytes of [secret, payload]) {
    for (let index = 0; index < bytes.length; index++) {
      a = Math.imul(a ^ (bytes[index] as number), 0x01000193);
      b = Math.imul(b + (bytes[index] as number), 0x85ebca6b) ^ (a >>> 15);
    }
  }
  const output = new Uint8Array(SIGNATURE_BYTES);
  for (let index = 0; index < SIGNATURE_BYTES; index++) {
    a = Math.imul(a ^ (b >>> 13), 0xc2b2ae35);
    b = (b + (a ^ index)) | 0;
    output[index] = a >>> 24;
  }
  return output;
}

/** PKCS#8 in front of the 32 secret bytes of an Ed25519 key (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
/** The domain of the formats: protocol, cluster, epoch, before the type. */
const DOMAIN = Buffer.concat([Buffer.from("byzantine-quic/1"), Buffer.alloc(32 + 8)]);

/** Real Ed25519 for where there is no addon. */
export class Ed25519Keyring extends KeyDirectory implements Keyring {
  private readonly privateKeys: readonly KeyObject[];
  private readonly publicKeys: readonly KeyObject[];

  constructor(prng: Prng, nodes: number) {
    const privateKeys = Array.from({ length: nodes }, () => {
      const key = Buffer.concat([PKCS8_PREFIX, prng.bytes(32)]);
      return createPrivateKey({ key, format: "der", type: "pkcs8" });
    });
    const publicKeys = privateKeys.map((key) => createPublicKey(key));
    super(publicKeys.map((key) => key.export({ format: "der", type: "spki" }).subarray(-32)));
    this.privateKeys = privateKeys;
    this.publicKeys = publicKeys;
  }

  sign(node: number, type: number, payload: Uint8Array): Uint8Array {
    const key = this.privateKeys[node];
    if (key === undefined) throw new RangeError(`no node ${node}`);
    return sign(null, signedBytes(type, payload), key);
  }

  verify(node: number, type: number, payload: Uint8Array, signature: Uint8Array): boolean {
    const key = this.publicKeys[node];
    return (
      key !== undefined &&
      signature.length === SIGNATURE_BYTES &&
      verify(null, signedBytes(type, payload), key, signature)
    );
  }
}

function signedBytes(type: number, payload: Uint8Array): Buffer {
  return Buffer.concat([DOMAIN, Buffer.from([type]), payload]);
}
