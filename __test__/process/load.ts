/** Operations in flight, all the time, and what became of each. */
import type { ExecutionContext } from "ava";
import type { ByzantineClient } from "../../dist/index.js";
import { add } from "./cluster.ts";

export class Load {
  /** The total after each operation, in the order of the answers. */
  readonly totals: number[] = [];
  readonly failures: unknown[] = [];
  /** Longest time from one answer to the next so far. */
  longestPauseMs = 0;
  #lastAnswerAt = performance.now();
  #stopping = false;
  readonly #ended: Promise<unknown>;

  /** Keeps `inFlight` operations of each client in flight until {@link stop}. */
  constructor(clients: readonly ByzantineClient[], inFlight: number) {
    const loops = clients.flatMap((client) => Array.from({ length: inFlight }, async () => this.#loop(client)));
    this.#ended = Promise.all(loops);
  }

  /** Forgets the pauses so far. */
  watch(): void {
    this.longestPauseMs = 0;
  }

  /** Waits for all that was submitted. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#ended;
  }

  async #loop(client: ByzantineClient): Promise<void> {
    while (!this.#stopping) {
      try {
        this.totals.push(await add(client, 1));
      } catch (error) {
        this.failures.push(error);
        return;
      }
      const now = performance.now();
      this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#lastAnswerAt);
      this.#lastAnswerAt = now;
    }
  }
}

/**
 * Every operation was answered, without an error, and each was executed exactly once: all add one, so that no two see the same
 * total and none is missing up to the last.
 */
export function assertAnsweredOnce(t: ExecutionContext, { totals, failures }: Load): void {
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
