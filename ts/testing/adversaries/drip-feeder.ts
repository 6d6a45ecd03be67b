import type { StateNodes } from "../../protocol/messages.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** From one node to the next. */
const DRIP_MS = 1000;
/** Answers after which it falls silent: the last one is what everybody waits for. */
const ANSWERS_MAX = 20;

/** A replica that serves a state node by node, as late as it dares, and stops before the end. FAULTS S2. */
export class DripFeeder implements Adversary {
  readonly name = "dripFeeder";
  private answers = 0;

  onDeparture({ name, body, to }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "stateNodes") return undefined;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    if (this.answers++ >= ANSWERS_MAX) return [];
    const drop = hand.seal("stateNodes", firstNode(body as StateNodes));
    if (drop === undefined) return undefined;
    hand.sendLater(prng.float() * DRIP_MS, to, drop);
    return [];
  }
}

function firstNode(own: StateNodes): StateNodes {
  if (own.count === 0) return own;
  const { nodes } = own;
  const length = new DataView(nodes.buffer, nodes.byteOffset).getUint32(0, true);
  return { ...own, count: 1, nodes: nodes.subarray(0, 4 + length) };
}
