/**
 * State transfer of one replica, both ways, around its executor: what an execution port of a node and one of the simulator
 * share. Without input or output: whoever owns it brings messages and the time, and carries what {@link StateExchange.take}
 * gives.
 */
import { assert } from "../../protocol/assert.ts";
import type { InstallReason, RecoverMark, SessionSummary } from "../../protocol/core.ts";
import type { StateFetch, StateNodes } from "../../protocol/messages.ts";
import type { Digest, Instant, ReplicaId, ReplicaSet, Run, Sequence } from "../../protocol/types.ts";
import type { Executor } from "../executor.ts";
import type { Hasher } from "../interfaces.ts";
import { readLedger } from "../ledger.ts";
import type { MapVersion } from "../replicated-map.ts";
import { StateSource } from "./state-source.ts";
import { StateTransfer } from "./state-transfer.ts";
import type { TransferProgress } from "./state-transfer.ts";

/**
 * A version that a newer stable one replaces stays for a moment: whoever has just learnt of it asks for it now, and keeps it
 * from then on. It costs what was written since.
 */
const RECENT_MS = 500;
/** As many at most: what is written in a few checkpoint intervals, like the versions that are not stable yet. */
const RECENT_MAX = 4;

/** A certified checkpoint to install. */
export interface Installation {
  readonly run: Run;
  readonly sequence: Sequence;
  readonly digest: Digest;
  /** Our own state is known to be wrong: nothing of it is used. */
  readonly distrustOwn: boolean;
}

export type ExchangeOutput =
  | { readonly kind: "stateFetch"; readonly to: ReplicaId; readonly message: StateFetch }
  /** To be carried before the next call of `work`, which uses the memory of its nodes again. */
  | { readonly kind: "stateNodes"; readonly to: ReplicaId; readonly message: StateNodes }
  | {
      readonly kind: "installed";
      readonly run: Run;
      readonly sequence: Sequence;
      readonly digest: Digest;
      readonly sessions: readonly SessionSummary[];
      readonly marks: readonly RecoverMark[];
      readonly progress: TransferProgress;
    }
  | { readonly kind: "installFailed"; readonly run: Run; readonly reason: InstallReason };

export interface StateExchangeOptions {
  readonly executor: Executor;
  readonly hasher: Hasher;
  /** All replicas but this one. */
  readonly sources: ReplicaSet;
  readonly answerBytes?: number;
  readonly bytesPerSecond?: number;
}

export class StateExchange {
  readonly #options: StateExchangeOptions;
  readonly #source: StateSource;
  #transfer: StateTransfer | undefined;
  #own: MapVersion | undefined;
  #installation: Installation | undefined;
  #stable = 0 as Sequence;
  /** What was stable before, the oldest first. */
  #recent: { readonly sequence: Sequence; readonly until: number }[] = [];
  #out: ExchangeOutput[] = [];
  /** An answer waits to be taken. */
  #answered = false;

