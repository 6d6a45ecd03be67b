/** Outcomes whose results are false on their way to clients; the state is the true one. */
import type { ExecutionOutcome } from "../../dist/node/execution-host.js";
import type { ResultEntry } from "../../dist/protocol/messages.js";

export function withFalseResults(outcome: ExecutionOutcome): ExecutionOutcome {
  if (outcome.kind === "answered") return { ...outcome, entries: outcome.entries.map(other) };
  if (outcome.kind !== "executed") return outcome;
  return {
    ...outcome,
    replies: outcome.replies.map((reply) => ({ ...reply, entries: reply.entries.map(other) })),
  };
}

/** The same number of bytes, every one of them another. */
function other(entry: ResultEntry): ResultEntry {
  return { ...entry, result: entry.result.map((byte) => byte ^ 1) };
}
