/**
 * What leaves a replica: encoded, signed, and held back until its record is durable. A Byzantine replica's messages pass
 * through its adversaries here, after its honest core has made them.
 */
import type { Bundle } from "../codec/client.ts";
import { isSigned, MessageType, type Bodies, type BodyName } from "../codec/messages.ts";
import type { Action, DurableRecord } from "../protocol/core.ts";
import { membersOf, type Digest, type ReplicaId, type ReplicaSet, type SessionId } from "../protocol/types.ts";
import { ByzantineHand } from "./adversaries/hand.ts";
import { signedFact, voteFact } from "./facts.ts";
import { batchDigest } from "./hashing.ts";
import type { Body } from "./ports/body-store.ts";
import type { Disk } from "./ports/disk.ts";
import type { Outbox } from "./ports/outbox.ts";
import type { VoteTable } from "./ports/vote-table.ts";
import type { Prng } from "./prng.ts";
import { learnBatch, type Surroundings } from "./surroundings.ts";
import { open, proposalBytes, sealBody, sealOutgoing, sealSigned, type Opened, type Signer } from "./wire.ts";
import { SIGNATURE_BYTES } from "../codec/bytes.ts";

interface Owner {
  readonly id: number;
  readonly honest: boolean;
  readonly prng: Prng;
  readonly votes: VoteTable;
}

export class Departures {
  private readonly around: Surroundings;
  private readonly owner: Owner;
  private readonly hand: ByzantineHand | undefined;
  private readonly sign: Signer;

  constructor(around: Surroundings, owner: Owner) {
    this.around = around;
    this.owner = owner;
    this.sign = makeSigner(around, owner.id);
    this.hand = owner.honest
      ? undefined
      : new ByzantineHand(around, owner.id, owner.prng.split("adversary"), this.sign);
  }

  /** A message of the core. */
  send(action: Extract<Action, { kind: "send" }>, outbox: Outbox, disk: Disk, bodiesHeld: boolean): void {
    const { message, to, after } = action;
    const frame = sealOutgoing(message, this.sign, this.owner.votes);
    const vote = voteFact(message);
    if (isSigned(message.type)) this.keepOwn(message, frame.slice(-SIGNATURE_BYTES));
    if (message.type === "prePrepare") learnBatch(this.around, message.digest, message.bundles);
    const replica = this.owner.id;
    if (vote !== undefined && this.owner.honest) {
      this.around.history.see({ kind: "emitted", replica, vote, after, bodiesHeld });
    }
    if (message.type === "decided" || message.type === "status")
      this.around.coverage.hit("status repair", message.type === "decided" ? 1 : 0);
    if (after > disk.durableThrough) this.around.coverage.hit("send waited for the disk");
    outbox.push(after, () => {
      if (this.owner.honest) {
        const durable = disk.durableThrough;
        this.around.history.see({ kind: "left", replica, vote, what: message.type, after, durable });
      }
      // The body as its receiver decodes it is what adversaries of this replica change.
      for (const peer of membersOf(to)) this.depart(peer, message.type, frame);
    });
  }

  /** A frame that rests on nothing, or whose record is durable. */
  frame(to: number, name: BodyName, frame: Uint8Array): void {
    this.depart(to, name, frame);
  }

  forward(to: ReplicaSet, body: Body | undefined): void {
    if (body === undefined) return;
    const frame = sealSigned("bundle", body.bundle, body.signature);
    for (const peer of membersOf(to)) this.depart(peer, "bundle", frame);
  }

  fetch({ what, digest, from }: Extract<Action, { kind: "fetch" }>): void {
    const frame = sealBody("fetch", { type: "fetch", kind: what, digest }, this.sign);
    for (const peer of membersOf(from)) this.depart(peer, "fetch", frame);
  }

  /** Tells a client that its bundle was not taken. */
  busy({ client, session, firstSequence }: Bundle): void {
    const node = this.around.keyring.nodeOf(client);
    if (node === undefined) return;
    this.depart(node, "busy", sealBody("busy", { session: session as SessionId, firstSequence }, this.sign));
  }

  assemble({ time, bundles }: Extract<Action, { kind: "assemble" }>, done: (digest: Digest) => void): void {
    const digest = batchDigest({ time, bundles });
    learnBatch(this.around, digest, bundles);
    done(digest);
  }

  /** Shows the certificate of a durable record to the oracles, with the signers whose signatures are really there. */
  certify(record: DurableRecord): void {
    if (!this.owner.honest || (record.type !== "prepared" && record.type !== "stable")) return;
    const { certificate } = record;
    // One turn brought so many CHECKPOINTs that this one is out of date already; the certificate that counts follows.
    if (this.owner.votes.isOvertaken(certificate)) return this.around.coverage.hit("skipped: certificate overtaken");
    const { phase, view, sequence, digest, signers } = certificate;
    const payload = proposalBytes({ view, sequence, digest });
    const valid = membersOf(signers).filter((signer) => {
      const signature = this.owner.votes.signature(certificate, signer);
      const proposed = phase === "prepare" && signer === view % this.around.options.n;
      const type = phase === "checkpoint" ? "checkpoint" : proposed ? "prePrepare" : "prepare";
      const signed = type === "checkpoint" ? payload.subarray(8) : payload;
      return signature !== undefined && this.around.keyring.verify(signer, MessageType[type], signed, signature);
    });
    this.around.history.see({
      kind: "certificate",
      replica: this.owner.id,
      phase,
      view,
      sequence,
      digest,
      signers: valid,
    });
  }

  /** A Byzantine replica hears what arrives at its honest core. */
  overhear(frame: Extract<Opened, { ok: true }>, bytes: Uint8Array): void {
    this.hand?.overhear(frame, bytes);
  }

  private keepOwn(message: Extract<Action, { kind: "send" }>["message"], signature: Uint8Array): void {
    const me = this.owner.id as ReplicaId;
    if (message.type === "prepare") this.owner.votes.keepOwn(message, signature);
    if (message.type === "prePrepare") this.owner.votes.propose(me, message, signature);
    if (message.type === "checkpoint") this.owner.votes.checkpoint(me, message.sequence, message.digest, signature);
  }

  private depart(to: number, name: BodyName, frame: Uint8Array): void {
    const { network } = this.around;
    if (this.hand === undefined) return network.send(this.owner.id, to, frame);
    const opened = open(frame);
    const body = opened.ok ? (opened.payload.body as Bodies[BodyName]) : undefined;
    if (body === undefined) return network.send(this.owner.id, to, frame);
    this.hand.depart({ to, name, body, frame });
  }
}

/** Signs with one node's key, in sight of the oracles. */
export function makeSigner(around: Surroundings, node: number): Signer {
  return (type, payload) => {
    const vote = signedFact(type, payload);
    if (vote !== undefined) around.history.see({ kind: "signed", signer: node, vote });
    return around.keyring.sign(node, type, payload);
  };
}
