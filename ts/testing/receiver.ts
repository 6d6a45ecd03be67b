/**
 * From frames to inputs: what the addon does in a node. Decodes, verifies, gives votes to the vote table and bodies to the body
 * store, answers fetches, and hands the rest to the core. Whatever is wrong with a frame is counted and goes no further.
 */
import type { Bundle } from "../codec/client.ts";
import type { EvidenceRef, Input } from "../protocol/core.ts";
import type { Control, Decided, PrePrepare, ViewChange, Vote } from "../protocol/messages.ts";
import type { ReplicaId, Verified } from "../protocol/types.ts";
import { SIGNATURE_BYTES } from "../codec/bytes.ts";
import type { Bodies, BodyName } from "../codec/messages.ts";
import { Composites } from "./composites.ts";
import { Fetching } from "./fetching.ts";
import type { VoteFact } from "./history.ts";
import type { BodyStore } from "./ports/body-store.ts";
import type { MessageStore } from "./ports/message-store.ts";
import type { StatePort } from "./ports/state-port.ts";
import { newViewName } from "../protocol/new-view.ts";
import type { VoteTable } from "./ports/vote-table.ts";
import { learnBatch, type Surroundings } from "./surroundings.ts";
import { isAuthentic, open, type Opened } from "./wire.ts";

type Frame = Extract<Opened, { readonly ok: true }>;

export interface ReceiverPorts {
  readonly votes: VoteTable;
  readonly bodies: BodyStore;
  readonly store: MessageStore;
  readonly states: StatePort;
  /** Something for the core's next turn. */
  readonly input: (input: Input) => void;
  /** An answer that binds nobody. */
  readonly answer: (to: number, name: BodyName, frame: Uint8Array) => void;
  /** What an oracle may know: a vote that this replica took. */
  readonly accepted: (from: number, vote: VoteFact) => void;
  /** The same: a VIEW-CHANGE all of whose signatures it verified. */
  readonly verified: (signer: number, message: ViewChange) => void;
}

export class Receiver {
  private readonly around: Surroundings;
  private readonly ports: ReceiverPorts;
  private readonly composites: Composites;
  private readonly fetching: Fetching;

  constructor(around: Surroundings, ports: ReceiverPorts) {
    this.around = around;
    this.ports = ports;
    const { votes, store, verified } = ports;
    const control = (from: ReplicaId, message: Control): void => this.control(from, message);
    this.composites = new Composites(around, {
      votes,
      store,
      verified,
      control,
      accuse: (by, digest, type) => {
        const evidence = { digest, type } as Verified<EvidenceRef>;
        ports.input({ kind: "conflict", by, evidence });
      },
    });
    this.fetching = new Fetching(around, ports);
  }

  /** Takes a frame from the connection of `from`. Returns it decoded, for whoever watches. */
  receive(from: number, bytes: Uint8Array): Frame | undefined {
    const frame = open(bytes);
    if (!frame.ok) {
      this.reject("malformed");
      this.around.coverage.hit("malformed frame rejected");
      return undefined;
    }
    const rejected =
      from < this.around.options.n ? this.fromReplica(from as ReplicaId, frame) : this.fromClient(from, frame);
    if (rejected !== undefined) this.reject(rejected);
    return frame;
  }

  private reject(reason: string): void {
    this.around.coverage.hit(`rejected: ${reason}`);
    if (reason === "badSignature") this.around.coverage.hit("bad signature rejected");
    if (reason === "aboveWindow" || reason === "belowWindow") this.around.coverage.hit("vote out of window");
    if (reason === "wrongView") this.around.coverage.hit("vote of another view");
    if (reason === "conflict") this.around.coverage.hit("conflicting vote seen");
  }

  private fromClient(from: number, frame: Frame): string | undefined {
    if (frame.payload.name !== "bundle") return "unexpectedType";
    const { body } = frame.payload;
    if (this.around.keyring.nodeOf(body.client) !== from) return "wrongClient";
    if (!isAuthentic(frame, from, this.around.keyring)) return "badSignature";
    return this.body(frame, body, undefined);
  }

