/** The body store in both forms behind one face, for the cases of `body-store.test.ts`. */
import { Writer } from "../../dist/codec/bytes.js";
import { encodeBody, MessageType } from "../../dist/codec/messages.js";
import { bytesOf, digestAt } from "../../dist/codec/digest.js";
import { readInputs } from "../../dist/codec/turn.js";
import type { TurnInput } from "../../dist/codec/turn.js";
import { bundleDigest, generateKey, NativeBodyStore, Signer } from "../../dist/native/native.js";
import type { Input } from "../../dist/protocol/core.js";
import type { ClientKey, Digest, ReplicaId, SessionId } from "../../dist/protocol/types.js";
import { BodyStore } from "../../dist/testing/ports/body-store.js";

const CLIENT = 255;
const NO_SIGNATURE = new Uint8Array(64);

export interface BodyStoreForm {
  /** A bundle with this client sequence, from a replica or from its client; its length grows with `bytes`. */
  put(name: number, from?: number, bytes?: number): boolean;
  pin(name: number): void;
  release(name: number): void;
  room(bundles: number, bytes?: number): void;
  /** Client sequences handed to the core in this turn, with where they came from. */
  requests(): string[];
  holds(name: number): boolean;
}

export const forms: readonly { readonly name: string; readonly make: () => BodyStoreForm }[] = [
  { name: "simulated", make: () => new Simulated() },
  { name: "native", make: () => new Native() },
];

function summary(inputs: readonly (Input | TurnInput)[]): string[] {
  return inputs.flatMap((input) =>
    input.kind === "request" ? [`${input.bundle.firstSequence} from ${input.from ?? "client"}`] : [],
  );
}

function bundle(client: ClientKey, name: number, bytes: number): Parameters<typeof encodeBody<"bundle">>[2] {
  return {
    client,
    session: 1 as SessionId,
    firstSequence: name,
    acknowledgedThrough: 0,
    operations: [new Uint8Array(bytes)],
  };
}

class Simulated implements BodyStoreForm {
  private readonly store = new BodyStore();
  private readonly client = "k".repeat(16) as ClientKey;

  put(name: number, from = CLIENT, bytes = 10): boolean {
    const body = {
      digest: named(name),
      bundle: bundle(this.client, name, bytes),
      signature: NO_SIGNATURE,
      bytes: bytes + 134,
    };
    return this.store.take(body, from === CLIENT ? undefined : (from as ReplicaId)) === "taken";
  }

  pin(name: number): void {
    this.store.pin([named(name)]);
  }

  release(name: number): void {
    this.store.release([named(name)]);
  }

  room(bundles: number, bytes = 1_000_000): void {
    this.store.setRoom({ bundles, bytes });
  }

  requests(): string[] {
    return summary(this.store.drain());
  }

  holds(name: number): boolean {
    return this.store.get(named(name)) !== undefined;
  }
}

class Native implements BodyStoreForm {
  private readonly cluster = new Uint8Array(32).fill(1);
  private readonly store = new NativeBodyStore(this.cluster, 0, 1_000_000);
  private readonly signer = new Signer(generateKey());
  private readonly digests = new Map<number, Uint8Array>();

  put(name: number, from = CLIENT, bytes = 10): boolean {
    return this.store.put(from, this.signed(name, bytes)) === -1;
  }

  pin(name: number): void {
    this.signed(name, 10);
    this.store.pin(this.digestOf(name));
  }

  release(name: number): void {
    this.store.release(this.digestOf(name));
  }

  room(bundles: number, bytes = 1_000_000): void {
    this.store.setRoom(bundles, bytes);
  }

  requests(): string[] {
    const inputs: TurnInput[] = [];
    const records = this.store.requests();
    readInputs(records, records.length, inputs);
    return summary(inputs);
  }

  holds(name: number): boolean {
    return this.store.payload(this.digestOf(name)).length > 0;
  }

  private signed(name: number, bytes: number): Uint8Array {
    const writer = new Writer();
    encodeBody(writer, "bundle", bundle(digestAt(this.signer.publicKey, 0) as string as ClientKey, name, bytes));
    writer.raw(this.signer.sign(this.cluster, 0, MessageType.bundle, writer.copy()));
    const payload = writer.copy();
    this.digests.set(name, bundleDigest(payload));
    return payload;
  }

  private digestOf(name: number): Uint8Array {
    return this.digests.get(name) ?? bytesOf(named(name));
  }
}

function named(name: number): Digest {
  return `bundle ${name}`.padEnd(16, ".") as Digest;
}
