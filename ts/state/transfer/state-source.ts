/**
 * State transfer, the other side: serves nodes of frozen versions to whoever asks. What it costs us is bounded: answers per
 * second, requests that wait per peer, and one version that stays for a peer although a newer checkpoint is stable.
 */
import type { StateFetch, StateItem, StateNodes } from "../../protocol/messages.ts";
import type { Instant, ReplicaId, Sequence } from "../../protocol/types.ts";
import { STATE_NODES_MAX } from "../../codec/state.ts";
import type { MapVersion } from "../replicated-map.ts";
import { HashScratch } from "../tree-hash.ts";
import { indexOf, isLeaf } from "../tree.ts";
import type { TreeNode } from "../tree.ts";
import { writeNode } from "./travelling-node.ts";

/** Requests of one peer that wait; a receiver has two in flight, and may have given up two more. */
const WAITING_MAX = 4;
/** What one peer is served per second: a quarter of a gigabit link. */
const PEER_BYTES_PER_SECOND = 32 * 1024 * 1024;
/** Served at once to a peer that has asked for nothing lately: two answers of the usual size. */
const BURST_BYTES = 512 * 1024;
/** What an answer costs besides its bytes, so that tiny ones are not free. */
const ANSWER_COST_BYTES = 4 * 1024;
/** Looking up a symbol of a path costs as much as sending so many bytes. */
const SYMBOL_COST_BYTES = 8;
/** A version stays for a peer so long after its last request: several deadlines of a receiver. */
const PIN_MS = 10_000;
/** And no longer in all, so that nobody keeps two states in our memory for ever: 1 GiB at 8 MiB per second. */
const PIN_TOTAL_MS = 128_000;

/** A state that we are about to have is waited for: we may be a checkpoint behind whoever asks. */
const COMING_MS = 500;

interface Peer {
  readonly waiting: { readonly message: StateFetch; readonly at: Instant }[];
  /** Bytes that it may be sent; negative after an answer. */
  credit: number;
  creditAt: number;
  /** The version it asked for last, and when. */
  sequence: Sequence;
  askedAt: number;
  /** When a version was last kept for it. */
  pinnedAt: number;
  /** It has had that version for as long as anybody may. */
  hadEnoughOf: Sequence | undefined;
}

export interface StateSourceOptions {
  /** A version that is kept and hashed. */
  readonly versionAt: (sequence: Sequence) => MapVersion | undefined;
  /** Whether it is kept soon: it was not executed, or not hashed to the end. */
  readonly isComing: (sequence: Sequence) => boolean;
  /** {@link PEER_BYTES_PER_SECOND} where not given. */
  readonly bytesPerSecond?: number;
}

export interface StateAnswer {
  readonly to: ReplicaId;
  /** Its nodes lie in memory that the next answer uses again: copies of them all would be garbage by the hundred MiB. */
  readonly message: StateNodes;
}

export class StateSource {
  readonly #options: StateSourceOptions;
  readonly #peers = new Map<ReplicaId, Peer>();
  readonly #buffer = new HashScratch();
  #pin: { readonly sequence: Sequence; readonly since: number } | undefined;
  /** Bytes of all answers. */
  bytes = 0;

  constructor(options: StateSourceOptions) {
    this.#options = options;
  }

  /** Takes a request; false where the peer has too many waiting. */
  onFetch(from: ReplicaId, message: StateFetch, now: Instant): boolean {
    let peer = this.#peers.get(from);
    if (peer === undefined) {
      const fresh = { credit: BURST_BYTES, creditAt: now, askedAt: now, pinnedAt: Number.NEGATIVE_INFINITY };
      peer = { waiting: [], sequence: message.sequence, hadEnoughOf: undefined, ...fresh };
      this.#peers.set(from, peer);
    }
    if (peer.waiting.length >= WAITING_MAX) return false;
    if (this.#options.versionAt(message.sequence) !== undefined) {
      peer.sequence = message.sequence;
      peer.askedAt = now;
    }
    peer.waiting.push({ message, at: now });
    return true;
  }

