import type { Violation } from "../history.ts";

/** Invariant 20: one seed makes one run. Takes the digests of the event logs of two runs. */
export function checkDeterminism(first: string, second: string): Violation | undefined {
  if (first === second) return undefined;
  const message = `two runs of one seed differ: event log ${first.slice(0, 16)} and ${second.slice(0, 16)}`;
  return { invariant: 20, name: "determinism", message, step: 0 };
}
