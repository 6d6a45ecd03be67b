/** Operations in flight, all the time, and what became of each. */
import type { ByzantineClient } from "../../dist/index.js";
import type { Assertions } from "./assertions.ts";
import { add } from "./cluster.ts";
import { eventually } from "./ports.ts";

/** Far above what a restart of all replicas takes on a loaded machine; reached only by a failure. */
const PATIENCE_MS = 180_000;

export class Load {
  /** The total after each operation, in the order of the answers. */
  readonly totals: number[] = [];
  readonly failures: unknown[] = [];
  /** Milliseconds from each operation to its answer. */
  latenciesMs: number[] = [];
  /** Longest time from one answer to the next so far. */
  longestPauseMs = 0;
  #lastAnswerAt = performance.now();
  #stopping = false;
  readonly #paceMs: number;
  readonly #ended: Promise<unknown>;

  /**
   * Keeps `inFlight` operations of each client in flight until {@link stop}.
   * @param paceMs From an answer to the next operation: leaves the machine to others.
   */
  constructor(clients: readonly ByzantineClient[], inFlight: number, paceMs = 0) {
    this.#paceMs = paceMs;
    const loops = clients.flatMap((client) => Array.from({ length: inFlight }, async () => this.#loop(client)));
    this.#ended = Promise.all(loops);
  }

  /** Forgets the pauses and latencies so far. */
  watch(): void {
    this.longestPauseMs = 0;
    this.latenciesMs = [];
  }

  /** Waits for so many more answers than now. */
  async answered(more: number): Promise<void> {
    const target = this.totals.length + more;
    const enough = (): boolean => this.totals.length >= target || this.failures.length > 0;
    await eventually(`${more} more answers`, enough, PATIENCE_MS);
  }

  /** Waits for all that was submitted. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#ended;
  }

  async #loop(client: ByzantineClient): Promise<void> {
    while (!this.#stopping) {
      const sent = performance.now();
      try {
        this.totals.push(await add(client, 1));
      } catch (error) {
        this.failures.push(error);
        return;
      }
      const now = performance.now();
      this.latenciesMs.push(now - sent);
      this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#lastAnswerAt);
      this.#lastAnswerAt = now;
      if (this.#paceMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#paceMs));
    }
  }
}

/**
 * Every operation was answered, without an error, and each was executed exactly once: all add one, so that no two see the same
 * total and none is missing up to the last.
 */
export function assertAnsweredOnce(t: Assertions, { totals, failures }: Load): void {
  t.deepEqual(failures, []);
  const seen = Float64Array.from(totals).sort();
  t.true(seen.length > 0);
  t.is(seen[0], 1);
  t.is(
    seen.findIndex((total, index) => total !== index + 1),
    -1,
    "each total is seen once",
  );
}
