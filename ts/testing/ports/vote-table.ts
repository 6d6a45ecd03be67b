/**
 * The simulated vote table. One slot per (phase, view, sequence, signer), filled only from that signer's own connection and
 * bounded by the window and by three views; it verifies, keeps what certificates resolve to, and hands up sets of signers. It
 * filters, the core counts again.
 */
import { SIGNATURE_BYTES } from "../../codec/bytes.ts";
import type { SignatureSource } from "../../codec/viewChange.ts";
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

/** Proposals of one primary for one view and sequence that are kept: the accepted one, and some that contradict it. */
const PROPOSALS_MAX = 4;

/** CHECKPOINTs kept per signer, the highest ones: as many as the core counts. */
const CHECKPOINTS_MAX = 16;

/** What became of a vote. */
export type VoteVerdict =
  "taken" | "duplicate" | "conflict" | "primaryVoted" | "wrongView" | "belowWindow" | "aboveWindow" | "badSignature";

export interface VoteFacts {
  readonly view: View;
  readonly sequence: Sequence;
  readonly digest: Digest;
}

interface Slot extends VoteFacts {
  readonly phase: Phase;
  signers: ReplicaSet;
  readonly signatures: (Uint8Array | undefined)[];
  grown: boolean;
}

interface Instance {
  readonly slots: Map<Digest, Slot>;
  readonly claimed: Map<ReplicaId, Digest>;
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
  private readonly instances = new Map<string, Instance>();
  private readonly proposals = new Map<string, Map<Digest, Uint8Array>>();
  private readonly checkpoints = new Map<
    ReplicaId,
    Map<Sequence, { readonly digest: Digest; readonly signature: Uint8Array }>
  >();
  /** Highest sequence of each signer whose CHECKPOINT had to make room. */
  private readonly evicted = new Map<ReplicaId, Sequence>();
  /** Signatures of our own votes, which are not handed up. */
  private readonly own = new Map<string, Uint8Array>();
  private grown: Slot[] = [];
  private readonly conflicts: Input[] = [];
  private readonly n: number;
  private readonly me: ReplicaId;
  private readonly f: number;
  private readonly naive: boolean;
  private low = 0;
  private high = 0;
  private views: readonly number[] = [];

  constructor(options: VoteTableOptions) {
    this.n = options.n;
    this.me = options.me;
    this.f = options.f;
    this.naive = options.naive;
  }

  /** Moves the bounds and frees what falls out of them. */
  window(low: Sequence, high: Sequence, view: View, pending: View | undefined): void {
    this.low = low;
    this.high = high;
    this.views = pending === undefined ? [view, view + 1] : [view, view + 1, pending, pending + 1];
    this.grown = this.grown.filter((slot) => slot.sequence > low && this.views.includes(slot.view));
    for (const [key, instance] of this.instances) {
      const slot = instance.slots.values().next().value;
      if (slot !== undefined && (slot.sequence <= low || !this.views.includes(slot.view))) this.instances.delete(key);
    }
    for (const key of this.proposals.keys()) if (Number(key.split("/")[1]) <= low) this.proposals.delete(key);
    for (const claims of this.checkpoints.values()) {
      for (const sequence of claims.keys()) if (sequence < low) claims.delete(sequence);
    }
    for (const key of this.own.keys()) if (Number(key.split("/")[1]) <= low) this.own.delete(key);
  }

  /** Takes a vote from the connection of `from`; `verify` is asked only where the vote would count. */
  take(
    from: ReplicaId,
    phase: Phase,
    vote: VoteFacts,
    signature: Uint8Array | undefined,
    verify: () => boolean,
  ): VoteVerdict {
    if (!this.views.includes(vote.view)) return "wrongView";
    if (vote.sequence <= this.low) return "belowWindow";
    if (vote.sequence > this.high) return "aboveWindow";
    if (phase === "prepare" && from === vote.view % this.n && !this.naive) return "primaryVoted";
    const key = `${phase}/${vote.view}/${vote.sequence}`;
    let instance = this.instances.get(key);
    const claimed = instance?.claimed.get(from);
    if (claimed === vote.digest) return "duplicate";
    if (!verify()) return "badSignature";
    if (claimed !== undefined) {
      if (phase === "prepare") this.accuse(from, vote.digest, "prepare");
      return "conflict";
    }
    if (instance === undefined) this.instances.set(key, (instance = { slots: new Map(), claimed: new Map() }));
    instance.claimed.set(from, vote.digest);
    this.fill(instance, phase, vote, from, signature);
    return "taken";
  }

  /**
   * Keeps the primary's signature of a proposal, which is its PREPARE in certificates. Whatever is passed on to the core can be
   * accepted there, so a second proposal for one place is evidence, and is kept as well as long as there is room.
   */
  propose(from: ReplicaId, vote: VoteFacts, signature: Uint8Array): VoteVerdict {
    if (!this.views.includes(vote.view)) return "wrongView";
    if (vote.sequence <= this.low) return "belowWindow";
    if (vote.sequence > this.high) return "aboveWindow";
    const key = `${vote.view}/${vote.sequence}`;
    const known = this.proposals.get(key);
    if (known === undefined) {
      this.proposals.set(key, new Map([[vote.digest, signature]]));
      return "taken";
    }
    if (known.has(vote.digest)) return "duplicate";
    this.accuse(from, vote.digest, "prePrepare");
    if (!this.naive || known.size >= PROPOSALS_MAX) return "conflict";
    known.set(vote.digest, signature);
    return "taken";
  }

