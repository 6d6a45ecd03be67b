/**
 * One simulated replica: the product's core between simulated ports. Arrivals and acknowledgements gather until its next turn,
 * are put in order as in a node, and each goes through the core; actions go to the ports, and leave when what they rest on is
 * durable.
 */
import type { Action, Input, StoredRecord } from "../protocol/core.ts";
import { isAmnesiac } from "../protocol/readmission.ts";
import type { Replica } from "../protocol/replica.ts";
import { orderTurn } from "../protocol/turn.ts";
import type { AgreedTime, Digest, Instant, ReplicaId, View } from "../protocol/types.ts";
import { newViewFact, recordFact, restartFact } from "./facts.ts";
import { Incarnation } from "./incarnation.ts";
import { Inspector } from "./inspector.ts";
import { narrateStep } from "./narrate.ts";
import type { BodyStore } from "./ports/body-store.ts";
import { Disk, situationsOf } from "./ports/disk.ts";
import { entryOf, restart } from "./ports/journal.ts";
import type { ExecutionPort } from "./ports/execution.ts";
import type { Prng } from "./prng.ts";
import type { MessageStore } from "./ports/message-store.ts";
import { newViewName } from "../protocol/new-view.ts";
import { RoundTrips } from "./round-trips.ts";
import { learnBatch, LocalClock, type Surroundings } from "./surroundings.ts";

/** Frames that wait for a paused process; more are dropped, as its sockets' buffers are full. */
const STALLED_MAX = 2_000;

type Running = "running" | "paused" | "down";

export class SimReplica {
  readonly id: number;
  readonly honest: boolean;
  running: Running = "running";
  /** The core has stopped for good. */
  halted = false;
  /** Up to where it has told of commits, in all its lives. */
  committed = 0;
  /** Processes so far. */
  lives = 1;
  private readonly around: Surroundings;
  private readonly prng: Prng;
  private readonly clock: LocalClock;
  private readonly disk: Disk;
  private readonly inspector: Inspector;
  private readonly roundTrips: RoundTrips;
  private life: Incarnation;
  /** Its disk was lost, and it was not readmitted since. */
  private wiped = false;
  private turnPending = false;
  private wakeAt = Infinity;
  /** The last view that it took part in before the present one. */
  private viewLeft = 0;

  constructor(around: Surroundings, id: number) {
    const { options, scheduler } = around;
    this.around = around;
    this.id = id;
    this.honest = !options.byzantine.includes(id);
    this.prng = around.prng.split(`replica ${id}`);
    this.clock = new LocalClock(scheduler, this.prng.split("clock"), options);
    this.disk = new Disk(scheduler, this.prng.split("disk"), {
      meanMs: options.diskMs,
      journal: options.journal,
      onInput: (input) => this.input(input),
      onDurable: (records) => {
        this.showDurable(records);
        this.life.outbox.flush();
      },
    });
    this.life = this.live(this.prng);
    this.roundTrips = new RoundTrips(around, id, this.prng.split("round trips"));
    this.inspector = new Inspector(around, this, this.prng.split("inspector"));
  }

  get core(): Replica {
    return this.life.core;
  }

  get execution(): ExecutionPort {
    return this.life.execution;
  }

  get votes(): Incarnation["votes"] {
    return this.life.votes;
  }

  get bodies(): BodyStore {
    return this.life.bodies;
  }

  get store(): MessageStore {
    return this.life.store;
  }

  /** Whether it can take part: a replica that came back to a wiped disk counts as down until it is readmitted. */
  get isUp(): boolean {
    return this.running !== "down" && !this.halted && !this.wiped;
  }

