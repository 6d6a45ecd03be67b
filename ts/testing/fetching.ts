/** What replicas ask of each other, and how it is answered: without the core, from what its ports hold for it. */
import type { Fetch, FetchedBatch, Unavailable } from "../protocol/messages.ts";
import type { Digest, ReplicaId, Verified } from "../protocol/types.ts";
import type { Input } from "../protocol/core.ts";
import type { BodyName } from "../codec/messages.ts";
import type { BodyStore } from "./ports/body-store.ts";
import type { MessageStore } from "./ports/message-store.ts";
import { learnBatch, type Surroundings } from "./surroundings.ts";
import { sealBody, sealSigned } from "./wire.ts";

export interface FetchingPorts {
  readonly bodies: BodyStore;
  readonly store: MessageStore;
  /** Something for the core's next turn. */
  readonly input: (input: Input) => void;
  /** An answer that binds nobody. */
  readonly answer: (to: number, name: BodyName, frame: Uint8Array) => void;
}

const unsigned = (): Uint8Array => new Uint8Array(0);

export class Fetching {
  private readonly around: Surroundings;
  private readonly ports: FetchingPorts;

  constructor(around: Surroundings, ports: FetchingPorts) {
    this.around = around;
    this.ports = ports;
  }

  onFetch(from: ReplicaId, { kind, digest }: Fetch): undefined {
    const answer = this.find(kind, digest);
    const frame = answer?.frame ?? sealBody("unavailable", { type: "unavailable", kind, digest }, unsigned);
    this.ports.answer(from, answer?.name ?? "unavailable", frame);
  }

  onUnavailable(from: ReplicaId, { kind, digest }: Unavailable): string | undefined {
    if (kind === "bundle") {
      if (!this.ports.bodies.unavailable(digest, from)) return "unasked";
      this.around.coverage.hit("body unavailable");
      return undefined;
    }
    if (!this.ports.store.isAsked(kind, digest, from)) return "unasked";
    const last = this.ports.store.unavailable(kind, digest, from);
    if (last) this.ports.input({ kind: "body", digest, status: "unavailable" });
    return undefined;
  }

  onFetchedBatch(from: ReplicaId, message: FetchedBatch): string | undefined {
    const { digest, bundles } = message;
    if (!this.ports.store.isAsked("batch", digest, from)) return "unasked";
    this.ports.store.answered("batch", digest);
    this.around.coverage.hit("batch fetched");
    learnBatch(this.around, digest, bundles);
    this.ports.input({ kind: "control", from, message: message as Verified<FetchedBatch> });
    return undefined;
  }

  private find(
    kind: Fetch["kind"],
    digest: Digest,
  ): { readonly name: BodyName; readonly frame: Uint8Array } | undefined {
    const { bodies, store } = this.ports;
    switch (kind) {
      case "bundle": {
        const held = bodies.get(digest);
        return held && { name: "fetchedBundle", frame: sealSigned("fetchedBundle", held.bundle, held.signature) };
      }
      case "batch": {
        const held = store.batch(digest);
        return (
          held && {
            name: "fetchedBatch",
            frame: sealBody("fetchedBatch", { type: "fetchedBatch", digest, ...held }, unsigned),
          }
        );
      }
      case "viewChange": {
        const held = store.viewChange(digest);
        if (held === undefined) return undefined;
        const body = { ...held.body, from: held.from };
        return { name: "fetchedViewChange", frame: sealSigned("fetchedViewChange", body, held.signature) };
      }
      case "newView": {
        const held = store.answerableNewView(digest);
        return held && { name: "fetchedNewView", frame: sealSigned("fetchedNewView", held.body, held.signature) };
      }
    }
  }
}
