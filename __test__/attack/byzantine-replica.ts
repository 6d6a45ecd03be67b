/**
 * A member made of the product's own parts (reactor, loop, core, execution), with faults between its core and everybody else.
 * What it cannot do is to sign two votes that contradict each other, as the reactor refuses that; `double-voter.ts` can.
 */
import { digestFromHex } from "../../dist/codec/digest.js";
import { Reactor } from "../../dist/native/native.js";
import { InlineExecution, type ExecutionPort } from "../../dist/node/execution-port.js";
import { replicaOptionsOf } from "../../dist/node/options.js";
import { ReactorLoop } from "../../dist/node/reactor-loop.js";
import { hostFor } from "../../dist/node/state-machine.js";
import { ThreadObserver } from "../../dist/node/thread-observer.js";
import { transportConfigOf } from "../../dist/node/thread.js";
import type { ClusterConfig, NodeMetrics, StateMachine } from "../../dist/index.js";
import { Replica } from "../../dist/protocol/replica.js";
import {
  everyone,
  setOf,
  without,
  type AgreedTime,
  type ClientKey,
  type ReplicaId,
  type ReplicaSet,
} from "../../dist/protocol/types.js";
import { FalseCore, type Fault } from "./false-core.ts";
import { withFalseResults } from "./false-results.ts";
import { withFalseState } from "./false-state.ts";
import { FalsifiedExecution } from "./falsified-execution.ts";
import { GarbageReactor } from "./garbage-reactor.ts";
import { Liar } from "./liar.ts";
import { Omitter } from "./omitter.ts";
import { SlowPrimary } from "./slow-primary.ts";
import { Switch } from "./switch.ts";
import { ViewSpammer } from "./view-spammer.ts";

/** Time that connections get to close. */
const SHUTDOWN_MS = 500;

export type FaultPlan =
  /** Every message is false, and every result. */
  | { readonly type: "lies" }
  /** Every so manieth message is dropped; with 1 all of them. */
  | { readonly type: "drops"; readonly every: number }
  /** Proposals leave so much later. */
  | { readonly type: "delays"; readonly ms: number }
  /** A VIEW-CHANGE for a higher view so often. */
  | { readonly type: "spams"; readonly everyMs: number }
  /** Bytes that are no message so often, to everybody. */
  | { readonly type: "babbles"; readonly everyMs: number }
  /** Every node of the state that it serves is false. */
  | { readonly type: "falsifiesState" };

export interface ByzantinePlan {
  readonly cluster: ClusterConfig;
  readonly me: number;
  /** PKCS#8 PEM. */
  readonly key: string;
  readonly faults: readonly FaultPlan[];
  /** Whether the faults act from the start; default true. */
  readonly attacking?: boolean;
}

export class ByzantineReplica {
  readonly #reactor: Reactor;
  readonly #loop: ReactorLoop;
  readonly #observer: ThreadObserver;
  readonly #switches: { on: boolean }[];
  #stopped = false;

  constructor({ cluster, me, key, faults, attacking = true }: ByzantinePlan, machine: StateMachine) {
    const listen = cluster.nodes[me]!;
    const data = { cluster, me, key, listen };
    const others = without(everyone(cluster.nodes.length), setOf(me as ReplicaId));
    const babbling = faults.find((plan) => plan.type === "babbles");
    const reactor =
      babbling === undefined
        ? new Reactor(transportConfigOf(data))
        : new GarbageReactor(transportConfigOf(data), others, babbling.everyMs, attacking);
    this.#reactor = reactor;
    const switches = faultsOf(faults, others, me as ReplicaId).map((fault) => new Switch(fault, attacking));
    this.#switches = reactor instanceof GarbageReactor ? [...switches, reactor] : switches;
    const options = replicaOptionsOf({ cluster, me: me as ReplicaId });
    const core = new Replica(options);
    const honest = new InlineExecution(hostFor(machine, cluster, me, undefined));
    const unused = { execution: "inline", module: undefined, caller: undefined, dataDir: undefined } as const;
    this.#observer = new ThreadObserver({
      data: { ...data, ...unused, debug: false, flightRecorder: false },
      core,
      reactor: this.#reactor,
      post: () => {},
    });
    this.#loop = new ReactorLoop({
      core: new FalseCore(core, switches),
      reactor: this.#reactor,
      execution: falseExecution(faults, honest),
      observer: this.#observer,
      replica: options,
      key: digestFromHex(cluster.nodes[me]!.publicKey) as string as ClientKey,
      durable: false,
      opaque: false,
    });
  }

  /** Takes part from now on, between the other work of this thread. */
  start(): void {
    this.#loop.start({ kind: "recovered", state: { type: "genesis" }, wallClock: Date.now() as AgreedTime });
    this.#run();
  }

  stop(): void {
    this.#stopped = true;
    this.#reactor.shutdown(SHUTDOWN_MS);
  }

  /** Lets the faults act, or be as if there were none. */
  attack(on: boolean): void {
    for (const each of this.#switches) each.on = on;
  }

  metrics(): NodeMetrics {
    return this.#observer.metrics();
  }

  #run(): void {
    if (this.#stopped) return;
    this.#loop.turn();
    this.#observer.flush();
    setImmediate(() => this.#run());
  }
}

function falseExecution(faults: readonly FaultPlan[], honest: ExecutionPort): ExecutionPort {
  if (faults.some(({ type }) => type === "lies")) return new FalsifiedExecution(honest, withFalseResults);
  return faults.some(({ type }) => type === "falsifiesState") ? new FalsifiedExecution(honest, withFalseState) : honest;
}

function faultsOf(plans: readonly FaultPlan[], others: ReplicaSet, me: ReplicaId): Fault[] {
  return plans.flatMap((plan) => {
    switch (plan.type) {
      case "lies":
        return new Liar(others, me);
      case "drops":
        return new Omitter(plan.every);
      case "delays":
        return new SlowPrimary(plan.ms);
      case "spams":
        return new ViewSpammer(others, plan.everyMs);
      case "babbles":
      case "falsifiesState":
        return [];
    }
  });
}
