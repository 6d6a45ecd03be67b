/**
 * A whole cluster in one process under virtual time: replicas, clients, network and faults, run from a plan. Two phases: in the
 * first anything may break and safety alone is asked; then a core of Q honest replicas is healed, the others stay as they are
 * for good, and every operation has to return.
 */
import { Conspiracy } from "./adversaries/adversary.ts";
import { allCheckers, alwaysCheckers } from "./checkers/index.ts";
import type { Model } from "./checkers/linearizability.ts";
import { SimClient } from "./client.ts";
import { Coverage } from "./coverage.ts";
import { EventLog } from "./event-log.ts";
import { FaultDriver } from "./fault-driver.ts";
import { History, quorumOf, type Setting, type Violation } from "./history.ts";
import { Ed25519Keyring, StubKeyring, type Keyring } from "./keyring.ts";
import { HEALED_LAW, Network, type LinkLaw } from "./network.ts";
import { VIEW_CHANGE, type SimOptions } from "./options.ts";
import type { Plan } from "./plan.ts";
import { withPoisonedGlobals } from "./poison.ts";
import { Prng } from "./prng.ts";
import { SimReplica } from "./replica.ts";
import { Scheduler } from "./scheduler.ts";
import { DISCIPLINE_MS, type Subject, type Surroundings } from "./surroundings.ts";

/** More events than any sane run has: a run that gets here has a loop in it. */
const EVENTS_MAX = 2_000_000;
/** Events between two looks at whether the healed core is done. */
const LOOK_EVERY = 64;
/** Operations that are held back until everything else is over, and how many of them views may still need to settle. */
const HELD_BACK = 6;
const SETTLING = 3;
/** What an operation waits for one after another; and how much longer than on average an fsync may take. */
const STEPS = 4;
const SLOWEST_FSYNC = 5;
/** Held back are no more than this share of all. */
const HELD_BACK_SHARE = 0.5;

export interface RunResult {
  readonly violation: Violation | undefined;
  readonly events: number;
  /** Virtual duration. */
  readonly simulatedMs: number;
  readonly log: string;
  readonly coverage: Readonly<Record<string, number>>;
  /** Opportunities that adversaries used. */
  readonly used: readonly number[];
  /** Why liveness was not asked of this run, if it was not. */
  readonly livenessSkipped: string | undefined;
  /** Highest sequence that an honest replica executed. */
  readonly executed: number;
}

export interface WorldOptions {
  readonly subject: Subject;
  /** What results must be; without one only the order in real time is checked. */
  readonly model?: (() => Model) | undefined;
  /** Makes the keys of runs with real signatures; Node.js's own Ed25519 unless given. */
  readonly realKeyring?: ((prng: Prng, nodes: number) => Keyring) | undefined;
  /** Hears one line for everything that happens. */
  readonly narrate?: ((line: string) => void) | undefined;
}

export class World {
  readonly history: History;
  readonly scheduler = new Scheduler();
  readonly network: Network;
  readonly replicas: readonly SimReplica[];
  readonly clients: readonly SimClient[];
  readonly coverage = new Coverage();
  private readonly options: SimOptions;
  private readonly setting: Setting;
  private readonly log = new EventLog();
  private readonly faults: FaultDriver;
  private readonly prng: Prng;
  private readonly held: Plan["operations"];
  private readonly used: number[] = [];
  private core: readonly number[] = [];
  private skipped: string | undefined;

  constructor(plan: Plan, { subject, model, realKeyring, narrate }: WorldOptions) {
    const { options } = plan;
    this.options = options;
    this.prng = new Prng(BigInt(options.seed));
    this.setting = settingOf(options);
    const overwhelmed = options.byzantine.length > options.f;
    this.history = new History(overwhelmed ? alwaysCheckers(this.setting) : allCheckers(this.setting, model?.()));
    const nodes = options.n + options.clients;
    this.network = new Network(
      this.scheduler,
      this.prng.split("links"),
      nodes,
      lawOf(options, this.prng.split("laws")),
    );
    const keys = this.prng.split("keys");
    const kept = plan.muted === undefined ? undefined : new Set(plan.muted.except);
    const around: Surroundings = {
      options,
      subject,
      scheduler: this.scheduler,
      network: this.network,
      keyring: options.realCrypto
        ? (realKeyring?.(keys, nodes) ?? new Ed25519Keyring(keys, nodes))
        : new StubKeyring(keys, nodes),
      history: this.history,
      coverage: this.coverage,
      log: this.log,
      prng: this.prng,
      conspiracy: new Conspiracy(),
      batches: new Map(),
      narrate,
      mayAct: (opportunity) => {
        if (kept?.has(opportunity) === false) return false;
        this.used.push(opportunity);
        return true;
      },
    };
    this.replicas = Array.from({ length: options.n }, (_, id) => new SimReplica(around, id));
    this.held = options.calm ? heldBack(plan) : [];
    const operationsOf = (client: number): Plan["operations"] =>
      plan.operations.filter((planned) => planned.client === client && !this.held.includes(planned));
    this.clients = Array.from(
      { length: options.clients },
      (_, index) => new SimClient(around, index, operationsOf(index)),
    );
    this.faults = new FaultDriver(around, this.replicas, plan.faults);
  }

