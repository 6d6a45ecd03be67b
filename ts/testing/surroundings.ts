import type { StateMachine } from "../state/interfaces.ts";
import type { Conspiracy } from "./adversaries/adversary.ts";
import type { Coverage } from "./coverage.ts";
import type { EventLog } from "./event-log.ts";
import type { History } from "./history.ts";
import type { Keyring } from "./keyring.ts";
import type { Network } from "./network.ts";
import type { SimOptions } from "./options.ts";
import type { Prng } from "./prng.ts";
import type { Scheduler } from "./scheduler.ts";

/** What users simulate: their state machine, and how to tell its operations apart. */
export interface Subject {
  readonly machine: StateMachine;
  /** What makes an operation one, where a client that lies sends two forms of it under one client sequence. */
  identify(operation: string): string;
}

/** What every node of one run shares. */
export interface Surroundings {
  readonly options: SimOptions;
  readonly subject: Subject;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly keyring: Keyring;
  readonly history: History;
  readonly coverage: Coverage;
  readonly log: EventLog;
  readonly prng: Prng;
  readonly conspiracy: Conspiracy;
  /** Bundles of every batch digest that was seen: what the digest covers, for oracles. */
  readonly batches: Map<string, readonly string[]>;
  /** Hears one line for everything that happens in a core; for people. */
  readonly narrate: ((line: string) => void) | undefined;
  /** The number of an adversary's opportunity was used; false when the plan takes it away. */
  readonly mayAct: (opportunity: number) => boolean;
}

/** Virtual wall clock at the start of a run. */
export const EPOCH_MS = 1_700_000_000_000;

/** Wall clocks run apart no further than so: something like NTP holds them. */
export const DISCIPLINE_MS = 100;

/** A node's own clocks: they start anywhere, run a little too fast or too slow, and never back. */
export class LocalClock {
  private readonly scheduler: Scheduler;
  private readonly offsetMs: number;
  private readonly rate: number;
  private readonly skewMs: number;

  constructor(scheduler: Scheduler, prng: Prng, options: SimOptions) {
    this.scheduler = scheduler;
    this.offsetMs = prng.below(1_000_000);
    this.rate = 1 + (2 * prng.float() - 1) * options.clockDrift;
    this.skewMs = Math.round((2 * prng.float() - 1) * options.clockSkewMs);
  }

  /** Monotonic, in milliseconds. */
  now(): number {
    return this.offsetMs + this.scheduler.now * this.rate;
  }

  wallClock(): number {
    const { now } = this.scheduler;
    const drift = now * (this.rate - 1);
    return Math.round(EPOCH_MS + this.skewMs + now + Math.max(-DISCIPLINE_MS, Math.min(DISCIPLINE_MS, drift)));
  }

  /** Virtual time at which this clock will show `local`: a microsecond later, so that rounding never wakes anybody too early. */
  virtual(local: number): number {
    return (local - this.offsetMs) / this.rate + 0.001;
  }
}

/** Remembers what a batch digest covers, and shows it to the oracles once. */
export function learnBatch(around: Surroundings, digest: string, bundles: readonly string[]): void {
  if (around.batches.has(digest)) return;
  around.batches.set(digest, bundles);
  around.history.see({ kind: "batch", digest, bundles });
}
