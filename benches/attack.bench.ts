/**
 * What attacks cost, as ratios within one run: the pause after primaries were killed against the timeout, and goodput under each
 * attack against goodput without it. Replicas and attackers are processes on this machine and share its processors. So that
 * a faulty client slows nobody by merely running, which it would not from a machine of its own, it takes as much processor time
 * (printed, of all processors) in the stretches without the attack, computing for nothing. All that it makes replicas do is in
 * the ratio, and by itself in the processor time of the replicas per answered operation; only the kernel's part in delivering
 * its packets on loopback is the attacker's. Likewise a replica that starts again yields to the others until it takes part.
 * Prints a table and writes `.bench/attack.json`; asserted is only that every operation was answered, once.
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { cpus, setPriority } from "node:os";
import test, { type ExecutionContext } from "ava";
import type { FaultPlan } from "../__test__/attack/byzantine-replica.ts";
import type { FalseClientPlan } from "../__test__/attack/client-process.ts";
import { assertAnsweredOnce, Load } from "../__test__/process/load.ts";
import { rolled } from "../__test__/process/rolling.ts";
import { Replicas, type Owner, type ReplicasPlan } from "../__test__/process/replicas.ts";
import { FalseClientProcess } from "./attack/false-client.ts";

/** Length of one stretch of goodput; short, as stretches without and with the attack take turns and neighbours come and go. */
const SECONDS = Number(process.env["BENCH_ATTACK_SECONDS"] ?? 1);
/** Pairs of stretches in a row. */
const PAIRS = Number(process.env["BENCH_ATTACK_PAIRS"] ?? 6);
/** Clusters that are started for a row whose attack succeeds only once. */
const ROUNDS = Number(process.env["BENCH_ATTACK_ROUNDS"] ?? 3);
const WARM_UP_SECONDS = Number(process.env["BENCH_WARM_UP_SECONDS"] ?? 3);
/** What a faulty replica or client sends in a second, where it floods. */
const PER_SECOND = Number(process.env["BENCH_ATTACK_RATE"] ?? 100);
const TIMEOUT_MS = 2_000;
/** Longer than metrics stay as they are. */
const SETTLED_S = 1.5;
/** Honest clients, and operations that each has in flight: enough that goodput is what the replicas can do. */
const HONEST_CLIENTS = 4;
const IN_FLIGHT = 64;

/** A load that leaves the machine to processes that start again: operations in flight of each client, and the pause between two. */
const GENTLE = { inFlight: 2, paceMs: 8 };

/** For rows in which a primary fails; the others have the default. */
const IMPATIENT = { viewChangeTimeoutMs: TIMEOUT_MS };

/** What one row has measured. */
interface Found {
  /** The ratios. */
  readonly rounds: readonly number[];
  /** Processor time of the honest replicas per answered operation, under attack against without: what neighbours change least. */
  readonly cost?: number;
  /** Share of all processors that a faulty client's own process took while it attacked. */
  readonly attacker?: number;
  /** Views that passed, in the round with most of them. */
  readonly views: number;
}

interface Row extends Found {
  readonly name: string;
  /** The median. */
  readonly ratio: number;
  readonly goal: string;
  readonly met: boolean;
}

const rows: Row[] = [];

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function record(t: ExecutionContext, name: string, found: Found, goal: { atMost: number } | { atLeast: number }): void {
  const ratio = median(found.rounds);
  const met = "atMost" in goal ? ratio <= goal.atMost : ratio >= goal.atLeast;
  const row = { ...found, name, ratio, goal: "atMost" in goal ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`, met };
  rows.push(row);
  t.log(line(row));
  mkdirSync(".bench", { recursive: true });
  const machine = { cores: cpus().length, model: cpus()[0]?.model, node: process.version };
  const settings = {
    seconds: SECONDS,
    pairs: PAIRS,
    rounds: ROUNDS,
    perSecond: PER_SECOND,
    timeoutMs: TIMEOUT_MS,
    inFlight: HONEST_CLIENTS * IN_FLIGHT,
  };
  writeFileSync(".bench/attack.json", `${JSON.stringify({ machine, settings, rows }, null, 2)}\n`);
}

function line({ name, ratio, goal, met, rounds, cost, attacker, views }: Row): string {
  const all = rounds.map((value) => value.toFixed(2)).join(" ");
  const costs = cost === undefined ? "" : `  processor time × ${cost.toFixed(2)}`;
  const own = attacker === undefined ? "" : `  attacker's own ${(100 * attacker).toFixed(1)} %, in both`;
  return `${met ? "reached" : "MISSED "} ${name.padEnd(62)} ${ratio.toFixed(2).padStart(5)}  goal ${goal.padEnd(6)}  views ${views}  (${all})${costs}${own}`;
}

async function seconds(count: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, count * 1_000));
}

