/**
 * The simulated vote table. One slot per (phase, view, sequence, signer), filled only from that signer's own connection and
 * bounded by the window and by the views installed, pending and one above each; it verifies, keeps what certificates resolve
 * to, and hands up sets of signers. It filters, the core counts again.
 */
import { SIGNATURE_BYTES } from "../../codec/bytes.ts";
import type { Certificate, DecodedNewView, SignatureSource } from "../../codec/viewChange.ts";
import type { Input } from "../../protocol/core.ts";
import type { CertificateName, Phase } from "../../protocol/messages.ts";
import {
  EMPTY_SET,
  holds,
  membersOf,
  setOf,
  sizeOf,
  union,
  type Digest,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
  type Verified,
  type View,
} from "../../protocol/types.ts";
import { CheckpointVotes } from "./checkpoint-votes.ts";
import { KeptCertificates } from "./kept-certificates.ts";

/** Proposals of one primary for one view and sequence that are kept: the accepted one, and some that contradict it. */
const PROPOSALS_MAX = 4;

/** What became of a vote. */
export type VoteVerdict =
  "taken" | "duplicate" | "conflict" | "primaryVoted" | "wrongView" | "belowWindow" | "aboveWindow" | "badSignature";

export interface VoteFacts {
  readonly view: View;
  readonly sequence: Sequence;
  readonly digest: Digest;
}

/** Equal votes of one place. */
interface Slot extends VoteFacts {
  readonly phase: Phase;
  signers: ReplicaSet;
  readonly signatures: (Uint8Array | undefined)[];
  grown: boolean;
}

interface Tally {
  readonly slots: Map<Digest, Slot>;
  /** The first claim of each replica. */
  readonly claimed: Map<ReplicaId, Digest>;
}

/** Everything that is held for one view and sequence. */
interface Place {
  readonly view: View;
  readonly sequence: Sequence;
  /** The primary's signatures. */
  readonly proposals: Map<Digest, Uint8Array>;
  /** The signature of our own PREPARE, which is not handed up. */
  readonly own: Map<Digest, Uint8Array>;
  readonly prepare: Tally;
  readonly commit: Tally;
}

export interface VoteTableOptions {
  readonly n: number;
  readonly f: number;
  readonly me: ReplicaId;
  /**
   * Filters no more than it must: every growth is handed up, a primary's PREPARE counts, and a second proposal for one place goes
   * to the core as well. The core counts again, and has to be right with such a table too.
   */
  readonly naive: boolean;
}

export class VoteTable implements SignatureSource {
  /** By view, and in it by sequence. */
  private readonly places = new Map<View, Map<Sequence, Place>>();
  /** NEW-VIEWs that are held, by view: their proposals are filed when the view is entered. */
  private readonly newViews = new Map<View, DecodedNewView>();
  private readonly kept = new KeptCertificates();
  private readonly checkpoints = new CheckpointVotes();
  private grown: Slot[] = [];
  private conflicts: Input[] = [];
  private readonly n: number;
  private readonly f: number;
  private readonly me: ReplicaId;
  private readonly naive: boolean;
  private low = 0;
  private high = 0;
  private view = 0;
  private pending: number | undefined;

  constructor(options: VoteTableOptions) {
    this.n = options.n;
    this.me = options.me;
    this.f = options.f;
    this.naive = options.naive;
  }

  /**
   * Moves the bounds and frees what falls out of them. Of a view that is left the complete certificates stay, what was collected
   * for a view before it was installed is handed up again, and where its NEW-VIEW is held, that is what its primary proposes.
   */
  window(low: Sequence, high: Sequence, view: View, pending: View | undefined): void {
    const moved = this.view !== view || this.pending !== pending;
    this.low = low;
    this.high = high;
    this.view = view;
    this.pending = pending;
    for (const [its, places] of this.places) {
      const held = this.holdsView(its);
      for (const place of places.values()) {
        if (place.sequence > low && held) continue;
        if (place.sequence > low) this.leave(place);
        places.delete(place.sequence);
      }
      if (places.size === 0) this.places.delete(its);
    }
    this.grown = this.grown.filter(({ sequence, view: its }) => sequence > low && this.holdsView(its));
    this.kept.free(low);
    if (moved) this.handUpAgain(view);
    this.fileProposals(this.newViews.get(view));
  }

