/**
 * Every vote that replicas put on the wire, over all their incarnations, and what in it contradicts itself. None of the replicas is
 * Byzantine here: whatever one of them says twice must be the same both times, whenever it was killed in between.
 */

/** Who said it to whom. */
export interface Passage {
  readonly sender: number;
  readonly receiver: number;
  /** Number of the connection between them: what comes over a later one was sent later. Undefined where another passed it on. */
  readonly connection: number | undefined;
}

/** What binds whoever says it. Digests in any form that is equal where the digests are. */
export type BindingMessage =
  | {
      readonly type: "prePrepare" | "prepare" | "commit";
      readonly view: number;
      readonly sequence: number;
      readonly digest: string;
    }
  /** State after a sequence, and batch executed at one. */
  | { readonly type: "checkpoint" | "decided"; readonly sequence: number; readonly digest: string }
  | { readonly type: "viewChange"; readonly target: number; readonly digest: string }
  | { readonly type: "newView"; readonly view: number; readonly digest: string };

interface Leaving {
  readonly connection: number;
  readonly target: number;
}

export class VoteRecord {
  /** In words, in the order in which they were found. */
  readonly contradictions: string[] = [];
  /** Digest, and who said so first, by what it is about. */
  readonly #said = new Map<string, { readonly digest: string; readonly by: Passage }>();
  /** Highest target that came over an ended connection, and over the last one, by sender and receiver. */
  readonly #left = new Map<string, { readonly before: number; readonly last: Leaving }>();
  readonly #counts = new Map<number, number>();

  /** Votes of a replica so far: PRE-PREPARE, PREPARE and COMMIT. */
  votesOf(sender: number): number {
    return this.#counts.get(sender) ?? 0;
  }

  /** Different things that were said so far. */
  get size(): number {
    return this.#said.size;
  }

  add(passage: Passage, message: BindingMessage): void {
    const { sender } = passage;
    switch (message.type) {
      case "prePrepare":
      case "prepare":
      case "commit": {
        if (passage.connection !== undefined) this.#counts.set(sender, this.votesOf(sender) + 1);
        this.#compare(`replica ${sender} in view ${message.view} at ${message.sequence}`, message, passage);
        return this.#requireNotLeft(passage, message);
      }
      case "checkpoint":
      case "decided":
        return this.#compare(`${message.type} ${message.sequence}`, message, passage);
      case "viewChange":
        this.#compare(`viewChange of replica ${sender} to view ${message.target}`, message, passage);
        return this.#leave(passage, message.target);
      case "newView":
        return this.#compare(`newView ${message.view}`, message, passage);
    }
  }

  /** Its disk was lost: what it asked for in VIEW-CHANGEs nobody counts any more. What it voted for stays said. */
  forgetViewChanges(sender: number): void {
    for (const about of this.#said.keys())
      if (about.startsWith(`viewChange of replica ${sender} `)) this.#said.delete(about);
    for (const pair of this.#left.keys()) if (pair.startsWith(`${sender} `)) this.#left.delete(pair);
  }

  /** One thing has one digest. In one place of a view that also holds between the phases. */
  #compare(about: string, { type, digest }: BindingMessage, by: Passage): void {
    const first = this.#said.get(about);
    if (first === undefined) this.#said.set(about, { digest, by });
    else if (first.digest !== digest) {
      this.contradictions.push(
        `${about}: ${type} with ${digest} (${text(by)}), after ${first.digest} (${text(first.by)})`,
      );
    }
  }

  #leave({ sender, receiver, connection }: Passage, target: number): void {
    if (connection === undefined) return;
    const pair = `${sender} ${receiver}`;
    const known = this.#left.get(pair);
    if (known === undefined) this.#left.set(pair, { before: -1, last: { connection, target } });
    else if (known.last.connection === connection) {
      const last = { connection, target: Math.max(known.last.target, target) };
      this.#left.set(pair, { before: known.before, last });
    } else {
      const before = Math.max(known.before, known.last.target);
      this.#left.set(pair, { before, last: { connection, target } });
    }
  }

  /** Votes and view changes have lanes of their own: within one connection their order says nothing. */
  #requireNotLeft(by: Passage, { type, view }: { readonly type: string; readonly view: number }): void {
    const known = this.#left.get(`${by.sender} ${by.receiver}`);
    if (known === undefined || by.connection === undefined) return;
    const { before, last } = known;
    const target = last.connection < by.connection ? Math.max(before, last.target) : before;
    if (view >= target) return;
    this.contradictions.push(
      `replica ${by.sender}: ${type} in view ${view} (${text(by)}), after it left for ${target}`,
    );
  }
}

function text({ sender, receiver, connection }: Passage): string {
  return connection === undefined ? `passed on to ${receiver}` : `${sender} to ${receiver}, connection ${connection}`;
}
