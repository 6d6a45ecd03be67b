/**
 * Everything that a seed chooses, as plain data: printed in full for every failing run, and shrunk number by number.
 */
import { BUNDLE_BYTES_MAX } from "../codec/client.ts";
import type { ReplicaOptions } from "../protocol/options.ts";
import type { ReplicaId } from "../protocol/types.ts";
import type { Prng } from "./prng.ts";

export const adversaryNames = [
  "equivocator",
  "conflicter",
  "mutator",
  "scribbler",
  "omitter",
  "delayer",
  "accomplice",
  "usurper",
  "censor",
  "checkpointLiar",
  "complainer",
  "dripFeeder",
  "newViewLiar",
  "sleeper",
  "slowPrimary",
  "stateLiar",
  "statusLiar",
  "viewChangeLiar",
  "viewSpammer",
] as const;
export type AdversaryName = (typeof adversaryNames)[number];

export const faultKinds = ["partition", "cut", "clog", "swizzle", "crash", "pause"] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface SimOptions {
  /** Decimal, 0 … 2^64−1. */
  readonly seed: string;
  readonly n: number;
  readonly f: number;
  readonly checkpointInterval: number;
  /** Checkpoint intervals in the window. */
  readonly windowIntervals: number;
  readonly inFlightMax: number;
  readonly pipelineDepth: number;
  readonly batchBundlesMax: number;
  readonly batchBytesMax: number;
  readonly poolBundlesMax: number;
  readonly poolBytesMax: number;
  readonly historyBytesMax: number;
  readonly viewChangeTimeoutMs: number;
  readonly timeBoundMs: number;

  readonly clients: number;
  /** The first so many clients sign two bundles under one client sequence. */
  readonly forkingClients: number;
  /** Over all clients. */
  readonly operations: number;
  /** Mean pause of a client between two submissions; 0 submits everything at once. */
  readonly thinkMs: number;
  readonly operationBytesMax: number;

  readonly delayMinMs: number;
  readonly delayMeanMs: number;
  readonly delayMaxMs: number;
  readonly loss: number;
  readonly duplicate: number;
  readonly ordered: boolean;
  /** Links between replicas that are `slowFactor` times slower than the others. */
  readonly slowLinks: number;
  readonly slowFactor: number;

  /** From the arrival of a message to the turn that takes it: what arrives meanwhile comes in the same turn. */
  readonly turnMs: number;
  readonly executionMs: number;
  readonly diskMs: number;
  /** Highest rate error of a replica's clock, and offset of its wall clock. */
  readonly clockDrift: number;
  readonly clockSkewMs: number;
  /** Probability that an input is given to the core a second time. */
  readonly redeliver: number;
  /** Whether the vote table filters no more than it must, so that everything rests on the core's own counting. */
  readonly naiveVotes: boolean;

  /** Byzantine replicas in ascending order, and what each does: its repertoire. */
  readonly byzantine: readonly number[];
  readonly repertoires: readonly (readonly AdversaryName[])[];
  /** Byzantine replicas know of each other and support each other's claims. */
  readonly colluding: boolean;
  /** Probability that an adversary uses an opportunity. */
  readonly malice: number;

  readonly faults: readonly FaultKind[];
  readonly faultCount: number;
  /** How long the first phase lasts, in which safety alone is asked. */
  readonly faultsMs: number;
  /** How long the healed core may take in the second. */
  readonly livenessMs: number;
  /** Real Ed25519 keys through the addon instead of the stub. */
  readonly realCrypto: boolean;
  /** Whether clients keep operations for the time after everything was healed, when views have to settle. */
  readonly calm: boolean;
  /** Whether the core changes views. Without it, liveness is asked only of cores that include the first primary. */
  readonly viewChange: boolean;
  /** Whether a replica that crashed starts again from its records. Without it, what comes back has a wiped disk. */
  readonly journal: boolean;
}

/** Whether the product can leave a view yet. */
export const VIEW_CHANGE = true;

/** Whether the product can start again from what its disk kept yet. */
export const JOURNAL = true;

