/** A core that gets arbitrary well-formed inputs, as its ports and any number of liars could bring them, and answers of its own ports. */
import type { Action, Input } from "../../dist/protocol/core.js";
import type { BatchContent, CertificateName, Control } from "../../dist/protocol/messages.js";
import { carriedOver } from "../../dist/protocol/new-view.js";
import type { Replica } from "../../dist/protocol/replica.js";
import type { Digest, Sequence, View } from "../../dist/protocol/types.js";
import type { Prng } from "../../dist/testing/prng.js";
import {
  backup,
  bundle,
  certificate,
  replicas,
  stable,
  status,
  viewChange,
  WALL_CLOCK,
  type Scripted,
} from "./scripted.ts";

export class Flood {
  readonly #prng: Prng;
  readonly #scripted: Scripted = backup();
  #views = 0;
  #viewChanges: Extract<Control, { type: "viewChange" }>[] = [];

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  get core(): Replica {
    return this.#scripted.core;
  }

  /** One more input, and what our own ports answer to it. */
  next(): void {
    const pick = this.#below(12);
    if (pick < 6) this.#carryOut(this.#scripted.control(this.#below(4), this.#control()));
    else if (pick < 8) this.#carryOut(this.#scripted.step(this.#votes()));
    else if (pick === 8) this.#carryOut(this.#scripted.tickAfter(this.#below(400)));
    else if (pick === 9) this.#carryOut(this.#request());
    else if (pick === 10)
      this.#carryOut(this.#scripted.step({ kind: "body", digest: this.#name() as Digest, status: "unavailable" }));
    else this.#carryOut(this.#scripted.step({ kind: "link", peer: this.#below(4) as never, up: this.#below(2) === 0 }));
  }

  #below(limit: number): number {
    return this.#prng.below(limit);
  }

  #name(): string {
    return `b${this.#below(5)}`.padEnd(16, ".");
  }

  /** A place near the window, rarely far from it. */
  #sequence(): number {
    return this.#below(20) === 0 ? this.#below(2 ** 31) : this.core.inspect().low + this.#below(15);
  }

  #view(): number {
    return this.#below(20) === 0 ? this.#below(2 ** 31) : this.core.inspect().view + this.#below(3);
  }

  #content(): BatchContent {
    const bundles = Array.from({ length: this.#below(3) }, () => this.#name() as Digest);
    return { time: (WALL_CLOCK + this.#scripted.now) as never, bundles };
  }

  #certificates(): CertificateName[] {
    const { low } = this.core.inspect();
    const above = Array.from({ length: 3 }, (_, i) => low + 1 + i + this.#below(3)).sort((a, b) => a - b);
    const signers = [0, 1, 2, 3].slice(0, 2 + this.#below(3));
    return above
      .slice(0, this.#below(4))
      .map((sequence) => certificate(sequence, this.#name(), { view: this.#below(this.#view() + 1), signers }));
  }

  #control(): Control {
    const digest = this.#name() as Digest;
    const sequence = this.#sequence() as Sequence;
    const view = this.#view() as View;
    const messages: (() => Control)[] = [
      () => ({ type: "prePrepare", view, sequence, digest, ...this.#content() }),
      () => ({ type: "checkpoint", sequence, digest }),
      () => ({ type: "decided", sequence, digest, ...this.#content() }),
      () => ({ type: "fetchedBatch", digest, ...this.#content() }),
      () => ({ type: "complaint", view }),
      () =>
        status({
          view,
          mode: this.#below(2) === 0 ? "normal" : "viewChange",
          lastExecuted: sequence,
          proposed: [true],
          prepared: [true],
          committed: [false],
          missing: [digest],
        }),
      () => this.#viewChange(view),
      () => this.#viewChange(view),
      () => this.#newView(view),
    ];
    return messages[this.#below(messages.length)]!();
  }

  #viewChange(view: View): Control {
    const { low, stableDigest } = this.core.inspect();
    const proof = low === 0 ? undefined : { ...stable(low, ""), digest: stableDigest };
    const message = viewChange(view, `view change ${++this.#views}`, { stable: proof, prepared: this.#certificates() });
    this.#viewChanges = [...this.#viewChanges.slice(-8), message];
    return message;
  }

  /** Mostly one that follows from VIEW-CHANGEs that the core has. */
  #newView(view: View): Control {
    const held = [...this.core.inspect().viewChanges].filter(
      ([, { target }]) => target === this.core.inspect().pending,
    );
    const honest = held.length >= 3 && this.#below(4) > 0;
    const chosen = honest ? held.map(([, message]) => message) : this.#viewChanges.slice(-3);
    const { first, batches } = carriedOver(chosen);
    const viewChanges = chosen.map(({ digest }, index) => ({
      from: honest ? held[index]![0] : (index as never),
      digest,
    }));
    return {
      type: "newView",
      view: honest ? (this.core.inspect().pending as View) : view,
      viewChanges,
      first,
      batches,
    };
  }

  #votes(): Input {
    const signers = replicas(...[0, 1, 2].filter(() => this.#below(2) === 0)) as never;
    const phase = this.#below(2) === 0 ? "prepare" : "commit";
    const proposed = this.core.inspect().slots.get(this.#sequence() as Sequence);
    const sequence = proposed?.sequence ?? (this.#sequence() as Sequence);
    const digest = proposed?.proposal?.digest ?? (this.#name() as Digest);
    return { kind: "votes", phase, view: this.core.inspect().view, sequence, digest, signers };
  }

  #request(): readonly Action[] {
    const name = this.#name();
    return this.#scripted.request(
      bundle(name, { firstSequence: 1 + this.#below(9) }),
      this.#below(2) === 0 ? 1 : undefined,
    );
  }

  #carryOut(actions: readonly Action[]): void {
    for (const action of actions) for (const input of this.#answers(action)) this.#carryOut(this.#scripted.step(input));
  }

  #answers(action: Action): Input[] {
    const { view, sequence, run } = { view: 0 as View, sequence: 0 as Sequence, run: 0 as never, ...action };
    switch (action.kind) {
      case "persist":
        return [{ kind: "persisted", upTo: action.lsn }];
      case "seal":
        return [{ kind: "sealed", target: action.message.target, digest: `ours ${++this.#views}` as Digest }];
      case "assemble":
        return [{ kind: "assembled", view, sequence, digest: this.#name() as Digest }];
      case "execute":
        return [
          {
            kind: "executed",
            run,
            through: sequence,
            sessions: { opened: [], executed: [], acknowledged: [], expired: [], recovered: [] },
          },
        ];
      case "checkpoint":
        return [{ kind: "checkpointed", run, sequence, digest: this.#name() as Digest }];
      case "install":
        return [
          {
            kind: "installed",
            run,
            sequence: action.certificate.sequence,
            digest: action.certificate.digest,
            sessions: [],
            marks: [],
          },
        ];
      default:
        return [];
    }
  }
}
