/**
 * The transport's estimates of the round trips to the other replicas, from the laws of the links. A Byzantine peer may
 * acknowledge late, which makes its own look longer; it cannot make them shorter.
 */
import type { Input } from "../protocol/core.ts";
import type { Prng } from "./prng.ts";
import type { Surroundings } from "./surroundings.ts";

/** The core hears of round trips about so often. */
const EVERY_MS = 1000;
/** How much longer a Byzantine peer makes them at most. */
const INFLATION_MAX = 50;

export class RoundTrips {
  private readonly around: Surroundings;
  private readonly me: number;
  private readonly prng: Prng;
  private measuredAt = -Infinity;

  constructor(around: Surroundings, me: number, prng: Prng) {
    this.around = around;
    this.me = me;
    this.prng = prng;
  }

  /** What the next turn brings, where it is time. */
  measure(): Input | undefined {
    const { now } = this.around.scheduler;
    if (now < this.measuredAt + EVERY_MS) return undefined;
    this.measuredAt = now;
    const milliseconds = Array.from({ length: this.around.options.n }, (_, peer) => this.to(peer));
    return { kind: "roundTrips", milliseconds };
  }

  private to(peer: number): number | undefined {
    if (peer === this.me) return undefined;
    const { network, options } = this.around;
    const roundTripMs = network.roundTripMs(this.me, peer);
    if (roundTripMs === undefined || !options.byzantine.includes(peer)) return roundTripMs;
    return this.prng.chance(options.malice) ? roundTripMs * this.prng.between(1, INFLATION_MAX) : roundTripMs;
  }
}
