/** Real signatures by the addon: the signer and the one verifier of the product. */
import { Signer, verify } from "../native/native.ts";
import { KeyDirectory, type Keyring } from "./keyring.ts";
import type { Prng } from "./prng.ts";

/** PKCS#8 in front of the 32 secret bytes of an Ed25519 key (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");
const CLUSTER = new Uint8Array(32);
const EPOCH = 0;

export class NativeKeyring extends KeyDirectory implements Keyring {
  private readonly signers: readonly Signer[];
  private readonly publicKeys: readonly Uint8Array[];

  constructor(prng: Prng, nodes: number) {
    const signers = Array.from({ length: nodes }, () => new Signer(pemOf(prng.bytes(32))));
    const publicKeys = signers.map(({ publicKey }) => publicKey);
    super(publicKeys);
    this.signers = signers;
    this.publicKeys = publicKeys;
  }

  sign(node: number, type: number, payload: Uint8Array): Uint8Array {
    const signer = this.signers[node];
    if (signer === undefined) throw new RangeError(`no node ${node}`);
    return signer.sign(CLUSTER, EPOCH, type, payload);
  }

  verify(node: number, type: number, payload: Uint8Array, signature: Uint8Array): boolean {
    const key = this.publicKeys[node];
    return key !== undefined && verify(key, CLUSTER, EPOCH, type, payload, signature);
  }
}

function pemOf(secret: Uint8Array): string {
  const base64 = Buffer.concat([PKCS8_PREFIX, secret]).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`;
}