/** Share of seeds with more than f Byzantine replicas, where only what binds each honest replica alone is checked. */
const OVERWHELMED = 0.05;
/** What makes a bad primary, each in its way. */
const badPrimaries: readonly AdversaryName[] = ["sleeper", "slowPrimary", "censor", "newViewLiar", "equivocator"];
/** Share of the seeds with enemies in which the first f primaries are all bad. */
const SUCCESSIVE = 0.2;
/** Share of seeds with real signatures: a hundred times slower, and they differ from the stub in cost alone. */
const REAL_CRYPTO = 0.01;
/** Share of seeds whose disks are there again after a crash; the others' replicas find them wiped. */
const KEPT = 0.8;
const LIVENESS_MS = 120_000;
/** Share of seeds that go on in calm after they were healed: each simulates many timeouts more. */
const CALM = 0.3;

/** Draws the options of a seed. Every group has a stream of its own, so that a new option leaves the others as they were. */
export function chooseOptions(seed: bigint, root: Prng, given: Partial<SimOptions> = {}): SimOptions {
  const shape = chooseShape(root.split("shape"));
  const drawn: SimOptions = {
    seed: BigInt.asUintN(64, seed).toString(),
    ...shape,
    ...chooseBounds(root.split("bounds")),
    ...chooseWorkload(root.split("workload")),
    ...chooseNetwork(root.split("network")),
    ...chooseMachine(root.split("machine")),
    ...chooseEnemies(root.split("enemies"), given.n ?? shape.n, given.f ?? shape.f),
    ...chooseFaults(root.split("faults")),
    livenessMs: LIVENESS_MS,
    realCrypto: root.split("crypto").chance(REAL_CRYPTO),
    calm: root.split("calm").chance(CALM),
    viewChange: VIEW_CHANGE,
    journal: JOURNAL && root.split("journal").chance(KEPT),
  };
  return { ...drawn, ...given };
}

function chooseShape(prng: Prng): Pick<SimOptions, "n" | "f"> {
  // Four replicas most often: the smallest cluster has the sharpest quorums and the most runs per second.
  const n = prng.chance(0.5) ? 4 : prng.pick([4, 5, 6, 7, 10]);
  return { n, f: Math.floor((n - 1) / 3) };
}

type Bounds = Pick<
  SimOptions,
  | "checkpointInterval"
  | "windowIntervals"
  | "inFlightMax"
  | "pipelineDepth"
  | "batchBundlesMax"
  | "batchBytesMax"
  | "poolBundlesMax"
  | "poolBytesMax"
  | "historyBytesMax"
  | "viewChangeTimeoutMs"
  | "timeBoundMs"
>;

function chooseBounds(prng: Prng): Bounds {
  const checkpointInterval = prng.pick([1, 2, 3, 5, 10]);
  const windowIntervals = prng.between(2, 4);
  const inFlightMax = prng.between(1, checkpointInterval * windowIntervals);
  const small = prng.chance(0.25);
  return {
    checkpointInterval,
    windowIntervals,
    inFlightMax,
    pipelineDepth: prng.between(1, inFlightMax),
    batchBundlesMax: prng.pick([1, 2, 8, 64]),
    batchBytesMax: prng.pick([256, 4096, 65_536]),
    poolBundlesMax: small ? prng.between(1, 4) : 1000,
    // The largest bundle must fit, or it waits for ever and everything behind it.
    poolBytesMax: small ? BUNDLE_BYTES_MAX : 2 * BUNDLE_BYTES_MAX,
    historyBytesMax: prng.pick([0, 2000, 1_000_000]),
    viewChangeTimeoutMs: prng.pick([500, 1000, 5000]),
    timeBoundMs: prng.pick([500, 5000]),
  };
}

function chooseWorkload(
  prng: Prng,
): Pick<SimOptions, "clients" | "forkingClients" | "operations" | "thinkMs" | "operationBytesMax"> {
  return {
    clients: prng.between(1, 4),
    forkingClients: prng.pick([0, 0, 0, 1]),
    operations: prng.between(5, 35),
    thinkMs: prng.pick([0, 5, 50, 300]),
    operationBytesMax: prng.pick([32, 32, 200, 2000]),
  };
}

