/** One receiver and its sources on a virtual clock; sources may be anything. */
import type { StateFetch, StateNodes } from "../../dist/protocol/messages.js";
import { setOf } from "../../dist/protocol/types.js";
import type { Digest, Instant, ReplicaId, Sequence } from "../../dist/protocol/types.js";
import { ReplicatedMap } from "../../dist/state/replicated-map.js";
import type { MapVersion } from "../../dist/state/replicated-map.js";
import { StateSource } from "../../dist/state/transfer/state-source.js";
import { StateTransfer } from "../../dist/state/transfer/state-transfer.js";
import { NodeHasher } from "./node-hasher.ts";

export const hasher = new NodeHasher();

/** The version that a transfer has come to. */
export function doneVersion(status: StateTransfer["status"]): MapVersion {
  if (status.status !== "done") throw new Error(`the transfer is ${status.status}`);
  return status.version;
}

export type Contents = readonly (readonly [key: Uint8Array, value: Uint8Array])[];

export function mapOf(contents: Contents): ReplicatedMap {
  const map = new ReplicatedMap();
  for (const [key, value] of contents) map.set(key, value);
  return map;
}

/** Entries in order, as text, to compare states. */
export function entriesOf(version: MapVersion): string[] {
  return [...version.range()].map(
    ([key, value]) => `${Buffer.from(key).toString("hex")}=${Buffer.from(value).toString("hex")}`,
  );
}

/** What a source makes of the answer that an honest one would give; undefined for silence. */
export type Behaviour = (answer: StateNodes, request: StateFetch, times: number) => StateNodes | undefined;

export interface RigSource {
  readonly versions: Map<number, MapVersion>;
  readonly behaviour?: Behaviour;
  readonly delayMs?: number;
}

export const honest = (...versions: readonly (readonly [sequence: number, version: MapVersion])[]): RigSource => ({
  versions: new Map(versions),
});

interface Event {
  readonly at: number;
  readonly run: () => void;
}

export class Rig {
  now = 0 as Instant;
  readonly transfer: StateTransfer;
  /** Requests that were sent, by source. */
  readonly asked = new Map<number, StateFetch[]>();
  readonly #map: ReplicatedMap;
  readonly #events: Event[] = [];
  readonly #sources: { readonly given: RigSource; readonly source: StateSource }[];
  /** Called before each step of the clock. */
  onStep: (() => void) | undefined;

  constructor(
    sources: readonly RigSource[],
    options: { own?: ReplicatedMap; answerBytes?: number; bytesPerSecond?: number } = {},
  ) {
    this.#map = options.own ?? new ReplicatedMap();
    for (const { versions } of sources) for (const version of versions.values()) version.root(hasher);
    const { bytesPerSecond = 2 ** 40 } = options;
    this.#sources = sources.map((given) => ({
      given,
      source: new StateSource({
        versionAt: (sequence) => given.versions.get(sequence),
        isComing: () => false,
        bytesPerSecond,
      }),
    }));
    this.transfer = new StateTransfer({
      hasher,
      sources: setOf(...sources.map((_, id) => id as ReplicaId)),
      own: options.own === undefined ? undefined : this.#map.freeze(),
      versionOf: (root) => this.#map.versionOf(root),
      ...(options.answerBytes === undefined ? {} : { answerBytes: options.answerBytes }),
    });
  }

  aim(sequence: number, digest: Digest): void {
    this.transfer.aim(sequence as Sequence, digest);
  }

  /** Runs until the transfer has ended in whatever way, or the clock shows `untilMs`. */
  run(untilMs = 600_000): StateTransfer["status"] {
    for (;;) {
      while (this.transfer.busy) this.transfer.work(64, this.now);
      this.#send();
      if (this.transfer.status.status !== "walking") return this.transfer.status;
      this.#events.sort((a, b) => a.at - b.at);
      const event = this.#events[0];
      const deadline = this.transfer.deadline();
      const next = Math.min(event?.at ?? Infinity, deadline ?? Infinity);
      if (next === Infinity) throw new Error("the transfer waits for nothing");
      if (next > untilMs) return this.transfer.status;
      this.onStep?.();
      this.now = Math.max(this.now, next) as Instant;
      if (event !== undefined && event.at <= this.now) {
        this.#events.shift();
        event.run();
      }
      if (deadline !== undefined && deadline <= this.now) this.transfer.tick(this.now);
    }
  }

  /** Delivers an answer that nobody may have asked for. */
  deliver(from: number, message: StateNodes): boolean {
    return this.transfer.onNodes(from as ReplicaId, message, this.now);
  }

  requestsOf(source: number): readonly StateFetch[] {
    return this.asked.get(source) ?? [];
  }

  #send(): void {
    for (const { to, message } of this.transfer.requests(this.now)) {
      const asked = this.asked.get(to) ?? [];
      this.asked.set(to, asked);
      asked.push(message);
      const { given, source } = this.#sources[to]!;
      this.#at(1, () => {
        source.onFetch(0 as ReplicaId, message, this.now);
        this.#serve(to, given, source, message, asked.length);
      });
    }
  }

  #serve(to: number, given: RigSource, source: StateSource, request: StateFetch, times: number): void {
    const answer = source.answer(this.now);
    if (answer === undefined) {
      const due = source.deadline(this.now);
      if (due !== undefined) this.#at(due - this.now, () => this.#serve(to, given, source, request, times));
      return;
    }
    // The source uses the memory of its answers again.
    const sent = { ...answer.message, nodes: answer.message.nodes.slice() };
    const message = given.behaviour === undefined ? sent : given.behaviour(sent, request, times);
    if (message === undefined) return;
    this.#at(given.delayMs ?? 1, () => this.transfer.onNodes(to as ReplicaId, message, this.now));
  }

  #at(delayMs: number, run: () => void): void {
    this.#events.push({ at: this.now + delayMs, run });
  }
}

/** Deterministic numbers below `n`. */
export function numbers(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** `count` entries under random keys of 8 bytes. */
export function randomContents(count: number, seed: number, valueBytes = 24): [Uint8Array, Uint8Array][] {
  const next = numbers(seed);
  return Array.from({ length: count }, () => [
    Uint8Array.from({ length: 8 }, () => next(256)),
    Uint8Array.from({ length: next(2 * valueBytes) }, () => next(256)),
  ]);
}
