import type { Input } from "./core.ts";

/**
 * The order in which inputs of one turn reach the core. Answers of our own disk and execution come first because they free
 * what is waiting; `tick` comes last, so that no timer fires while its answer waits in the same turn.
 */
const ranks: Readonly<Record<Input["kind"], number>> = {
  recovered: 0,
  persisted: 1,
  diskFailed: 1,
  executed: 2,
  executionFailed: 2,
  checkpointed: 2,
  undone: 2,
  installed: 2,
  installFailed: 2,
  snapshotted: 2,
  link: 3,
  control: 4,
  conflict: 4,
  votes: 5,
  sealed: 4,
  roundTrips: 4,
  assembled: 6,
  body: 6,
  request: 7,
  stop: 7,
  tick: 8,
};

export function rankOf(input: Input): number {
  return ranks[input.kind];
}

/** Sorts the inputs of one turn in place; equal ranks keep their order of arrival. */
export function orderTurn(inputs: Input[]): Input[] {
  return inputs.sort((a, b) => ranks[a.kind] - ranks[b.kind]);
}
