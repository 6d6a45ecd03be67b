/**
 * State transfer, the receiver's side: walks the Merkle tree of a certified checkpoint from its root, asks several replicas at
 * once for what it does not hold, and checks every node by itself. Nobody is trusted but the certificate.
 *
 * Without input or output: messages and the time come in, requests go out. What has come is never thrown away before the end;
 * a newer target skips whatever of it is equal. Checking goes by slices, since this may run in the ordering thread.
 */
import type { StateFetch, StateNodes } from "../../protocol/messages.ts";
import type { Digest, Instant, ReplicaId, ReplicaSet, Sequence } from "../../protocol/types.ts";
import { EMPTY_SET, membersOf, setOf, union } from "../../protocol/types.ts";
import { STATE_ITEMS_MAX, STATE_NODES_MAX, STATE_PATHS_MAX } from "../../codec/state.ts";
import { assert } from "../../protocol/assert.ts";
import type { Hasher } from "../interfaces.ts";
import type { MapVersion } from "../replicated-map.ts";
import type { TreeNode } from "../tree.ts";
import { Answer } from "./answer.ts";
import type { Asked } from "./answer.ts";
import { digestOf } from "./candidates.ts";
import type { Candidate } from "./candidates.ts";
import { Gap, gapsBelow, Part, pathOf, settled } from "./part.ts";
import { Requests } from "./requests.ts";
import type { Request } from "./requests.ts";
import { freeSources, hedgeMs, REQUESTS_MAX, Source } from "./sources.ts";
import { NODE_BYTES_MAX, NodeReader } from "./travelling-node.ts";

/** Bytes of an answer: small beside what a link carries in the time that a vote may wait, large beside its round trip. */
export const ANSWER_BYTES = 256 * 1024;
/** Gaps looked at for one request: most of them suit, as few sources fail. */
const LOOKS_MAX = 4 * STATE_ITEMS_MAX;

export interface StateTransferOptions {
  readonly hasher: Hasher;
  readonly sources: ReplicaSet;
  /** Our own state, whose equal subtrees are not fetched; undefined where it must not be trusted. */
  readonly own: MapVersion | undefined;
  /** Makes a version of a finished tree. */
  readonly versionOf: (root: TreeNode) => MapVersion;
  /** {@link ANSWER_BYTES} where not given. */
  readonly answerBytes?: number;
}

export interface TransferProgress {
  /** Nodes that were right. */
  readonly nodes: number;
  /** Of all answers. */
  readonly bytes: number;
  /** Entries that we held. */
  readonly reused: number;
  /** Who has given something. */
  readonly sources: readonly ReplicaId[];
  /** Answers that were not what was asked for. */
  readonly wrong: number;
}

interface Target {
  readonly sequence: Sequence;
  readonly digest: Digest;
  readonly root: Gap;
}

/** How the transfer stands. */
export type TransferStatus =
  | { readonly status: "walking" }
  /** No source holds the target; waits for another one. */
  | { readonly status: "unavailable" }
  | { readonly status: "done"; readonly version: MapVersion }
  /** What was put together has another root: a fault of this machine. */
  | { readonly status: "invalid" };

