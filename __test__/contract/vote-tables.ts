/** The vote table in both forms behind one face, for the cases of `vote-table.test.ts`. */
import { readInputs } from "../../dist/codec/turn.js";
import type { TurnInput } from "../../dist/codec/turn.js";
import { bytesOf } from "../../dist/codec/digest.js";
import { MessageType } from "../../dist/codec/messages.js";
import { generateKey, NativeVoteTable, Signer } from "../../dist/native/native.js";
import type { Input } from "../../dist/protocol/core.js";
import type { NewView } from "../../dist/protocol/messages.js";
import { EMPTY_SET, setOf } from "../../dist/protocol/types.js";
import type { Digest, ReplicaId, Sequence, View } from "../../dist/protocol/types.js";
import { StubKeyring } from "../../dist/testing/keyring.js";
import { Prng } from "../../dist/testing/prng.js";
import { VoteTable } from "../../dist/testing/ports/vote-table.js";
import { proposalBytes } from "../../dist/testing/wire.js";

export const N = 4;
export const F = 1;
export const ME = 3;

/** Whose signature stands on a message: by default its sender's. */
export interface Vote {
  readonly view?: number;
  readonly sequence: number;
  readonly digest: Digest;
  readonly signedBy?: number;
}

/** A turn's result, reduced to what both forms promise. */
export interface Settled {
  /** `phase view/sequence digest {signers}`, in order of their text. */
  readonly votes: readonly string[];
  /** `type by replica`, in order of their text. */
  readonly conflicts: readonly string[];
}

export interface VoteTableForm {
  window(low: number, high: number, view: number, pending?: number): void;
  /** True where the vote was let in; it may still turn out to be unsigned when the turn is settled. */
  prepare(from: number, vote: Vote): boolean;
  commit(from: number, vote: Vote): boolean;
  propose(vote: Vote): boolean;
  checkpoint(from: number, vote: Vote): boolean;
  /** Our own PREPARE. */
  own(vote: Vote): void;
  /** A NEW-VIEW of `view` with these proposals from sequence `first` on; it is kept until it is forgotten. */
  newView(view: number, first: number, digests: readonly Digest[]): void;
  forgetNewView(view: number): void;
  /** The core names a prepared certificate. */
  keep(vote: Vote, signers: readonly number[]): void;
  /** A checkpoint is stable by these. */
  stable(vote: Vote, signers: readonly number[]): void;
  /** A VIEW-CHANGE with this stable certificate was accepted, and is kept until it is dropped. */
  carry(viewChange: Digest, vote: Vote, signers: readonly number[]): void;
  drop(viewChange: Digest): void;
  settle(): Settled;
  /** The core has taken what the turn brought, and its actions are done. */
  endTurn(): void;
  /** Replicas whose signature is held, ascending. */
  certificate(vote: Vote): number[];
  checkpointCertificate(vote: Vote): number[];
}

export const forms: readonly { readonly name: string; readonly make: () => VoteTableForm }[] = [
  { name: "simulated", make: () => new Simulated() },
  { name: "native", make: () => new Native() },
];

const everyReplica = Array.from({ length: N }, (_, replica) => replica);

/** A digest that says its name. */
export function digest(name: string): Digest {
  return name.padEnd(16, ".") as Digest;
}

function nameOf(packed: string): string {
  return packed.replace(/\.+$/, "");
}

function summary(inputs: readonly (Input | TurnInput)[]): Settled {
  const votes: string[] = [];
  const conflicts: string[] = [];
  for (const input of inputs) {
    if (input.kind === "conflict") conflicts.push(`${input.evidence.type} by ${input.by}`);
    if (input.kind !== "votes") continue;
    const signers = everyReplica.filter((replica) => (input.signers >> replica) & 1);
    votes.push(`${input.phase} ${input.view}/${input.sequence} ${nameOf(input.digest)} {${signers.join(",")}}`);
  }
  return { votes: votes.sort(), conflicts: conflicts.sort() };
}

class Simulated implements VoteTableForm {
  private readonly table = new VoteTable({ n: N, f: F, me: ME as ReplicaId, naive: false });
  private readonly keyring = new StubKeyring(new Prng(1n), N);