  /** Runs both phases, or until the first violation. */
  run(): RunResult {
    try {
      withPoisonedGlobals(() => {
        this.start();
        this.runUntil(this.options.faultsMs, () => false);
        if (this.history.violation === undefined) this.runLiveness();
        if (this.history.violation === undefined) this.finish();
      });
    } catch (error) {
      // A port throws where a core asks for what it has no right to. The seed that shows it matters, not the process.
      this.history.fail(0, "nothing throws", error instanceof Error ? String(error.stack) : String(error));
    }
    const { lost, duplicated } = this.network.counters;
    this.coverage.hit("message lost", lost);
    this.coverage.hit("message duplicated", duplicated);
    return {
      violation: this.history.violation,
      events: this.scheduler.events,
      simulatedMs: this.scheduler.now,
      log: this.log.digest(),
      coverage: this.coverage.toJSON(),
      used: this.used,
      livenessSkipped: this.skipped,
      executed: Math.max(
        0,
        ...this.replicas.filter(({ honest }) => honest).map(({ core }) => core.inspect().lastExecuted),
      ),
    };
  }

  private start(): void {
    for (const replica of this.replicas) replica.start();
    for (const replica of this.replicas) {
      for (const peer of this.replicas) if (peer !== replica) replica.link(peer.id, true);
    }
    for (const client of this.clients) client.start();
    this.faults.start();
  }

  private runUntil(untilMs: number, done: () => boolean): void {
    let looked = 0;
    while (this.history.violation === undefined && this.scheduler.step(untilMs)) {
      if (this.scheduler.events > EVENTS_MAX) {
        return this.history.fail(17, "liveness", `${EVENTS_MAX} events and no end at ${this.scheduler.now} ms`);
      }
      if (++looked % LOOK_EVERY === 0 && done()) return;
    }
  }

  /** Work that goes on after everything was healed: at first views may still change, then they settle. */
  private runCalm(): void {
    for (const [index, { client, operation }] of this.held.entries()) {
      if (index === SETTLING && isFast(this.options)) this.history.see({ kind: "calm", core: this.core });
      this.clients[client]?.submit(operation);
      this.runUntil(this.scheduler.now + this.options.livenessMs, () => this.isDone());
      if (!this.isDone() || this.history.violation !== undefined) return;
      this.runUntil(this.scheduler.now + this.options.viewChangeTimeoutMs, () => false);
    }
    // Clients go on by themselves meanwhile: what they began has to return too.
    this.runUntil(this.scheduler.now + this.options.livenessMs, () => this.isDone());
  }

  private runLiveness(): void {
    this.skipped = this.chooseCore();
    if (this.skipped !== undefined) return this.coverage.hit(`skipped: ${this.skipped}`);
    this.coverage.hit("liveness asked");
    this.heal();
    this.runUntil(this.scheduler.now + this.options.livenessMs, () => this.isDone());
    if (this.options.calm && this.isDone()) this.runCalm();
    if (this.isDone() || this.history.violation !== undefined || !this.isWithheld()) return;
    this.skipped = "the last batches are withheld";
    this.core = [];
    this.coverage.hit(`skipped: ${this.skipped}`);
  }

  /**
   * Enough others have decided the last batches for their clients, with what liars told them alone, and nobody waits. A primary outside
   * of the core may have shown them to those only; a fenced replica of the core may not vote for them in this view. Fewer than f+1 know
   * of a request then, and nothing moves until the next one, or a full window, brings another view. Nothing stable may be missing.
   */
  private isWithheld(): boolean {
    if (this.isAwaited()) return false;
    const cores = this.core.map((id) => (this.replicas[id] as SimReplica).core.inspect());
    const stable = Math.max(...cores.map(({ low }) => low));
    if (cores.some(({ lastExecuted }) => lastExecuted < stable)) return false;
    const view = Math.max(...cores.map((each) => each.view));
    return !this.core.includes(view % this.options.n) || cores.some(({ fence }) => fence?.view === view);
  }

