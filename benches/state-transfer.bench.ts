/** How fast a state travels, without a network: what the source makes of it, what the receiver checks, and what a difference costs. */
import test from "ava";
import { hashMany } from "../dist/native/native.js";
import { setOf } from "../dist/protocol/types.js";
import type { Instant, ReplicaId, Sequence } from "../dist/protocol/types.js";
import type { Hasher } from "../dist/state/interfaces.js";
import { ReplicatedMap } from "../dist/state/replicated-map.js";
import type { MapVersion } from "../dist/state/replicated-map.js";
import { StateSource } from "../dist/state/transfer/state-source.js";
import { StateTransfer } from "../dist/state/transfer/state-transfer.js";

const MIB = 1024 * 1024;
const ENTRIES = 100_000;
const SEQUENCE = 10 as Sequence;
const SOURCES = [0, 1, 2] as readonly number[] as readonly ReplicaId[];
const SLICE_NODES = 256;
const hasher: Hasher = { hashMany };

function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function keysOf(count: number): Uint8Array[] {
  const next = numbers(7);
  return Array.from({ length: count }, () => Uint8Array.from({ length: 16 }, () => next(256)));
}

interface Figures {
  readonly nodes: number;
  readonly bytes: number;
  readonly roundTrips: number;
  /** Time spent serving, and receiving. */
  readonly sourceMs: number;
  readonly receiverMs: number;
  readonly longestSliceMs: number;
  readonly version: MapVersion;
}

/** One transfer, message by message; each request and its answer is a round trip of its source. */
function transferred(version: MapVersion, own: ReplicatedMap | undefined): Figures {
  const receiver = own ?? new ReplicatedMap();
  const source = new StateSource({ versionAt: () => version, isComing: () => false, bytesPerSecond: 2 ** 50 });
  const transfer = new StateTransfer({
    hasher,
    sources: setOf(...SOURCES),
    own: own?.freeze(),
    versionOf: (root) => receiver.versionOf(root),
  });
  let [sourceMs, receiverMs, longestSliceMs, roundTrips] = [0, 0, 0, 0];
  const timed = <T>(run: () => T): T => {
    const before = performance.now();
    const result = run();
    const took = performance.now() - before;
    receiverMs += took;
    longestSliceMs = Math.max(longestSliceMs, took);
    return result;
  };
  const now = (): Instant => performance.now() as Instant;
  timed(() => transfer.aim(SEQUENCE, version.root(hasher)));
  while (transfer.status.status === "walking") {
    while (transfer.busy) timed(() => transfer.work(SLICE_NODES, now()));
    for (const { to, message } of timed(() => transfer.requests(now()))) {
      const before = performance.now();
      source.onFetch(to, message, now());
      const answer = source.answer(now());
      sourceMs += performance.now() - before;
      roundTrips++;
      if (answer === undefined) continue;
      // The source uses the memory of its answers again.
      const sent = { ...answer.message, nodes: answer.message.nodes.slice() };
      timed(() => transfer.onNodes(to, sent, now()));
    }
  }
  if (transfer.status.status !== "done") throw new Error(transfer.status.status);
  const { nodes, bytes } = transfer.progress;
  return { nodes, bytes, roundTrips, sourceMs, receiverMs, longestSliceMs, version: transfer.status.version };
}

for (const valueBytes of [32, 1_024, 16_384]) {
  test.serial(`${ENTRIES} entries of ${valueBytes} bytes`, (t) => {
    const count = valueBytes > 4_096 ? ENTRIES / 10 : ENTRIES;
    const keys = keysOf(count);
    const map = new ReplicatedMap();
    for (const [i, key] of keys.entries()) map.set(key, new Uint8Array(valueBytes).fill(i));
    const version = map.freeze();
    const before = performance.now();
    version.root(hasher);
    const hashedMs = performance.now() - before;
    const log = (what: string, { nodes, bytes, roundTrips, sourceMs, receiverMs, longestSliceMs }: Figures): void => {
      const mib = bytes / MIB;
      t.log(
        `${what}: ${nodes} nodes, ${mib.toFixed(1)} MiB, ${roundTrips} requests; source ${(mib / (sourceMs / 1000)).toFixed(0)} MiB/s;` +
          ` receiver ${(mib / (receiverMs / 1000)).toFixed(0)} MiB/s, ${Math.round(nodes / (receiverMs / 1000))} nodes/s,` +
          ` longest slice ${longestSliceMs.toFixed(1)} ms`,
      );
    };
    const whole = transferred(version, undefined);
    log("to an empty replica", whole);
    t.log(
      `the root of the same, computed once: ${hashedMs.toFixed(0)} ms; the receiver: ${whole.receiverMs.toFixed(0)} ms`,
    );
    const own = new ReplicatedMap(whole.version);
    const next = numbers(9);
    for (let i = 0; i < count / 100; i++) map.set(keys[next(count)]!, new Uint8Array(valueBytes).fill(i + 1));
    const changed = map.freeze();
    changed.root(hasher);
    const difference = transferred(changed, own);
    log("1 % changed", difference);
    t.log(`1 % changed: ${((100 * difference.nodes) / whole.nodes).toFixed(1)} % of the nodes fetched`);
    t.true(difference.nodes < whole.nodes / 10);
  });
}
