/**
 * The decisions of a run as flat lists: what breaks when, and what the clients ask for. A run is its plan, so a decision can be
 * taken out and the rest run again.
 */
import type { SimOptions } from "./options.ts";
import type { Prng } from "./prng.ts";

export type Fault =
  /** Links between `side` and the others are down both ways. */
  | { readonly kind: "partition"; readonly atMs: number; readonly untilMs: number; readonly side: readonly number[] }
  /** One link is down one way. */
  | {
      readonly kind: "cut";
      readonly atMs: number;
      readonly untilMs: number;
      readonly from: number;
      readonly to: number;
    }
  /** One link holds what it is given until the end. */
  | {
      readonly kind: "clog";
      readonly atMs: number;
      readonly untilMs: number;
      readonly from: number;
      readonly to: number;
    }
  /** The process ends. Another one starts in its place at `restartAtMs`, or none. */
  | { readonly kind: "crash"; readonly atMs: number; readonly replica: number; readonly restartAtMs?: number }
  /** The process is asked to stop, has until `restartAtMs` for it, and another one takes its place. */
  | { readonly kind: "stop"; readonly atMs: number; readonly replica: number; readonly restartAtMs: number }
  /** The process of a Byzantine replica ends, and another one starts from a disk as it was some time before. */
  | { readonly kind: "amnesia"; readonly atMs: number; readonly replica: number; readonly restartAtMs: number }
  /** The process stands still, as under SIGSTOP; what arrives waits. */
  | { readonly kind: "pause"; readonly atMs: number; readonly untilMs: number; readonly replica: number };

export interface PlannedOperation {
  readonly client: number;
  /** Earliest time of submission. */
  readonly atMs: number;
  readonly operation: string;
}

export interface Plan {
  readonly options: SimOptions;
  readonly faults: readonly Fault[];
  readonly operations: readonly PlannedOperation[];
  /** Opportunities, by number, that the adversaries let pass; `undefined` takes none away. */
  readonly muted: { readonly except: readonly number[] } | undefined;
}

/** Share of the crashes after which the replica comes back. */
const RESTARTED = 0.5;
/** Share of the Byzantine replicas that forget what they said. */
const FORGETFUL = 0.1;
/** Share of the seeds in which processes end and come back to their disks, in which all of them do at once, and are asked to. */
const RETURNING = 0.4;
const BLACKED_OUT = 0.15;
const STOPPED = 0.3;
const RETURNS_MAX = 5;

export function drawPlan(options: SimOptions, root: Prng, operations?: readonly PlannedOperation[]): Plan {
  return {
    options,
    faults: [
      ...drawRestarts(drawFaults(options, root.split("fault plan")), options, root.split("restarts")),
      ...drawAmnesia(options, root.split("amnesia")),
      ...(options.journal ? drawReturns(options, root.split("returns")) : []),
    ],
    operations: operations ?? drawOperations(options, root.split("operations")),
    muted: undefined,
  };
}

/** Crashes count among the f: a replica that does not come back, or comes back to a wiped disk, is as good as Byzantine. */
function drawFaults(options: SimOptions, prng: Prng): Fault[] {
  const faults: Fault[] = [];
  const honest = Array.from({ length: options.n }, (_, replica) => replica).filter(
    (r) => !options.byzantine.includes(r),
  );
  let crashes = options.f - options.byzantine.length;
  for (let index = 0; index < options.faultCount && options.faults.length > 0; index++) {
    const kind = prng.pick(options.faults);
    const atMs = prng.below(options.faultsMs);
    const untilMs = atMs + 1 + prng.below(options.faultsMs);
    if (kind === "crash") {
      if (crashes-- > 0) faults.push({ kind, atMs, replica: prng.pick(honest) });
    } else if (kind === "pause") faults.push({ kind, atMs, untilMs, replica: prng.pick(honest) });
    else if (kind === "partition") {
      const side = prng.sample(
        Array.from({ length: options.n }, (_, replica) => replica),
        prng.between(1, options.n - 1),
      );
      faults.push({ kind, atMs, untilMs, side: side.sort((a, b) => a - b) });
    } else if (kind === "swizzle") faults.push(...drawSwizzle(options, prng, atMs));
    else faults.push({ kind, atMs, untilMs, ...drawLink(options.n, prng) });
  }
  return faults;
}

