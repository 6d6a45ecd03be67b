/** Outcomes that serve a false state: in each answer one byte of every node is another. All else is honest. */
import type { ExecutionOutcome } from "../../dist/node/execution-host.js";

export function withFalseState(outcome: ExecutionOutcome): ExecutionOutcome {
  if (outcome.kind !== "stateNodes") return outcome;
  const nodes = outcome.message.nodes.slice();
  const view = new DataView(nodes.buffer);
  for (let at = 0; at < nodes.length; at += 4 + view.getUint32(at, true)) {
    const last = at + 3 + view.getUint32(at, true);
    nodes[last]! ^= 1;
  }
  return { ...outcome, message: { ...outcome.message, nodes } };
}
