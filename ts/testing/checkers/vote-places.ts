import type { Observation, VoteFact } from "../history.ts";

/** Where a replica votes once: what it sends of this type there later is the same vote again. */
export function placeOf(replica: number, { type, view, sequence }: Omit<VoteFact, "digest">): string {
  return `${replica}/${type}/${view}/${sequence}`;
}

/** The places of the PRE-PREPAREs that a NEW-VIEW stands for: its primary may send them again one by one. */
export function placesCarried({ replica, view, first, count }: Extract<Observation, { kind: "carried" }>): string[] {
  return Array.from({ length: count }, (_, index) =>
    placeOf(replica, { type: "prePrepare", view, sequence: first + index }),
  );
}
