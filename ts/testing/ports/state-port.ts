/** State transfer of a simulated replica: the product's own, on virtual time. */
import type { Action, Input } from "../../protocol/core.ts";
import type { StateFetch, StateNodes } from "../../protocol/messages.ts";
import { everyone, setOf, without } from "../../protocol/types.ts";
import type { Instant, ReplicaId, Run, Sequence } from "../../protocol/types.ts";
import type { Executor } from "../../state/executor.ts";
import { StateExchange } from "../../state/transfer/state-exchange.ts";
import type { ExchangeOutput } from "../../state/transfer/state-exchange.ts";
import { hasher } from "../hashing.ts";
import type { Surroundings } from "../surroundings.ts";
import { sealBody } from "../wire.ts";

/** So small that even the state of a short run takes several answers. */
const ANSWER_BYTES = 512;
/** Nodes checked at once, and how long that takes. */
const SLICE_NODES = 16;
const SLICE_MS = 0.1;

export interface StatePortOwner {
  readonly id: number;
  readonly executor: Executor;
  readonly onInput: (input: Input) => void;
  /** A message that binds nobody. */
  readonly leave: (to: number, name: "stateFetch" | "stateNodes", frame: Uint8Array) => void;
  /** A state has taken the place of the one before. */
  readonly onInstalled: (input: Extract<Input, { kind: "installed" }>) => void;
}

export class StatePort {
  private readonly around: Surroundings;
  private readonly owner: StatePortOwner;
  private readonly exchange: StateExchange;
  private wakeAt = Infinity;
  private ended = false;
  private distrusted = false;
  private run = 0;

  constructor(around: Surroundings, owner: StatePortOwner) {
    const sources = without(everyone(around.options.n), setOf(owner.id as ReplicaId));
    this.around = around;
    this.owner = owner;
    this.exchange = new StateExchange({ executor: owner.executor, hasher, sources, answerBytes: ANSWER_BYTES });
  }

  /** Whether nothing may be executed, since a state is awaited. */
  get installing(): boolean {
    return this.exchange.installing;
  }

  /** Our own state was found false. */
  distrust(): void {
    this.distrusted = true;
  }

  install({ run, certificate }: Extract<Action, { kind: "install" }>): void {
    const { sequence, digest } = certificate;
    this.run = run;
    this.exchange.install({ run, sequence, digest, distrustOwn: this.distrusted }, this.now);
    this.pump();
  }

  /** A batch of this run is to be executed: replay got there before the state. */
  supersede(run: Run): void {
    if (this.exchange.installing && run > this.run) this.exchange.cancel();
  }

  onFetch(from: ReplicaId, message: StateFetch): string | undefined {
    const taken = this.exchange.onFetch(from, message, this.now);
    this.pump();
    return taken ? undefined : "busy";
  }

  onNodes(from: ReplicaId, message: StateNodes): string | undefined {
    const asked = this.exchange.onNodes(from, message, this.now);
    this.pump();
    return asked ? undefined : "unasked";
  }

  stable(sequence: Sequence): void {
    this.exchange.stable(sequence, this.now);
  }

  end(): void {
    this.ended = true;
  }

  private get now(): Instant {
    return this.around.scheduler.now as Instant;
  }

  /** Carries what the exchange has to say, and comes back when it is due. */
  private pump(): void {
    for (const output of this.exchange.take()) this.carry(output);
    const deadline = this.exchange.ready(this.now) ? this.now + SLICE_MS : this.exchange.deadline(this.now);
    if (deadline === undefined) return;
    // A microsecond later, so that the scheduler's rounding wakes nobody too early.
    const due = Math.max(deadline, this.now) + 0.001;
    if (due >= this.wakeAt) return;
    this.wakeAt = due;
    this.around.scheduler.at(due, () => {
      if (this.wakeAt !== due) return;
      this.wakeAt = Infinity;
      if (this.ended) return;
      this.exchange.tick(this.now);
      this.exchange.work(SLICE_NODES, this.now);
      this.pump();
    });
  }

  private carry(output: ExchangeOutput): void {
    const { coverage } = this.around;
    switch (output.kind) {
      case "stateFetch":
      case "stateNodes": {
        const frame =
          output.kind === "stateFetch"
            ? sealBody("stateFetch", output.message, unsigned)
            : sealBody("stateNodes", output.message, unsigned);
        return this.owner.leave(output.to, output.kind, frame);
      }
      case "installed": {
        const { run, sequence, digest, sessions, marks, progress } = output;
        this.distrusted = false;
        coverage.hit("state installed");
        if (progress.reused > 0) coverage.hit("equal subtrees skipped");
        if (progress.wrong > 0) coverage.hit("wrong state refused");
        return this.owner.onInstalled({ kind: "installed", run, sequence, digest, sessions, marks });
      }
      case "installFailed":
        coverage.hit(output.reason === "unavailable" ? "state unavailable" : "state invalid");
        return this.owner.onInput(output);
    }
  }
}

function unsigned(): Uint8Array {
  return new Uint8Array(0);
}