  /** Takes a vote from the connection of `from`; `verify` is asked only where the vote would count. */
  take(
    from: ReplicaId,
    phase: Phase,
    vote: VoteFacts,
    signature: Uint8Array | undefined,
    verify: () => boolean,
  ): VoteVerdict {
    const outside = this.outside(vote);
    if (outside !== undefined) return outside;
    if (phase === "prepare" && from === vote.view % this.n && !this.naive) return "primaryVoted";
    const known = this.held(vote);
    const claimed = known?.[phase].claimed.get(from);
    if (claimed === vote.digest) return "duplicate";
    if (!verify()) return "badSignature";
    if (claimed !== undefined) {
      if (phase === "prepare") this.accuse(from, vote.digest, "prepare");
      return "conflict";
    }
    const tally = (known ?? this.place(vote))[phase];
    tally.claimed.set(from, vote.digest);
    this.fill(tally, phase, vote, from, signature);
    return "taken";
  }

  /**
   * Keeps the primary's signature of a proposal, which is its PREPARE in certificates. Whatever is passed on to the core can be
   * accepted there, so a second proposal for one place is evidence, and is kept as well as long as there is room.
   */
  propose(from: ReplicaId, vote: VoteFacts, signature: Uint8Array): VoteVerdict {
    const outside = this.outside(vote);
    if (outside !== undefined) return outside;
    const known = this.place(vote).proposals;
    if (known.has(vote.digest)) return "duplicate";
    if (known.size > 0) {
      this.accuse(from, vote.digest, "prePrepare");
      if (!this.naive || known.size >= PROPOSALS_MAX) return "conflict";
    }
    known.set(vote.digest, signature);
    return "taken";
  }

  /** Holds a verified NEW-VIEW, or our own, until it is forgotten. */
  keepNewView(newView: DecodedNewView): void {
    const { view } = newView.message;
    this.newViews.set(view, newView);
    if (view === this.view) this.fileProposals(newView);
  }