  /** The process starts with whatever its disk holds. */
  start(): void {
    const found = this.disk.recover();
    const state =
      found.type === "journal" ? restart(found, this.execution.table, this.life) : ({ type: found.type } as const);
    this.wiped = isAmnesiac(state);
    for (const situation of situationsOf(found)) this.around.coverage.hit(situation);
    if (this.lives > 1) this.see(restartFact(this.id, state));
    // A record that was torn off its acknowledgement may have survived: the oracles have not heard of it yet.
    if (state.type === "restart") this.showDurable(state.records);
    this.input({ kind: "recovered", state, wallClock: this.clock.wallClock() as AgreedTime });
  }

  link(peer: number, up: boolean): void {
    if (this.running !== "down") this.input({ kind: "link", peer: peer as ReplicaId, up });
  }

  /** The process ends at once; what was not durable is lost. */
  crash(): void {
    if (this.running === "down") return;
    this.running = "down";
    this.disk.crash("torn");
    this.life.end();
    this.around.network.attach(this.id, undefined);
    this.see({ kind: "crashed", replica: this.id });
  }

  /** The process is asked to end in order. */
  stop(): void {
    if (this.running === "running") this.input({ kind: "stop" });
  }

  /** While the process is down, its disk is set back: what it said since then, it does not know. */
  rollBack(): void {
    if (this.running === "down") this.disk.rollBack();
  }

  /** After a crash: a new process, with nothing but the disk of the old one. False when the old one still runs. */
  restart(): boolean {
    if (this.running !== "down") return false;
    this.life = this.live(this.prng.split(`incarnation ${++this.lives}`));
    this.running = "running";
    this.halted = false;
    this.wakeAt = Infinity;
    this.start();
    return true;
  }

  pause(): void {
    if (this.running === "running") this.running = "paused";
  }

  resume(): void {
    if (this.running !== "paused") return;
    this.running = "running";
    for (const { from, bytes } of this.life.stalled.splice(0)) this.arrive(from, bytes);
    this.wakeAt = Infinity;
    this.wake();
  }

  /** A process ends with its core. */
  private halt(): void {
    this.halted = true;
    this.around.network.attach(this.id, undefined);
  }

  private live(prng: Prng): Incarnation {
    const { id, honest, disk } = this;
    this.around.network.attach(id, (from, bytes) => this.arrive(from, bytes));
    return new Incarnation(this.around, { id, honest, prng, disk, onInput: (input) => this.input(input) });
  }

  private showDurable(records: readonly StoredRecord[]): void {
    for (const { lsn, record } of records)
      this.see({ kind: "durable", replica: this.id, lsn, record: recordFact(record) });
  }

  private arrive(from: number, bytes: Uint8Array): void {
    if (this.running === "paused") {
      const { stalled } = this.life;
      if (stalled.length < STALLED_MAX) stalled.push({ from, bytes });
      return;
    }
    this.around.log.add(this.around.scheduler.now, "delivered", this.id, from, bytes);
    if (!this.honest && this.life.departures.hides(from, bytes)) return;
    this.life.receiver.receive(from, bytes);
    this.scheduleTurn();
  }

  private input(input: Input): void {
    if (this.halted) return;
    if (input.kind === "installFailed" && input.reason === "invalid")
      this.see({ kind: "misfetched", replica: this.id });
    this.life.inbox.push(input);
    this.scheduleTurn();
  }

  private scheduleTurn(): void {
    if (this.turnPending || this.running !== "running") return;
    this.turnPending = true;
    const { turnMs } = this.around.options;
    this.around.scheduler.after(turnMs > 0 ? this.prng.float() * turnMs : 0, this.turn);
  }

  /** A property: a closure for each turn would cost more. */
  private readonly turn = (): void => {
    this.turnPending = false;
    if (this.running !== "running" || this.halted) return;
    const inputs = this.life.takeInputs();
    const roundTrips = this.roundTrips.measure();
    if (roundTrips !== undefined) inputs.push(roundTrips);
    const now = this.clock.now() as Instant;
    const due = this.core.deadline();
    if (due !== undefined && due <= now) inputs.push({ kind: "tick", wallClock: this.clock.wallClock() as AgreedTime });
    for (const input of inputs.length > 1 ? orderTurn(inputs) : inputs) {
      if (this.halted) break;
      this.step(input, now);
    }
    this.around.log.add(this.around.scheduler.now, "turn", this.id, inputs.length);
    this.votes.endTurn();
    this.inspector.afterTurn();
    this.bodies.setRoom(this.core.room());
    if (this.bodies.hasInputs) this.scheduleTurn();
    this.wake();
  };

