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

/** Invariant 18: nobody accuses an honest replica. */
export class SoundEvidence implements Checker {
  readonly invariant = 18;
  readonly name = "sound evidence";
  readonly kinds = ["accused"] as const;
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind !== "accused" || !this.setting.honest.includes(observation.by)) return undefined;
    return `replica ${observation.replica} accuses honest replica ${observation.by}`;
  }
}
