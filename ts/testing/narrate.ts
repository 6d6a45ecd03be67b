/** Inputs and actions of a core as one readable line each: for traces, scenario scripts and the replay of incidents. */
import type { Action, Input } from "../protocol/core.ts";
import type { Control, Outgoing, ViewChange } from "../protocol/messages.ts";
import { membersOf, type Digest, type ReplicaSet } from "../protocol/types.ts";

/** Names digests: short hexadecimal, or whatever a script calls them. */
export type DigestNames = (digest: Digest) => string;

/** The first four bytes of a digest. */
export const shortHex: DigestNames = (digest) => {
  let text = "";
  for (let index = 0; index < Math.min(2, digest.length); index++) {
    const unit = digest.charCodeAt(index);
    text += (unit & 255).toString(16).padStart(2, "0") + (unit >>> 8).toString(16).padStart(2, "0");
  }
  return text;
};

export function narrateInput(input: Input, name: DigestNames = shortHex): string {
  switch (input.kind) {
    case "control":
      return `${narrateMessage(input.message, name)} from ${input.from}`;
    case "votes":
      return `votes ${input.phase} ${input.view}/${input.sequence} ${name(input.digest)} by ${setText(input.signers)}`;
    case "conflict":
      return `conflict by ${input.by}: ${input.evidence.type} ${name(input.evidence.digest)}`;
    case "request": {
      const { digest, session, firstSequence, count } = input.bundle;
      const last = firstSequence + count - 1;
      return `request ${name(digest)} session ${session} ${firstSequence}…${last} from ${input.from ?? "client"}`;
    }
    case "assembled":
      return `assembled ${input.view}/${input.sequence} ${name(input.digest)}`;
    case "body":
      return `body ${name(input.digest)} ${input.status}`;
    case "persisted":
      return `persisted ${input.upTo}`;
    case "executed":
      return `executed ${input.through}`;
    case "checkpointed":
    case "installed":
      return `${input.kind} ${input.sequence} ${name(input.digest)}`;
    case "sealed":
      return `sealed ${input.target} ${name(input.digest)}`;
    case "roundTrips":
      return `round trips ${input.milliseconds.map((ms) => (ms === undefined ? "-" : Math.round(ms))).join(" ")}`;
    case "link":
      return `link ${input.peer} ${input.up ? "up" : "down"}`;
    case "recovered":
      return `recovered ${input.state.type}`;
    case "tick":
      return "tick";
    default:
      return `${input.kind} ${plain(input, name)}`;
  }
}

export function narrateAction(action: Action, name: DigestNames = shortHex): string {
  switch (action.kind) {
    case "send":
      return `send ${narrateMessage(action.message, name)} to ${setText(action.to)} after ${action.after}`;
    case "persist":
      return `persist ${action.lsn} ${plain(action.record, name)}`;
    case "seal":
      return `seal ${viewChange(action.message, name)}`;
    case "forget":
      return `forget ${action.what} ${list(action.digests, action.what === "newView" ? viewOf : name)}`;
    case "stable":
      return `stable ${action.sequence} ${name(action.digest)} by ${setText(action.signers)}`;
    case "diverged":
      return `diverged at ${action.sequence}: ${name(action.own)}, theirs is ${name(action.theirs)}`;
    case "viewLeft":
      return `left view ${action.view} for ${action.target}: ${action.cause}`;
    case "viewChanged":
      return `entered view ${action.view} of ${action.primary}: ${action.cause}, ${action.carried} carried, ${action.nulls} null`;
    case "assemble":
      return `assemble ${action.view}/${action.sequence} time ${action.time} ${list(action.bundles, name)}`;
    case "execute":
      return `execute ${action.sequence} ${name(action.digest)} ${list(action.bundles, name)}`;
    case "forward":
      return `forward ${name(action.bundle)} to ${setText(action.to)}`;
    case "fetch":
      return `fetch ${action.what} ${name(action.digest)} from ${setText(action.from)}`;
    case "pin":
    case "release":
      return `${action.kind} ${list(action.bundles, name)}`;
    case "reply":
      return `reply ${action.sequence}${action.tentative ? " tentative" : ""} after ${action.after}`;
    case "commit":
      return `commit ${action.through} after ${action.after}`;
    case "ignored":
      return `ignored ${action.reason}${action.from === undefined ? "" : ` from ${action.from}`}`;
    default:
      return `${action.kind} ${plain({ ...action, kind: undefined }, name)}`;
  }
}

function narrateMessage(message: Control | Outgoing, name: DigestNames): string {
  switch (message.type) {
    case "prePrepare":
      return `prePrepare ${message.view}/${message.sequence} ${name(message.digest)} ${list(message.bundles, name)}`;
    case "prepare":
    case "commit":
      return `${message.type} ${message.view}/${message.sequence} ${name(message.digest)}`;
    case "checkpoint":
    case "decided":
      return `${message.type} ${message.sequence} ${name(message.digest)}`;
    case "status": {
      const bits = (values: readonly boolean[]): string => values.map((value) => (value ? "1" : "0")).join("");
      const { mode, view, lowWatermark, lastExecuted, proposed, prepared, committed, missing } = message;
      const slots = `${bits(proposed)}|${bits(prepared)}|${bits(committed)}`;
      const where = mode === "normal" ? `view ${view}` : `changing to ${view} with ${setText(message.viewChanges)}`;
      return `status ${where} low ${lowWatermark} executed ${lastExecuted} ${slots} missing ${list(missing, name)}`;
    }
    case "viewChange":
      return `${viewChange(message, name)} as ${name(message.digest)}`;
    case "newView": {
      const { view, first, batches, viewChanges } = message;
      const named = viewChanges.map(({ from, digest }) => `${from}:${name(digest)}`).join(" ");
      return `newView ${view} of (${named}) from ${first} ${list(batches, name)}`;
    }
    default:
      return `${message.type} ${plain({ ...message, type: undefined }, name)}`;
  }
}

function viewChange({ target, stable, prepared }: Omit<ViewChange, "digest">, name: DigestNames): string {
  const from = stable === undefined ? "0" : `${stable.sequence} ${name(stable.digest)}`;
  const certificates = prepared.map(({ view, sequence, digest }) => `${view}/${sequence} ${name(digest)}`);
  return `viewChange ${target} stable ${from} prepared [${certificates.join(", ")}]`;
}

/** A NEW-VIEW is named by its view. */
const viewOf: DigestNames = (digest) =>
  String([0, 1, 2, 3].reduce((view, unit) => view + digest.charCodeAt(unit) * 2 ** (16 * unit), 0));

function setText(set: ReplicaSet): string {
  return `{${membersOf(set).join(",")}}`;
}

function list(digests: readonly Digest[], name: DigestNames): string {
  return `[${digests.map(name).join(" ")}]`;
}

/** Anything else, with its digests named. */
function plain(value: unknown, name: DigestNames): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "string" && isDigest(inner) ? name(inner as Digest) : inner,
  );
}

function isDigest(text: string): boolean {
  return text.length === 16 && !/^[ -~]+$/.test(text);
}

/** One step of a core: what it took, and what it wants. */
export function narrateStep(
  narrate: (line: string) => void,
  when: string,
  input: Input,
  actions: readonly Action[],
): void {
  narrate(`${when} <- ${narrateInput(input)}`);
  for (const action of actions) narrate(`    ${narrateAction(action)}`);
}
