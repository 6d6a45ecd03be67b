/**
 * To whom a bundle goes, and when it goes again: to the primary first; to all after silence, with growing pauses and within the
 * retry budget; to the holders of a result whose bytes are missing. What a lying replica says can bring a sending forward or
 * hold new bundles back for a moment, never stop either.
 */
import { isWeakQuorum, quorumsOf, type Quorums } from "../protocol/quorum.ts";
import { EMPTY_SET, holds, setOf, union, type Instant, type ReplicaId, type ReplicaSet } from "../protocol/types.ts";
import type { InFlightBundle, InFlightOperation } from "./bundle.ts";
import type { ClientAction, ClientLimits } from "./interfaces.ts";
import { PrimaryWatch } from "./primary.ts";
import { pauseMs, RetryBudget, RoundTrip, type Random } from "./retry.ts";

/** First pause after BUSY: a full pool drains within a few batches. */
const BUSY_PAUSE_MS = 20;
const BUSY_PAUSE_MS_MAX = 1_000;
/** A full result normally comes with the digests; this is given to it before its holders are asked. */
const FULL_RESULT_GRACE_MS = 5;

export class BundleSender {
  readonly watch: PrimaryWatch;
  readonly roundTrip = new RoundTrip();
  readonly #budget = new RetryBudget();
  readonly #quorums: Quorums;
  readonly #limits: ClientLimits;
  readonly #random: Random;
  #pausedUntil: Instant | undefined;

  constructor(n: number, f: number, limits: ClientLimits, random: Random) {
    this.#quorums = quorumsOf(n, f);
    this.#limits = limits;
    this.#random = random;
    this.watch = new PrimaryWatch(n, f);
  }

  /** Until when new bundles are held back because the replicas said BUSY; may lie in the past. */
  get pausedUntil(): Instant | undefined {
    return this.#pausedUntil;
  }

  /** The first sending. The caller has checked that some replica is linked. */
  first(bundle: InFlightBundle, payload: Uint8Array, now: Instant): ClientAction {
    this.#budget.onFirstSending();
    this.#onSending(bundle, now);
    const to = this.watch.primaryLinked ? setOf(this.watch.primary) : this.watch.linked;
    return { kind: "send", to, bundle: bundle.handle, payload };
  }

  /** A later sending, when it is due and affordable. Otherwise `retryAt` says when to look again. */
  again(bundle: InFlightBundle, now: Instant): ClientAction | undefined {
    if (now < bundle.retryAt) return undefined;
    const to = this.#targets(bundle);
    if (to === EMPTY_SET) {
      bundle.retryAt = (now + this.#silenceMs()) as Instant;
      return undefined;
    }
    if (!this.#budget.take(now)) {
      bundle.retryAt = (now + Math.max(1, this.#budget.waitMs)) as Instant;
      return undefined;
    }
    this.#onSending(bundle, now);
    return { kind: "send", to, bundle: bundle.handle };
  }

  /** A replica did not take the bundle. Each counts once per sending. */
  onBusy(bundle: InFlightBundle, from: ReplicaId, now: Instant): void {
    if (holds(bundle.busy, from)) return;
    bundle.busy = union(bundle.busy, setOf(from));
    const overloaded = isWeakQuorum(this.#quorums, bundle.busy);
    // One backup alone says nothing: it may lie, and the primary's pool may have room.
    if (!overloaded && from !== this.watch.primary) return;
    const pause = (now + pauseMs(BUSY_PAUSE_MS, bundle.busyRounds, BUSY_PAUSE_MS_MAX, this.#random)) as Instant;
    this.#pausedUntil = pause;
    bundle.retryAt = overloaded ? pause : (Math.min(bundle.retryAt, pause) as Instant);
  }

  /** A quorum vouches for the digest of a result that nobody has sent, or that was wrong: asks those who hold it. */
  onFullResultMissing(operation: InFlightOperation, vouchers: ReplicaSet, now: Instant): void {
    if (operation.fullAsked) return;
    operation.fullAsked = true;
    const { bundle } = operation;
    bundle.holders = union(bundle.holders, vouchers);
    const grace = Math.max(FULL_RESULT_GRACE_MS, this.roundTrip.smoothedMs);
    bundle.retryAt = Math.min(bundle.retryAt, now + grace) as Instant;
  }

  /** The connection of the primary ended: what only it has may be lost. */
  onPrimaryLost(bundle: InFlightBundle, now: Instant): void {
    if (bundle.attempts === 1) bundle.retryAt = now;
  }

  onSettled(bundle: InFlightBundle, now: Instant): void {
    // Karn's rule: after a second sending nobody knows which one was answered.
    if (bundle.attempts === 1) this.roundTrip.record(now - bundle.firstSentAt);
  }

  #targets(bundle: InFlightBundle): ReplicaSet {
    const linked = this.watch.linked;
    const holders = (bundle.holders & linked) as ReplicaSet;
    if (holders !== EMPTY_SET) return holders;
    // f+1 said BUSY, so an honest one did: asking all would load those who have no room. After silence all are asked again.
    if (isWeakQuorum(this.#quorums, bundle.busy) && this.watch.primaryLinked) return setOf(this.watch.primary);
    return linked;
  }

  #onSending(bundle: InFlightBundle, now: Instant): void {
    if (bundle.busy !== EMPTY_SET) bundle.busyRounds++;
    const pause = pauseMs(this.#silenceMs(), bundle.attempts, this.#limits.retryMsMax, this.#random);
    bundle.retryAt = (now + pause) as Instant;
    bundle.attempts++;
    bundle.busy = EMPTY_SET;
    bundle.holders = EMPTY_SET;
  }

  #silenceMs(): number {
    return this.roundTrip.silenceMs(this.#limits.silenceMsMin, this.#limits.silenceMsMax);
  }
}
