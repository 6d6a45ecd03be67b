import type { Checker, Observation, Setting } from "../history.ts";

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
  /** What each replica signed, by signer, type and place. */
  private readonly said = new Map<string, Set<string>>();
  /** The places at which each digest was signed, by signer and type; views have no digest of their own. */
  private readonly places = new Map<string, Set<string>>();
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
        return this.say(`${signer}/${vote.type}`, `${vote.view}/${vote.sequence}`, vote.digest, vote.digest);
      }
      case "signedView": {
        const { signer, type, view, content } = observation;
        return this.say(`${signer}/${type}`, `${view}`, content, "");
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

  private say(who: string, place: string, content: string, digest: string): undefined {
    gather(this.said, `${who}/${place}`, content);
    gather(this.places, `${who}/${digest}`, place);
  }

  private judge({ replica, by, type, digest }: Extract<Observation, { kind: "accused" }>): string | undefined {
    const accusation = `replica ${replica} accuses replica ${by} of two messages ${type}`;
    const mayForget = type === "viewChange" && this.wiped.has(by);
    if (this.setting.honest.includes(by) && !mayForget) return `${accusation}, who is honest`;
    const named = type === "viewChange" || type === "newView" ? "" : digest;
    const places = [...(this.places.get(`${by}/${type}/${named}`) ?? [])];
    const guilty = places.some((place) => (this.said.get(`${by}/${type}/${place}`)?.size ?? 0) > 1);
    return guilty ? undefined : `${accusation}, who never signed two that exclude each other`;
  }
}

function gather(map: Map<string, Set<string>>, key: string, item: string): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([item]));
  else set.add(item);
}