  /** Whether a client that keeps to its sequences waits for a reply. */
  private isAwaited(): boolean {
    return this.clients.some((client, index) => index >= this.options.forkingClients && client.open.size > 0);
  }

  /** Q honest replicas that are alive, with the primary among them as long as views do not change. */
  private chooseCore(): string | undefined {
    const { n, byzantine, f } = this.options;
    if (byzantine.length > f) return "more than f are Byzantine";
    const alive = this.replicas.filter(({ honest, isUp }) => honest && isUp);
    const quorum = quorumOf(this.setting);
    if (alive.length < quorum) return "fewer than Q are left";
    const primary = Math.max(...alive.map(({ core }) => core.view().view)) % n;
    const ids = alive.map(({ id }) => id);
    if (!VIEW_CHANGE && !ids.includes(primary)) return "the primary is faulty and views do not change";
    const must = VIEW_CHANGE ? [] : [primary];
    const others = this.prng.split("core").shuffled(ids.filter((id) => !must.includes(id)));
    this.core = [...must, ...others.slice(0, quorum - must.length)].sort((a, b) => a - b);
    return undefined;
  }

  /** The core and the clients see each other again; what is left outside keeps its faults, or is cut off for good. */
  private heal(): void {
    this.faults.stop();
    const prng = this.prng.split("outside");
    const clients = this.clients.map((_, index) => this.options.n + index);
    const inside = [...this.core, ...clients];
    for (const from of inside) {
      for (const to of inside) if (from !== to) this.network.heal(from, to, HEALED_LAW);
    }
    for (const replica of this.replicas) {
      if (this.core.includes(replica.id)) replica.resume();
      else if (replica.honest && prng.chance(0.5)) replica.crash();
    }
    for (const id of this.core) {
      for (const peer of this.core) if (id !== peer) this.replicas[id]?.link(peer, true);
      for (const client of this.clients) client.link(id, true);
    }
  }

  private isDone(): boolean {
    if (this.isAwaited()) return false;
    // What any honest replica executed is decided: the core gets there too, also where its clients heard of it from others.
    const honest = this.replicas.filter((replica) => replica.honest);
    const furthest = Math.max(...honest.map(({ execution, committed }) => Math.max(execution.executed, committed)));
    return this.core.every((id) => this.replicas[id]?.execution.executed === furthest);
  }

  private finish(): void {
    const lastExecuted = this.replicas
      .filter(({ honest }) => honest)
      .map(({ id, execution }) => ({ replica: id, sequence: execution.executed, state: execution.root() }));
    this.history.finish({ core: this.core, lastExecuted, at: this.scheduler.now });
  }
}

/** Whether no honest primary can be taken for a faulty one: operations take much less than the timeout, and clocks agree. */
function isFast({ diskMs, executionMs, turnMs, viewChangeTimeoutMs, ...clocks }: SimOptions): boolean {
  const { clockSkewMs, clockDrift, timeBoundMs } = clocks;
  const apart = 2 * (clockSkewMs + (clockDrift > 0 ? DISCIPLINE_MS : 0));
  const agree = apart + STEPS * HEALED_LAW.delayMaxMs <= timeBoundMs;
  return agree && STEPS * (SLOWEST_FSYNC * diskMs + executionMs + turnMs) <= viewChangeTimeoutMs;
}

/** The last operations of clients that do not lie. */
function heldBack({ options, operations }: Plan): Plan["operations"] {
  const honest = operations.filter(({ client }) => client >= options.forkingClients);
  const count = Math.min(HELD_BACK, Math.floor(HELD_BACK_SHARE * honest.length));
  return honest.slice(honest.length - count);
}

function settingOf(options: SimOptions): Setting {
  const { n, f, checkpointInterval, windowIntervals, byzantine, viewChangeTimeoutMs: timeoutMs } = options;
  const honest = Array.from({ length: n }, (_, id) => id).filter((id) => !byzantine.includes(id));
  return { n, f, window: checkpointInterval * windowIntervals, honest, timeoutMs, durable: true };
}

function lawOf(options: SimOptions, prng: Prng): (from: number, to: number) => LinkLaw {
  const { n, delayMinMs, delayMeanMs, delayMaxMs, loss, duplicate, ordered, slowLinks, slowFactor } = options;
  const law = { delayMinMs, delayMeanMs, delayMaxMs, loss, duplicate, ordered };
  const slow = new Set(Array.from({ length: slowLinks }, () => prng.below(n) * n + prng.below(n)));
  const slower = { ...law, delayMinMs: delayMinMs * slowFactor, delayMeanMs: delayMeanMs * slowFactor };
  return (from, to) => (from < n && to < n && slow.has(from * n + to) ? slower : law);
}