  private fromReplica(from: ReplicaId, frame: Frame): string | undefined {
    const { payload } = frame;
    switch (payload.name) {
      case "prepare":
      case "commit":
        return this.vote(from, payload.name, payload.body, frame);
      case "prePrepare":
        return this.proposal(from, payload.body, frame);
      case "checkpoint":
        return this.checkpoint(from, frame, payload.body);
      case "viewChange":
        return this.composites.viewChange(from, frame, payload.body);
      case "newView":
        if (from !== this.composites.primary(payload.body.message.view)) return "notPrimary";
        return this.composites.newView(frame, payload.body);
      case "fetchedViewChange":
        return this.fetchedViewChange(from, frame, payload.body);
      case "fetchedNewView":
        return this.fetchedNewView(from, frame, payload.body);
      case "decided":
        return this.decided(from, payload.body);
      case "status":
      case "complaint":
        return this.control(from, payload.body);
      case "fetch":
        return this.fetching.onFetch(from, payload.body);
      case "unavailable":
        return this.fetching.onUnavailable(from, payload.body);
      case "fetchedBatch":
        return this.fetching.onFetchedBatch(from, payload.body);
      case "stateFetch":
        return this.ports.states.onFetch(from, payload.body);
      case "stateNodes":
        return this.ports.states.onNodes(from, payload.body);
      case "bundle":
      case "fetchedBundle": {
        const client = this.around.keyring.nodeOf(payload.body.client);
        if (client === undefined) return "unknownClient";
        if (!isAuthentic(frame, client, this.around.keyring)) return "badSignature";
        return this.body(frame, payload.body, from);
      }
      default:
        return "unexpectedType";
    }
  }

  private vote(from: ReplicaId, phase: "prepare" | "commit", vote: Vote, frame: Frame): string | undefined {
    const verify = (): boolean => isAuthentic(frame, from, this.around.keyring);
    const verdict = this.ports.votes.take(from, phase, vote, frame.payload.signature, verify);
    if (verdict !== "taken") return verdict;
    this.ports.accepted(from, factOf(phase, vote));
    return undefined;
  }

  private proposal(from: ReplicaId, body: PrePrepare, frame: Frame): string | undefined {
    if (!isAuthentic(frame, from, this.around.keyring)) return "badSignature";
    learnBatch(this.around, body.digest, body.bundles);
    // Whose view it is, is for the core to say.
    if (body.view % this.around.options.n !== from) return this.control(from, body);
    const verdict = this.ports.votes.propose(from, body, frame.payload.signature as Uint8Array);
    if (verdict !== "taken" && verdict !== "duplicate") return verdict;
    this.ports.accepted(from, factOf("prePrepare", body));
    this.ports.store.keepBatch(body.digest, body.sequence, body);
    return this.control(from, body);
  }

  private checkpoint(
    from: ReplicaId,
    frame: Frame,
    body: Control & { readonly type: "checkpoint" },
  ): string | undefined {
    if (!isAuthentic(frame, from, this.around.keyring)) return "badSignature";
    const verdict = this.ports.votes.checkpoint(
      from,
      body.sequence,
      body.digest,
      frame.payload.signature as Uint8Array,
    );
    if (verdict === "conflict") this.around.coverage.hit("conflicting checkpoint seen");
    if (verdict !== "taken" && verdict !== "duplicate") return verdict;
    this.ports.accepted(from, factOf("checkpoint", body));
    return this.control(from, body);
  }

  private fetchedViewChange(from: ReplicaId, frame: Frame, body: Bodies["fetchedViewChange"]): string | undefined {
    const { digest } = body.message;
    if (!this.ports.store.isAsked("viewChange", digest, from)) return "unasked";
    const rejected = this.composites.viewChange(body.from, frame, body);
    if (rejected !== undefined) return rejected;
    this.ports.store.answered("viewChange", digest);
    this.around.coverage.hit("view change fetched");
    return undefined;
  }

  private fetchedNewView(from: ReplicaId, frame: Frame, body: Bodies["fetchedNewView"]): string | undefined {
    const name = newViewName(body.message.view);
    if (!this.ports.store.isAsked("newView", name, from)) return "unasked";
    const rejected = this.composites.newView(frame, body);
    if (rejected !== undefined) return rejected;
    this.ports.store.answered("newView", name);
    this.around.coverage.hit("new view fetched");
    return undefined;
  }

  private decided(from: ReplicaId, body: Decided): undefined {
    learnBatch(this.around, body.digest, body.bundles);
    this.ports.accepted(from, factOf("decided", body));
    return this.control(from, body);
  }

  private body(frame: Frame, bundle: Bundle, from: ReplicaId | undefined): string | undefined {
    const { signature } = frame.payload;
    if (frame.digest === undefined || signature === undefined) return "malformed";
    const bytes = (frame.signedPayload?.length ?? 0) + SIGNATURE_BYTES;
    if (frame.payload.name === "fetchedBundle") this.around.coverage.hit("body fetched");
    const verdict = this.ports.bodies.take({ digest: frame.digest, bundle, signature, bytes }, from);
    return verdict === "taken" ? undefined : verdict;
  }

  private control(from: ReplicaId, message: Control): undefined {
    this.ports.input({ kind: "control", from, message: message as Verified<Control> });
    return undefined;
  }
}

/** CHECKPOINT and DECIDED are of no view. */
function factOf(
  type: VoteFact["type"],
  { view = 0, sequence, digest }: { readonly view?: number; readonly sequence: number; readonly digest: string },
): VoteFact {
  return { type, view, sequence, digest };
}
