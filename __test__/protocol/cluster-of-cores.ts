/**
 * n real cores in memory. What they send is carried by a router that the test commands; ports answer at once and without bytes: a
 * digest is the text that it covers, and a signature holds if its replica signed so, or if its replica is one that lies. What a core
 * asks of its own disk, hashing and execution are letters to itself, which can be held back too. No time passes unless the test
 * lets it, and whoever executes another batch at a sequence than the others ends the test.
 */
import type { Action, Input } from "../../dist/protocol/core.js";
import type {
  BatchContent,
  BundleRef,
  CertificateName,
  Checkpoint,
  Complaint,
  Decided,
  Fetch,
  FetchedBatch,
  NewView,
  PrePrepare,
  Status,
  ViewChange,
  Vote,
} from "../../dist/protocol/messages.js";
import type { ReplicaOptions } from "../../dist/protocol/options.js";
import type { Replica } from "../../dist/protocol/replica.js";
import { membersOf, type Digest, type Instant, type ReplicaId, type Sequence } from "../../dist/protocol/types.js";
import { Member } from "./member-of-cluster.js";
import { bundle, OPTIONS, WALL_CLOCK } from "./scripted.js";

export type Wanted<K extends Action["kind"]> = Extract<Action, { readonly kind: K }>;
/** What goes from core to core, and what a core's own ports have to do. */
export type Message =
  | PrePrepare
  | Vote
  | Checkpoint
  | ViewChange
  | NewView
  | Status
  | Decided
  | Complaint
  | Fetch
  | FetchedBatch
  | { readonly type: "bundle"; readonly ref: BundleRef }
  | { readonly type: "passedOn"; readonly signer: number; readonly message: ViewChange | NewView }
  | { readonly type: "stateFetch"; readonly root: Digest }
  | { readonly type: "state"; readonly root: Digest; readonly executed: readonly BundleRef[] }
  | { readonly type: "answer"; readonly input: Input }
  | { readonly type: "execute"; readonly batch: Wanted<"execute"> }
  | { readonly type: "checkpointDue"; readonly at: Wanted<"checkpoint"> };

export interface Letter {
  readonly from: number;
  readonly to: number;
  readonly message: Message;
}

type Which = (letter: Letter) => boolean;

/** Letters of these types. */
export const ofType =
  (...types: readonly Message["type"][]): Which =>
  ({ message }) =>
    types.includes(message.type);
/** Letters to or from one of these replicas, not those to itself. */
export const crossing =
  (...ids: readonly number[]): Which =>
  ({ from, to }) =>
    ids.includes(from) !== ids.includes(to);

export function batchOf(names: readonly string[], time = WALL_CLOCK): BatchContent & { readonly digest: Digest } {
  const bundles = names as readonly string[] as readonly Digest[];
  return { time: time as BatchContent["time"], bundles, digest: `batch(${names.join(" ")})@${time}` as Digest };
}

export class Cluster {
  readonly options: Omit<ReplicaOptions, "me">;
  readonly members: readonly Member[];
  /** Every letter from one replica to another that was ever sent, lost ones included. */
  readonly letters: Letter[] = [];
  now = 0;
  /** What was executed at each sequence by whoever executed it first. */
  readonly decisions = new Map<Sequence, Digest>();
  readonly #liars = new Set<number>();
  readonly #signed = new Set<string>();
  readonly #own: Letter[] = [];
  readonly #queue: Letter[] = [];
  readonly #rules: { readonly which: Which; readonly held: Letter[] | undefined }[] = [];
  #requests = 0;

  constructor(options: Partial<ReplicaOptions> = {}) {
    this.options = { ...OPTIONS, ...options };
    this.members = Array.from({ length: this.options.n }, (_, id) => new Member(this, id));
    for (const { id } of this.members)
      this.step(id, { kind: "recovered", state: { type: "genesis" }, wallClock: WALL_CLOCK as never });
    this.deliver();
  }

  member(id: number): Member {
    return this.members[id] as Member;
  }

  core(id: number): Replica {
    return this.member(id).core;
  }

