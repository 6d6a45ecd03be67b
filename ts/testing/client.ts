/** One simulated client: the product's session between a plan of operations and the network. */
import type { ClientAction } from "../client/interfaces.ts";
import { ClientSession } from "../client/session.ts";
import { decodeBody, MessageType } from "../codec/messages.ts";
import { SIGNATURE_BYTES } from "../codec/bytes.ts";
import type { Bundle } from "../codec/client.ts";
import { hexOf } from "../codec/digest.ts";
import { membersOf, type AgreedTime, type Instant, type ReplicaId, type ReplicaSet } from "../protocol/types.ts";
import { resultDigest } from "./hashing.ts";
import type { PlannedOperation } from "./plan.ts";
import type { Prng } from "./prng.ts";
import { LocalClock, type Surroundings } from "./surroundings.ts";
import { open, sealBody } from "./wire.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class SimClient {
  /** Operations whose end the client does not know yet. */
  readonly open = new Map<number, string>();
  private readonly around: Surroundings;
  private readonly node: number;
  private readonly key: string;
  private readonly prng: Prng;
  private readonly clock: LocalClock;
  private readonly session: ClientSession;
  private readonly frames = new Map<number, { readonly frame: Uint8Array; readonly forked: Uint8Array | undefined }>();
  private wakeAt = Infinity;
  private next = 1;

  constructor(around: Surroundings, index: number, operations: readonly PlannedOperation[]) {
    const { options, keyring } = around;
    this.around = around;
    this.node = options.n + index;
    this.key = hexOf(keyring.keyOf(this.node));
    this.prng = around.prng.split(`client ${index}`);
    this.clock = new LocalClock(around.scheduler, this.prng.split("clock"), options);
    const random = this.prng.split("nonces");
    this.session = new ClientSession({
      n: options.n,
      f: options.f,
      client: keyring.keyOf(this.node),
      random: () => random.next() * 2 ** 21 + (random.next() >>> 11),
      resultDigest,
    });
    around.network.attach(this.node, (from, bytes) => this.receive(from, bytes));
    for (const { atMs, operation } of operations) around.scheduler.at(atMs, () => this.submit(operation));
  }

  start(): void {
    for (let peer = 0; peer < this.around.options.n; peer++) this.link(peer, true);
  }

  link(peer: number, up: boolean): void {
    this.step({ kind: "link", peer: peer as ReplicaId, up });
  }

  /** Begins an operation now. */
  submit(operation: string): void {
    const id = this.next++;
    this.open.set(id, operation);
    const at = this.around.scheduler.now;
    this.around.log.add(at, "invoked", this.node, id);
    if (!this.forks()) this.around.history.see({ kind: "invoked", client: this.key, operation, at });
    else this.around.history.see({ kind: "forked", client: this.key, operation });
    this.step({ kind: "submit", id, operation: encoder.encode(operation) });
  }

  private receive(from: number, bytes: Uint8Array): void {
    this.around.log.add(this.around.scheduler.now, "delivered", this.node, from, bytes);
    const frame = open(bytes);
    if (!frame.ok || from >= this.around.options.n) return;
    const { name, body } = frame.payload;
    if (name === "reply") this.step({ kind: "reply", from: from as ReplicaId, reply: body });
    if (name === "busy") this.step({ kind: "busy", from: from as ReplicaId, ...body });
  }

  private step(input: Parameters<ClientSession["step"]>[0]): void {
    const actions = this.session.step(input, this.clock.now() as Instant);
    this.around.narrate?.(
      `${this.around.scheduler.now.toFixed(3)} client ${this.node} <- ${input.kind}: ${actions.map(({ kind }) => kind).join(", ")}`,
    );
    for (const action of actions) this.perform(action);
    this.wake();
  }

  private wake(): void {
    const deadline = this.session.deadline();
    if (deadline === undefined) return;
    const at = Math.max(this.clock.virtual(deadline), this.around.scheduler.now + 0.001);
    if (at >= this.wakeAt && this.wakeAt > this.around.scheduler.now) return;
    this.wakeAt = at;
    this.around.scheduler.at(at, () => {
      if (this.wakeAt === at) this.wakeAt = Infinity;
      const due = this.session.deadline();
      if (due !== undefined && due <= this.clock.now()) {
        this.step({ kind: "tick", wallClock: this.clock.wallClock() as AgreedTime });
      } else this.wake();
    });
  }

  private perform(action: ClientAction): void {
    switch (action.kind) {
      case "send":
        return this.send(action.to, action.bundle, action.payload);
      case "forget":
        this.frames.delete(action.bundle);
        return;
      case "resolve":
        return this.settle(action.id, action.status, decoder.decode(action.result));
      case "reject":
        return this.settle(action.id, `${action.code} ${action.executed}`, "");
    }
  }

  private send(to: ReplicaSet, handle: number, payload: Uint8Array | undefined): void {
    if (payload !== undefined) this.frames.set(handle, this.seal(payload));
    else if (membersOf(to).length > 1) this.around.coverage.hit("retransmission to all");
    const frames = this.frames.get(handle);
    if (frames === undefined) return;
    for (const replica of membersOf(to)) {
      this.around.network.send(this.node, replica, frames.frame);
      if (frames.forked !== undefined)
        this.around.network.send(this.node, this.prng.below(this.around.options.n), frames.forked);
    }
  }

  private seal(payload: Uint8Array): { readonly frame: Uint8Array; readonly forked: Uint8Array | undefined } {
    const frame = new Uint8Array(1 + payload.length + SIGNATURE_BYTES);
    frame[0] = MessageType.bundle;
    frame.set(payload, 1);
    frame.set(this.around.keyring.sign(this.node, MessageType.bundle, payload), 1 + payload.length);
    return { frame, forked: this.forks() ? this.fork(payload) : undefined };
  }

  /** A client that lies signs a second bundle with other operations under the same client sequences. FAULTS K1. */
  private fork(payload: Uint8Array): Uint8Array | undefined {
    const decoded = decodeBody("bundle", payload);
    if (!decoded.ok || decoded.message.session === 0) return undefined;
    const operations = decoded.message.operations.map((operation) => {
      const other = `${this.around.subject.identify(decoder.decode(operation))} put k0 66`;
      this.around.history.see({ kind: "forked", client: this.key, operation: other });
      return encoder.encode(other);
    });
    this.around.coverage.hit("bundle conflict");
    const bundle: Bundle = { ...decoded.message, operations };
    return sealBody("bundle", bundle, (type, bytes) => this.around.keyring.sign(this.node, type, bytes));
  }

  private settle(id: number, status: string, result: string): void {
    const operation = this.open.get(id);
    if (operation === undefined) return;
    this.open.delete(id);
    const at = this.around.scheduler.now;
    this.around.log.add(at, "returned", this.node, id);
    if (status === "refused") this.around.coverage.hit("operation refused");
    if (status === "failed") this.around.coverage.hit("operation failed");
    if (!this.forks()) this.around.history.see({ kind: "returned", client: this.key, operation, status, result, at });
  }

  private forks(): boolean {
    return this.around.options.forkingClients > this.node - this.around.options.n;
  }
}
