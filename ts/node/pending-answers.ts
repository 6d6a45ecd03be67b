/** Questions to a node's thread that are not answered yet. */
import { ByzantineError } from "../errors.ts";

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
}

export class PendingAnswers {
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;

  /** Asks by `send`, which gets the question's number, and resolves with the answer. Numbers start at 1. */
  async ask<T>(send: (id: number) => void): Promise<T> {
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as Waiting["resolve"], reject });
      send(id);
    });
  }

  answer(id: number, answer: unknown): void {
    this.#waiting.get(id)?.resolve(answer as never);
    this.#waiting.delete(id);
  }

  /** The thread has ended: nobody answers any more. */
  abandon(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new ByzantineError("CLOSED", "the node ended before it answered", { executed: "no" }));
    }
    this.#waiting.clear();
  }
}