  window(low: number, high: number, view: number, pending?: number): void {
    this.table.window(low as Sequence, high as Sequence, view as View, pending as View | undefined);
  }

  prepare(from: number, vote: Vote): boolean {
    const signature = this.sign(MessageType.prepare, from, vote);
    const verify = (): boolean => this.keyring.verify(from, MessageType.prepare, proposalBytes(full(vote)), signature);
    const verdict = this.table.take(from as ReplicaId, "prepare", full(vote), signature, verify);
    return verdict === "taken" || verdict === "badSignature";
  }

  commit(from: number, vote: Vote): boolean {
    return this.table.take(from as ReplicaId, "commit", full(vote), undefined, () => true) === "taken";
  }

  propose(vote: Vote): boolean {
    const primary = (vote.view ?? 0) % N;
    const verdict = this.table.propose(
      primary as ReplicaId,
      full(vote),
      this.sign(MessageType.prePrepare, primary, vote),
    );
    return verdict === "taken" || verdict === "duplicate";
  }

  checkpoint(from: number, vote: Vote): boolean {
    const signature = this.signCheckpoint(from, vote);
    return this.table.checkpoint(from as ReplicaId, vote.sequence as Sequence, vote.digest, signature) === "taken";
  }

  own(vote: Vote): void {
    this.table.keepOwn(full(vote), this.sign(MessageType.prepare, ME, vote));
  }

  newView(view: number, first: number, digests: readonly Digest[]): void {
    const primary = view % N;
    const proposals = digests.map((named, index) =>
      this.sign(MessageType.prePrepare, primary, { view, sequence: first + index, digest: named }),
    );
    const message = { type: "newView", view, viewChanges: [], first, batches: digests } as unknown as NewView;
    this.table.keepNewView({ message, proposals });
  }

  forgetNewView(view: number): void {
    this.table.forgetNewView(view as View);
  }

  keep(vote: Vote, signers: readonly number[]): void {
    this.table.keepNamed({ phase: "prepare", ...full(vote), signers: setOf(...(signers as ReplicaId[])) });
  }

  stable({ sequence, digest: named }: Vote, signers: readonly number[]): void {
    this.table.stable(sequence as Sequence, named, setOf(...(signers as ReplicaId[])));
  }

  carry(viewChange: Digest, vote: Vote, signers: readonly number[]): void {
    const signatures = Buffer.concat(signers.map((signer) => this.signCheckpoint(signer, vote)));
    const name = { phase: "checkpoint", ...full(vote), signers: setOf(...(signers as ReplicaId[])) } as const;
    this.table.carry(viewChange, { name, signatures });
  }

  drop(viewChange: Digest): void {
    this.table.drop(viewChange);
  }

  settle(): Settled {
    return summary(this.table.drain());
  }

  endTurn(): void {
    this.table.endTurn();
  }

  certificate(vote: Vote): number[] {
    return this.held("prepare", vote);
  }

  checkpointCertificate(vote: Vote): number[] {
    return this.held("checkpoint", vote);
  }

  private held(phase: "prepare" | "checkpoint", vote: Vote): number[] {
    const name = { phase, ...full(vote), signers: EMPTY_SET };
    return everyReplica.filter((replica) => this.table.signature(name, replica as ReplicaId) !== undefined);
  }

  private signCheckpoint(from: number, vote: Vote): Uint8Array {
    return this.keyring.sign(from, MessageType.checkpoint, proposalBytes(full(vote)).subarray(8));
  }

  private sign(type: number, from: number, vote: Vote): Uint8Array {
    return this.keyring.sign(vote.signedBy ?? from, type, proposalBytes(full(vote)));
  }
}

class Native implements VoteTableForm {
  private readonly signers = everyReplica.map(() => new Signer(generateKey()));
  private readonly cluster = new Uint8Array(32).fill(1);
  private readonly table = new NativeVoteTable(
    this.cluster,
    0,
    Buffer.concat(this.signers.map(({ publicKey }) => publicKey)),
    F,
    ME,
  );