  private step(input: Input, now: Instant): void {
    let actions: readonly Action[];
    if (input.kind === "control" && input.message.type === "complaint")
      this.see({ kind: "complained", replica: this.id, from: input.from, view: input.message.view });
    try {
      actions = this.core.step(input, now);
    } catch (error) {
      this.halt();
      this.around.history.fail(
        0,
        "a core never throws",
        `replica ${this.id} on ${input.kind}: ${String((error as Error).stack)}`,
      );
      return;
    }
    const { narrate, scheduler } = this.around;
    if (narrate !== undefined) {
      const who = this.honest ? "replica" : "BYZANTINE";
      narrateStep(narrate, `${scheduler.now.toFixed(3)} ${who} ${this.id}`, input, actions);
    }
    for (const action of actions) this.perform(action);
    this.inspector.afterStep(input, actions, now);
  }

  /** One timer, for the core's next deadline. */
  private wake(): void {
    const deadline = this.core.deadline();
    if (deadline === undefined || this.running !== "running") return;
    const at = Math.max(this.clock.virtual(deadline), this.around.scheduler.now + 0.001);
    if (at >= this.wakeAt && this.wakeAt > this.around.scheduler.now) return;
    this.wakeAt = at;
    this.around.scheduler.at(at, () => {
      if (this.wakeAt === at) this.wakeAt = Infinity;
      if (this.running === "running") this.scheduleTurn();
    });
  }

  private perform(action: Action): void {
    const { id } = this;
    const { departures, outbox } = this.life;
    switch (action.kind) {
      case "persist":
        departures.store(action.record);
        if (action.record.type === "decided") this.around.coverage.hit("decided by claims");
        return this.disk.append(entryOf(action, this.life));
      case "truncate":
        this.around.coverage.hit("journal truncated");
        return this.disk.truncate(action.below, action.after);
      case "stopped":
        this.around.network.attach(id, undefined);
        return this.leave("clean stop", action.after, () => this.crash());
      case "send":
        return departures.send(action, outbox, this.disk, this.life.holdsBodies(action));
      case "recover":
        return departures.recover(action);
      case "readmitted":
        this.wiped = false;
        this.around.coverage.hit("readmitted");
        return this.see({ kind: "readmitted", replica: id, sequence: action.sequence });
      case "seal":
        return this.input(departures.seal(action));
      case "forget":
        return this.life.letGo(action.what, action.digests);
      case "assemble": {
        const { view, sequence } = action;
        this.see({ kind: "chosen", replica: id, view, sequence });
        return departures.assemble(action, (digest) => this.input({ kind: "assembled", view, sequence, digest }));
      }
      case "forward":
        return departures.forward(action.to, this.bodies.get(action.bundle));
      case "busy":
        this.around.coverage.hit("pool full");
        return this.life.refuse(action.bundle);
      case "answer":
        return this.execution.answer(action.bundle, action.view, (client, frame) =>
          this.leave("answer", action.after, () => departures.frame(client, "reply", frame)),
        );
      case "release":
        return this.bodies.release(action.bundles);
      case "pin":
        return this.bodies.pin(action.bundles);
      case "fetch": {
        if (action.what === "bundle") this.bodies.fetching(action.digest, action.from);
        const refused = departures.fetch(action);
        return refused === undefined ? undefined : this.input(refused);
      }
      case "execute": {
        const { sequence, digest, bundles } = action;
        learnBatch(this.around, digest, bundles);
        if (this.life.isNew(sequence, digest)) this.see({ kind: "executed", replica: id, sequence, digest, bundles });
        return this.execution.execute(action, (bundle: Digest) => this.bodies.get(bundle));
      }
      case "checkpoint":
        return this.execution.checkpoint(action.run, action.sequence);
      case "reply":
        return this.execution.reply(action.sequence, action.view, action.tentative, (client, frame) =>
          this.leave("reply", action.after, () => departures.frame(client, "reply", frame)),
        );
      case "commit":
        return this.leave("commit event", action.after, () => {
          this.committed = Math.max(this.committed, action.through);
        });
      case "stable":
        return this.onStable(action);
      case "window":
        this.see({ kind: "entered", replica: id, view: action.view });
        return this.votes.window(action.low, action.high, action.view, action.pending);
      case "viewLeft":
        this.viewLeft = action.view;
        this.around.coverage.hit(`view left: ${action.cause}`);
        return this.see({ ...action, replica: id, at: this.around.scheduler.now });
      case "viewChanged":
        return this.onViewChanged(action);
      case "diverged":
        this.around.coverage.hit("diverged");
        this.execution.state.distrust();
        return this.see({ kind: "diverged", replica: id, sequence: action.sequence });
      case "accuse":
        if (action.evidence.type === "prePrepare") this.around.coverage.hit("equivocation seen");
        return this.see({ kind: "accused", replica: id, by: action.by, ...action.evidence });
      case "ignored":
        return this.around.coverage.hit(`ignored: ${action.reason}`);
      case "halt":
        this.halt();
        return this.see({ kind: "halted", replica: id, reason: JSON.stringify(action.reason) });
      case "install":
        this.around.coverage.hit("state asked for");
        return this.execution.install(action);
      case "undo":
        return;
    }
  }

