/**
 * A faulty client as a process of its own: connected all the time, attacking when told to, so many bundles a second. After an
 * attack it goes on to take as much of the processors, without a word to the replicas.
 */
import { MessageCrypto, type ClusterConfig } from "../../dist/index.js";
import { totals } from "../process/machine.mjs";
import { eventually } from "../process/ports.ts";
import type { Answerer } from "../process/questions.ts";
import { serve } from "../process/serve.mjs";
import { cpuMs, EqualLoad } from "./equal-load.ts";
import { FalseClient, forged } from "./false-client.ts";

export interface FalseClientPlan {
  readonly cluster: ClusterConfig;
  /**
   * `forges`: no signature is right. `floods`: rightly signed operations that nobody waits for, far more than its window.
   * `conflicts`: two bundles with one client sequence, each to half of the replicas.
   */
  readonly kind: "forges" | "floods" | "conflicts";
  /** Bundles per second. */
  readonly rate: number;
}

const TICK_MS = 10;
const NONCE = 1;

/** Operations that change nothing, so that the total is what honest clients made it. */
const IDLE = totals.operation("add", { amount: 0 });
const REFUSED = totals.operation("refuse");

class Attacker {
  readonly #client: FalseClient;
  readonly #plan: FalseClientPlan;
  readonly #session: number;
  readonly #load = new EqualLoad();
  #sequence = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(client: FalseClient, plan: FalseClientPlan, session: number) {
    this.#client = client;
    this.#plan = plan;
    this.#session = session;
  }

  attack(): void {
    if (this.#timer !== undefined) return;
    this.#load.measure();
    this.#timer = setInterval(() => {
      for (let i = 0; i < (this.#plan.rate * TICK_MS) / 1000; i++) this.#strike();
    }, TICK_MS);
  }

  behave(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#load.repeat();
  }

  #strike(): void {
    this.#sequence += 1;
    const bundle = this.#client.bundle(this.#session, this.#sequence, IDLE);
    switch (this.#plan.kind) {
      case "forges":
        return this.#client.sendAll(forged(bundle));
      case "floods":
        return this.#client.sendAll(bundle);
      case "conflicts": {
        const other = this.#client.bundle(this.#session, this.#sequence, REFUSED);
        for (const replica of this.#client.cluster.nodes.keys())
          this.#client.send(replica, "bundle", replica % 2 === 0 ? bundle : other);
      }
    }
  }
}

await serve(async (plan: FalseClientPlan): Promise<Answerer> => {
  const client = new FalseClient(plan.cluster, MessageCrypto.generateKeyPair());
  await eventually("the replicas", () => client.transport.peers.length === plan.cluster.nodes.length);
  client.sendAll(client.opening(NONCE));
  const opened = await eventually("a session", () =>
    [...client.answers(0, NONCE).values()].find((entry) => "result" in entry),
  );
  const session = "result" in opened ? Number(Buffer.from(opened.result).readBigUInt64LE()) : 0;
  const attacker = new Attacker(client, plan, session);
  return { attack: () => attacker.attack(), behave: () => attacker.behave(), cpuMs };
});
