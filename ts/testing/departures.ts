/**
 * What leaves a replica: encoded, signed, and held back until its record is durable. A Byzantine replica's messages pass
 * through its adversaries here, after its honest core has made them.
 */
import type { Bundle } from "../codec/client.ts";
import { isSigned, MessageType, type Bodies, type BodyName } from "../codec/messages.ts";
import type { SignatureSource } from "../codec/viewChange.ts";
import type { Action, DurableRecord, Input } from "../protocol/core.ts";
import type { CertificateName, NewView, ViewChange } from "../protocol/messages.ts";
import {
  membersOf,
  ZERO_DIGEST,
  type Digest,
  type ReplicaId,
  type ReplicaSet,
  type SessionId,
} from "../protocol/types.ts";
import { recoverBundle } from "../state/system-operation.ts";
import { ByzantineHand } from "./adversaries/hand.ts";
import { signedVote, verifiesVote } from "./composites.ts";
import { newViewFact, signedFact, signedView, viewChangeFact, voteFact } from "./facts.ts";
import { batchDigest } from "./hashing.ts";
import type { Body } from "./ports/body-store.ts";
import type { Disk } from "./ports/disk.ts";
import type { MessageStore } from "./ports/message-store.ts";
import { newViewName } from "../protocol/new-view.ts";
import type { Outbox } from "./ports/outbox.ts";
import type { VoteTable } from "./ports/vote-table.ts";
import type { Prng } from "./prng.ts";
import { learnBatch, type Surroundings } from "./surroundings.ts";
import { open, proposalBytes, sealBody, sealOutgoing, sealSigned, type Signer } from "./wire.ts";
import { SIGNATURE_BYTES } from "../codec/bytes.ts";

type Sent = Extract<Action, { kind: "send" }>["message"];