  /** The next answer that may leave now: peers take turns. */
  answer(now: Instant): StateAnswer | undefined {
    for (const [id, peer] of this.#peers) {
      const request = peer.waiting[0]?.message;
      if (request === undefined || this.#dueAt(peer, now) > now) continue;
      peer.waiting.shift();
      // The last one served comes last.
      this.#peers.delete(id);
      this.#peers.set(id, peer);
      const message = this.#nodes(request);
      const symbols = request.items.reduce((sum, { path }) => sum + path.length, 0);
      peer.credit -= message.nodes.length + ANSWER_COST_BYTES + SYMBOL_COST_BYTES * symbols;
      this.bytes += message.nodes.length;
      return { to: id, message };
    }
    return undefined;
  }

  /** Whether {@link answer} has something now. */
  ready(now: Instant): boolean {
    for (const peer of this.#peers.values()) if (this.#dueAt(peer, now) <= now) return true;
    return false;
  }

  /** When {@link answer} has something, and when a version may be let go of that stayed for a peer. */
  deadline(now: Instant): Instant | undefined {
    let due = Infinity;
    for (const peer of this.#peers.values()) due = Math.min(due, this.#dueAt(peer, now));
    if (this.#pin !== undefined) {
      due = Math.min(due, this.#pinnedUntil(this.#pin));
    }
    return due === Infinity ? undefined : (due as Instant);
  }

  /** The version that must stay although checkpoint `stable` is stable: at most one. */
  pinned(stable: Sequence, now: Instant): Sequence | undefined {
    if (this.#pin !== undefined && this.#pinnedUntil(this.#pin) <= now) this.#unpin(this.#pin);
    if (this.#pin === undefined) {
      const next = this.#nextPin(stable, now);
      if (next === undefined) return undefined;
      for (const peer of this.#peers.values()) if (peer.sequence === next) peer.pinnedAt = now;
      this.#pin = { sequence: next, since: now };
    }
    return this.#pin.sequence;
  }

  /** Everything that was frozen is gone: another state was installed. */
  forget(): void {
    this.#pin = undefined;
  }

  #unpin({ sequence }: { readonly sequence: Sequence }): void {
    for (const peer of this.#peers.values()) if (peer.sequence === sequence) peer.hadEnoughOf = sequence;
    this.#pin = undefined;
  }

  /** Of the peers that still ask for an older version, the one whose turn is longest ago. */
  #nextPin(stable: Sequence, now: Instant): Sequence | undefined {
    let next: Peer | undefined;
    for (const peer of this.#peers.values()) {
      if (peer.sequence >= stable || peer.sequence === peer.hadEnoughOf || peer.askedAt + PIN_MS <= now) continue;
      if (this.#options.versionAt(peer.sequence) === undefined) continue;
      if (next === undefined || peer.pinnedAt < next.pinnedAt) next = peer;
    }
    return next?.sequence;
  }

  #pinnedUntil({ sequence, since }: { readonly sequence: Sequence; readonly since: number }): number {
    let asked = Number.NEGATIVE_INFINITY;
    for (const peer of this.#peers.values()) if (peer.sequence === sequence) asked = Math.max(asked, peer.askedAt);
    return Math.min(asked + PIN_MS, since + PIN_TOTAL_MS);
  }

  get #bytesPerSecond(): number {
    return this.#options.bytesPerSecond ?? PEER_BYTES_PER_SECOND;
  }

  /** When the first request of a peer may be answered. */
  #dueAt(peer: Peer, now: Instant): number {
    const [first] = peer.waiting;
    if (first === undefined) return Infinity;
    const { sequence } = first.message;
    const coming = this.#options.versionAt(sequence) === undefined && this.#options.isComing(sequence);
    const credit = this.#creditOf(peer, now);
    const paid = credit > 0 ? now : now + ((1 - credit) * 1000) / this.#bytesPerSecond;
    return coming ? Math.max(paid, first.at + COMING_MS) : paid;
  }

  #creditOf(peer: Peer, now: Instant): number {
    const earned = ((now - peer.creditAt) * this.#bytesPerSecond) / 1000;
    peer.credit = Math.min(BURST_BYTES, peer.credit + Math.max(0, earned));
    peer.creditAt = now;
    return peer.credit;
  }

  #nodes({ sequence, request, bytesMax, items }: StateFetch): StateNodes {
    const root = this.#options.versionAt(sequence)?.tree;
    const answer = { length: 0, count: 0, bytesMax };
    for (const item of items) {
      const node = root === undefined ? undefined : nodeAt(root, item);
      if (node === undefined || !this.#append(node, item.deep, answer)) break;
    }
    const nodes = this.#buffer.input.subarray(0, answer.length);
    return { type: "stateNodes", request, count: answer.count, nodes };
  }

  /** Appends a node, or all from there down in preorder; false when the answer is full. */
  #append(top: TreeNode, deep: boolean, answer: { length: number; count: number; bytesMax: number }): boolean {
    const waiting: TreeNode[] = [top];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (answer.length >= answer.bytesMax || answer.count >= STATE_NODES_MAX) return false;
      answer.length = writeNode(this.#buffer, node, answer.length);
      answer.count++;
      if (!deep || isLeaf(node)) continue;
      for (let index = node.children.length - 1; index >= 0; index--) waiting.push(node.children[index]!);
    }
    return true;
  }
}

/** The node that a path leads to, if there is one. */
function nodeAt(root: TreeNode, { path }: StateItem): TreeNode | undefined {
  let node: TreeNode = root;
  for (const symbol of path) {
    if (isLeaf(node) || ((node.bitmap >>> symbol) & 1) === 0) return undefined;
    node = node.children[indexOf(node.bitmap, symbol)]!;
  }
  return node;
}