  /** Keeps the signature of a PREPARE of ours for certificates. */
  keepOwn(vote: VoteFacts, signature: Uint8Array): void {
    this.own.set(`${vote.view}/${vote.sequence}/${vote.digest}`, signature);
  }

  /**
   * Keeps a signature of CHECKPOINT, also far above the window: that is how a replica learns that it fell behind. The highest
   * ones of each signer stay.
   */
  checkpoint(from: ReplicaId, sequence: Sequence, digest: Digest, signature: Uint8Array): VoteVerdict {
    if (sequence < this.low) return "belowWindow";
    let claims = this.checkpoints.get(from);
    if (claims === undefined) this.checkpoints.set(from, (claims = new Map()));
    const known = claims.get(sequence);
    if (known === undefined) {
      const lowest = Math.min(...claims.keys()) as Sequence;
      if (claims.size >= CHECKPOINTS_MAX && sequence < lowest) return "aboveWindow";
      if (claims.size >= CHECKPOINTS_MAX) {
        claims.delete(lowest);
        this.evicted.set(from, Math.max(lowest, this.evicted.get(from) ?? 0) as Sequence);
      }
      claims.set(sequence, { digest, signature });
      return "taken";
    }
    if (known.digest === digest) return "duplicate";
    this.accuse(from, digest, "checkpoint");
    return "conflict";
  }

  /** What the turn hands to the core. */
  drain(): Input[] {
    const inputs = this.conflicts.splice(0);
    for (const slot of this.grown.splice(0)) {
      slot.grown = false;
      const { phase, view, sequence, digest, signers } = slot;
      inputs.push({ kind: "votes", phase, view, sequence, digest, signers: signers as Verified<ReplicaSet> });
    }
    return inputs;
  }

  /** Slots and signatures held now. */
  get size(): number {
    let size = 0;
    for (const claims of this.checkpoints.values()) size += claims.size;
    for (const known of this.proposals.values()) size += known.size;
    for (const instance of this.instances.values()) size += instance.claimed.size;
    return size;
  }

  /** The signature of one signer, or undefined where it is not held. */
  signature(name: CertificateName, signer: ReplicaId): Uint8Array | undefined {
    const { phase, view, sequence, digest } = name;
    if (phase === "checkpoint") {
      const held = this.checkpoints.get(signer)?.get(sequence);
      return held?.digest === digest ? held.signature : undefined;
    }
    if (signer === view % this.n) {
      return this.proposals.get(`${view}/${sequence}`)?.get(digest);
    }
    if (signer === this.me) return this.own.get(`${view}/${sequence}/${digest}`);
    return this.instances.get(`prepare/${view}/${sequence}`)?.slots.get(digest)?.signatures[signer];
  }

  /** Whether higher CHECKPOINTs of one of its signers have pushed a part of this certificate out. */
  isOvertaken({ phase, sequence, signers }: CertificateName): boolean {
    if (phase !== "checkpoint") return false;
    return membersOf(signers).some((signer) => sequence <= (this.evicted.get(signer) ?? 0));
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
    return this.proposals.get(`${view}/${sequence}`)?.get(digest) ?? new Uint8Array(SIGNATURE_BYTES);
  }

  private fill(
    instance: Instance,
    phase: Phase,
    vote: VoteFacts,
    from: ReplicaId,
    signature: Uint8Array | undefined,
  ): void {
    let slot = instance.slots.get(vote.digest);
    if (slot === undefined) {
      const { view, sequence, digest } = vote;
      slot = { view, sequence, digest, phase, signers: EMPTY_SET, signatures: [], grown: false };
      instance.slots.set(vote.digest, slot);
    }
    if (holds(slot.signers, from)) return;
    slot.signers = union(slot.signers, setOf(from));
    slot.signatures[from] = signature;
    if (slot.grown || !this.matters(phase, sizeOf(slot.signers))) return;
    slot.grown = true;
    this.grown.push(slot);
  }

  /** PREPAREs matter from f on, since f+1 with the primary's vouch for a proposal's time; COMMITs where ours completes a quorum. */
  private matters(phase: Phase, size: number): boolean {
    if (this.naive) return true;
    const quorum = Math.ceil((this.n + this.f + 1) / 2);
    return phase === "prepare" ? size >= Math.max(1, this.f) : size >= quorum - 1 && size <= quorum;
  }

  private accuse(by: ReplicaId, digest: Digest, type: "prePrepare" | "prepare" | "checkpoint"): void {
    type Conflict = Extract<Input, { kind: "conflict" }>;
    this.conflicts.push({ kind: "conflict", by, evidence: { digest, type } as Conflict["evidence"] });
  }
}
