/** The hand of one Byzantine replica: its repertoire, its key, and what it has overheard. */
import type { Bodies, BodyName } from "../../codec/messages.ts";
import type { Digest } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import type { Surroundings } from "../surroundings.ts";
import { sealBody, type Opened, type Signer } from "../wire.ts";
import { Conspiracy, type Adversary, type Departure, type Hand } from "./adversary.ts";
import { makeAdversary } from "./index.ts";

/** What is remembered of live traffic: enough to choose from, and no more. */
const REMEMBERED = 32;
/** Opportunities of different replicas never have the same number. */
const OPPORTUNITIES = 1_000_000;

export class ByzantineHand implements Hand {
  readonly me: number;
  readonly n: number;
  readonly f: number;
  readonly timeoutMs: number;
  readonly conspiracy: Conspiracy;
  private readonly around: Surroundings;
  private readonly prng: Prng;
  private readonly sign: Signer;
  private readonly adversaries: readonly Adversary[];
  private readonly digests: Digest[] = [];
  private readonly frames: Uint8Array[] = [];
  private readonly places = new Map<string, Digest[]>();
  private opportunities = 0;

  constructor(around: Surroundings, me: number, prng: Prng, sign: Signer) {
    const { n, f, viewChangeTimeoutMs, colluding, byzantine, repertoires } = around.options;
    this.around = around;
    this.me = me;
    this.n = n;
    this.f = f;
    this.timeoutMs = viewChangeTimeoutMs;
    this.prng = prng;
    this.sign = sign;
    this.conspiracy = colluding ? around.conspiracy : new Conspiracy();
    this.adversaries = (repertoires[byzantine.indexOf(me)] ?? []).map(makeAdversary);
  }

  depart(departure: Departure): void {
    for (const adversary of this.adversaries) {
      const frames = adversary.onDeparture(departure, this);
      if (frames === undefined) continue;
      this.around.coverage.hit(`adversary: ${adversary.name}`);
      for (const frame of frames) this.send(departure.to, frame);
      return;
    }
    this.send(departure.to, departure.frame);
  }

  overhear({ payload }: Extract<Opened, { ok: true }>, bytes: Uint8Array): void {
    remember(this.frames, bytes);
    if (!("digest" in payload.body)) return;
    const { digest } = payload.body;
    remember(this.digests, digest);
    if (!("view" in payload.body) || !("sequence" in payload.body)) return;
    const place = `${payload.body.view}/${payload.body.sequence}`;
    const known = this.places.get(place) ?? [];
    if (!known.includes(digest)) remember(known, digest);
    this.places.set(place, known);
    if (this.places.size > REMEMBERED) this.places.delete(this.places.keys().next().value as string);
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

  liveDigests(): readonly Digest[] {
    return this.digests;
  }

  digestsAt(view: number, sequence: number): readonly Digest[] {
    return this.places.get(`${view}/${sequence}`) ?? [];
  }

  liveFrames(): readonly Uint8Array[] {
    return this.frames;
  }
}

function remember<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > REMEMBERED) list.shift();
}
