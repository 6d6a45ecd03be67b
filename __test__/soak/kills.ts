/**
 * Replica processes that are killed a thousand times: at every point of their writing and sending, at any moment, and all of them at
 * once, with everything that they say on the wire held against what they said before.
 */
import { availableParallelism } from "node:os";
import { Prng } from "../../dist/testing/prng.js";
import { thrown } from "../process/assertions.ts";
import { assertNothingLost, assertUncontradicted } from "../process/contradictions.ts";
import { Killer, killPoints, type KillPoint } from "../process/killer.ts";
import {
  CHECKPOINT_INTERVAL,
  IMPATIENT_MS,
  killedAt,
  killedAtStart,
  lost,
  PACE_MS,
  PATIENT_MS,
  primaryOf,
  voted,
} from "../process/kills.ts";
import { Load } from "../process/load.ts";
import { Replicas } from "../process/replicas.ts";
import type { Stage } from "./main.ts";

const IN_FLIGHT = 2;
const ALL = [0, 1, 2, 3] as const;
/** Then the record of all that was said, and the tap's memory with it, begins again. */
const PER_CLUSTER = 48;
const MOMENT = "any moment";
const AT_ONCE = "all four at once";
const AT_START = "once more at its start";
const LOST = "with its disk";
/** What {@link MOMENT} is drawn from. */
const MOMENT_MS = 300;

type Log = (line: string) => void;
type Occasion = KillPoint | typeof MOMENT | typeof AT_ONCE | typeof AT_START | typeof LOST;

export function killStage(goal: number): Stage {
  return { name: `${goal} kills`, run: async (log, deadline) => new Kills(goal, deadline).run(log) };
}

class Kills {
  readonly #goal: number;
  readonly #deadline: number;
  readonly #random: Prng;
  readonly #seed = Math.floor(Math.random() * 2 ** 32);
  readonly #counts = new Map<string, { backup: number; primary: number }>();
  /** What is to come; when it is empty, everything comes again in another order. */
  readonly #occasions: Occasion[] = [];
  #operations = 0;
  #said = 0;
  #failed = false;

  constructor(goal: number, deadline: number) {
    this.#goal = goal;
    this.#deadline = deadline;
    this.#random = new Prng(BigInt(this.#seed));
    for (const occasion of occasions()) this.#counts.set(nameOf(occasion), { backup: 0, primary: 0 });
  }

  async run(log: Log): Promise<void> {
    log(`seed ${this.#seed}`);
    const killer = new Killer();
    try {
      // A replica that starts keeps one core busy.
      const clusters = Array.from({ length: availableParallelism() }, async () => this.#clusters(killer));
      const failed = (await Promise.allSettled(clusters)).find((end) => end.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    } finally {
      killer.close();
      this.#print(log);
    }
    const missing = [...this.#counts].filter(([, { backup, primary }]) => backup + primary === 0).map(([name]) => name);
    if (missing.length > 0) throw new Error(`nobody was killed at: ${missing.join(", ")}`);
    if (this.#total < this.#goal) throw new Error(`the time was up after ${this.#total} of ${this.#goal} kills`);
  }

  get #total(): number {
    return [...this.#counts.values()].reduce((sum, { backup, primary }) => sum + backup + primary, 0);
  }

  get #ended(): boolean {
    return this.#failed || this.#total >= this.#goal || Date.now() > this.#deadline;
  }

  async #clusters(killer: Killer): Promise<void> {
    while (!this.#ended) await this.#cluster(killer);
  }

  async #cluster(killer: Killer): Promise<void> {
    const ends: (() => unknown)[] = [];
    try {
      const owner = { teardown: (end: () => unknown) => void ends.push(end) };
      const viewChangeTimeoutMs = this.#random.below(2) === 0 ? IMPATIENT_MS : PATIENT_MS;
      const shared = { viewChangeTimeoutMs, checkpointInterval: CHECKPOINT_INTERVAL };
      const plan = { n: 4, shared, recorded: false, tapped: true, killer };
      const replicas = await Replicas.start(owner, plan);
      const load = new Load([await replicas.client()], IN_FLIGHT, PACE_MS);
      await Promise.all(ALL.map(async (replica) => voted(replicas, replica)));
      for (let n = 0; n < PER_CLUSTER && !this.#ended; n++) {
        await this.#kill(replicas);
        thrown.deepEqual(replicas.wiretap.record.contradictions, []);
      }
      await load.stop();
      await assertNothingLost(thrown, replicas, load);
      assertUncontradicted(thrown, replicas);
      this.#operations += load.totals.length;
      this.#said += replicas.wiretap.record.size;
    } catch (error) {
      this.#failed = true;
      throw error;
    } finally {
      for (const end of ends.toReversed()) await end();
    }
  }

  async #kill(replicas: Replicas): Promise<void> {
    if (this.#occasions.length === 0) this.#occasions.push(...this.#random.shuffled(occasions()));
    const occasion = this.#occasions.pop() as Occasion;
    const primary = await primaryOf(replicas);
    const victim = this.#random.below(2) === 0 ? primary : this.#random.below(ALL.length);
    if (occasion === AT_ONCE) await this.#allAtOnce(replicas);
    else if (occasion === AT_START) await killedAtStart(replicas, victim, this.#random);
    else if (occasion === LOST) await lost(replicas, victim);
    else if (occasion === MOMENT) await this.#atAnyMoment(replicas, victim);
    else await killedAt(replicas, victim, occasion, this.#random);
    this.#count(occasion, occasion === AT_ONCE ? ALL : [victim], primary);
  }

  async #allAtOnce(replicas: Replicas): Promise<void> {
    await Promise.all(ALL.map(async (replica) => replicas.kill(replica)));
    for (const replica of this.#random.shuffled([...ALL])) await replicas.begin(replica);
    await Promise.all(ALL.map(async (replica) => voted(replicas, replica)));
  }

  async #atAnyMoment(replicas: Replicas, victim: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#random.below(MOMENT_MS)));
    await replicas.kill(victim);
    await replicas.restart(victim);
    await voted(replicas, victim);
  }

  #count(occasion: Occasion, victims: readonly number[], primary: number): void {
    const counts = this.#counts.get(nameOf(occasion))!;
    for (const victim of victims) counts[victim === primary ? "primary" : "backup"] += 1;
  }

  #print(log: Log): void {
    const width = Math.max(...[...this.#counts.keys()].map(({ length }) => length));
    log(`${"point".padEnd(width)}  backup  primary`);
    for (const [name, { backup, primary }] of this.#counts)
      log(`${name.padEnd(width)}  ${String(backup).padStart(6)}  ${String(primary).padStart(7)}`);
    log(`${this.#total} kills, ${this.#operations} operations, ${this.#said} different things said on the wire`);
  }
}

function occasions(): Occasion[] {
  return [...killPoints, MOMENT, AT_START, AT_ONCE, LOST];
}

function nameOf(occasion: Occasion): string {
  return typeof occasion === "string" ? occasion : occasion.name;
}
