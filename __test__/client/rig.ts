/** A client's protocol under virtual time, and what replicas would say to it. */
import { createHash } from "node:crypto";
import { Writer } from "../../dist/codec/bytes.js";
import type { Bundle, Outcome, Reply, ReplyEntry } from "../../dist/codec/client.js";
import { digestAt } from "../../dist/codec/digest.js";
import { decodeBody } from "../../dist/codec/messages.js";
import type { ClientAction, ClientInput, ClientLimits } from "../../dist/client/interfaces.js";
import { ClientSession } from "../../dist/client/session.js";
import type { ResultStatus } from "../../dist/protocol/messages.js";
import type {
  AgreedTime,
  ClientKey,
  Digest,
  Instant,
  ReplicaId,
  Sequence,
  SessionId,
  View,
} from "../../dist/protocol/types.js";

export type Send = Extract<ClientAction, { kind: "send" }>;
export type Settled = Extract<ClientAction, { kind: "resolve" | "reject" }>;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (content: Uint8Array): string => new TextDecoder().decode(content);

const statuses: readonly ResultStatus[] = ["ok", "refused", "failed", "sessionExpired", "forgotten", "outOfWindow"];

/** WIRE.md §3, by another implementation of SHA-256 than the product's. */
export function resultDigest(status: ResultStatus, result: Uint8Array): Digest {
  const hash = createHash("sha256")
    .update(Uint8Array.of(0x04, statuses.indexOf(status)))
    .update(result)
    .digest();
  return digestAt(hash, 0);
}

export function sessionBytes(session: number): Uint8Array {
  const writer = new Writer(8);
  writer.u53(session);
  return writer.copy();
}

/** A generator whose seed makes the whole run (Mulberry32, two draws for 53 bits). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return () => (next() % 2 ** 21) * 2 ** 32 + next();
}

export interface Circumstances {
  readonly view?: number;
  readonly batch?: number;
  readonly tentative?: boolean;
}

export const ok = (sequence: number, result: string | Uint8Array): ReplyEntry => ({
  sequence,
  status: "ok",
  result: typeof result === "string" ? bytes(result) : result,
});

export const digestOf = (sequence: number, result: string): ReplyEntry => ({
  sequence,
  status: "ok",
  digest: resultDigest("ok", bytes(result)),
});

export const status = (sequence: number, name: ResultStatus, result = ""): ReplyEntry => ({
  sequence,
  ...({ status: name, result: bytes(result) } satisfies Outcome),
});

export class Rig {
  readonly session: ClientSession;
  readonly n: number;
  now = 1_000;
  readonly sends: Send[] = [];
  readonly forgotten: number[] = [];
  readonly settled = new Map<number, Settled>();
  /** Payloads by handle, as the driver keeps them. */
  readonly payloads = new Map<number, Uint8Array>();
  #nextId = 1;

  constructor(
    options: { n?: number; f?: number; seed?: number; limits?: Partial<ClientLimits>; links?: boolean } = {},
  ) {
    this.n = options.n ?? 4;
    this.session = new ClientSession({
      n: this.n,
      f: options.f ?? 1,
      client: "c".repeat(16) as ClientKey,
      random: randomFrom(options.seed ?? 1),
      resultDigest,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    if (options.links !== false) for (let replica = 0; replica < this.n; replica++) this.link(replica, true);
  }

  step(input: ClientInput): readonly ClientAction[] {
    const actions = this.session.step(input, this.now as Instant);
    for (const action of actions) {
      if (action.kind === "send") {
        if (action.payload !== undefined) this.payloads.set(action.bundle, action.payload);
        this.sends.push(action);
      } else if (action.kind === "forget") {
        this.forgotten.push(action.bundle);
        this.payloads.delete(action.bundle);
      } else this.settled.set(action.id, action);
    }
    return actions;
  }

  link(peer: number, up: boolean): void {
    this.step({ kind: "link", peer: peer as ReplicaId, up });
  }

  submit(operation: string | Uint8Array): number {
    const id = this.#nextId++;
    this.step({ kind: "submit", id, operation: typeof operation === "string" ? bytes(operation) : operation });
    return id;
  }

  tick(): void {
    this.step({ kind: "tick", wallClock: (1_700_000_000_000 + this.now) as AgreedTime });
  }

  /** Lets time pass, ticking whenever the session asks for it. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let turns = 0; ; turns++) {
      if (turns > 100_000) throw new Error("the session asks for ticks without end");
      const deadline = this.session.deadline();
      if (deadline === undefined || deadline > end) break;
      this.now = Math.max(this.now, deadline);
      this.tick();
    }
    this.now = end;
  }

  reply(from: number, session: number, entries: readonly ReplyEntry[], circumstances: Circumstances = {}): void {
    const reply: Reply = {
      session: session as SessionId,
      batchSequence: (circumstances.batch ?? 1) as Sequence,
      view: (circumstances.view ?? 0) as View,
      tentative: circumstances.tentative ?? false,
      entries,
    };
    this.step({ kind: "reply", from: from as ReplicaId, reply });
  }

  busy(from: number, bundle: Bundle): void {
    const { session, firstSequence } = bundle;
    this.step({ kind: "busy", from: from as ReplicaId, session, firstSequence });
  }

  bundleOf(send: Send | undefined): Bundle {
    const payload = send === undefined ? undefined : this.payloads.get(send.bundle);
    if (payload === undefined) throw new Error("no such bundle is held");
    const decoded = decodeBody("bundle", payload);
    if (!decoded.ok) throw new Error(decoded.error);
    return decoded.message;
  }

  /** The bundle that was sent last. */
  get last(): Bundle {
    return this.bundleOf(this.sends.at(-1));
  }

  /** Submits once, lets two replicas open session `session`, and settles that first operation. */
  open(session = 7): void {
    const id = this.submit("first");
    this.pass(0);
    for (const replica of [0, 1]) this.reply(replica, 0, [ok(this.last.firstSequence, sessionBytes(session))]);
    this.pass(0);
    for (const replica of [0, 1]) this.reply(replica, session, [ok(1, "first result")]);
    if (this.settled.get(id)?.kind !== "resolve") throw new Error("the session did not open");
    this.sends.length = 0;
    this.settled.clear();
    this.forgotten.length = 0;
  }
}
