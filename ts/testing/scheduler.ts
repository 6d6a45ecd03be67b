/**
 * Virtual time: one binary heap of events, keyed by (time, order of scheduling), so that a run depends on nothing else.
 */

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Scheduler {
  private readonly heap: Entry[] = [];
  private scheduled = 0;
  private time = 0;
  private done = 0;

  /** Milliseconds since the start of the run. */
  get now(): number {
    return this.time;
  }

  /** Events run so far. */
  get events(): number {
    return this.done;
  }

  get pending(): number {
    return this.heap.length;
  }

  /** Runs `run` after `delayMs` ≥ 0. Times are kept to the microsecond so that they print and replay exactly. */
  after(delayMs: number, run: () => void): void {
    this.at(this.time + delayMs, run);
  }

  /** Runs `run` at `timeMs`, or now if that is past. */
  at(timeMs: number, run: () => void): void {
    const at = Math.max(this.time, Math.round(timeMs * 1000) / 1000);
    this.push({ at, order: this.scheduled++, run });
  }

  /** Runs the next event; false when there is none or it lies beyond `untilMs`, where time then stands. */
  step(untilMs: number): boolean {
    const next = this.heap[0];
    if (next === undefined || next.at > untilMs) {
      this.time = Math.max(this.time, Math.min(untilMs, next?.at ?? untilMs));
      return false;
    }
    this.pop();
    this.time = next.at;
    this.done++;
    next.run();
    return true;
  }

  private push(entry: Entry): void {
    const heap = this.heap;
    let hole = heap.length;
    heap.push(entry);
    while (hole > 0) {
      const above = (hole - 1) >> 1;
      const parent = heap[above] as Entry;
      if (!precedes(entry, parent)) break;
      heap[hole] = parent;
      hole = above;
    }
    heap[hole] = entry;
  }

  private pop(): void {
    const heap = this.heap;
    const last = heap.pop() as Entry;
    const size = heap.length;
    if (size === 0) return;
    let hole = 0;
    for (let child = 1; child < size; child = 2 * hole + 1) {
      if (child + 1 < size && precedes(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      const least = heap[child] as Entry;
      if (!precedes(least, last)) break;
      heap[hole] = least;
      hole = child;
    }
    heap[hole] = last;
  }
}

function precedes(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
