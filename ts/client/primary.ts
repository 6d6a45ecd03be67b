/** Who the primary is, from the views that replicas' replies name. */
import { EMPTY_SET, setOf, union, without, type ReplicaId, type ReplicaSet } from "../protocol/types.ts";

/**
 * Follows the (f+1)-th highest view that replies have named, one per replica: at least one honest replica was in it or above, and
 * f liars can neither raise it beyond what an honest one has seen nor hold it down.
 */
export class PrimaryWatch {
  readonly #views: number[];
  readonly #f: number;
  #view = 0;
  #linked = EMPTY_SET;

  constructor(n: number, f: number) {
    this.#views = Array.from({ length: n }, () => 0);
    this.#f = f;
  }

  onView(from: ReplicaId, view: number): void {
    if (view <= this.#views[from]!) return;
    this.#views[from] = view;
    this.#view = this.#views.toSorted((a, b) => b - a)[this.#f]!;
  }

  onLink(peer: ReplicaId, up: boolean): void {
    this.#linked = up ? union(this.#linked, setOf(peer)) : without(this.#linked, setOf(peer));
  }

  get view(): number {
    return this.#view;
  }

  get primary(): ReplicaId {
    return (this.#view % this.#views.length) as ReplicaId;
  }

  get linked(): ReplicaSet {
    return this.#linked;
  }

  get primaryLinked(): boolean {
    return (this.#linked & setOf(this.primary)) !== 0;
  }
}
