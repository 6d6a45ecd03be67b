/**
 * From frames to inputs: what the addon does in a node. Decodes, verifies, gives votes to the vote table and bodies to the body
 * store, answers fetches, and hands the rest to the core. Whatever is wrong with a frame is counted and goes no further.
 */
import type { Bundle } from "../codec/client.ts";
import type { DecodedViewChange } from "../codec/viewChange.ts";
import type { Input } from "../protocol/core.ts";
import type { CertificateName, Control, Decided, Fetch, PrePrepare, Unavailable, Vote } from "../protocol/messages.ts";
import { membersOf, type ReplicaId, type Verified } from "../protocol/types.ts";
import { SIGNATURE_BYTES } from "../codec/bytes.ts";
import { MessageType } from "../codec/messages.ts";
import type { VoteFact } from "./history.ts";
import type { BodyStore } from "./ports/body-store.ts";
import type { VoteTable } from "./ports/vote-table.ts";
import { learnBatch, type Surroundings } from "./surroundings.ts";
import { isAuthentic, open, proposalBytes, sealBody, sealSigned, type Opened } from "./wire.ts";

type Frame = Extract<Opened, { readonly ok: true }>;

export interface ReceiverPorts {
  readonly me: number;
  readonly votes: VoteTable;
  readonly bodies: BodyStore;
  /** Something for the core's next turn. */
  readonly input: (input: Input) => void;
  /** An answer that binds nobody. */
  readonly answer: (to: number, name: "fetchedBundle" | "unavailable", frame: Uint8Array) => void;
  /** What an oracle may know: a vote that this replica took. */
  readonly accepted: (from: number, vote: VoteFact) => void;
}

export class Receiver {
  private readonly around: Surroundings;
  private readonly ports: ReceiverPorts;

  constructor(around: Surroundings, ports: ReceiverPorts) {
    this.around = around;
    this.ports = ports;
  }

  /** Takes a frame from the connection of `from`. Returns it decoded, for whoever watches. */
  receive(from: number, bytes: Uint8Array): Frame | undefined {
    const frame = open(bytes);
    if (!frame.ok) {
      this.reject("malformed");
      this.around.coverage.hit("malformed frame rejected");
      return undefined;
    }
    const rejected =
      from < this.around.options.n ? this.fromReplica(from as ReplicaId, frame) : this.fromClient(from, frame);
    if (rejected !== undefined) this.reject(rejected);
    return frame;
  }

  private reject(reason: string): void {
    this.around.coverage.hit(`rejected: ${reason}`);
    if (reason === "badSignature") this.around.coverage.hit("bad signature rejected");
    if (reason === "aboveWindow" || reason === "belowWindow") this.around.coverage.hit("vote out of window");
    if (reason === "wrongView") this.around.coverage.hit("vote of another view");
    if (reason === "conflict") this.around.coverage.hit("conflicting vote seen");
  }

  private fromClient(from: number, frame: Frame): string | undefined {
    if (frame.payload.name !== "bundle") return "unexpectedType";
    const { body } = frame.payload;
    if (this.around.keyring.nodeOf(body.client) !== from) return "wrongClient";
    if (!isAuthentic(frame, from, this.around.keyring)) return "badSignature";
    return this.body(frame, body, undefined);
  }

  private fromReplica(from: ReplicaId, frame: Frame): string | undefined {
    const { payload } = frame;
    switch (payload.name) {
      case "prepare":
      case "commit":
        return this.vote(from, payload.name, payload.body, frame);
      case "prePrepare":
        return this.proposal(from, payload.body, frame);
      case "checkpoint":
        return this.checkpoint(from, frame, payload.body);
      case "viewChange":
        return this.viewChange(from, frame, payload.body);
      case "newView":
        return isAuthentic(frame, from, this.around.keyring)
          ? this.control(from, payload.body.message)
          : "badSignature";
      case "decided":
        return this.decided(from, payload.body);
      case "status":
      case "complaint":
        return this.control(from, payload.body);
      case "fetch":
        return this.fetch(from, payload.body);
      case "unavailable":
        return this.unavailable(from, payload.body);
      case "bundle":
      case "fetchedBundle": {
        const client = this.around.keyring.nodeOf(payload.body.client);
        if (client === undefined) return "unknownClient";
        if (!isAuthentic(frame, client, this.around.keyring)) return "badSignature";
        return this.body(frame, payload.body, from);
      }
      default:
        return "unexpectedType";
    }
  }