  window(low: number, high: number, view: number, pending?: number): void {
    this.table.setWindow(low, high, view, pending === undefined ? 0 : pending + 1);
  }

  prepare(from: number, vote: Vote): boolean {
    const { view, sequence } = full(vote);
    return (
      this.table.offerPrepare(
        from,
        view,
        sequence,
        bytesOf(vote.digest),
        this.sign(MessageType.prepare, from, vote),
      ) === -1
    );
  }

  commit(from: number, vote: Vote): boolean {
    const { view, sequence } = full(vote);
    return this.table.offerCommit(from, view, sequence, bytesOf(vote.digest)) === -1;
  }

  propose(vote: Vote): boolean {
    const { view, sequence } = full(vote);
    return (
      this.table.offerProposal(
        view,
        sequence,
        bytesOf(vote.digest),
        this.sign(MessageType.prePrepare, view % N, vote),
      ) === -1
    );
  }

  checkpoint(from: number, vote: Vote): boolean {
    const signature = this.signCheckpoint(from, vote);
    return this.table.offerCheckpoint(from, vote.sequence, bytesOf(vote.digest), signature) === -1;
  }

  own(vote: Vote): void {
    const { view, sequence } = full(vote);
    this.table.fileOwn(view, sequence, bytesOf(vote.digest), this.sign(MessageType.prepare, ME, vote));
  }

  newView(view: number, first: number, digests: readonly Digest[]): void {
    const signatures = digests.map((named, index) =>
      this.sign(MessageType.prePrepare, view % N, { view, sequence: first + index, digest: named }),
    );
    this.table.keepNewView(view, first, Buffer.concat(digests.map(bytesOf)), Buffer.concat(signatures));
  }

  forgetNewView(view: number): void {
    this.table.forgetNewView(view);
  }

  keep(vote: Vote): void {
    const { view, sequence } = full(vote);
    this.table.nameCertificate(view, sequence, bytesOf(vote.digest));
  }

  stable({ sequence, digest: named }: Vote, signers: readonly number[]): void {
    this.table.stable(sequence, bytesOf(named), setOf(...(signers as ReplicaId[])));
  }

  carry(viewChange: Digest, vote: Vote, signers: readonly number[]): void {
    const signatures = Buffer.concat(signers.map((signer) => this.signCheckpoint(signer, vote)));
    const set = setOf(...(signers as ReplicaId[]));
    this.table.carry(bytesOf(viewChange), vote.sequence, bytesOf(vote.digest), set, signatures);
  }

  drop(viewChange: Digest): void {
    this.table.dropCarried(bytesOf(viewChange));
  }

  endTurn(): void {
    this.table.turnIsOver();
  }

  settle(): Settled {
    const inputs: TurnInput[] = [];
    const records = this.table.settle();
    readInputs(records, records.length, inputs);
    return summary(inputs);
  }

  certificate(vote: Vote): number[] {
    const { view, sequence } = full(vote);
    return signersOf(this.table.certificate(view, sequence, bytesOf(vote.digest)));
  }

  checkpointCertificate(vote: Vote): number[] {
    return signersOf(this.table.checkpointCertificate(vote.sequence, bytesOf(vote.digest)));
  }

  private signCheckpoint(from: number, vote: Vote): Uint8Array {
    const payload = proposalBytes(full(vote)).subarray(8);
    return this.signer(from).sign(this.cluster, 0, MessageType.checkpoint, payload);
  }

  private sign(type: number, from: number, vote: Vote): Uint8Array {
    return this.signer(vote.signedBy ?? from).sign(this.cluster, 0, type, proposalBytes(full(vote)));
  }

  private signer(replica: number): Signer {
    const signer = this.signers[replica];
    if (signer === undefined) throw new RangeError(`no replica ${replica}`);
    return signer;
  }
}

/** From `u8 replica | signature` each. */
function signersOf(held: Uint8Array): number[] {
  return Array.from({ length: held.length / 65 }, (_, index) => held[65 * index] as number);
}

function full({ view = 0, sequence, digest: named }: Vote): { view: View; sequence: Sequence; digest: Digest } {
  return { view: view as View, sequence: sequence as Sequence, digest: named };
}