  private onStable({ sequence, digest, signers }: Extract<Action, { kind: "stable" }>): void {
    this.around.coverage.hit("checkpoint stable");
    this.votes.stable(sequence, digest, signers);
    this.store.stable(sequence);
    this.execution.stable(sequence, digest);
    this.see({ kind: "stable", replica: this.id, sequence, digest });
    if (this.honest) this.life.departures.certify({ phase: "checkpoint", view: 0 as View, sequence, digest, signers });
  }

  private onViewChanged({ view, cause, carried, nulls }: Extract<Action, { kind: "viewChanged" }>): void {
    const { coverage, options } = this.around;
    this.see({ kind: "viewChanged", replica: this.id, view, cause });
    coverage.hit("view changed");
    if (carried > 0) coverage.hit("new view with batches");
    if (nulls > 0) coverage.hit("null request in a new view");
    if (options.f > 1 && view >= this.viewLeft + options.f) coverage.hit("f consecutive primaries fell");
    const accepted = this.store.newView(newViewName(view))?.body.message;
    if (accepted === undefined) return;
    // A NEW-VIEW of our own is shown when it leaves.
    if (view % options.n !== this.id) this.see(newViewFact(this.id, "accepted", accepted));
    const shown = accepted.viewChanges.flatMap(
      ({ digest }) => this.store.viewChange(digest)?.body.message.prepared ?? [],
    );
    const differ = shown.some(({ sequence, view: its }) =>
      shown.some((o) => o.sequence === sequence && o.view !== its),
    );
    if (differ) coverage.hit("certificates of two views for one sequence");
  }

  /** Something that is no vote leaves when its record is durable. */
  private leave(what: string, after: Extract<Action, { kind: "reply" }>["after"], leave: () => void): void {
    this.life.outbox.push(after, () => {
      this.see({ kind: "left", replica: this.id, vote: undefined, what, after, durable: this.disk.durableThrough });
      leave();
    });
  }

  private see(observation: Parameters<Surroundings["history"]["see"]>[0]): void {
    if (this.honest) this.around.history.see(observation);
  }
}