  constructor(options: StateExchangeOptions) {
    const { executor, bytesPerSecond } = options;
    this.#options = options;
    this.#source = new StateSource({
      versionAt: (sequence) => executor.hashedVersion(sequence),
      isComing: (sequence) => executor.lastExecuted < sequence || executor.isFrozen(sequence),
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
    });
  }

  /** Whether a state is awaited: nothing is executed until it is installed. */
  get installing(): boolean {
    return this.#installation !== undefined;
  }

  /** Whether {@link work} has something to do at once. */
  ready(now: Instant): boolean {
    return this.#transfer?.busy === true || (!this.#answered && this.#source.ready(now));
  }

  get progress(): TransferProgress | undefined {
    return this.#transfer?.progress;
  }

  /** Fetches a state and installs it; a newer one than the one that is on its way takes its place and keeps what has come. */
  install(installation: Installation, now: Instant): void {
    this.#installation = installation;
    if (installation.distrustOwn && this.#own !== undefined) this.#drop();
    this.#transfer ??= this.#begin(installation.distrustOwn);
    this.#transfer.aim(installation.sequence, installation.digest);
    this.#settle(now);
  }

  /** The state is not needed any more: replay got there first. */
  cancel(): void {
    this.#installation = undefined;
    this.#drop();
  }

  /** Takes a request; false where its sender has too many waiting. */
  onFetch(from: ReplicaId, message: StateFetch, now: Instant): boolean {
    return this.#source.onFetch(from, message, now);
  }

  /** Takes an answer; false where it was not asked for. */
  onNodes(from: ReplicaId, message: StateNodes, now: Instant): boolean {
    const asked = this.#transfer?.onNodes(from, message, now) === true;
    this.#settle(now);
    return asked;
  }

  /** A checkpoint is stable: frozen versions below it go, but for one that a peer is in the middle of and those of a moment ago. */
  stable(sequence: Sequence, now: Instant): void {
    if (sequence > this.#stable) this.#recent.push({ sequence: this.#stable, until: now + RECENT_MS });
    this.#stable = sequence;
    this.#recent = this.#recent.filter(({ until }) => until > now).slice(-RECENT_MAX);
    const kept = new Set(this.#recent.map((recent) => recent.sequence));
    const pinned = this.#source.pinned(sequence, now);
    if (pinned !== undefined) kept.add(pinned);
    this.#options.executor.release(sequence, kept);
  }

  /** Time has passed; {@link deadline} says when it is to be told. */
  tick(now: Instant): void {
    this.stable(this.#stable, now);
    this.#transfer?.tick(now);
    this.#settle(now);
  }

  /** When {@link tick} and then {@link work} are due, if nothing comes before. */
  deadline(now: Instant): Instant | undefined {
    const dues = [this.#source.deadline(now), this.#transfer?.deadline(), this.#recent[0]?.until];
    const due = Math.min(...dues.map((each) => each ?? Infinity));
    return due === Infinity ? undefined : (due as Instant);
  }

  /** A slice of what is not urgent: checks about `nodesMax` nodes, and answers a request of a peer if the last answer was taken. */
  work(nodesMax: number, now: Instant): void {
    const answer = this.#answered ? undefined : this.#source.answer(now);
    if (answer !== undefined) this.#out.push({ kind: "stateNodes", ...answer });
    this.#answered ||= answer !== undefined;
    this.#transfer?.work(nodesMax, now);
    this.#settle(now);
  }

  /** What to send, and what to tell the core, since the last call. */
  take(): ExchangeOutput[] {
    this.#answered = false;
    return this.#out.splice(0);
  }

  #begin(distrustOwn: boolean): StateTransfer {
    const { executor, hasher, sources, answerBytes } = this.#options;
    if (!distrustOwn) this.#own = executor.snapshot();
    return new StateTransfer({
      hasher,
      sources,
      own: this.#own,
      versionOf: (root) => executor.versionOf(root),
      ...(answerBytes === undefined ? {} : { answerBytes }),
    });
  }

  /** Lets go of everything that has come, and of our own state to compare with. */
  #drop(): void {
    this.#transfer = undefined;
    this.#own?.release();
    this.#own = undefined;
  }

  #settle(now: Instant): void {
    if (this.#transfer === undefined || this.#installation === undefined) return;
    const { status } = this.#transfer;
    if (status.status === "walking") {
      for (const request of this.#transfer.requests(now)) this.#out.push({ kind: "stateFetch", ...request });
    } else if (status.status !== "done") this.#fail(status.status, this.#installation.run);
    else if (readLedger(status.version).sequence === this.#installation.sequence)
      this.#install(status.version, this.#installation);
    else {
      // More than f liars certified the state of one sequence for another, which nobody has.
      this.#drop();
      this.#fail("unavailable", this.#installation.run);
    }
  }

  #install(version: MapVersion, { run, sequence, digest }: Installation): void {
    const { executor } = this.#options;
    const { progress } = this.#transfer!;
    executor.install(version);
    assert(executor.root(sequence) === digest, "the installed state has the certified root");
    this.#source.forget();
    this.#recent = [];
    this.#drop();
    this.#installation = undefined;
    const [sessions, marks] = [executor.sessions(), executor.recoverMarks()];
    this.#out.push({ kind: "installed", run, sequence, digest, sessions, marks, progress });
  }

  /** What has come is kept for the next target, unless it is what failed. The core says how it goes on. */
  #fail(reason: "unavailable" | "invalid", run: Run): void {
    if (reason === "invalid") this.#drop();
    this.#installation = undefined;
    this.#out.push({ kind: "installFailed", run, reason });
  }
}
