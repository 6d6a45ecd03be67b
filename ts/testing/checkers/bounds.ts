import type { Checker, Observation, Setting } from "../history.ts";
import { Said } from "./vote-places.ts";

/** Invariant 14: logs, pools and buffers stay below their named bounds, whatever peers and clients send. */
export class BoundedMemory implements Checker {
  readonly invariant = 14;
  readonly name = "bounded memory";
  readonly kinds = ["footprint"] as const;

  see(observation: Observation): string | undefined {
    if (observation.kind !== "footprint" || observation.size <= observation.cap) return undefined;
    return `replica ${observation.replica} holds ${observation.size} ${observation.what}, more than ${observation.cap}`;
  }
}

/** Invariant 15: a message that is taken a second time changes nothing and makes nothing leave that binds. */
export class Idempotence implements Checker {
  readonly invariant = 15;
  readonly name = "idempotence";
  readonly kinds = ["redelivered"] as const;

  see(observation: Observation): string | undefined {
    if (observation.kind !== "redelivered") return undefined;
    const { replica, input, changed, emitted } = observation;
    if (changed) return `replica ${replica} changed its state when ${input} came again`;
    if (emitted.length > 0) return `replica ${replica} answered a repeated ${input} with ${emitted.join(", ")}`;
    return undefined;
  }
}

/**
 * Invariant 18: nobody accuses an honest replica, and whoever is accused has signed two messages of the named type that exclude each
 * other: two digests at one place, or two contents for one view.
 */
export class SoundEvidence implements Checker {
  readonly invariant = 18;
  readonly name = "sound evidence";
  readonly kinds = ["signed", "signedView", "accused", "restarted"] as const;
  private readonly said = new Said();
  /** A replica that lost its disk may ask for a view once more, with other words. */
  private readonly wiped = new Set<number>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "signed": {
        const { signer, vote } = observation;
        this.said.add(signer, vote.type, vote.view, vote.sequence, vote.digest);
        return undefined;
      }
      case "signedView": {
        const { signer, type, view, content } = observation;
        this.said.add(signer, type, view, 0, content);
        return undefined;
      }
      case "accused":
        return this.judge(observation);
      case "restarted":
        if (observation.disk === "wiped") this.wiped.add(observation.replica);
        return undefined;
      default:
        return undefined;
    }
  }

  private judge({ replica, by, type, digest }: Extract<Observation, { kind: "accused" }>): string | undefined {
    const accusation = `replica ${replica} accuses replica ${by} of two messages ${type}`;
    const mayForget = type === "viewChange" && this.wiped.has(by);
    if (this.setting.honest.includes(by) && !mayForget) return `${accusation}, who is honest`;
    // What is signed of a view is told apart by its content, which has no digest of its own.
    const ofView = type === "viewChange" || type === "newView";
    for (const said of this.said.of(by, type)) if (said.size > 1 && (ofView || said.has(digest))) return undefined;
    return `${accusation}, who never signed two that exclude each other`;
  }
}