  private vote(from: ReplicaId, phase: "prepare" | "commit", vote: Vote, frame: Frame): string | undefined {
    const verify = (): boolean => isAuthentic(frame, from, this.around.keyring);
    const verdict = this.ports.votes.take(from, phase, vote, frame.payload.signature, verify);
    if (verdict !== "taken") return verdict;
    this.ports.accepted(from, { ...vote, type: phase });
    return undefined;
  }

  private proposal(from: ReplicaId, body: PrePrepare, frame: Frame): string | undefined {
    if (!isAuthentic(frame, from, this.around.keyring)) return "badSignature";
    learnBatch(this.around, body.digest, body.bundles);
    // Whose view it is, is for the core to say.
    if (body.view % this.around.options.n !== from) return this.control(from, body);
    const verdict = this.ports.votes.propose(from, body, frame.payload.signature as Uint8Array);
    if (verdict !== "taken" && verdict !== "duplicate") return verdict;
    this.ports.accepted(from, { ...body, type: "prePrepare" });
    return this.control(from, body);
  }

  private checkpoint(
    from: ReplicaId,
    frame: Frame,
    body: Control & { readonly type: "checkpoint" },
  ): string | undefined {
    if (!isAuthentic(frame, from, this.around.keyring)) return "badSignature";
    const verdict = this.ports.votes.checkpoint(
      from,
      body.sequence,
      body.digest,
      frame.payload.signature as Uint8Array,
    );
    if (verdict === "conflict") this.around.coverage.hit("conflicting checkpoint seen");
    if (verdict !== "taken" && verdict !== "duplicate") return verdict;
    this.ports.accepted(from, { ...body, type: "checkpoint", view: 0 });
    return this.control(from, body);
  }

  private viewChange(from: ReplicaId, frame: Frame, body: DecodedViewChange): string | undefined {
    if (!isAuthentic(frame, from, this.around.keyring)) return "badSignature";
    const valid = body.certificates.every(({ name, signatures }) => this.verifies(name, signatures));
    return valid ? this.control(from, body.message) : "badSignature";
  }

  private verifies(name: CertificateName, signatures: Uint8Array): boolean {
    const { n } = this.around.options;
    return membersOf(name.signers).every((signer, index) => {
      const signature = signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES);
      const proposed = name.phase === "prepare" && signer === name.view % n;
      const type = name.phase === "checkpoint" ? "checkpoint" : proposed ? "prePrepare" : "prepare";
      const bytes = proposalBytes(name);
      return this.around.keyring.verify(
        signer,
        MessageType[type],
        type === "checkpoint" ? bytes.subarray(8) : bytes,
        signature,
      );
    });
  }

  private decided(from: ReplicaId, body: Decided): undefined {
    learnBatch(this.around, body.digest, body.bundles);
    this.ports.accepted(from, { ...body, type: "decided", view: 0 });
    return this.control(from, body);
  }

  private fetch(from: ReplicaId, body: Fetch): string | undefined {
    if (body.kind !== "bundle") return this.control(from, body);
    const held = this.ports.bodies.get(body.digest);
    const { kind, digest } = body;
    if (held === undefined) {
      const frame = sealBody("unavailable", { type: "unavailable", kind, digest }, () => new Uint8Array(0));
      this.ports.answer(from, "unavailable", frame);
    } else this.ports.answer(from, "fetchedBundle", sealSigned("fetchedBundle", held.bundle, held.signature));
    return undefined;
  }

  private unavailable(from: ReplicaId, body: Unavailable): string | undefined {
    if (body.kind !== "bundle") return this.control(from, body);
    if (!this.ports.bodies.unavailable(body.digest, from)) return "unasked";
    this.around.coverage.hit("body unavailable");
    return undefined;
  }

  private body(frame: Frame, bundle: Bundle, from: ReplicaId | undefined): string | undefined {
    const { signature } = frame.payload;
    if (frame.digest === undefined || signature === undefined) return "malformed";
    const bytes = (frame.signedPayload?.length ?? 0) + SIGNATURE_BYTES;
    if (frame.payload.name === "fetchedBundle") this.around.coverage.hit("body fetched");
    const verdict = this.ports.bodies.take({ digest: frame.digest, bundle, signature, bytes }, from);
    return verdict === "taken" ? undefined : verdict;
  }

  private control(from: ReplicaId, message: Control): undefined {
    this.ports.input({ kind: "control", from, message: message as Verified<Control> });
    return undefined;
  }
}