export class StateTransfer {
  readonly #options: StateTransferOptions;
  readonly #sources: readonly Source[];
  readonly #reader: NodeReader;
  readonly #requests = new Requests<Target>();
  readonly #answers: { readonly request: Request<Target>; readonly answer: Answer }[] = [];
  /** Gaps to ask for, the next one last. */
  #queue: Gap[] = [];
  #target: Target | undefined;
  #ownHashed: boolean;
  /** The sources are to hear at once which state is wanted. */
  #unannounced = false;
  #finished: MapVersion | undefined;
  #status: TransferStatus = { status: "walking" };
  /** The time of the last look at what is late, and at who can be asked. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  #nodes = 0;
  #bytes = 0;
  #reused = 0;
  #wrong = 0;

  constructor(options: StateTransferOptions) {
    this.#options = options;
    this.#sources = membersOf(options.sources).map((id) => new Source(id));
    this.#reader = new NodeReader(options.hasher);
    this.#ownHashed = options.own === undefined;
  }

  get status(): TransferStatus {
    return this.#status;
  }

  get progress(): TransferProgress {
    const sources = this.#sources.filter(({ bytes }) => bytes > 0).map(({ id }) => id);
    return { nodes: this.#nodes, bytes: this.#bytes, reused: this.#reused, wrong: this.#wrong, sources };
  }

  /** Whether {@link work} has something to do. */
  get busy(): boolean {
    if (this.#status.status !== "walking") return false;
    return !this.#ownHashed || this.#answers.length > 0 || this.#finished !== undefined;
  }

  /** Walks to the root `digest` of checkpoint `sequence` from now on. What came for an earlier target is kept. */
  aim(sequence: Sequence, digest: Digest): void {
    if (this.#status.status === "unavailable") for (const source of this.#sources) source.forgive();
    this.#status = { status: "walking" };
    if (this.#target?.sequence === sequence && this.#target.digest === digest) return;
    const candidates = this.#held();
    for (const gap of this.#queue) gap.queued = false;
    this.#queue = [];
    this.#finished?.release();
    this.#finished = undefined;
    this.#target = { sequence, digest, root: new Gap(digest, undefined, 0, candidates) };
    if (this.#ownHashed) this.#enter();
  }

  /** Takes an answer; false for one that was not asked for. */
  onNodes(from: ReplicaId, message: StateNodes, now: Instant): boolean {
    const request = this.#requests.end(message.request, from);
    if (request === undefined) return false;
    const { source, target, items } = request;
    if (message.count === 0) {
      // What it has let go of since we turned to a newer target is no fault of its. Otherwise others are asked before it is again, also
      // those that were late.
      const lacks = target === this.#target;
      if (lacks) source.onUnavailable(target.sequence, now);
      this.#giveBack(request, items, lacks);
      this.#checkHope();
    } else if (message.nodes.length > request.bytesMax + NODE_BYTES_MAX) {
      this.#onLie(request, now);
      this.#giveBack(request, items, true);
    } else {
      source.onAnswer(now - request.at);
      this.#answers.push({ request, answer: new Answer(items, message, this.#reader) });
    }
    return true;
  }

  /** Gives up what is late, and asks others for what is slow. */
  tick(now: Instant): void {
    for (const request of this.#requests.release(now, this.#hedgeMs(now))) this.#giveBack(request, request.items, true);
    this.#checkHope();
    this.#lookedAt = now;
  }

  /** When {@link tick} and then {@link requests} are due, if nothing comes before. */
  deadline(): Instant | undefined {
    if (this.#status.status !== "walking") return undefined;
    const waits = [...this.#requests.deadlines(this.#queue.length === 0 ? hedgeMs(this.#sources) : undefined)];
    if (this.#queue.length > 0) for (const { restsUntil } of this.#sources) waits.push(restsUntil);
    // What was due before has been looked at, and waits for something else.
    const due = Math.min(...waits.filter((wait) => wait > this.#lookedAt));
    return due === Number.POSITIVE_INFINITY ? undefined : (due as Instant);
  }

  /** A slice of the checking: at most about `nodesMax` nodes. */
  work(nodesMax: number, now: Instant): void {
    if (this.#status.status !== "walking") return;
    if (!this.#ownHashed) this.#hashOwn(nodesMax);
    else if (this.#answers.length > 0) this.#check(nodesMax, now);
    else if (this.#finished !== undefined) this.#verify(this.#finished, nodesMax);
  }

  /** What to send now. */
  requests(now: Instant): { readonly to: ReplicaId; readonly message: StateFetch }[] {
    const out: { to: ReplicaId; message: StateFetch }[] = [];
    if (this.#unannounced && this.#status.status === "walking") this.#announce(now, out);
    let free = freeSources(this.#sources, now);
    while (this.#status.status === "walking" && this.#queue.length > 0 && this.#requests.inFlight < REQUESTS_MAX) {
      const source = free.shift();
      if (source === undefined) break;
      const message = this.#ask(source, now);
      if (message === undefined) continue;
      out.push({ to: source.id, message });
      free = freeSources(this.#sources, now);
    }
    return out;
  }

  get #answerBytes(): number {
    return this.#options.answerBytes ?? ANSWER_BYTES;
  }

  /** What there is to compare a new target with. */
  #held(): Candidate[] {
    const before = this.#target?.root;
    if (before !== undefined && before.filled === undefined) return [...before.candidates];
    const held: Candidate[] = before?.filled === undefined ? [] : [before.filled];
    const own = this.#options.own?.tree;
    return own === undefined ? held : [...held, own];
  }

  #hashOwn(nodesMax: number): void {
    const { own, hasher } = this.#options;
    this.#ownHashed = own === undefined || own.hashSlice(hasher, nodesMax);
    if (this.#ownHashed) this.#enter();
  }

  /** Begins at the root, unless what we hold is the target itself. */
  #enter(): void {
    if (this.#target === undefined) return;
    const { root, digest } = this.#target;
    const equal = root.candidates.find((candidate) => digestOf(candidate) === digest);
    this.#unannounced = equal === undefined;
    if (equal === undefined) return this.#enqueue([root]);
    const held = settled(equal);
    root.fill(held);
    if (held instanceof Part) this.#enqueue(gapsBelow(held));
    this.#checkWhole();
  }

  #check(nodesMax: number, now: Instant): void {
    const { request, answer } = this.#answers[0]!;
    answer.slice(nodesMax);
    if (answer.verdict === undefined) return;
    this.#answers.shift();
    this.#nodes += answer.nodes;
    this.#reused += answer.reused;
    const { unserved, verdict } = answer;
    // An honest answer ends early only where it is full.
    const short = verdict === "cut" && answer.bytes < request.bytesMax && answer.nodes < STATE_NODES_MAX;
    const failed = verdict === "wrong" || short;
    if (failed) this.#onLie(request, now);
    else request.source.bytes += answer.bytes;
    this.#bytes += answer.bytes;
    this.#giveBack(request, unserved, failed);
    this.#enqueue(answer.gaps.filter((gap) => this.#belongs(gap, request)));
    this.#checkWhole();
  }

  #onLie(request: Request<Target>, now: Instant): void {
    this.#wrong++;
    request.source.onLie(now);
  }

  /** Items of a request that came to nothing; `failed` if that is its source's fault. */
  #giveBack(request: Request<Target>, items: readonly Asked[], failed: boolean): void {
    const again: Gap[] = [];
    for (let i = items.length - 1; i >= 0; i--) {
      const { gap } = items[i]!;
      gap.asked--;
      if (failed) gap.avoid = union(gap.avoid, setOf(request.source.id));
      if (this.#belongs(gap, request)) again.push(gap);
    }
    this.#enqueue(again);
  }

  /** Whether a gap that a request named, or opened, is one of the present target. */
  #belongs(gap: Gap, request: Request<Target>): boolean {
    return request.target === this.#target || this.#isLive(gap);
  }

  /** Queues gaps that nobody is asked for, the last to be asked first. */
  #enqueue(gaps: readonly Gap[]): void {
    for (const gap of gaps) {
      if (gap.filled !== undefined || gap.queued || gap.asked > 0) continue;
      gap.queued = true;
      this.#queue.push(gap);
    }
  }

  /** Whether a gap belongs to the present target. */
  #isLive(gap: Gap): boolean {
    const root = this.#target?.root;
    if (gap.parent === undefined) return gap === root;
    let top: Part = gap.parent;
    while (top.parent !== undefined) top = top.parent;
    return top === root?.filled;
  }

  #checkWhole(): void {
    const whole = this.#target?.root.filled;
    const root = whole === undefined ? undefined : settled(whole);
    if (root === undefined || root instanceof Part || this.#finished !== undefined) return;
    this.#finished = this.#options.versionOf(root);
  }

  /** Hashes the inner nodes that have come once more, as a whole: whatever was put in a wrong place shows. */
  #verify(version: MapVersion, nodesMax: number): void {
    const { hasher } = this.#options;
    if (!version.hashSlice(hasher, nodesMax)) return;
    const right = version.root(hasher) === this.#target?.digest;
    this.#status = right ? { status: "done", version } : { status: "invalid" };
  }

  /** A target that no source holds is given up; a newer one may be had. */
  #checkHope(): void {
    const sequence = this.#target?.sequence;
    if (sequence === undefined || this.#status.status !== "walking" || this.#answers.length > 0) return;
    if (!this.#sources.every((source) => source.isHopeless(sequence))) return;
    if (this.#sources.some((source) => source.isWithout(sequence))) this.#status = { status: "unavailable" };
  }

  /** Where nothing is left to ask for, a source that lets us wait so long is not waited for. */
  #hedgeMs(now: Instant): number | undefined {
    return this.#queue.length === 0 && freeSources(this.#sources, now).length > 0 ? hedgeMs(this.#sources) : undefined;
  }

  /**
   * All sources are asked for the root: whoever is asked for a state keeps it although newer ones become stable meanwhile, and
   * the first request to some of them may otherwise come too late. It also gives something to ask each of them for.
   */
  #announce(now: Instant, out: { to: ReplicaId; message: StateFetch }[]): void {
    this.#unannounced = false;
    const root = this.#target?.root;
    const free = freeSources(this.#sources, now);
    if (root?.queued !== true || free.length === 0) return;
    this.#queue.splice(this.#queue.indexOf(root), 1);
    root.queued = false;
    const items = [{ gap: root, deep: false }];
    for (const source of free) out.push({ to: source.id, message: this.#fetch(source, items, 1, now) });
  }

  #ask(source: Source, now: Instant): StateFetch | undefined {
    const items = this.#pick(source, now);
    return items.length === 0 ? undefined : this.#fetch(source, items, this.#answerBytes, now);
  }

  #fetch(source: Source, items: readonly Asked[], bytesMax: number, now: Instant): StateFetch {
    const target = this.#target;
    assert(target !== undefined, "gaps are those of a target");
    const { id } = this.#requests.begin(source, target, items, bytesMax, now);
    const named = items.map(({ gap, deep }) => ({ path: pathOf(gap), deep }));
    return { type: "stateFetch", sequence: target.sequence, request: id, bytesMax, items: named };
  }

  /** Gaps for one request: an equal part for each that may be in flight, so that none takes what others could bring. */
  #pick(source: Source, now: Instant): Asked[] {
    const capacity = this.#sources.reduce((sum, each) => sum + each.slots(now), 0);
    const share = Math.ceil(this.#queue.length / Math.max(1, Math.min(capacity, REQUESTS_MAX)));
    const items: Asked[] = [];
    const others: Gap[] = [];
    let symbols = 0;
    for (let looks = 0; looks < LOOKS_MAX && items.length < Math.min(share, STATE_ITEMS_MAX); looks++) {
      const gap = this.#queue.pop();
      if (gap === undefined) break;
      if (gap.filled !== undefined) {
        gap.queued = false;
        continue;
      }
      if (!this.#mayAsk(gap, source)) {
        others.push(gap);
        continue;
      }
      symbols += depthOf(gap);
      if (symbols > STATE_PATHS_MAX && items.length > 0) {
        this.#queue.push(gap);
        break;
      }
      gap.queued = false;
      items.push({ gap, deep: gap.candidates.length === 0 });
    }
    for (const gap of others.toReversed()) this.#queue.push(gap);
    return items;
  }

  /** A source is not asked again for what it failed to give, unless all have. */
  #mayAsk(gap: Gap, source: Source): boolean {
    if ((this.#options.sources & ~gap.avoid) === 0) gap.avoid = EMPTY_SET;
    return (gap.avoid & setOf(source.id)) === 0;
  }
}

function depthOf(gap: Gap): number {
  let depth = 0;
  for (let part = gap.parent; part !== undefined; part = part.parent) depth++;
  return depth;
}
