/**
 * Takes as much of the processors as something else took before. An attacker on the machine of the replicas slows them by merely
 * running, which it would not from a machine of its own; with this it does so in the stretch without the attack as well.
 */

const TICK_MS = 10;

/** Processor time of this process so far, in milliseconds. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export class EqualLoad {
  #share = 0;
  #since = { cpuMs: cpuMs(), at: performance.now() };
  #timer: NodeJS.Timeout | undefined;

  /** What is measured begins. */
  measure(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#restart();
  }

  /** What is measured has ended: computes as much per second as it took, until {@link measure}. */
  repeat(): void {
    if (this.#timer !== undefined) return;
    this.#share = (cpuMs() - this.#since.cpuMs) / Math.max(1, performance.now() - this.#since.at);
    this.#restart();
    this.#timer = setInterval(() => {
      const owed = this.#since.cpuMs + this.#share * (performance.now() - this.#since.at);
      while (cpuMs() < owed);
    }, TICK_MS);
  }

  #restart(): void {
    this.#since = { cpuMs: cpuMs(), at: performance.now() };
  }
}