  /** Members whose core still runs. */
  get honest(): readonly Member[] {
    return this.members.filter(({ id }) => !this.#liars.has(id));
  }

  /** Names of the bundles that a replica has executed, in order. */
  executed(id: number): string[] {
    return this.member(id).executed.map(({ digest }) => digest as string);
  }

  /** A client sends one operation to these replicas; of session 1 unless `fields` say otherwise. Nothing is delivered yet. */
  request(
    name: string,
    to: readonly number[] = this.members.map(({ id }) => id),
    fields: Partial<BundleRef> = {},
  ): void {
    const ref = { ...bundle(name), digest: name as Digest, firstSequence: ++this.#requests, ...fields };
    for (const id of to) this.post({ from: -1, to: id, message: { type: "bundle", ref } });
  }

  /** Requests, one after another, each delivered and executed before the next. */
  run(...names: readonly string[]): void {
    for (const name of names) {
      this.request(name);
      this.deliver();
    }
  }

  /** From now on a replica does only what the test says in its name. */
  corrupt(...ids: readonly number[]): void {
    for (const id of ids) this.#liars.add(id);
  }

  /** A corrupt replica says something. */
  say(from: number, to: readonly number[], message: Message): void {
    for (const id of to) this.post({ from, to: id, message });
  }

  /** Letters like these are lost from now on. Returns what ends that. */
  drop(which: Which): () => void {
    return this.#rule({ which, held: undefined });
  }

  /** Letters like these wait. Returns what lets them go on. */
  hold(which: Which): () => void {
    return this.#rule({ which, held: [] });
  }

  /** Two replicas have a new connection, with STATUS as its first message. */
  connect(a: number, b: number): void {
    this.step(a, { kind: "link", peer: b as ReplicaId, up: true });
    this.step(b, { kind: "link", peer: a as ReplicaId, up: true });
  }

  post(letter: Letter): void {
    if (letter.from >= 0 && letter.from !== letter.to) this.letters.push(letter);
    const rule = this.#rules.find(({ which }) => which(letter));
    if (rule === undefined) (letter.from === letter.to ? this.#own : this.#queue).push(letter);
    else rule.held?.push(letter);
  }

  /** Delivers until nothing is under way. `pick` chooses among so many letters; the oldest goes first by default. */
  deliver(pick: (count: number) => number = () => 0): void {
    for (let count = 0; ; count++) {
      if (count > 1_000_000) throw new Error("letters without end");
      const letter = this.#own.shift() ?? this.#queue.splice(pick(this.#queue.length), 1)[0];
      if (letter === undefined) return;
      if (!this.#liars.has(letter.to)) this.member(letter.to).take(letter);
    }
  }

  /** Lets time pass: every replica ticks whenever it asks to, and what it sends is delivered at once. */
  pass(milliseconds: number): void {
    const end = this.now + milliseconds;
    this.deliver();
    for (;;) {
      const next = Math.min(...this.honest.map(({ core }) => core.deadline() ?? Infinity));
      if (next > end) break;
      this.now = Math.max(this.now, next);
      const due = this.honest.filter(({ core }) => (core.deadline() ?? Infinity) <= this.now);
      for (const { id } of due) this.tick(id);
      this.deliver();
    }
    this.now = end;
  }

  /** Request timers run out, and nobody has complained of delays before. */
  passTimeout(): void {
    const allowed = this.drop(({ message }) => message.type === "complaint");
    this.pass(this.options.viewChangeTimeoutMs - 1);
    allowed();
    this.pass(this.options.viewChangeTimeoutMs / 10);
  }

  /** Only this replica's clock is looked at. */
  tick(id: number): void {
    this.step(id, { kind: "tick", wallClock: (WALL_CLOCK + Math.floor(this.now)) as never });
  }

  step(id: number, input: Input): void {
    if (!this.#liars.has(id)) this.member(id).step(input, this.now as Instant);
  }

  /** What a replica has sent to others so far, of one type. */
  sentBy<T extends Message["type"]>(id: number, type: T): Extract<Message, { readonly type: T }>[] {
    const messages = new Set(this.letters.filter(({ from }) => from === id).map(({ message }) => message));
    return [...messages].filter((message): message is Extract<Message, { readonly type: T }> => message.type === type);
  }

  /** A signature that can be shown to others. */
  sign(id: number, phase: CertificateName["phase"], view: number, sequence: Sequence, digest: Digest): void {
    this.#signed.add(`${id} ${phase} ${view}/${sequence} ${digest}`);
  }

  /** Whether every signature of a certificate holds, as the verifier of a port says it. */
  verifies({ phase, view, sequence, digest, signers }: CertificateName): boolean {
    const holds = (id: number): boolean =>
      this.#liars.has(id) || this.#signed.has(`${id} ${phase} ${view}/${sequence} ${digest}`);
    return membersOf(signers).every(holds);
  }

  #rule(rule: { readonly which: Which; readonly held: Letter[] | undefined }): () => void {
    this.#rules.push(rule);
    return () => {
      this.#rules.splice(this.#rules.indexOf(rule), 1);
      for (const letter of rule.held?.splice(0) ?? []) this.post(letter);
    };
  }
}
