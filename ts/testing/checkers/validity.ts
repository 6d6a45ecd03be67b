import { short, type Checker, type Observation } from "../history.ts";
import { Operations } from "./operations.ts";
import { Voted } from "./vote-places.ts";

/**
 * Invariant 3: an executed operation was sent by the client in whose name it runs; and before that, nobody votes for a batch
 * without holding, verified, every body that it names.
 */
export class Validity implements Checker {
  readonly invariant = 3;
  readonly name = "validity";
  readonly kinds = ["invoked", "forked", "applied", "emitted", "batch", "executed", "carried"] as const;
  private readonly invoked = new Operations<true>();
  private readonly batches = new Map<string, readonly string[]>();
  private readonly voted = new Voted();

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "invoked":
      case "forked":
        this.invoked.set(observation.client, observation.operation, true);
        return undefined;
      case "batch":
        this.batches.set(observation.digest, observation.bundles);
        return undefined;
      case "applied":
        if (this.invoked.get(observation.client, observation.operation) === true) return undefined;
        return `replica ${observation.replica} applied at ${observation.sequence} what its client never sent`;
      case "emitted": {
        const { type, view, sequence } = observation.vote;
        // Sent again later, a vote outlives the bodies it was made with.
        if (!this.voted.isFirst(observation.replica, observation.vote)) return undefined;
        if (observation.bodiesHeld || type === "checkpoint" || type === "decided") return undefined;
        return `replica ${observation.replica} sent ${type} of ${sequence} in view ${view} without holding its bodies`;
      }
      // What a NEW-VIEW carries over is certified, and may be sent again one by one: whoever made the certificates has the bodies.
      case "carried":
        this.voted.carry(observation);
        return undefined;
      case "executed":
        return this.sameContent(observation.replica, observation.digest, observation.bundles);
      default:
        return undefined;
    }
  }

  private sameContent(replica: number, digest: string, bundles: readonly string[]): string | undefined {
    const named = this.batches.get(digest);
    if (named === undefined) return `replica ${replica} executed batch ${short(digest)}, whose content nobody made`;
    const same = named.length === bundles.length && named.every((bundle, index) => bundle === bundles[index]);
    return same ? undefined : `replica ${replica} executed under ${short(digest)} what that digest does not cover`;
  }
}
