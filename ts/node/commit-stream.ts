/** Committed batches on the user's thread: listeners and iterators over one ordered stream. */
import type { Commit, CommitGap } from "./thread-messages.ts";

export type CommitListener = (commit: Commit | CommitGap) => void;

/** Batches that an iterator may lag behind before they become a gap for it. */
const ITERATOR_BACKLOG_MAX = 4_096;

interface Owner {
  /** The first listener came, or the last one left. */
  onSubscribed(subscribed: boolean): void;
  /** So many operations were taken by all listeners. */
  onSeen(operations: number): void;
}

export class CommitStream {
  readonly #owner: Owner;
  readonly #listeners = new Set<CommitListener>();
  readonly #ends = new Set<() => void>();
  #closed = false;

  constructor(owner: Owner) {
    this.#owner = owner;
  }

  get subscribed(): boolean {
    return this.#listeners.size > 0;
  }

  listen(listener: CommitListener): () => void {
    const own: CommitListener = (commit) => listener(commit);
    this.#listeners.add(own);
    if (this.#listeners.size === 1) this.#owner.onSubscribed(true);
    return () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#owner.onSubscribed(false);
    };
  }

  push(commits: readonly (Commit | CommitGap)[]): void {
    let operations = 0;
    for (const commit of commits) {
      if (commit.type === "commit") operations += commit.operations.length;
      for (const listener of this.#listeners) listener(commit);
    }
    if (operations > 0) this.#owner.onSeen(operations);
  }

  close(): void {
    this.#closed = true;
    for (const end of this.#ends) end();
    this.#listeners.clear();
  }

  /** Batches from `from` on, or from the next that comes; they are kept from this call on. */
  iterate({ from, signal }: { readonly from?: number; readonly signal?: AbortSignal }): CommitIterator {
    const iterator = new CommitIterator(from, (listener) => this.listen(listener));
    const end = (): void => iterator.end();
    const abort = (): void => void iterator.return();
    if (signal?.aborted === true) abort();
    else if (this.#closed) end();
    this.#ends.add(end);
    signal?.addEventListener("abort", abort, { once: true });
    iterator.onEnd(() => {
      this.#ends.delete(end);
      signal?.removeEventListener("abort", abort);
    });
    return iterator;
  }
}

type Result = IteratorResult<Commit | CommitGap, undefined>;

/** One reader's place in the stream; what it is too slow for becomes a gap. */
export class CommitIterator implements AsyncIterableIterator<Commit | CommitGap, undefined, void> {
  readonly #backlog: (Commit | CommitGap)[] = [];
  readonly #waiting: ((result: Result) => void)[] = [];
  readonly #onEnd: (() => void)[];
  #expected: number | undefined;
  #ended = false;

  constructor(from: number | undefined, listen: (listener: CommitListener) => () => void) {
    this.#expected = from;
    this.#onEnd = [listen((commit) => this.#push(commit))];
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<Result> {
    const commit = this.#take();
    if (commit !== undefined) return { done: false, value: commit };
    if (this.#ended) return { done: true, value: undefined };
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async return(): Promise<Result> {
    this.#backlog.length = 0;
    this.end();
    return { done: true, value: undefined };
  }

  /** Nothing more is taken up; what is held can still be read. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const done of this.#onEnd) done();
    for (const resolve of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
  }

  onEnd(done: () => void): void {
    if (this.#ended) done();
    else this.#onEnd.push(done);
  }

  #push(commit: Commit | CommitGap): void {
    this.#backlog.push(commit);
    if (this.#backlog.length > ITERATOR_BACKLOG_MAX) this.#backlog.shift();
    for (;;) {
      if (this.#waiting.length === 0) return;
      const value = this.#take();
      if (value === undefined) return;
      this.#waiting.shift()?.({ done: false, value });
    }
  }

  /** The next that was not read, or the gap before it. */
  #take(): Commit | CommitGap | undefined {
    for (let commit = this.#backlog[0]; commit !== undefined; commit = this.#backlog[0]) {
      const [first, last] = commit.type === "gap" ? [commit.from, commit.to] : [commit.sequence, commit.sequence];
      const expected = this.#expected ?? first;
      if (first > expected) {
        this.#expected = first;
        return { type: "gap", from: expected, to: first - 1 };
      }
      this.#backlog.shift();
      if (last < expected) continue;
      this.#expected = last + 1;
      // Of a gap that begins before what this reader asked for, or has read, it is told the rest.
      return commit.type === "gap" ? { ...commit, from: expected } : commit;
    }
    return undefined;
  }
}
