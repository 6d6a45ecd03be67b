/**
 * The loop of a replica: one native call per turn takes what the last turn wanted and brings what has happened; the core
 * decides what follows. Nothing here decides anything.
 */
import type { Reply } from "../codec/client.ts";
import { ActionWriter, readInputs, type BatchRecord, type TurnInput } from "../codec/turn.ts";
import type { Reactor } from "../native/native.ts";
import { OUTPUT_BYTES_MIN } from "../native/native.ts";
import type { Action, Core, Input } from "../protocol/core.ts";
import { orderTurn } from "../protocol/turn.ts";
import { setOf } from "../protocol/types.ts";
import type { AgreedTime, ClientKey, Digest, Instant, Lsn, Run, Sequence } from "../protocol/types.ts";
import type { ResultEntry } from "../protocol/messages.ts";
import type { BundleReply } from "../state/batch-record.ts";
import type { ExecutionOutcome } from "./execution-host.ts";
import type { ExecutionPort } from "./execution-port.ts";
import type { JournalPort } from "./journal-port.ts";
import { signaturesOf } from "./signatures.ts";

/** Longest sleep in one native call, so that messages of other threads and the end of this one are never late. */
const SLEEP_MAX_MS = 50;

/** How often the core hears of round trips: an estimate that is a second old is still one. */
const ROUND_TRIPS_EVERY_MS = 1000;

/** Results in one REPLY: half of what a frame of the client lane holds, so that the last one added always fits. */
const REPLY_BYTES_MAX = 512 * 1024;
/** What an entry takes besides its result. */
const ENTRY_BYTES = 16;

/** What the loop tells whoever counts and reports. */
export interface LoopObserver {
  onInput(input: TurnInput, now: Instant): void;
  onAction(action: Action, now: Instant): void;
  onExecuted(outcome: Extract<ExecutionOutcome, { kind: "executed" }>, now: Instant): void;
  /** Everything up to `through` is committed and what it rests on is durable. */
  onCommit(through: Sequence): void;
  onInspected(outcome: Extract<ExecutionOutcome, { kind: "inspected" }>): void;
  /** A state that was fetched has taken the place of ours, or could not be had. */
  onTransfer(outcome: Extract<ExecutionOutcome, { kind: "installed" | "installFailed" }>, now: Instant): void;
  /** Milliseconds that a native call took which sent proposals. */
  onBroadcast(milliseconds: number): void;
  /** Whether results must carry their operations, since somebody listens to commits. */
  readonly wantsOperations: boolean;
}

export interface LoopParts {
  readonly core: Core;
  readonly reactor: Reactor;
  readonly execution: ExecutionPort;
  readonly journal: JournalPort;
  readonly observer: LoopObserver;
}

type TransferOutcome = Extract<
  ExecutionOutcome,
  { kind: "stateFetch" | "stateNodes" | "refused" | "installed" | "installFailed" }
>;

interface PendingBatch {
  readonly run: Run;
  readonly digest: Digest;
}