function drawRestarts(faults: readonly Fault[], { faultsMs }: SimOptions, prng: Prng): Fault[] {
  return faults.map((fault) => {
    if (fault.kind !== "crash" || !prng.chance(RESTARTED)) return fault;
    return { ...fault, restartAtMs: fault.atMs + 1 + prng.below(faultsMs) };
  });
}

function drawAmnesia({ byzantine, faultsMs }: SimOptions, prng: Prng): Fault[] {
  return byzantine.flatMap((replica): Fault[] => {
    if (!prng.chance(FORGETFUL)) return [];
    const atMs = prng.below(faultsMs);
    return [{ kind: "amnesia", atMs, replica, restartAtMs: atMs + 1 + prng.below(faultsMs / 10) }];
  });
}

/** Processes that come back to what they wrote count among nobody's faults, so any number of them may be down. */
function drawReturns({ n, faultsMs }: SimOptions, prng: Prng): Fault[] {
  const back = (kind: "crash" | "stop", replica: number, atMs: number): Fault => {
    return { kind, atMs, replica, restartAtMs: atMs + 1 + prng.below(0.3 * faultsMs) };
  };
  const time = (): number => prng.below(0.7 * faultsMs);
  const faults: Fault[] = [];
  const count = prng.chance(RETURNING) ? prng.between(1, RETURNS_MAX) : 0;
  for (let index = 0; index < count; index++) faults.push(back("crash", prng.below(n), time()));
  if (prng.chance(STOPPED)) faults.push(back("stop", prng.below(n), time()));
  if (!prng.chance(BLACKED_OUT)) return faults;
  const atMs = time();
  for (let replica = 0; replica < n; replica++) faults.push(back("crash", replica, atMs));
  return faults;
}

/** All links of one replica are clogged one by one and let go in random order. */
function drawSwizzle(options: SimOptions, prng: Prng, atMs: number): Fault[] {
  const replica = prng.below(options.n);
  const peers = Array.from({ length: options.n }, (_, peer) => peer).filter((peer) => peer !== replica);
  const ends = prng.shuffled(peers.map((_, index) => atMs + 50 * (peers.length + index)));
  return peers.map((peer, index) => ({
    kind: "clog",
    atMs: atMs + 50 * index,
    untilMs: ends[index] ?? atMs,
    from: peer,
    to: replica,
  }));
}

function drawLink(n: number, prng: Prng): { readonly from: number; readonly to: number } {
  const from = prng.below(n);
  return { from, to: (from + prng.between(1, n - 1)) % n };
}

/** Operations of the store that the simulator brings; each carries a number that makes its bytes unique. */
function drawOperations(options: SimOptions, prng: Prng): PlannedOperation[] {
  const operations: PlannedOperation[] = [];
  const times = Array.from({ length: options.clients }, () => 0);
  for (let index = 0; index < options.operations; index++) {
    const client = prng.below(options.clients);
    const atMs = Math.round((times[client] ?? 0) + (options.thinkMs > 0 ? prng.exponential(options.thinkMs) : 0));
    times[client] = atMs;
    operations.push({ client, atMs, operation: drawOperation(index, options.operationBytesMax, prng) });
  }
  return operations;
}

function drawOperation(index: number, bytesMax: number, prng: Prng): string {
  const key = prng.below(4);
  const kind = prng.pick(["put", "put", "get", "add", "add", "append", "refuse", "fail"]);
  const text = `${index} ${kind} k${key} ${prng.below(100)}`;
  const padding = prng.chance(0.2) ? prng.between(0, Math.max(0, bytesMax - text.length - 1)) : 0;
  return padding > 0 ? `${text} ${"x".repeat(padding)}` : text;
}
