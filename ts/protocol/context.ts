import type { Action, DurableRecord, HaltReason, IgnoredReason } from "./core.ts";
import type { Outgoing } from "./messages.ts";
import type { ReplicaOptions } from "./options.ts";
import type { Quorums } from "./quorum.ts";
import { isQuorum, isWeakQuorum, quorumsOf } from "./quorum.ts";
import { account } from "./journal.ts";
import { initialState, type ReplicaState, type Slot } from "./state.ts";
import {
  EMPTY_SET,
  everyone,
  setOf,
  union,
  without,
  type AgreedTime,
  type Instant,
  type Lsn,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
  type View,
} from "./types.ts";

/** What the rooms of one core share: its options, its memory, the time of this step, and the actions that the step emits. */
export class Context {
  readonly options: ReplicaOptions;
  readonly quorums: Quorums;
  readonly others: ReplicaSet;
  state: ReplicaState = initialState();
  now = 0 as Instant;
  #actions: Action[] = [];

  constructor(options: ReplicaOptions) {
    this.options = options;
    this.quorums = quorumsOf(options.n, options.f);
    this.others = without(everyone(options.n), setOf(options.me));
  }

  emit(action: Action): void {
    this.#actions.push(action);
  }

  /** The actions of this step; the next step starts with none. */
  takeActions(): readonly Action[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  ignore(reason: IgnoredReason, from?: ReplicaId): void {
    this.emit({ kind: "ignored", reason, from });
  }

  send(to: ReplicaSet, message: Outgoing, after: Lsn): void {
    if (to !== 0 && !this.#isMuted(message)) this.emit({ kind: "send", to, message, after });
  }

  /** Sends what was sent before. */
  repeat(to: ReplicaSet, message: Outgoing, after: Lsn): void {
    if (to !== 0 && !this.#isMuted(message)) this.emit({ kind: "send", to, message, after, again: true });
  }

  broadcast(message: Outgoing, after: Lsn): void {
    this.send(this.others, message, after);
  }

  /** Emits a durable record and returns its number. */
  persist(record: DurableRecord): Lsn {
    const lsn = this.state.nextLsn;
    this.state.nextLsn = (lsn + 1) as Lsn;
    this.emit({ kind: "persist", lsn, record });
    account(this.state, this.options.checkpointInterval, { lsn, record });
    return lsn;
  }

  /** This machine's clock as far as the last tick told it, in whole milliseconds; instants may have fractions. */
  wallClock(): AgreedTime {
    return Math.floor(this.state.wallClock + (this.now - this.state.wallClockAt)) as AgreedTime;
  }

  /** Views go round the replicas (OSDI'99 §4.1: p = v mod |R|). */
  primaryOf(view: View): ReplicaId {
    return (view % this.options.n) as ReplicaId;
  }

  primary(): ReplicaId {
    return this.primaryOf(this.state.view);
  }

  isPrimary(): boolean {
    return this.primary() === this.options.me;
  }

  /** We left the installed view and wait for another: no PRE-PREPARE, PREPARE or COMMIT of ours. */
  isChangingView(): boolean {
    return this.state.pending !== undefined;
  }

  /** Who counts its own votes without sending them first: nobody who does not know what it voted before. */
  self(): ReplicaSet {
    return this.state.amnesia === undefined ? setOf(this.options.me) : EMPTY_SET;
  }

  isQuorum(set: ReplicaSet): boolean {
    return isQuorum(this.quorums, set);
  }

  /** The record that our COMMIT rests on, once the batch is prepared here in the installed view. */
  preparedIn(slot: Slot): Lsn | undefined {
    return slot.prepared?.view === this.state.view ? slot.prepared.lsn : undefined;
  }

  /** H: the last sequence that may be voted on now. */
  high(): Sequence {
    return (this.state.low + this.options.window) as Sequence;
  }

  /** The last action: this replica stops rather than lies. */
  halt(reason: HaltReason): void {
    if (this.state.status === "halted") return;
    this.state.status = "halted";
    this.emit({ kind: "halt", reason });
  }

  #isMuted({ type }: Outgoing): boolean {
    return this.state.amnesia !== undefined && type !== "status" && type !== "decided" && type !== "checkpoint";
  }

  /** Something moved: STATUS may wait again. What peers showed before is old, unless f+1 of them have executed what we have not. */
  progress(): void {
    const { executedBy, lastExecuted } = this.state;
    let further = EMPTY_SET;
    for (const [peer, executed] of executedBy) if (executed > lastExecuted) further = union(further, setOf(peer));
    this.state.ahead = isWeakQuorum(this.quorums, further) ? further : EMPTY_SET;
    this.state.statusDelayMs = 0;
    this.state.statusAt = undefined;
  }
}
