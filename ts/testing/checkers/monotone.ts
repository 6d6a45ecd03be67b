import type { Checker, Observation, Setting } from "../history.ts";
import { Voted } from "./vote-places.ts";

/**
 * Invariant 9: a replica's view, its low watermark and what its sessions have acknowledged never go back, but for a restart, to
 * what its disk says.
 */
export class Monotone implements Checker {
  readonly invariant = 9;
  readonly name = "monotone";
  readonly kinds = ["entered", "stable", "acknowledged", "restarted"] as const;
  private readonly last = new Map<string, number>();

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "restarted": {
        const who = `replica ${observation.replica}: `;
        for (const what of this.last.keys()) if (what.startsWith(who)) this.last.delete(what);
        this.last.set(`${who}view`, observation.view);
        this.last.set(`${who}low watermark`, observation.low);
        return undefined;
      }
      case "entered":
        return this.rises(`replica ${observation.replica}: view`, observation.view);
      case "stable":
        return this.rises(`replica ${observation.replica}: low watermark`, observation.sequence);
      case "acknowledged":
        return this.rises(
          `replica ${observation.replica}: acknowledged of session ${observation.session}`,
          observation.through,
        );
      default:
        return undefined;
    }
  }

  private rises(what: string, value: number): string | undefined {
    const before = this.last.get(what) ?? 0;
    this.last.set(what, Math.max(before, value));
    return value >= before ? undefined : `${what} fell from ${before} to ${value}`;
  }
}

/** Invariant 10: h < n ≤ h+K for every vote that an honest replica makes. */
export class WithinWindow implements Checker {
  readonly invariant = 10;
  readonly name = "within the window";
  readonly kinds = ["stable", "emitted", "restarted", "carried"] as const;
  private readonly low = new Map<number, number>();
  private readonly voted = new Voted();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "stable" || observation.kind === "restarted") {
      this.low.set(observation.replica, observation.kind === "stable" ? observation.sequence : observation.low);
      return undefined;
    }
    if (observation.kind === "carried") {
      this.voted.carry(observation);
      return undefined;
    }
    if (observation.kind !== "emitted") return undefined;
    const { type, sequence } = observation.vote;
    if (type === "checkpoint" || type === "decided") return undefined;
    // A vote that is sent again was made when the window was lower.
    if (!this.voted.isFirst(observation.replica, observation.vote)) return undefined;
    const low = this.low.get(observation.replica) ?? 0;
    if (sequence > low && sequence <= low + this.setting.window) return undefined;
    return `replica ${observation.replica} voted ${type} at ${sequence} with the window ${low}…${low + this.setting.window}`;
  }
}
