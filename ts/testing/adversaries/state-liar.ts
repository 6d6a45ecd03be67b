import type { StateNodes } from "../../protocol/messages.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

/** A replica that serves another state than the one that was certified, or another than the one that was asked for. FAULTS S1. */
export class StateLiar implements Adversary {
  readonly name = "stateLiar";
  private last: StateNodes | undefined;

  onDeparture({ name, body, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (name !== "stateNodes") return undefined;
    const own = body as StateNodes;
    const before = this.last ?? own;
    this.last = own;
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    const other = hand.seal("stateNodes", lie(own, before, prng));
    return other === undefined ? undefined : prng.pick([[other], [other, frame], [frame, other], [frame, frame]]);
  }
}

function lie(own: StateNodes, before: StateNodes, prng: Prng): StateNodes {
  switch (prng.below(4)) {
    case 0: {
      const nodes = own.nodes.slice();
      if (nodes.length > 4) nodes[prng.between(4, nodes.length - 1)]! ^= 1 << prng.below(8);
      return { ...own, nodes };
    }
    case 1:
      return { ...before, request: own.request };
    case 2:
      return { ...own, request: own.request + prng.between(1, 3) };
    default:
      return { ...own, count: 2 * own.count, nodes: Uint8Array.from([...own.nodes, ...own.nodes]) };
  }
}
