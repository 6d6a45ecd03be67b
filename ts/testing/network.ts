/**
 * The simulated network: per link a law of delay, loss and duplication, and faults that cut or clog it in one direction.
 *
 * It carries bytes and knows nothing of messages. The receiver learns the true sender, which is what a pinned TLS channel
 * gives: no adversary can spoof it.
 */
import type { Prng } from "./prng.ts";
import type { Scheduler } from "./scheduler.ts";

/** How a link treats what it carries. */
export interface LinkLaw {
  readonly delayMinMs: number;
  /** Mean of the exponential part on top of the minimum; 0 makes delays constant and keeps order. */
  readonly delayMeanMs: number;
  /** No delay is longer. */
  readonly delayMaxMs: number;
  /** Probability that a message is lost, or arrives a second time. */
  readonly loss: number;
  readonly duplicate: number;
  /** Messages of one link arrive in the order in which they left. */
  readonly ordered: boolean;
}

/** A healed link: short delays, nothing lost. */
export const HEALED_LAW: LinkLaw = {
  delayMinMs: 1,
  delayMeanMs: 1,
  delayMaxMs: 10,
  loss: 0,
  duplicate: 0,
  ordered: true,
};

/** Messages that a clogged link holds back before it drops the oldest, as a bounded outbound queue does. */
const CLOGGED_MAX = 256;

interface Link {
  readonly prng: Prng;
  law: LinkLaw;
  /** How many faults cut or clog it just now. */
  cuts: number;
  clogs: number;
  held: Uint8Array[];
  lastArrival: number;
}

export type Receiver = (from: number, bytes: Uint8Array) => void;

export interface NetworkCounters {
  sent: number;
  delivered: number;
  lost: number;
  duplicated: number;
}

export class Network {
  readonly counters: NetworkCounters = { sent: 0, delivered: 0, lost: 0, duplicated: 0 };
  private readonly links = new Map<number, Link>();
  private readonly receivers: (Receiver | undefined)[] = [];
  private readonly scheduler: Scheduler;
  private readonly prng: Prng;
  private readonly nodes: number;
  private readonly law: (from: number, to: number) => LinkLaw;

  /** `law` gives each directed link its law; nodes are numbered 0 … nodes−1. */
  constructor(scheduler: Scheduler, prng: Prng, nodes: number, law: (from: number, to: number) => LinkLaw) {
    this.scheduler = scheduler;
    this.prng = prng;
    this.nodes = nodes;
    this.law = law;
  }

  /** Who takes what arrives at `node`; `undefined` while it is down. */
  attach(node: number, receiver: Receiver | undefined): void {
    this.receivers[node] = receiver;
  }

  send(from: number, to: number, bytes: Uint8Array): void {
    const link = this.link(from, to);
    this.counters.sent++;
    if (link.cuts > 0 || link.prng.chance(link.law.loss)) {
      this.counters.lost++;
      return;
    }
    if (link.clogs > 0) return this.hold(link, bytes);
    this.carry(from, to, link, bytes);
    if (link.prng.chance(link.law.duplicate)) {
      this.counters.duplicated++;
      this.carry(from, to, link, bytes);
    }
  }

  cut(from: number, to: number): void {
    this.link(from, to).cuts++;
  }

  mend(from: number, to: number): void {
    const link = this.link(from, to);
    link.cuts = Math.max(0, link.cuts - 1);
  }

  clog(from: number, to: number): void {
    this.link(from, to).clogs++;
  }

  /** Lets a clogged link go; what it held arrives now, each message with a delay of its own. */
  unclog(from: number, to: number): void {
    const link = this.link(from, to);
    link.clogs = Math.max(0, link.clogs - 1);
    if (link.clogs > 0) return;
    const held = link.held;
    link.held = [];
    for (const bytes of held) this.carry(from, to, link, bytes);
  }

  /** Ends every fault of the link and gives it a law for good. */
  heal(from: number, to: number, law: LinkLaw): void {
    const link = this.link(from, to);
    link.law = law;
    link.cuts = 0;
    if (link.clogs === 0) return;
    link.clogs = 1;
    this.unclog(from, to);
  }

  isCut(from: number, to: number): boolean {
    return this.link(from, to).cuts > 0;
  }

  /** What a message and its acknowledgement take on average; undefined while one of them is not delivered. */
  roundTripMs(a: number, b: number): number | undefined {
    if (this.isCut(a, b) || this.isCut(b, a)) return undefined;
    return meanMs(this.link(a, b).law) + meanMs(this.link(b, a).law);
  }

  private hold(link: Link, bytes: Uint8Array): void {
    if (link.held.length >= CLOGGED_MAX) {
      link.held.shift();
      this.counters.lost++;
    }
    link.held.push(bytes);
  }

  private carry(from: number, to: number, link: Link, bytes: Uint8Array): void {
    const { delayMinMs, delayMeanMs, delayMaxMs, ordered } = link.law;
    const delay = Math.min(delayMaxMs, delayMinMs + (delayMeanMs > 0 ? link.prng.exponential(delayMeanMs) : 0));
    let arrival = this.scheduler.now + delay;
    if (ordered) arrival = Math.max(arrival, link.lastArrival);
    link.lastArrival = arrival;
    this.scheduler.at(arrival, () => {
      const receiver = this.receivers[to];
      if (receiver === undefined || link.cuts > 0) {
        this.counters.lost++;
        return;
      }
      this.counters.delivered++;
      receiver(from, bytes);
    });
  }

  private link(from: number, to: number): Link {
    const key = from * this.nodes + to;
    let link = this.links.get(key);
    if (link === undefined) {
      const prng = this.prng.split(`${from}>${to}`);
      link = { prng, law: this.law(from, to), cuts: 0, clogs: 0, held: [], lastArrival: 0 };
      this.links.set(key, link);
    }
    return link;
  }
}

function meanMs({ delayMinMs, delayMeanMs, delayMaxMs }: LinkLaw): number {
  return Math.min(delayMaxMs, delayMinMs + delayMeanMs);
}