/** One stretch: operations answered per second, and processor time of the honest replicas per operation. */
async function goodput({ replicas, load }: Stage, length = SECONDS): Promise<{ rate: number; cost: number }> {
  const [before, spent, since] = [load.totals.length, await replicas.cpuMs(), performance.now()];
  await seconds(length);
  const answered = load.totals.length - before;
  const rate = (answered * 1_000) / (performance.now() - since);
  return { rate, cost: ((await replicas.cpuMs()) - spent) / Math.max(1, answered) };
}

/** Goodput under attack against goodput without, in turns. The first attack is not counted: it compiles code. */
async function shares(stage: Stage, attack: (on: boolean) => Promise<void>): Promise<Omit<Found, "views">> {
  const rounds: number[] = [];
  const costs: number[] = [];
  for (let pair = 0; pair <= PAIRS; pair++) {
    const free = await goodput(stage);
    await attack(true);
    const attacked = await goodput(stage);
    await attack(false);
    rounds.push(attacked.rate / free.rate);
    costs.push(attacked.cost / free.cost);
  }
  return { rounds: rounds.slice(1), cost: median(costs.slice(1)) };
}

interface Stage {
  readonly replicas: Replicas;
  readonly load: Load;
  /** Ends what belongs to this stage. */
  readonly owner: Owner;
}

/** One cluster under load from its start to its end; what was measured on it, and how many views passed. */
async function staged<T>(
  t: ExecutionContext,
  plan: ReplicasPlan,
  measure: (stage: Stage) => Promise<T>,
  { inFlight, paceMs } = { inFlight: IN_FLIGHT, paceMs: 0 },
): Promise<{ readonly value: T; readonly views: number }> {
  const ends: (() => unknown)[] = [];
  const owner: Owner = { teardown: (end) => void ends.unshift(end) };
  t.teardown(async () => Promise.all(ends.map((end) => end())));
  const replicas = await Replicas.start(owner, { ...plan, recorded: false });
  const clients = Array.from({ length: HONEST_CLIENTS }, async () => replicas.client());
  const load = new Load(await Promise.all(clients), inFlight, paceMs);
  await seconds(WARM_UP_SECONDS);
  const value = await measure({ replicas, load, owner });
  await load.stop();
  assertAnsweredOnce(t, load);
  const views = await highestView(replicas);
  for (const end of ends) await end();
  return { value, views };
}

async function highestView(replicas: Replicas): Promise<number> {
  const metrics = await Promise.all(replicas.alive.map(async (replica) => replicas.metrics(replica)));
  return Math.max(...metrics.map(({ view }) => view));
}

/** The view that all replicas are in and stay in: while many start on few processors, the first primaries may be replaced. */
async function settledView(replicas: Replicas): Promise<number> {
  for (;;) {
    const before = await highestView(replicas);
    await seconds(SETTLED_S);
    const all = await Promise.all(replicas.alive.map(async (replica) => replicas.metrics(replica)));
    const calm = all.every(({ view, pendingView }) => view === before && pendingView === undefined);
    if (calm) return before;
  }
}

/** Kills the primary and those after it under load; the longest time without an answer, over `withinMs`. */
async function killed(t: ExecutionContext, n: number, count: number, withinMs: number): Promise<Found> {
  const rounds: number[] = [];
  let most = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { value, views } = await staged(t, { n, shared: IMPATIENT }, async ({ replicas, load }) => {
      const before = await settledView(replicas);
      const primaries = Array.from({ length: count }, (_, next) => (before + next) % n);
      load.watch();
      await Promise.all(primaries.map(async (primary) => replicas.kill(primary)));
      const answered = load.totals.length;
      await replicas.until("the next primary orders", ({ view, operationsExecuted }) => {
        return view >= before + count && operationsExecuted > answered + IN_FLIGHT;
      });
      return load.longestPauseMs / withinMs;
    });
    rounds.push(value);
    most = Math.max(most, views);
  }
  return { rounds, views: most };
}

test.serial("killed primaries", async (t) => {
  const one = await killed(t, 4, 1, TIMEOUT_MS);
  record(t, "pause after a killed primary, n = 4 / timeout", one, { atMost: 1.5 });
  // Each timeout is twice the one before.
  const two = await killed(t, 7, 2, 3 * TIMEOUT_MS);
  record(t, "pause after two killed primaries, n = 7 / sum of timeouts", two, { atMost: 1 });
});

