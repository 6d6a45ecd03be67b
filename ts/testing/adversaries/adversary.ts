/**
 * What a Byzantine replica is made of: an honest core, whose messages pass through adversaries before they leave. They hold
 * that replica's real key and nobody else's, so they can say anything in its name and nothing in another's.
 */
import { MessageType, type Bodies, type BodyName } from "../../codec/messages.ts";
import type { Digest, ReplicaId } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import type { AdversaryName } from "../options.ts";
import { proposalBytes, type Signer } from "../wire.ts";
import type { Memory } from "./memory.ts";

/** A message of the replica's own core, on its way to one node. */
export interface Departure {
  readonly to: number;
  readonly name: BodyName;
  readonly body: Bodies[BodyName];
  readonly frame: Uint8Array;
}

/** What all colluding replicas of a run know together, and the keys that they lend each other. */
export class Conspiracy {
  /** The digest that a receiver was shown, by view, sequence and receiver. */
  private readonly shown = new Map<string, Digest>();
  private readonly signers = new Map<ReplicaId, Signer>();

  join(member: ReplicaId, sign: Signer): void {
    this.signers.set(member, sign);
  }

  members(): readonly ReplicaId[] {
    return [...this.signers.keys()];
  }

  /** A member's signature of a vote; undefined of anybody else's. */
  sign(
    member: ReplicaId,
    type: "prePrepare" | "prepare" | "checkpoint",
    vote: { readonly view: number; readonly sequence: number; readonly digest: Digest },
  ): Uint8Array | undefined {
    const bytes = proposalBytes(vote);
    return this.signers.get(member)?.(MessageType[type], type === "checkpoint" ? bytes.subarray(8) : bytes);
  }

  show(view: number, sequence: number, to: number, digest: Digest): void {
    this.shown.set(`${view}/${sequence}/${to}`, digest);
  }

  shownTo(view: number, sequence: number, to: number): Digest | undefined {
    return this.shown.get(`${view}/${sequence}/${to}`);
  }
}

/** What an adversary can do. */
export interface Hand {
  readonly me: number;
  readonly n: number;
  readonly f: number;
  readonly window: number;
  readonly checkpointInterval: number;
  readonly timeoutMs: number;
  readonly conspiracy: Conspiracy;
  /** What passed lately. */
  readonly memory: Memory;
  /** A number stream if this opportunity is to be used; every call is an opportunity of its own, which shrinking can take away. */
  acts(): Prng | undefined;
  /** A frame signed with this replica's key; undefined where the format cannot say it. */
  seal<K extends BodyName>(name: K, body: Bodies[K]): Uint8Array | undefined;
  send(to: number, frame: Uint8Array): void;
  sendLater(delayMs: number, to: number, frame: Uint8Array): void;
}

export interface Adversary {
  readonly name: AdversaryName;
  /** What leaves instead of a message; undefined lets the next adversary decide, and in the end the message go. */
  onDeparture(departure: Departure, hand: Hand): readonly Uint8Array[] | undefined;
  /** Whether a message is kept from the core. */
  hides?(name: BodyName, body: Bodies[BodyName], hand: Hand): boolean;
}