type Weather = Pick<
  SimOptions,
  "delayMinMs" | "delayMeanMs" | "delayMaxMs" | "loss" | "duplicate" | "ordered" | "slowLinks" | "slowFactor"
>;

function chooseNetwork(prng: Prng): Weather {
  return {
    delayMinMs: prng.pick([0, 1, 1, 20]),
    delayMeanMs: prng.pick([0, 1, 5, 50]),
    delayMaxMs: prng.pick([100, 1000, 5000]),
    loss: prng.pick([0, 0, 0.01, 0.1, 0.3]),
    duplicate: prng.pick([0, 0, 0.05, 0.5]),
    ordered: prng.chance(0.3),
    slowLinks: prng.pick([0, 0, 1, 3]),
    slowFactor: prng.pick([3, 10, 100]),
  };
}

type Machine = Pick<
  SimOptions,
  "turnMs" | "executionMs" | "diskMs" | "clockDrift" | "clockSkewMs" | "redeliver" | "naiveVotes"
>;

function chooseMachine(prng: Prng): Machine {
  return {
    turnMs: prng.pick([0, 0, 1, 10]),
    executionMs: prng.pick([0, 1, 20]),
    diskMs: prng.pick([0, 1, 10, 100]),
    clockDrift: prng.pick([0, 0, 0.01, 0.1]),
    clockSkewMs: prng.pick([0, 10, 400]),
    redeliver: prng.pick([0, 0, 0.05]),
    naiveVotes: prng.chance(0.5),
  };
}

type Enemies = Pick<SimOptions, "byzantine" | "repertoires" | "colluding" | "malice">;

function chooseEnemies(prng: Prng, n: number, f: number): Enemies {
  const replicas = Array.from({ length: n }, (_, replica) => replica);
  const overwhelmed = prng.chance(OVERWHELMED);
  const count = overwhelmed ? prng.between(f + 1, n - 1) : prng.chance(0.3) ? 0 : prng.between(1, f);
  let byzantine = prng.sample(replicas, count);
  // The enemy that matters most is the primary; the first view's is replica 0.
  if (count > 0 && !byzantine.includes(0) && prng.chance(0.3)) byzantine = [0, ...byzantine.slice(1)];
  const successive = count > 0 && !overwhelmed && prng.chance(SUCCESSIVE);
  if (successive) byzantine = replicas.slice(0, f);
  byzantine.sort((a, b) => a - b);
  const colluding = byzantine.length > 1 && prng.chance(0.5);
  const repertoires = byzantine.map((_, index) => {
    const drawn = prng.sample(adversaryNames, prng.between(1, 3));
    const own = successive ? [prng.pick(badPrimaries), ...drawn] : drawn;
    return colluding ? [index === 0 ? ("equivocator" as const) : ("accomplice" as const), ...own] : own;
  });
  return { byzantine, repertoires, colluding, malice: prng.pick([0.05, 0.3, 0.8, 1]) };
}

/** Swarm: each seed keeps a random half of the kinds, because kinds that always occur hide each other's effects. */
function chooseFaults(prng: Prng): Pick<SimOptions, "faults" | "faultCount" | "faultsMs"> {
  const faults = faultKinds.filter(() => prng.chance(0.5));
  return { faults, faultCount: prng.pick([0, 1, 3, 6]), faultsMs: prng.pick([300, 2000, 10_000]) };
}

/** What a simulated core is told. */
export function replicaOptions(options: SimOptions, me: number): ReplicaOptions {
  const { n, f, checkpointInterval, windowIntervals, inFlightMax, pipelineDepth, historyBytesMax, timeBoundMs } =
    options;
  const { viewChangeTimeoutMs, batchBundlesMax, batchBytesMax, poolBundlesMax, poolBytesMax } = options;
  const window = checkpointInterval * windowIntervals;
  const inFlight = Math.min(inFlightMax, window);
  return {
    n,
    f,
    me: me as ReplicaId,
    checkpointInterval,
    window,
    inFlightMax: inFlight,
    pipelineDepth: Math.min(pipelineDepth, inFlight),
    viewChangeTimeoutMs,
    batchBundlesMax,
    batchBytesMax,
    poolBundlesMax,
    poolBytesMax,
    historyBytesMax,
    timeBoundMs,
  };
}
