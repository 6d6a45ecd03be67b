/** From the product's messages and records to the plain facts that oracles see. */
import { decode } from "../codec/bytes.ts";
import { typeName } from "../codec/messages.ts";
import type { DurableRecord } from "../protocol/core.ts";
import type { Outgoing } from "../protocol/messages.ts";
import type { RecordFact, VoteFact } from "./history.ts";

export function recordFact(record: DurableRecord): RecordFact {
  switch (record.type) {
    case "lease":
      return { type: "lease", view: record.view, through: record.through };
    case "prepared": {
      const { view, sequence, digest } = record.certificate;
      return { type: "prepared", view, sequence, digest };
    }
    case "decided":
      return { type: "decided", sequence: record.sequence, digest: record.digest };
    case "checkpoint":
      return { type: "checkpoint", sequence: record.sequence, digest: record.digest };
    default:
      return { type: "other" };
  }
}

/** The vote that a message is; undefined for what binds nobody. */
export function voteFact(message: Outgoing): VoteFact | undefined {
  switch (message.type) {
    case "prePrepare":
    case "prepare":
    case "commit":
      return { type: message.type, view: message.view, sequence: message.sequence, digest: message.digest };
    case "checkpoint":
    case "decided":
      return { type: message.type, view: 0, sequence: message.sequence, digest: message.digest };
    default:
      return undefined;
  }
}

/** The vote that signed bytes are, whoever made them and whatever they are part of. */
export function signedFact(type: number, payload: Uint8Array): VoteFact | undefined {
  const name = typeName(type);
  if (name !== "prePrepare" && name !== "prepare" && name !== "checkpoint") return undefined;
  if (payload.length !== (name === "checkpoint" ? 40 : 48)) return undefined;
  const decoded = decode(payload, (reader) => {
    const view = name === "checkpoint" ? 0 : reader.u53();
    return { type: name, view, sequence: reader.u53(), digest: reader.digest() } satisfies VoteFact;
  });
  return decoded.ok ? decoded.message : undefined;
}