interface Owner {
  readonly id: number;
  readonly honest: boolean;
  readonly prng: Prng;
  readonly votes: VoteTable;
  readonly store: MessageStore;
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
    // As the addon does: what was let go of since is out of date, and is not sent.
    if (message.type === "viewChange" && this.owner.store.viewChange(message.digest) === undefined)
      return this.around.coverage.hit("skipped: a VIEW-CHANGE that was let go of");
    const frame = this.frameOf(message);
    const vote = voteFact(message);
    const replica = this.owner.id;
    if (message.type === "complaint" && this.owner.honest)
      this.around.history.see({ kind: "complained", replica, from: replica, view: message.view });
    if (vote !== undefined && this.owner.honest) {
      this.around.history.see({ kind: "emitted", replica, vote, after, bodiesHeld });
    }
    if (message.type === "decided" || message.type === "status")
      this.around.coverage.hit("status repair", message.type === "decided" ? 1 : 0);
    if (after > disk.durableThrough) this.around.coverage.hit("send waited for the disk");
    outbox.push(after, () => {
      if (message.type === "newView") this.owner.store.mayLeave(message.view);
      if (this.owner.honest) {
        const durable = disk.durableThrough;
        this.around.history.see({ kind: "left", replica, vote, what: message.type, after, durable });
        this.show(message);
      }
      // The body as its receiver decodes it is what adversaries of this replica change.
      for (const peer of membersOf(to)) this.depart(peer, message.type, frame);
    });
  }

  /** Encodes and signs our VIEW-CHANGE, once, and keeps it. */
  seal({ message }: Extract<Action, { kind: "seal" }>): Extract<Input, { kind: "sealed" }> {
    const { id, honest, store, votes } = this.owner;
    const { stable, prepared, target } = message;
    for (const name of stable === undefined ? prepared : [stable, ...prepared]) if (honest) this.certify(name);
    const opened = open(sealOutgoing({ ...message, digest: ZERO_DIGEST }, this.sign, votes));
    if (!opened.ok || opened.payload.name !== "viewChange" || opened.payload.signature === undefined)
      throw new Error("a VIEW-CHANGE of ours does not decode");
    const { body, signature } = opened.payload;
    const { digest } = body.message;
    store.keepViewChange(digest, { from: id as ReplicaId, body, signature });
    return { kind: "sealed", target, digest };
  }

  /** A frame that rests on nothing, or whose record is durable. */
  frame(to: number, name: BodyName, frame: Uint8Array): void {
    this.depart(to, name, frame);
  }

  /** RECOVER of ours, as our own client. */
  recover({ nonce, view, attempt }: Extract<Action, { kind: "recover" }>): void {
    const replica = this.owner.id as ReplicaId;
    const bundle = recoverBundle(this.around.keyring.keyOf(replica), { replica, nonce, view }, attempt);
    const frame = sealBody("bundle", bundle, this.sign);
    for (let peer = 0; peer < this.around.options.n; peer++) if (peer !== replica) this.depart(peer, "bundle", frame);
  }

  forward(to: ReplicaSet, body: Body | undefined): void {
    if (body === undefined) return;
    const frame = sealSigned("bundle", body.bundle, body.signature);
    for (const peer of membersOf(to)) this.depart(peer, "bundle", frame);
  }

  /** Returns what the core hears at once where too much is asked already. */
  fetch({ what, digest, from }: Extract<Action, { kind: "fetch" }>): Input | undefined {
    if (what !== "bundle" && !this.owner.store.ask(what, digest, from)) {
      return { kind: "body", digest, status: "unavailable" };
    }
    const frame = sealBody("fetch", { type: "fetch", kind: what, digest }, this.sign);
    for (const peer of membersOf(from)) this.depart(peer, "fetch", frame);
    return undefined;
  }

  /** Tells a client that its bundle was not taken. */
  busy({ client, session, firstSequence }: Bundle): void {
    const node = this.around.keyring.nodeOf(client);
    if (node === undefined) return;
    this.depart(node, "busy", sealBody("busy", { session: session as SessionId, firstSequence }, this.sign));
  }

  assemble({ sequence, time, bundles }: Extract<Action, { kind: "assemble" }>, done: (digest: Digest) => void): void {
    const digest = batchDigest({ time, bundles });
    learnBatch(this.around, digest, bundles);
    this.owner.store.keepBatch(digest, sequence, { time, bundles });
    done(digest);
  }

  /** A record holds more than the core says: its certificate is resolved, and what its batch covers is kept for others. */
  store(record: DurableRecord): void {
    const { store, votes, honest } = this.owner;
    if (record.type === "prepared") {
      votes.keepNamed(record.certificate);
      store.keepBatch(record.certificate.digest, record.certificate.sequence, record.batch);
    }
    if (record.type === "decided") store.keepBatch(record.digest, record.sequence, record.batch);
    // Our own NEW-VIEW is encoded, and kept, when it is recorded.
    if (record.type === "viewEntered") {
      this.keptNewView(record.newView);
      this.carry(record.newView);
    }
    if (honest && (record.type === "prepared" || record.type === "stable")) this.certify(record.certificate);
  }

  private carry({ view, first, batches }: NewView): void {
    const { id: replica, honest } = this.owner;
    if (honest && view % this.around.options.n === replica)
      this.around.history.see({ kind: "carried", replica, view, first, count: batches.length });
  }

  /** Shows a certificate to the oracles, with the signers whose signatures are really there. */
  certify(name: CertificateName): void {
    const { phase, view, sequence, digest } = name;
    const bytes = signedVote(name);
    const signers = membersOf(name.signers).filter((signer) => {
      const signature = this.owner.votes.signature(name, signer);
      return signature !== undefined && verifiesVote(this.around, name, bytes, signer, signature);
    });
    this.around.history.see({
      kind: "certificate",
      replica: this.owner.id,
      phase,
      view,
      sequence,
      digest,
      signers,
    });
  }

  /** A Byzantine replica hears what is on its way to its honest core, and may keep it back. */
  hides(from: number, bytes: Uint8Array): boolean {
    const frame = open(bytes);
    return frame.ok && this.hand?.overhear(from, frame, bytes) === false;
  }

  /** VIEW-CHANGE and NEW-VIEW are encoded once: they leave as what is kept. */
  private frameOf(message: Sent): Uint8Array {
    if (message.type === "viewChange") return this.keptViewChange(message);
    if (message.type === "newView") return this.keptNewView(message);
    const frame = sealOutgoing(message, this.sign, this.owner.votes);
    if (isSigned(message.type)) this.keepOwn(message, frame.subarray(-SIGNATURE_BYTES));
    return frame;
  }

  private keptViewChange({ digest }: ViewChange): Uint8Array {
    const kept = this.owner.store.viewChange(digest);
    if (kept === undefined) throw new Error("a VIEW-CHANGE is sent that was not sealed, or was let go of");
    return sealSigned("viewChange", kept.body, kept.signature);
  }

  private keptNewView(message: NewView): Uint8Array {
    const { store } = this.owner;
    const kept = store.newView(newViewName(message.view));
    if (kept !== undefined) return sealSigned("newView", kept.body, kept.signature);
    const frame = sealOutgoing(message, this.sign, this.proposals);
    const opened = open(frame);
    if (!opened.ok || opened.payload.name !== "newView" || opened.payload.signature === undefined)
      throw new Error("a NEW-VIEW of ours does not decode");
    const { body, signature } = opened.payload;
    store.keepNewView(message.view, { body, signature });
    store.withhold(message.view);
    this.owner.votes.keepNewView(body);
    return frame;
  }

  /** A NEW-VIEW of ours proposes what it lists. */
  private get proposals(): SignatureSource {
    return {
      certificate: (name) => this.owner.votes.certificate(name),
      proposal: (view, sequence, digest) =>
        this.sign(MessageType.prePrepare, proposalBytes({ view, sequence, digest })),
    };
  }

  private keepOwn(message: Sent, signature: Uint8Array): void {
    const me = this.owner.id as ReplicaId;
    if (message.type === "prepare") this.owner.votes.keepOwn(message, signature);
    if (message.type === "checkpoint") this.owner.votes.checkpoint(me, message.sequence, message.digest, signature);
    if (message.type !== "prePrepare") return;
    this.owner.votes.propose(me, message, signature);
    this.owner.store.keepBatch(message.digest, message.sequence, message);
    learnBatch(this.around, message.digest, message.bundles);
  }

  private show(message: Sent): void {
    const { id } = this.owner;
    if (message.type === "viewChange") this.around.history.see(viewChangeFact(id, "sent", id, message));
    if (message.type === "newView") this.around.history.see(newViewFact(id, "sent", message));
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
    const view = signedView(type, payload);
    if (view !== undefined) around.history.see({ kind: "signedView", signer: node, ...view });
    return around.keyring.sign(node, type, payload);
  };
}
