/** The hand of one Byzantine replica: its repertoire, its key, and what it has overheard. */
import type { Bodies, BodyName } from "../../codec/messages.ts";
import type { ReplicaId } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import type { Surroundings } from "../surroundings.ts";
import { open, sealBody, type Opened, type Signer } from "../wire.ts";
import { Conspiracy, type Adversary, type Departure, type Hand } from "./adversary.ts";
import { makeAdversary } from "./index.ts";
import { Memory } from "./memory.ts";

/** Opportunities of different replicas never have the same number. */
const OPPORTUNITIES = 1_000_000;

export class ByzantineHand implements Hand {
  readonly me: number;
  readonly n: number;
  readonly f: number;
  readonly window: number;
  readonly checkpointInterval: number;
  readonly timeoutMs: number;
  readonly conspiracy: Conspiracy;
  readonly memory: Memory;
  private readonly around: Surroundings;
  private readonly prng: Prng;
  private readonly sign: Signer;
  private readonly adversaries: readonly Adversary[];
  private lastFrame: Uint8Array | undefined;
  private opportunities = 0;

  constructor(around: Surroundings, me: number, prng: Prng, sign: Signer) {
    const { n, f, checkpointInterval, windowIntervals, viewChangeTimeoutMs } = around.options;
    const { colluding, byzantine, repertoires } = around.options;
    this.around = around;
    this.me = me;
    this.n = n;
    this.f = f;
    this.window = checkpointInterval * windowIntervals;
    this.checkpointInterval = checkpointInterval;
    this.timeoutMs = viewChangeTimeoutMs;
    this.prng = prng;
    this.sign = sign;
    this.memory = new Memory(n);
    this.conspiracy = colluding ? around.conspiracy : new Conspiracy();
    this.conspiracy.join(me as ReplicaId, sign);
    this.adversaries = (repertoires[byzantine.indexOf(me)] ?? []).map(makeAdversary);
  }

  depart(departure: Departure): void {
    this.learnOwn(departure.frame);
    for (const adversary of this.adversaries) {
      const frames = adversary.onDeparture(departure, this);
      if (frames === undefined) continue;
      this.around.coverage.hit(`adversary: ${adversary.name}`);
      for (const frame of frames) this.send(departure.to, frame);
      return;
    }
    this.send(departure.to, departure.frame);
  }

  /** Hears a frame on its way to the core. Whether the core is to hear it as well. */
  overhear(from: number, frame: Extract<Opened, { ok: true }>, bytes: Uint8Array): boolean {
    this.memory.learn(from, frame, bytes);
    const { name, body } = frame.payload;
    const hiding = this.adversaries.find((adversary) => adversary.hides?.(name, body, this) === true);
    if (hiding !== undefined) this.around.coverage.hit(`adversary: ${hiding.name}`);
    return hiding === undefined;
  }

  acts(): Prng | undefined {
    const opportunity = this.me * OPPORTUNITIES + this.opportunities++;
    const prng = this.prng.split(`${opportunity}`);
    if (!prng.chance(this.around.options.malice) || !this.around.mayAct(opportunity)) return undefined;
    this.around.log.add(this.around.scheduler.now, "adversary", this.me, opportunity);
    return prng;
  }

  seal<K extends BodyName>(name: K, body: Bodies[K]): Uint8Array | undefined {
    try {
      return sealBody(name, body, this.sign);
    } catch (error) {
      // The format cannot say it (a negative number, a set of too many): not even a liar can send that.
      if (error instanceof RangeError || error instanceof TypeError) return undefined;
      throw error;
    }
  }

  send(to: number, frame: Uint8Array): void {
    this.around.network.send(this.me, to, frame);
  }

  sendLater(delayMs: number, to: number, frame: Uint8Array): void {
    this.around.scheduler.after(delayMs, () => this.send(to, frame));
  }

  /** One frame leaves for many receivers, one after another. */
  private learnOwn(frame: Uint8Array): void {
    if (frame === this.lastFrame) return;
    this.lastFrame = frame;
    const opened = open(frame);
    if (opened.ok) this.memory.learn(this.me, opened, frame);
  }
}