const CLIENTS: readonly (readonly [FalseClientPlan["kind"], string])[] = [
  ["forges", "a client forges signatures"],
  ["floods", "a client floods, and waits for nothing"],
  ["conflicts", "a client tells each half of the replicas something else"],
];
for (const [kind, name] of CLIENTS) {
  test.serial(name, async (t) => {
    const { value, views } = await staged(t, { n: 4 }, async (stage) => {
      const { cluster } = stage.replicas;
      const attacker = await FalseClientProcess.start(stage.owner, { cluster, kind, rate: PER_SECOND });
      let [attacks, spent] = [0, 0];
      const found = await shares(stage, async (on) => {
        await attacker.attack(on);
        const [now, cpu] = [performance.now(), await attacker.cpuMs()];
        attacks += on ? -now : now;
        spent += on ? -cpu : cpu;
      });
      return { ...found, attacker: spent / attacks / cpus().length };
    });
    record(t, `goodput: ${name}`, { ...value, views }, { atLeast: 0.95 });
  });
}

const BACKUPS: readonly (readonly [FaultPlan, string])[] = [
  [{ type: "drops", every: 1 }, "a backup is silent"],
  [{ type: "babbles", everyMs: 1_000 / PER_SECOND }, "a backup sends garbage"],
  [{ type: "spams", everyMs: 1_000 / PER_SECOND }, "a backup floods VIEW-CHANGEs"],
];
for (const [fault, name] of BACKUPS) {
  test.serial(name, async (t) => {
    const plan = { n: 4, faults: { 3: [fault] }, attacking: false };
    const { value, views } = await staged(t, plan, async (stage) =>
      shares(stage, async (on) => stage.replicas.attack(3, on)),
    );
    record(t, `goodput: ${name}`, { ...value, views }, { atLeast: 0.9 });
  });
}

test.serial("a slow primary", async (t) => {
  const plan = {
    n: 4,
    shared: IMPATIENT,
    faults: { 0: [{ type: "delays", ms: 0.9 * TIMEOUT_MS } as const] },
    attacking: false,
  };
  const rounds: number[] = [];
  let most = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { value, views } = await staged(t, plan, async (stage) => {
      const free = await goodput(stage, PAIRS * SECONDS);
      // It is primary once, so the time until it is replaced counts once.
      await stage.replicas.attack(0, true);
      return (await goodput(stage, PAIRS * SECONDS)).rate / free.rate;
    });
    rounds.push(value);
    most = Math.max(most, views);
  }
  record(t, "goodput: the primary delays proposals by 0.9 × timeout", { rounds, views: most }, { atLeast: 0.3 });
});

function percentile99(milliseconds: readonly number[]): number {
  return milliseconds.toSorted((a, b) => a - b)[Math.floor(milliseconds.length * 0.99)] ?? Number.NaN;
}

/** Lowest priority, and that of everybody else. */
const [LAST, EQUAL] = [19, 0];

/**
 * Restarts a replica that computes only when the others do not, until it takes part: starting a process takes a processor for a
 * second, of which the others notice nothing where it has a machine of its own.
 */
async function startedBeside(replicas: Replicas, replica: number): Promise<void> {
  const child = await replicas.begin(replica);
  const { pid } = child.process;
  // Only the superuser may take a low priority back.
  const mayYield = process.platform === "linux" && process.getuid?.() === 0 && pid !== undefined;
  if (mayYield) prioritize(pid, LAST);
  await child.ready;
  if (mayYield) prioritize(pid, EQUAL);
}

/** Of all threads: on Linux each has a priority of its own, and begins with that of the thread which made it. */
function prioritize(pid: number, priority: number): void {
  for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), priority);
}

test.serial("a rolling restart of durable replicas", async (t) => {
  const rounds: number[] = [];
  const plan = { n: 4, shared: IMPATIENT, durable: true };
  const measured = async ({ replicas, load }: Stage): Promise<void> => {
    for (let round = 0; round < ROUNDS; round++) {
      load.watch();
      await seconds(PAIRS * SECONDS);
      const quiet = percentile99(load.latenciesMs);
      load.watch();
      await rolled(replicas, load, async (replica) => startedBeside(replicas, replica));
      rounds.push(percentile99(load.latenciesMs) - quiet);
    }
  };
  const { views } = await staged(t, plan, measured, GENTLE);
  record(t, "P99 through a rolling restart less P99 without, in ms", { rounds, views }, { atMost: 10 });
});

test.serial.after.always("table", (t) => {
  for (const row of rows) t.log(line(row));
});
