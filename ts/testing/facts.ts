/** From the product's messages and records to the plain facts that oracles see. */
import { decode } from "../codec/bytes.ts";
import { typeName } from "../codec/messages.ts";
import type { DurableRecord, DurableState } from "../protocol/core.ts";
import type { NewView, Outgoing, ViewChange } from "../protocol/messages.ts";
import { membersOf } from "../protocol/types.ts";
import { digestOf } from "./hashing.ts";
import type { Observation, RecordFact, VoteFact } from "./history.ts";

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
    case "viewLeft":
      return { type: "viewLeft", target: record.target, message: record.message };
    case "viewEntered":
      return {
        type: "viewEntered",
        view: record.newView.view,
        viewChanges: record.newView.viewChanges.map(({ digest }) => digest),
      };
    default:
      return { type: "other" };
  }
}

/** What a process that is not the first of its replica finds. */
export function restartFact(replica: number, state: DurableState): Extract<Observation, { kind: "restarted" }> {
  const found = { snapshot: 0, low: 0, view: 0, clean: false };
  if (state.type === "restart") {
    found.snapshot = state.snapshot.sequence;
    found.clean = state.clean;
    for (const { record } of state.records) {
      if (record.type === "stable") found.low = record.certificate.sequence;
      if (record.type === "viewEntered") found.view = record.newView.view;
    }
  }
  return { kind: "restarted", replica, disk: state.type === "wiped" ? "wiped" : "kept", ...found };
}

/** A VIEW-CHANGE that `replica` sent, or verified, with what its certificates are for. */
export function viewChangeFact(
  replica: number,
  how: "sent" | "verified",
  signer: number,
  { target, digest, stable, prepared }: ViewChange,
): Extract<Observation, { kind: "viewChange" }> {
  return {
    kind: "viewChange",
    replica,
    how,
    signer,
    target,
    digest,
    stable: stable && { sequence: stable.sequence, digest: stable.digest, signers: membersOf(stable.signers) },
    prepared: prepared.map(({ view, sequence, digest: batch, signers }) => ({
      view,
      sequence,
      digest: batch,
      signers: membersOf(signers),
    })),
  };
}

/** A NEW-VIEW that `replica` sent, or whose view it entered. */
export function newViewFact(
  replica: number,
  how: "sent" | "accepted",
  { view, first, batches, viewChanges }: NewView,
): Extract<Observation, { kind: "newView" }> {
  return { kind: "newView", replica, how, view, first, batches, viewChanges };
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

/** The same of a VIEW-CHANGE or NEW-VIEW: both begin with their view. */
export function signedView(
  type: number,
  payload: Uint8Array,
): { readonly type: "viewChange" | "newView"; readonly view: number; readonly content: string } | undefined {
  const name = typeName(type);
  if (name !== "viewChange" && name !== "newView") return undefined;
  const decoded = decode(payload.subarray(0, 8), (reader) => reader.u53());
  return decoded.ok ? { type: name, view: decoded.message, content: digestOf(payload) } : undefined;
}