  /** The signatures of a certificate that was stored with its record, one behind the other in the order of its signers. */
  restore(name: CertificateName, signatures: Uint8Array): void {
    const bySigner: (Uint8Array | undefined)[] = Array.from({ length: this.n });
    for (const [index, signer] of membersOf(name.signers).entries())
      bySigner[signer] = signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES);
    if (name.phase === "prepare") return this.kept.name(name, bySigner);
    for (const signer of membersOf(name.signers))
      this.checkpoints.file(signer, name.sequence, name.digest, bySigner[signer] as Uint8Array);
    this.checkpoints.settle(name.sequence, name.digest, name.signers);
  }

  forgetNewView(view: View): void {
    this.newViews.delete(view);
  }

  /** Keeps the signature of a PREPARE of ours for certificates. */
  keepOwn(vote: VoteFacts, signature: Uint8Array): void {
    if (this.outside(vote) === undefined) this.place(vote).own.set(vote.digest, signature);
  }

  /** Keeps the certificate that the core has just named, until it names another one for the sequence. */
  keepNamed(name: CertificateName): void {
    this.kept.name(name, this.signaturesOf(name, name.signers));
  }

  /** Takes a CHECKPOINT from the connection of its signer. */
  checkpoint(from: ReplicaId, sequence: Sequence, digest: Digest, signature: Uint8Array): VoteVerdict {
    const verdict = this.checkpoints.file(from, sequence, digest, signature);
    if (verdict === "conflict") this.accuse(from, digest, "checkpoint");
    return verdict;
  }

  /**
   * Keeps the stable certificate of a verified VIEW-CHANGE until {@link drop}, beside the claims that the core counts: among those it
   * would push others out. Who contradicts itself is accused.
   */
  carry(viewChange: Digest, certificate: Certificate): void {
    const { sequence, digest, signers } = certificate.name;
    for (const signer of membersOf(signers))
      if (this.checkpoints.contradicts(signer, sequence, digest)) this.accuse(signer, digest, "checkpoint");
    this.checkpoints.carry(viewChange, certificate);
  }

  drop(viewChange: Digest): void {
    this.checkpoints.drop(viewChange);
  }

  /** Sets these signatures aside until the next stable checkpoint. */
  stable(sequence: Sequence, digest: Digest, signers: ReplicaSet): void {
    this.checkpoints.settle(sequence, digest, signers);
  }

  /** What the turn hands to the core. */
  drain(): Input[] {
    const inputs = this.conflicts;
    this.conflicts = [];
    for (const slot of this.grown) {
      slot.grown = false;
      const { phase, view, sequence, digest, signers } = slot;
      inputs.push({ kind: "votes", phase, view, sequence, digest, signers: signers as Verified<ReplicaSet> });
    }
    this.grown = [];
    return inputs;
  }

  /** The core has taken everything that the turn brought, and its actions are done. */
  endTurn(): void {
    this.checkpoints.endTurn();
  }

  /** Slots and signatures held now. */
  get size(): number {
    let size = this.checkpoints.size;
    for (const places of this.places.values()) {
      for (const { proposals, prepare, commit } of places.values())
        size += proposals.size + prepare.claimed.size + commit.claimed.size;
    }
    return size;
  }

  /** Certificates of views that were left. */
  get certificates(): number {
    return this.kept.size;
  }

  /** The signature of one signer, or undefined where it is not held. */
  signature(name: CertificateName, signer: ReplicaId): Uint8Array | undefined {
    if (name.phase === "checkpoint") return this.checkpoints.signature(name.sequence, name.digest, signer);
    const place = this.held(name);
    const live = place === undefined ? undefined : this.live(place, name.digest, signer);
    return live ?? this.kept.signature(name, signer);
  }

  certificate(name: CertificateName): Uint8Array {
    const signers = membersOf(name.signers);
    const bytes = new Uint8Array(signers.length * SIGNATURE_BYTES);
    for (const [index, signer] of signers.entries()) {
      const signature = this.signature(name, signer);
      if (signature !== undefined) bytes.set(signature, index * SIGNATURE_BYTES);
    }
    return bytes;
  }

  proposal(view: View, sequence: Sequence, digest: Digest): Uint8Array {
    return this.held({ view, sequence })?.proposals.get(digest) ?? new Uint8Array(SIGNATURE_BYTES);
  }

  private leave({ view, sequence, proposals }: Place): void {
    const everyone = (2 ** this.n - 1) as ReplicaSet;
    for (const digest of proposals.keys()) {
      const name = { phase: "prepare", view, sequence, digest, signers: everyone } as const;
      const signatures = this.signaturesOf(name, everyone);
      if (signatures.filter((signature) => signature !== undefined).length >= this.quorum)
        this.kept.leave(name, signatures);
    }
  }

  /** They take the place of what the primary proposed there before, which the core has not acted on. */
  private fileProposals(newView: DecodedNewView | undefined): void {
    if (newView === undefined) return;
    const { message, proposals } = newView;
    const { view, first, batches } = message;
    const primary = (view % this.n) as ReplicaId;
    for (const [index, digest] of batches.entries()) {
      const vote = { view, sequence: (first + index) as Sequence, digest };
      if (this.outside(vote) !== undefined) continue;
      const known = this.place(vote).proposals;
      if (known.has(digest)) continue;
      if (known.size > 0 && primary !== this.me) this.accuse(primary, digest, "prePrepare");
      if (!this.naive) known.clear();
      known.set(digest, proposals[index] as Uint8Array);
    }
  }

  private handUpAgain(view: View): void {
    for (const place of this.places.get(view)?.values() ?? []) {
      for (const phase of ["prepare", "commit"] as const) {
        for (const slot of place[phase].slots.values()) {
          const enough = this.naive || sizeOf(slot.signers) >= this.handUpFrom(phase);
          if (!slot.grown && enough) this.mark(slot);
        }
      }
    }
  }

  private signaturesOf(name: CertificateName, signers: ReplicaSet): (Uint8Array | undefined)[] {
    const signatures: (Uint8Array | undefined)[] = [];
    for (let signer = 0; signer < this.n; signer++) {
      const replica = signer as ReplicaId;
      signatures.push(holds(signers, replica) ? this.signature(name, replica) : undefined);
    }
    return signatures;
  }

  private live(place: Place, digest: Digest, signer: ReplicaId): Uint8Array | undefined {
    if (signer === place.view % this.n) return place.proposals.get(digest);
    if (signer === this.me) return place.own.get(digest);
    return place.prepare.slots.get(digest)?.signatures[signer];
  }

  private fill(tally: Tally, phase: Phase, vote: VoteFacts, from: ReplicaId, signature: Uint8Array | undefined): void {
    let slot = tally.slots.get(vote.digest);
    if (slot === undefined) {
      const { view, sequence, digest } = vote;
      slot = { view, sequence, digest, phase, signers: EMPTY_SET, signatures: [], grown: false };
      tally.slots.set(vote.digest, slot);
    }
    if (holds(slot.signers, from)) return;
    slot.signers = union(slot.signers, setOf(from));
    slot.signatures[from] = signature;
    if (!slot.grown && this.matters(phase, sizeOf(slot.signers))) this.mark(slot);
  }

  private mark(slot: Slot): void {
    slot.grown = true;
    this.grown.push(slot);
  }

  /** COMMITs beyond a quorum change nothing. */
  private matters(phase: Phase, size: number): boolean {
    if (this.naive) return true;
    return size >= this.handUpFrom(phase) && (phase === "prepare" || size <= this.quorum);
  }

  /** PREPAREs matter from f on, since f+1 with the primary's vouch for a proposal's time; COMMITs where ours completes a quorum. */
  private handUpFrom(phase: Phase): number {
    return phase === "prepare" ? Math.max(1, this.f) : this.quorum - 1;
  }

  private get quorum(): number {
    return Math.ceil((this.n + this.f + 1) / 2);
  }

  private holdsView(view: number): boolean {
    const near = (base: number): boolean => view === base || view === base + 1;
    return near(this.view) || (this.pending !== undefined && near(this.pending));
  }

  private outside({ view, sequence }: VoteFacts): "wrongView" | "belowWindow" | "aboveWindow" | undefined {
    if (!this.holdsView(view)) return "wrongView";
    if (sequence <= this.low) return "belowWindow";
    return sequence > this.high ? "aboveWindow" : undefined;
  }

  private held({ view, sequence }: Omit<VoteFacts, "digest">): Place | undefined {
    return this.places.get(view)?.get(sequence);
  }

  private place({ view, sequence }: VoteFacts): Place {
    let places = this.places.get(view);
    if (places === undefined) this.places.set(view, (places = new Map()));
    let place = places.get(sequence);
    if (place === undefined) {
      const tally = (): Tally => ({ slots: new Map(), claimed: new Map() });
      place = { view, sequence, proposals: new Map(), own: new Map(), prepare: tally(), commit: tally() };
      places.set(sequence, place);
    }
    return place;
  }

  private accuse(by: ReplicaId, digest: Digest, type: "prePrepare" | "prepare" | "checkpoint"): void {
    type Conflict = Extract<Input, { kind: "conflict" }>;
    this.conflicts.push({ kind: "conflict", by, evidence: { digest, type } as Conflict["evidence"] });
  }
}