export class ReactorLoop {
  readonly #parts: LoopParts;
  readonly #writer: ActionWriter;
  readonly #output = new Uint8Array(OUTPUT_BYTES_MIN);
  readonly #records: TurnInput[] = [];
  readonly #outcomes: ExecutionOutcome[] = [];
  readonly #batches = new Map<Sequence, PendingBatch>();
  /** Commands that must not overtake a batch whose bodies are on their way. */
  readonly #afterBatch: Extract<Action, { kind: "checkpoint" }>[] = [];
  readonly #replies = new Map<Sequence, readonly BundleReply[]>();
  /** Outputs whose record is not durable yet, in order. */
  readonly #held: { readonly after: Lsn; readonly action: Action }[] = [];
  #acknowledged = 0 as Lsn;
  #room = { bundles: -1, bytes: -1 };
  #proposed = false;
  /** The core has taken the results up to here. */
  #taken = 0 as Sequence;
  /** Our own state was found false: what replaces it owes it nothing. */
  #distrusted = false;
  #roundTripsAt = 0;
  #stopAsked = false;
  turns = 0;
  /** The core was asked to stop, and has: nothing is owed to anybody any more. */
  stopped = false;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#writer = new ActionWriter(signaturesOf(parts.reactor));
  }

  /** The first input: what this replica restarts from. */
  start(input: Extract<Input, { kind: "recovered" }>): void {
    this.#step(input, this.#now());
    this.#settle(this.#now());
  }

  /** One turn. Sleeps in the native call until something happens, a timer is due, or another thread wakes it. */
  turn(): void {
    const { reactor, observer } = this.#parts;
    const before = this.#now();
    const length = reactor.turn(this.#writer.buffer, this.#writer.length, this.#output, this.#waitMs(before));
    this.#writer.reset();
    this.turns += 1;
    const now = this.#now();
    if (this.#proposed) observer.onBroadcast(now - before);
    this.#proposed = false;
    readInputs(this.#output, length, this.#records);
    const inputs: Input[] = [];
    for (const record of this.#records) this.#sort(record, inputs, now);
    this.#records.length = 0;
    this.#collect(inputs, now);
    this.#measure(inputs, now);
    if (this.#stopAsked) inputs.push({ kind: "stop" });
    this.#stopAsked = false;
    for (const input of orderTurn(inputs)) this.#step(input, now);
    const deadline = this.#parts.core.deadline();
    if (deadline !== undefined && deadline <= now)
      this.#step({ kind: "tick", wallClock: Date.now() as AgreedTime }, now);
    this.#settle(now);
  }

  /** Asks the core to stop in order: a primary hands over first. {@link stopped} says when it has. */
  stop(): void {
    this.#stopAsked = true;
  }

  /** Asks execution about its state; the observer hears the answer. */
  inspect(id: number, question: Uint8Array | undefined): void {
    this.#parts.execution.give({ kind: "inspect", id, question });
  }

  #now(): Instant {
    return performance.now() as Instant;
  }

  #waitMs(now: Instant): number {
    const { core, execution } = this.#parts;
    if (execution.busy) return 0;
    const deadline = Math.min(core.deadline() ?? Infinity, execution.deadline ?? Infinity);
    return Math.min(SLEEP_MAX_MS, Math.max(0, deadline - now));
  }

  #sort(record: TurnInput, inputs: Input[], now: Instant): void {
    this.#parts.observer.onInput(record, now);
    switch (record.kind) {
      case "batch":
        return this.#execute(record);
      case "rejected":
        return;
      case "peer": {
        const { from, name, body } = record;
        const command =
          name === "stateFetch" ? { kind: name, from, message: body } : { kind: name, from, message: body };
        return this.#parts.execution.give(command);
      }
      default:
        inputs.push(record);
    }
  }

  /** The bodies of a batch have come: it is executed, and whatever waited behind it. */
  #execute(record: BatchRecord): void {
    const { execution, observer } = this.#parts;
    const pending = this.#batches.get(record.sequence);
    if (pending === undefined) return;
    this.#batches.delete(record.sequence);
    const { sequence, time, bundles } = record;
    const batch = { sequence, timeMs: time, digest: pending.digest, bundles };
    const wantOperations = observer.wantsOperations;
    execution.give({ kind: "batch", run: pending.run, batch, wantOperations, taken: this.#taken });
    while (this.#afterBatch[0]?.sequence === sequence) {
      execution.give(this.#afterBatch.shift() as Extract<Action, { kind: "checkpoint" }>);
    }
  }

  #collect(inputs: Input[], now: Instant): void {
    this.#parts.execution.collect(this.#outcomes);
    for (const outcome of this.#outcomes) {
      switch (outcome.kind) {
        case "executed":
          this.#replies.set(outcome.sequence, outcome.replies);
          if (!outcome.again) this.#parts.observer.onExecuted(outcome, now);
          inputs.push({ kind: "executed", run: outcome.run, through: outcome.sequence, sessions: outcome.sessions });
          break;
        case "checkpointed":
          inputs.push(outcome);
          break;
        case "failed":
          inputs.push({
            kind: "executionFailed",
            run: outcome.run,
            sequence: outcome.sequence,
            reason: outcome.reason,
          });
          break;
        case "stateFetch":
        case "stateNodes":
        case "refused":
        case "installed":
        case "installFailed":
          this.#onTransfer(outcome, inputs, now);
          break;
        case "inspected":
          this.#parts.observer.onInspected(outcome);
          break;
        case "answered": {
          const head = {
            session: outcome.session,
            batchSequence: outcome.lastExecuted,
            view: outcome.view,
            tentative: false,
          };
          this.#reply(outcome.client, head, outcome.entries, true);
        }
      }
    }
    this.#outcomes.length = 0;
  }

  /** What execution has to say about states: to peers, and to the core. */
  #onTransfer(outcome: TransferOutcome, inputs: Input[], now: Instant): void {
    const { observer } = this.#parts;
    switch (outcome.kind) {
      case "stateFetch":
        return this.#writer.sendBody(setOf(outcome.to), "stateFetch", outcome.message);
      case "stateNodes":
        return this.#writer.sendBody(setOf(outcome.to), "stateNodes", outcome.message);
      case "refused":
        return observer.onInput({ kind: "rejected", reason: outcome.reason, peer: outcome.from, count: 1 }, now);
      case "installed": {
        const { run, sequence, digest, sessions } = outcome;
        this.#distrusted = false;
        this.#replies.clear();
        inputs.push({ kind: "installed", run, sequence, digest, sessions });
        this.#parts.journal.snapshot(sequence);
        return observer.onTransfer(outcome, now);
      }
      case "installFailed":
        inputs.push(outcome);
        return observer.onTransfer(outcome, now);
    }
  }

  #measure(inputs: Input[], now: Instant): void {
    if (now < this.#roundTripsAt) return;
    this.#roundTripsAt = now + ROUND_TRIPS_EVERY_MS;
    const milliseconds = Array.from(this.#parts.reactor.roundTrips(), (rtt) => (Number.isNaN(rtt) ? undefined : rtt));
    inputs.push({ kind: "roundTrips", milliseconds });
  }

  #step(input: Input, now: Instant): void {
    for (const action of this.#parts.core.step(input, now)) {
      this.#parts.observer.onAction(action, now);
      if ("after" in action && action.after > this.#parts.journal.persistedUpTo) {
        this.#held.push({ after: action.after, action });
      } else this.#perform(action);
    }
  }

  /** Tells the core what is durable now, lets go what waited for it, and says how much room is left. */
  #settle(now: Instant): void {
    const { core, journal } = this.#parts;
    while (this.#acknowledged < journal.persistedUpTo) {
      this.#acknowledged = journal.persistedUpTo;
      this.#step({ kind: "persisted", upTo: this.#acknowledged }, now);
    }
    const snapshotted = journal.takeSnapshotted();
    if (snapshotted !== undefined) this.#step({ kind: "snapshotted", sequence: snapshotted }, now);
    while (this.#held[0] !== undefined && this.#held[0].after <= journal.persistedUpTo) {
      this.#perform((this.#held.shift() as { action: Action }).action);
    }
    const room = core.room();
    if (room.bundles === this.#room.bundles && room.bytes === this.#room.bytes) return;
    this.#room = room;
    this.#writer.room(room.bundles, Math.min(room.bytes, 0xffffffff));
  }

  #perform(action: Action): void {
    const writer = this.#writer;
    switch (action.kind) {
      case "persist":
        if (action.record.type === "prepared") writer.keep(action.record.certificate);
        return this.#parts.journal.append(action.lsn, action.record);
      case "seal":
        return writer.seal(action.message);
      case "forget":
        return writer.forget(action.what, action.digests);
      case "send":
        this.#proposed ||= action.message.type === "prePrepare";
        return writer.send(action.to, action.message);
      case "assemble":
        return writer.assemble(action.view, action.sequence, action);
      case "forward":
        return writer.forward(action.to, action.bundle);
      case "busy":
        return writer.busy(action.bundle);
      case "release":
        return writer.release(action.bundles);
      case "pin":
        return writer.pin(action.bundles);
      case "fetch":
        return writer.fetch(action.from, action.what, action.digest);
      case "execute":
        this.#batches.set(action.sequence, { run: action.run, digest: action.digest });
        return writer.readBatch(action.sequence, action);
      case "checkpoint":
        this.#afterBatch.push(action);
        return;
      case "reply":
        this.#taken = action.sequence;
        return this.#replyAll(action);
      case "answer": {
        const { client, session, firstSequence, count } = action.bundle;
        return this.#parts.execution.give({ kind: "answer", client, session, firstSequence, count, view: action.view });
      }
      case "commit":
        return this.#parts.observer.onCommit(action.through);
      case "stable":
        this.#parts.execution.give({ kind: "stable", sequence: action.sequence });
        this.#parts.journal.snapshot(action.sequence);
        return writer.stable(action.sequence, action.digest, action.signers);
      case "window":
        return writer.window(action.low, action.high, action.view, action.pending);
      case "diverged":
        this.#distrusted = true;
        return;
      case "stopped":
        this.stopped = true;
        return;
      case "install":
        return this.#install(action);
      case "undo":
      case "accuse":
      case "viewLeft":
      case "viewChanged":
      case "ignored":
      case "halt":
        return;
    }
  }

  #install({ run, certificate }: Extract<Action, { kind: "install" }>): void {
    const { sequence, digest } = certificate;
    // Batches of earlier runs are not executed any more.
    this.#batches.clear();
    this.#afterBatch.length = 0;
    const installation = { run, sequence, digest, distrustOwn: this.#distrusted };
    this.#parts.execution.give({ kind: "install", installation });
  }

  #replyAll({ sequence, view, tentative }: Extract<Action, { kind: "reply" }>): void {
    const replies = this.#replies.get(sequence) ?? [];
    this.#replies.delete(sequence);
    for (const { client, session, entries } of replies) {
      this.#reply(client, { session, batchSequence: sequence, view, tentative }, entries, false);
    }
  }

  /** Sends results, in several frames where they would not fit into one. */
  #reply(client: ClientKey, head: Omit<Reply, "entries">, entries: readonly ResultEntry[], inFull: boolean): void {
    let first = 0;
    let bytes = 0;
    for (const [index, entry] of entries.entries()) {
      if (bytes > 0 && bytes + entry.result.length > REPLY_BYTES_MAX) {
        this.#writer.reply(client, { ...head, entries: entries.slice(first, index) }, inFull);
        first = index;
        bytes = 0;
      }
      bytes += entry.result.length + ENTRY_BYTES;
    }
    if (first < entries.length) this.#writer.reply(client, { ...head, entries: entries.slice(first) }, inFull);
  }
}
