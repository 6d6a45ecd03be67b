/**
 * The loop of a replica: one native call per turn takes what the last turn wanted and brings what has happened; the core
 * decides what follows. Nothing here decides anything.
 */
import { ActionWriter, readInputs, type BatchRecord, type TurnInput } from "../codec/turn.ts";
import type { Reactor } from "../native/native.ts";
import { OUTPUT_BYTES_MIN } from "../native/native.ts";
import type { Action, Core, Input } from "../protocol/core.ts";
import type { ReplicaOptions } from "../protocol/options.ts";
import { orderTurn } from "../protocol/turn.ts";
import { everyone, setOf, without } from "../protocol/types.ts";
import type { AgreedTime, ClientKey, Digest, Instant, Run, Sequence, View } from "../protocol/types.ts";
import type { BundleReply } from "../state/batch-record.ts";
import { recoverBundle } from "../state/system-operation.ts";
import { DurableOrder, type DurableOrderOptions } from "./durable-order.ts";
import type { ExecutionOutcome } from "./execution-host.ts";
import type { ExecutionPort } from "./execution-port.ts";
import { writeReplies } from "./replies.ts";
import { signaturesOf } from "./signatures.ts";

/** Longest sleep in one native call, so that messages of other threads and the end of this one are never late. */
const SLEEP_MAX_MS = 50;

/** How often the core hears of round trips: an estimate that is a second old is still one. */
const ROUND_TRIPS_EVERY_MS = 1000;

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

export interface LoopParts extends DurableOrderOptions {
  readonly core: Core;
  readonly reactor: Reactor;
  readonly execution: ExecutionPort;
  readonly observer: LoopObserver;
  readonly replica: Pick<ReplicaOptions, "n" | "me">;
  /** This replica's own, which signs its RECOVERs. */
  readonly key: ClientKey;
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
  readonly #order: DurableOrder;
  /** The last NEW-VIEW of our own that the addon was given. */
  #ownNewView: View | undefined;
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
    this.#order = new DurableOrder(parts);
    this.#writer = new ActionWriter(signaturesOf(parts.reactor));
  }

  /** The first input: what this replica restarts from. */
  start(input: Extract<Input, { kind: "recovered" }>): void {
    if (input.state.type === "restart") {
      for (const { lsn, record } of input.state.records) {
        this.#order.restore(lsn);
        if (record.type === "viewEntered" && this.#isOwn(record.newView.view)) this.#ownNewView = record.newView.view;
      }
    }
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
    // Before the core goes on, so that nothing overtakes what was held.
    for (const action of this.#order.released()) this.#perform(action);
    this.#collect(inputs, now);
    this.#measure(inputs, now);
    if (this.#stopAsked) inputs.push({ kind: "stop" });
    this.#stopAsked = false;
    const news = this.#order.news();
    if (news !== undefined) inputs.push(news);
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
      case "persisted":
        return this.#order.persisted(record.upTo);
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
        case "snapshotted":
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
          writeReplies(this.#writer, outcome.client, head, outcome.entries, true);
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
        const { run, sequence, digest, sessions, marks } = outcome;
        this.#distrusted = false;
        this.#replies.clear();
        inputs.push({ kind: "installed", run, sequence, digest, sessions, marks });
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
      if (!this.#order.holds(action)) this.#perform(action);
    }
  }

  /** Tells the core what became durable meanwhile, and says how much room is left. */
  #settle(now: Instant): void {
    const { core } = this.#parts;
    for (let news = this.#order.news(); news !== undefined; news = this.#order.news()) this.#step(news, now);
    const room = core.room();
    if (room.bundles === this.#room.bundles && room.bytes === this.#room.bytes) return;
    this.#room = room;
    this.#writer.room(room.bundles, Math.min(room.bytes, 0xffffffff));
  }

  #perform(action: Action): void {
    const writer = this.#writer;
    switch (action.kind) {
      case "persist":
        return this.#persist(action);
      case "truncate":
        return writer.truncate(action.below);
      case "recover":
        return this.#recover(action);
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
        return this.#reply(action);
      case "answer": {
        const { client, session, firstSequence, count } = action.bundle;
        return this.#parts.execution.give({ kind: "answer", client, session, firstSequence, count, view: action.view });
      }
      case "commit":
        return this.#parts.observer.onCommit(action.through);
      case "stable":
        this.#parts.execution.give({ kind: "stable", sequence: action.sequence, digest: action.digest });
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
      case "readmitted":
      case "ignored":
      case "halt":
        return;
    }
  }

  #persist({ lsn, record }: Extract<Action, { kind: "persist" }>): void {
    const view = record.type === "viewEntered" ? record.newView.view : undefined;
    const own = view !== undefined && view !== this.#ownNewView && this.#isOwn(view);
    if (own) this.#ownNewView = view;
    this.#writer.persist(lsn, record, own);
    this.#order.written(lsn);
  }

  #recover({ nonce, view, attempt }: Extract<Action, { kind: "recover" }>): void {
    const { key, replica } = this.#parts;
    const others = without(everyone(replica.n), setOf(replica.me));
    this.#writer.sendBody(others, "bundle", recoverBundle(key, { replica: replica.me, nonce, view }, attempt));
  }

  #isOwn(view: View): boolean {
    const { n, me } = this.#parts.replica;
    return view % n === me;
  }

  #install({ run, certificate }: Extract<Action, { kind: "install" }>): void {
    const { sequence, digest } = certificate;
    // Batches of earlier runs are not executed any more.
    this.#batches.clear();
    this.#afterBatch.length = 0;
    const installation = { run, sequence, digest, distrustOwn: this.#distrusted };
    this.#parts.execution.give({ kind: "install", installation });
  }

  #reply({ sequence, view, tentative }: Extract<Action, { kind: "reply" }>): void {
    this.#taken = sequence;
    const replies = this.#replies.get(sequence) ?? [];
    this.#replies.delete(sequence);
    for (const { client, session, entries } of replies) {
      writeReplies(this.#writer, client, { session, batchSequence: sequence, view, tentative }, entries, false);
    }
  }
}
