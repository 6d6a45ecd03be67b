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

  async *iterate(
    { from, signal }: { readonly from?: number; readonly signal?: AbortSignal },
    next: number,
  ): AsyncGenerator<Commit | CommitGap> {
    const backlog: (Commit | CommitGap)[] = [];
    let expected = from ?? next;
    let wake = (): void => {};
    let ended = this.#closed || signal?.aborted === true;
    const end = (): void => {
      ended = true;
      wake();
    };
    const stop = this.listen((commit) => {
      backlog.push(commit);
      if (backlog.length > ITERATOR_BACKLOG_MAX) backlog.shift();
      wake();
    });
    this.#ends.add(end);
    signal?.addEventListener("abort", end, { once: true });
    try {
      while (!ended) {
        const commit = backlog.shift();
        if (commit === undefined) {
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        const [first, last] = commit.type === "gap" ? [commit.from, commit.to] : [commit.sequence, commit.sequence];
        if (last < expected) continue;
        if (first > expected) yield { type: "gap", from: expected, to: first - 1 };
        expected = last + 1;
        yield commit;
      }
    } finally {
      stop();
      this.#ends.delete(end);
      signal?.removeEventListener("abort", end);
    }
  }
}
