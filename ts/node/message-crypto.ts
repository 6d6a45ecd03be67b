/** Keys, signatures and digests as the protocol uses them, for programs that build or check messages themselves. */
import {
  batchDigest,
  bundleDigest,
  checkPublicKey,
  generateKey,
  publicKeyOf,
  resultDigest,
  sha256,
  Signer,
  verify,
  verifyBatch,
} from "../native/native.ts";
import { resultStatuses } from "../codec/client.ts";
import type { ResultStatus } from "../protocol/messages.ts";

/** What every signature of a cluster covers besides type and payload. */
export interface SigningDomain {
  /** 32 bytes. */
  readonly clusterId: Uint8Array;
  /** 0 … 2^53−1. */
  readonly epoch: number;
}

/** A signature to check: over the domain, the message type and the payload. */
export interface SignedMessage {
  /** Ed25519 public key, 32 bytes. */
  readonly key: Uint8Array;
  /** Message type, see `WIRE.md` §2. */
  readonly type: number;
  readonly payload: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

/**
 * Ed25519 under ZIP-215: one verdict for one signature everywhere, single or in any batch. Keys of small order, with a torsion
 * component or not canonical are refused when loaded.
 */
export class MessageCrypto {
  readonly #domain: SigningDomain;
  readonly #signer: Signer | undefined;

  /**
   * @param key The private key to sign with, PKCS#8 PEM; without it only checks are possible.
   * @throws ByzantineError `INVALID_KEY`.
   */
  constructor(domain: SigningDomain, key?: string) {
    this.#domain = domain;
    this.#signer = key === undefined ? undefined : new Signer(key);
  }

  /** A new key pair: the private key as PKCS#8 PEM, the public one as 64 hexadecimal digits. */
  static generateKeyPair(): { readonly privateKey: string; readonly publicKey: string } {
    const privateKey = generateKey();
    return { privateKey, publicKey: publicKeyOf(privateKey) };
  }

  /** Why a public key is refused, or `undefined` if it is good. @param key 32 bytes. */
  static refusalOf(key: Uint8Array): string | undefined {
    return checkPublicKey(key) || undefined;
  }

  static sha256(bytes: Uint8Array): Uint8Array {
    return sha256(bytes);
  }

  /** Digest of a signed bundle: its leaf in the batch digest. */
  static bundleDigest(signedBundle: Uint8Array): Uint8Array {
    return bundleDigest(signedBundle);
  }

  /** Digest of a batch. @param bundles The bundle digests one after another, 32 bytes each. */
  static batchDigest(timeMs: number, bundles: Uint8Array): Uint8Array {
    return batchDigest(timeMs, bundles);
  }

  static resultDigest(status: ResultStatus, result: Uint8Array): Uint8Array {
    return resultDigest(resultStatuses.indexOf(status), result);
  }

  /** @returns 64 bytes. @throws TypeError without a private key. */
  sign(type: number, payload: Uint8Array): Uint8Array {
    if (this.#signer === undefined) throw new TypeError("MessageCrypto was made without a private key");
    return this.#signer.sign(this.#domain.clusterId, this.#domain.epoch, type, payload);
  }

  verify({ key, type, payload, signature }: SignedMessage): boolean {
    return verify(key, this.#domain.clusterId, this.#domain.epoch, type, payload, signature);
  }

  /** One verdict per message, each equal to what {@link verify} says. */
  verifyBatch(messages: readonly SignedMessage[]): boolean[] {
    const items = Buffer.concat(
      messages.flatMap(({ key, type, payload, signature }) => {
        const head = Buffer.alloc(5);
        head.writeUInt8(type, 0);
        head.writeUInt32LE(payload.length, 1);
        return [key, head, payload, signature];
      }),
    );
    return [...verifyBatch(this.#domain.clusterId, this.#domain.epoch, items)].map((verdict) => verdict === 1);
  }
}
