import { quorumOf, type Checker, type Observation, type Setting } from "../history.ts";
import { Voted } from "./vote-places.ts";

/** Invariant 7: an honest replica sends one VIEW-CHANGE per view that it asks for, and one NEW-VIEW per view of its own. */
export class OneWordPerView implements Checker {
  readonly invariant = 7;
  readonly name = "one word per view";
  readonly kinds = ["viewChange", "newView", "restarted"] as const;
  private readonly sent = new Map<string, string>();

  see(observation: Observation): string | undefined {
    if (observation.kind === "restarted") return this.forget(observation);
    if (observation.kind !== "viewChange" && observation.kind !== "newView") return undefined;
    if (observation.how !== "sent") return undefined;
    const { replica } = observation;
    if (observation.kind === "viewChange")
      return this.same(`replica ${replica} sent two VIEW-CHANGEs for view ${observation.target}`, observation.digest);
    const { view, first, batches, viewChanges } = observation;
    return this.same(
      `replica ${replica} sent two NEW-VIEWs of view ${view}`,
      JSON.stringify([first, batches, viewChanges]),
    );
  }

  /** Who lost its disk does not know what it asked for; nobody counts that any more. */
  private forget({ replica, disk }: Extract<Observation, { kind: "restarted" }>): undefined {
    if (disk !== "wiped") return;
    for (const what of this.sent.keys())
      if (what.startsWith(`replica ${replica} sent two VIEW-CHANGEs`)) this.sent.delete(what);
  }

  private same(what: string, content: string): string | undefined {
    const before = this.sent.get(what) ?? content;
    this.sent.set(what, before);
    return before === content ? undefined : what;
  }
}

/**
 * Invariant 9: an honest replica asks for higher views only, enters none below what it asked for, and votes only in the view that
 * it has entered and not left. What it said before it may say again. A process that comes after another one is bound by what
 * that one made durable.
 */
export class ViewsLeftForGood implements Checker {
  readonly invariant = 9;
  readonly name = "views are left for good";
  readonly kinds = ["entered", "viewLeft", "viewChanged", "emitted", "durable", "restarted"] as const;
  private readonly entered = new Map<number, number>();
  /** The lowest view that each replica may still vote in. */
  private readonly floor = new Map<number, number>();
  private readonly durable = new Map<number, number>();
  private readonly voted = new Voted();

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "entered":
        this.entered.set(observation.replica, observation.view);
        return undefined;
      case "viewLeft": {
        const { replica, view, target } = observation;
        const floor = this.floor.get(replica) ?? 0;
        this.floor.set(replica, Math.max(floor, target));
        if (target > view && target >= floor) return undefined;
        return `replica ${replica} asks for view ${target} after ${Math.max(floor, view)}`;
      }
      case "viewChanged": {
        const { replica, view } = observation;
        const floor = this.floor.get(replica) ?? 0;
        this.floor.set(replica, Math.max(floor, view));
        return view >= floor ? undefined : `replica ${replica} entered view ${view} after it had asked for ${floor}`;
      }
      case "emitted":
        return this.vote(observation);
      case "durable": {
        const { replica, record } = observation;
        const view = record.type === "viewLeft" ? record.target : record.type === "viewEntered" ? record.view : 0;
        this.durable.set(replica, Math.max(view, this.durable.get(replica) ?? 0));
        return undefined;
      }
      case "restarted":
        if (observation.disk === "wiped") this.durable.delete(observation.replica);
        this.floor.set(observation.replica, this.durable.get(observation.replica) ?? 0);
        return undefined;
      default:
        return undefined;
    }
  }

  private vote({ replica, vote }: Extract<Observation, { kind: "emitted" }>): string | undefined {
    const { type, view, sequence } = vote;
    if (type === "checkpoint" || type === "decided") return undefined;
    if (!this.voted.isFirst(replica, vote)) return undefined;
    const entered = this.entered.get(replica) ?? 0;
    if (view !== entered)
      return `replica ${replica} voted ${type} at ${sequence} in view ${view}, and is in ${entered}`;
    const floor = this.floor.get(replica) ?? 0;
    return view >= floor
      ? undefined
      : `replica ${replica} voted ${type} at ${sequence} in view ${view}, which it has left for ${floor}`;
  }
}

/** Clocks run at most so much faster than time. */
const RATE_MAX = 1.12;
/** Doublings of the timeout that are asked for. */
const DOUBLINGS_MAX = 8;

interface Wait {
  /** The view that is waited for. */
  readonly target: number;
  readonly since: number;
  /** Views that were waited for in vain before it, one after another. */
  readonly vain: number;
}

/**
 * Invariant 17, the half that keeps replicas together: f liars take nobody along, nobody goes past a view that fewer than Q ask
 * for, and each view that is waited for in vain gives the next one twice the time.
 */
