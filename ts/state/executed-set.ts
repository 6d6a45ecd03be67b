/** Which client sequences of a session were executed, as few disjoint ranges in ascending order. */

export class ExecutedSet {
  readonly firsts: number[] = [];
  readonly lasts: number[] = [];

  /** Whether `sequence` is in the set. */
  has(sequence: number): boolean {
    const index = this.#indexFrom(sequence);
    return index < this.firsts.length && this.firsts[index]! <= sequence;
  }

  /** Adds sequences of which none is in the set. */
  add(first: number, last: number): void {
    const { firsts, lasts } = this;
    const index = this.#indexFrom(first);
    const joinsBefore = index > 0 && lasts[index - 1] === first - 1;
    const joinsAfter = index < firsts.length && firsts[index] === last + 1;
    if (joinsBefore && joinsAfter) {
      lasts[index - 1] = lasts[index]!;
      firsts.splice(index, 1);
      lasts.splice(index, 1);
    } else if (joinsBefore) {
      lasts[index - 1] = last;
    } else if (joinsAfter) {
      firsts[index] = first;
    } else {
      firsts.splice(index, 0, first);
      lasts.splice(index, 0, last);
    }
  }

  /** Removes everything up to and with `through`. */
  dropThrough(through: number): void {
    const gone = this.#indexFrom(through + 1);
    this.firsts.splice(0, gone);
    this.lasts.splice(0, gone);
    if (this.firsts.length > 0 && this.firsts[0]! <= through) this.firsts[0] = through + 1;
  }

  /** Index of the first range that ends at `sequence` or later. */
  #indexFrom(sequence: number): number {
    const { lasts } = this;
    let low = 0;
    let high = lasts.length;
    // Almost always the question is about what comes after all ranges.
    if (high > 0 && lasts[high - 1]! < sequence) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (lasts[middle]! < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
