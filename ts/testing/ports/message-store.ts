/**
 * The simulated message store: what replicas fetch from each other besides bundles. VIEW-CHANGEs by digest, NEW-VIEWs by view
 * and batches by digest, each as long as the core has not let go of it; and which fetches are under way.
 */
import type { DecodedNewView, DecodedViewChange } from "../../codec/viewChange.ts";
import type { BatchContent, FetchKind, ViewChange } from "../../protocol/messages.ts";
import { newViewName } from "../../protocol/new-view.ts";
import {
  holds,
  setOf,
  union,
  without,
  type Digest,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
  type View,
} from "../../protocol/types.ts";

/** Fetches at once; the core asks for what its window names. */
const ASKED_MAX = 4096;

/** A message in its parts, which encode to its bytes again. */
export interface StoredViewChange {
  readonly from: ReplicaId;
  readonly body: DecodedViewChange;
  readonly signature: Uint8Array;
}

export interface StoredNewView {
  readonly body: DecodedNewView;
  readonly signature: Uint8Array;
}

interface StoredBatch extends BatchContent {
  readonly sequence: Sequence;
}

export class MessageStore {
  private readonly viewChanges = new Map<Digest, StoredViewChange>();
  private readonly newViews = new Map<Digest, StoredNewView>();
  /** Our own NEW-VIEWs whose records are not durable yet. */
  private readonly withheld = new Set<Digest>();
  private readonly batches = new Map<Digest, StoredBatch>();
  private readonly asked = new Map<string, ReplicaSet>();

  keepViewChange(digest: Digest, message: StoredViewChange): void {
    this.viewChanges.set(digest, message);
  }

  viewChange(digest: Digest): StoredViewChange | undefined {
    return this.viewChanges.get(digest);
  }

  /** Whether its signer asked for the same view in other words, in a message that is kept. */
  contradicts(signer: ReplicaId, { target, digest }: ViewChange): boolean {
    for (const [kept, { from, body }] of this.viewChanges) {
      if (from === signer && body.message.target === target && kept !== digest) return true;
    }
    return false;
  }

  keepNewView(view: View, message: StoredNewView): void {
    this.newViews.set(newViewName(view), message);
  }

  /** Nobody is given this NEW-VIEW of ours until {@link mayLeave}: a restart could make another one. */
  withhold(view: View): void {
    this.withheld.add(newViewName(view));
  }

  mayLeave(view: View): void {
    this.withheld.delete(newViewName(view));
  }

  /** What may be told to others. */
  answerableNewView(name: Digest): StoredNewView | undefined {
    return this.withheld.has(name) ? undefined : this.newViews.get(name);
  }

  /** By the name that a fetch gives it; see {@link newViewName}. */
  newView(name: Digest): StoredNewView | undefined {
    return this.newViews.get(name);
  }

  /** Keeps what a batch digest covers until the highest sequence that it was proposed at is stable. */
  keepBatch(digest: Digest, sequence: Sequence, { time, bundles }: BatchContent): void {
    if ((this.batches.get(digest)?.sequence ?? -1) < sequence) this.batches.set(digest, { time, bundles, sequence });
  }

  batch(digest: Digest): BatchContent | undefined {
    return this.batches.get(digest);
  }

  forget(what: "viewChange" | "newView", digests: readonly Digest[]): void {
    const kept = what === "viewChange" ? this.viewChanges : this.newViews;
    for (const digest of digests) {
      kept.delete(digest);
      this.withheld.delete(digest);
    }
  }

  /** A checkpoint became stable: batches at or below it are not asked for any more. */
  stable(sequence: Sequence): void {
    for (const [digest, batch] of this.batches) if (batch.sequence <= sequence) this.batches.delete(digest);
  }

  /** These replicas are being asked. False where too much is asked already. */
  ask(kind: FetchKind, digest: Digest, from: ReplicaSet): boolean {
    const key = keyOf(kind, digest);
    const open = this.asked.get(key);
    if (open === undefined && (from === 0 || this.asked.size >= ASKED_MAX)) return false;
    this.asked.set(key, union(open ?? (0 as ReplicaSet), from));
    return true;
  }

  isAsked(kind: FetchKind, digest: Digest, from: ReplicaId): boolean {
    return holds(this.asked.get(keyOf(kind, digest)) ?? (0 as ReplicaSet), from);
  }

  /** It has come, from whomever. */
  answered(kind: FetchKind, digest: Digest): void {
    this.asked.delete(keyOf(kind, digest));
  }

  /** One of those asked does not have it. True when it was the last. */
  unavailable(kind: FetchKind, digest: Digest, from: ReplicaId): boolean {
    const key = keyOf(kind, digest);
    const left = without(this.asked.get(key) ?? (0 as ReplicaSet), setOf(from));
    if (left === 0) this.asked.delete(key);
    else this.asked.set(key, left);
    return left === 0;
  }

  /** Messages, batches and open fetches held now. */
  get size(): {
    readonly viewChanges: number;
    readonly newViews: number;
    readonly batches: number;
    readonly asked: number;
  } {
    const { viewChanges, newViews, batches, asked } = this;
    return { viewChanges: viewChanges.size, newViews: newViews.size, batches: batches.size, asked: asked.size };
  }
}

function keyOf(kind: FetchKind, digest: Digest): string {
  return `${kind}/${digest}`;
}
