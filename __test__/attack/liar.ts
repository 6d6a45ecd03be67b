/** A replica that lies in every message that it sends: each is well-formed and rightly signed, and none says what is so. */
import type { Action, DurableRecord } from "../../dist/protocol/core.js";
import type { Outgoing, Status } from "../../dist/protocol/messages.js";
import {
  setOf,
  union,
  without,
  type AgreedTime,
  type Digest,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
  type View,
} from "../../dist/protocol/types.js";
import type { Fault } from "./false-core.ts";

/** What a false STATUS adds to a view or a sequence: nobody is there yet. */
const AHEAD = 1_000;

export class Liar implements Fault {
  readonly #me: ReplicaSet;
  readonly #everyone: ReplicaSet;
  #told = 0;

  constructor(others: ReplicaSet, me: ReplicaId) {
    this.#me = setOf(me);
    this.#everyone = union(others, this.#me);
  }

  change(actions: readonly Action[]): readonly Action[] {
    return actions.map((action) => {
      switch (action.kind) {
        case "send":
          return { ...action, message: this.#lie(action.message) };
        // Its bytes are kept under their digest, so the lie about what was prepared is told when they are made.
        case "seal":
          return { ...action, message: { ...action.message, stable: undefined, prepared: [] } };
        // The reactor would sign what the core believes, and refuses to, after what it has signed.
        case "stable":
          return { ...action, signers: without(action.signers, this.#me) };
        case "persist":
          return { ...action, record: withoutVote(action.record) };
        default:
          return action;
      }
    });
  }

  #lie(message: Outgoing): Outgoing {
    switch (message.type) {
      case "prepare":
      case "commit":
      case "checkpoint":
        return { ...message, digest: otherThan(message.digest) };
      case "prePrepare":
      case "decided":
        return { ...message, time: (message.time + 1) as AgreedTime };
      case "status":
        return this.#boast(message);
      case "complaint":
        return { ...message, view: (message.view + 1) as View };
      case "newView":
        return { ...message, batches: message.batches.map((digest) => otherThan(digest)) };
      case "viewChange":
        return message;
    }
  }

  /** In turns: a view that nobody is in, sequences that nobody executed, and nothing at all. */
  #boast(status: Status): Status {
    const bare = { ...status, proposed: [], prepared: [], committed: [], viewChanges: this.#everyone };
    this.#told += 1;
    switch (this.#told % 3) {
      case 0:
        return { ...bare, view: (status.view + AHEAD) as View };
      case 1:
        return { ...bare, lastExecuted: (status.lastExecuted + AHEAD) as Sequence };
      default:
        return { ...bare, lowWatermark: 0 as Sequence, lastExecuted: 0 as Sequence };
    }
  }
}

/** Nothing that names a vote of its own. */
function withoutVote(record: DurableRecord): DurableRecord {
  return record.type === "prepared"
    ? { type: "cleanStop", view: record.certificate.view, through: 0 as Sequence }
    : record;
}

/** A digest of nothing. */
export function otherThan(digest: Digest): Digest {
  return (digest.slice(1) + digest.slice(0, 1)) as Digest;
}