export class ViewSteps implements Checker {
  readonly invariant = 17;
  readonly name = "view steps";
  readonly kinds = ["viewChange", "complained", "viewLeft", "viewChanged", "restarted"] as const;
  /** The highest view that each replica asked for before each, and all that it asked for. */
  private readonly asked = new Map<number, Map<number, number>>();
  private readonly words = new Set<string>();
  private readonly complaints = new Map<string, Set<number>>();
  private readonly waits = new Map<number, Wait>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    switch (observation.kind) {
      case "viewChange": {
        const { replica, signer, target } = observation;
        const asked = this.asked.get(replica) ?? new Map<number, number>();
        this.asked.set(replica, asked.set(signer, Math.max(target, asked.get(signer) ?? 0)));
        this.words.add(`${replica}/${signer}/${target}`);
        return undefined;
      }
      case "complained": {
        const key = `${observation.replica}/${observation.view}`;
        this.complaints.set(key, (this.complaints.get(key) ?? new Set()).add(observation.from));
        return undefined;
      }
      case "viewLeft": {
        const wrong = this.judge(observation);
        const { replica, target, at } = observation;
        const before = this.waits.get(replica);
        this.waits.set(replica, { target, since: at, vain: before === undefined ? 0 : before.vain + 1 });
        return (
          wrong && `replica ${replica} left view ${observation.view} for ${target} (${observation.cause}) ${wrong}`
        );
      }
      case "viewChanged":
      case "restarted":
        this.waits.delete(observation.replica);
        return undefined;
      default:
        return undefined;
    }
  }

  private judge(left: Extract<Observation, { kind: "viewLeft" }>): string | undefined {
    const { replica, view, target, cause, at } = left;
    const { f, n } = this.setting;
    const wait = this.waits.get(replica);
    switch (cause) {
      case "joined": {
        const asking = this.asking(replica, target);
        return asking > f ? undefined : `after ${asking} others`;
      }
      case "handOver":
        if (view % n === replica || this.words.has(`${replica}/${view % n}/${view + 1}`)) return undefined;
        // A primary that stands still itself complains about its own view.
        if (this.complaints.get(`${replica}/${view}`)?.has(view % n) === true) return undefined;
        return "which its primary has not asked for";
      case "complaints": {
        const complaints = this.complaints.get(`${replica}/${view}`)?.size ?? 0;
        return complaints > f ? undefined : `on ${complaints} complaints`;
      }
      case "timeout":
        return wait === undefined ? this.alone(replica, view) : this.past(replica, wait, at);
      default:
        return undefined;
    }
  }

  private past(replica: number, { target, since, vain }: Wait, at: number): string | undefined {
    const asking = this.asking(replica, target) + 1;
    if (asking < quorumOf(this.setting)) return `when ${asking} replicas asked for ${target}`;
    const least = (this.setting.timeoutMs * 2 ** Math.min(vain, DOUBLINGS_MAX)) / RATE_MAX;
    return at - since >= least ? undefined : `${at - since} ms after it had asked for ${target}`;
  }

  /** Its own timer may be wrong: f+1, itself among them, complain or have left. */
  private alone(replica: number, view: number): string | undefined {
    const wanting = new Set(this.complaints.get(`${replica}/${view}`));
    for (const [signer, highest] of this.asked.get(replica) ?? []) if (highest > view) wanting.add(signer);
    return wanting.size > this.setting.f ? undefined : `when ${wanting.size} wanted another primary`;
  }

  /** Others that ask for this view or a higher one. */
  private asking(replica: number, target: number): number {
    let count = 0;
    for (const [signer, highest] of this.asked.get(replica) ?? []) if (signer !== replica && highest >= target) count++;
    return count;
  }
}

/**
 * Invariant 17, the other half: when the faults are over and work has gone on for a while, an honest primary that Q honest replicas
 * reach keeps its view.
 */
export class ViewsSettle implements Checker {
  readonly invariant = 17;
  readonly name = "views settle";
  readonly kinds = ["calm", "viewLeft"] as const;
  private core: readonly number[] = [];
  private readonly left = new Set<number>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "calm") this.core = observation.core;
    if (observation.kind !== "viewLeft" || !this.core.includes(observation.replica)) return undefined;
    const { n, f } = this.setting;
    // With more than f replicas outside, those alone can take the others along.
    if (n - this.core.length > f || !this.core.includes(observation.view % n)) return undefined;
    this.left.add(observation.view);
    if (this.left.size <= LEFT_MAX) return undefined;
    return `replica ${observation.replica} left view ${observation.view} (${observation.cause}), whose primary is honest and healed`;
  }
}

/** A replica may have left its view alone before, unseen; one liar more takes the others along once. */
const LEFT_MAX = 1;
