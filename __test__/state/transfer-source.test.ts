/** What serving a state costs is bounded: per answer, per peer, per second, and in versions kept. */
import test from "ava";
import type { StateFetch, StateItem } from "../../dist/protocol/messages.js";
import type { Instant, ReplicaId, Sequence } from "../../dist/protocol/types.js";
import type { MapVersion } from "../../dist/state/replicated-map.js";
import { StateSource } from "../../dist/state/transfer/state-source.js";
import { NODE_BYTES_MAX } from "../../dist/state/transfer/travelling-node.js";
import { hasher, mapOf, randomContents } from "./transfer-rig.ts";

const ROOT: StateItem = { path: new Uint8Array(0), deep: true };
const [A, B, C] = [0, 1, 2] as ReplicaId[] as [ReplicaId, ReplicaId, ReplicaId];
const at = (ms: number): Instant => ms as Instant;

const map = mapOf(randomContents(4_000, 41));
const version = map.freeze();
version.root(hasher);

function fetchOf(
  sequence: number,
  request = 1,
  bytesMax = 256 * 1024,
  items: readonly StateItem[] = [ROOT],
): StateFetch {
  return { type: "stateFetch", sequence: sequence as Sequence, request, bytesMax, items };
}

function sourceOf(versions: ReadonlyMap<number, MapVersion>, bytesPerSecond = 1024 * 1024): StateSource {
  return new StateSource({
    versionAt: (sequence) => versions.get(sequence),
    isComing: (sequence) => sequence > 1_000,
    bytesPerSecond,
  });
}

const held = new Map([[10, version]]);

test("an answer ends with the node that reaches the bytes asked for, and has at least one", (t) => {
  const source = sourceOf(held, 2 ** 40);
  for (const bytesMax of [1, 100, 5_000, 100_000]) {
    source.onFetch(A, fetchOf(10, 7, bytesMax), at(0));
    const { to, message } = source.answer(at(0))!;
    t.is(to, A);
    t.is(message.request, 7);
    t.true(message.count >= 1 && message.nodes.length >= bytesMax);
    t.true(message.nodes.length < bytesMax + 4 + NODE_BYTES_MAX);
    let length = 0;
    const view = new DataView(message.nodes.buffer, message.nodes.byteOffset);
    for (let i = 0; i < message.count - 1; i++) length += 4 + view.getUint32(length, true);
    t.true(length < bytesMax, "without the last node it would be too short");
  }
});

test("who asks for a state, or a place, that is not there gets an answer without nodes", (t) => {
  const source = sourceOf(held, 2 ** 40);
  for (const request of [
    fetchOf(11),
    fetchOf(10, 1, 100, [{ path: Uint8Array.of(0, 0, 0), deep: false }]),
    fetchOf(10, 1, 100, [{ path: new Uint8Array(2_051).fill(3), deep: true }]),
  ]) {
    source.onFetch(A, request, at(0));
    t.is(source.answer(at(0))!.message.count, 0);
  }
});

test("a peer is served so many bytes per second, and others meanwhile", (t) => {
  const source = sourceOf(held, 100_000);
  const served = new Map<ReplicaId, number>();
  const serve = (from: number, until: number): void => {
    for (let now = from; now < until; now++) {
      for (const peer of [A, B]) while (source.onFetch(peer, fetchOf(10, 1, 20_000), at(now)));
      for (let answer = source.answer(at(now)); answer !== undefined; answer = source.answer(at(now))) {
        served.set(answer.to, (served.get(answer.to) ?? 0) + answer.message.nodes.length);
      }
      if (source.ready(at(now))) throw new Error("it is ready, and does not answer");
    }
  };
  serve(0, 1_000);
  served.clear();
  serve(1_000, 11_000);
  for (const peer of [A, B]) {
    const bytes = served.get(peer)!;
    t.true(bytes > 700_000 && bytes <= 1_020_000, `${bytes} bytes in 10 s`);
  }
  const due = source.deadline(at(11_000))!;
  t.true(due > 11_000 && due < 11_500);
});

test("requests of a peer that wait are bounded, and peers take turns", (t) => {
  const source = sourceOf(held, 2 ** 40);
  t.deepEqual(
    [1, 2, 3, 4, 5, 6].map((request) => source.onFetch(A, fetchOf(10, request, 1_000), at(0))),
    [true, true, true, true, false, false],
  );
  t.true(source.onFetch(B, fetchOf(10, 9, 1_000), at(0)));
  const order = Array.from({ length: 5 }, () => source.answer(at(0))!).map(({ to, message }) => [to, message.request]);
  t.deepEqual(order as unknown, [
    [A, 1],
    [B, 9],
    [A, 2],
    [A, 3],
    [A, 4],
  ]);
  t.is(source.answer(at(0)), undefined);
  t.is(source.deadline(at(0)), undefined);
});

test("tiny answers are not free", (t) => {
  const source = sourceOf(held, 100_000);
  let answers = 0;
  for (let now = 0; now < 10_000; now += 10) {
    source.onFetch(A, fetchOf(10, 1, 1, [{ path: Uint8Array.of(0), deep: false }]), at(now));
    while (source.answer(at(now)) !== undefined) answers++;
  }
  t.true(answers < 400, `${answers} answers in 10 s`);
});

test("a version that a peer reads stays while it asks, one at most, and not for ever", (t) => {
  const versions = new Map([10, 20, 30].map((sequence) => [sequence, version]));
  const source = sourceOf(versions, 2 ** 40);
  const ask = (peer: ReplicaId, sequence: number, now: number): void => {
    source.onFetch(peer, fetchOf(sequence), at(now));
    source.answer(at(now));
  };
  const pinned = (stable: number, now: number): number | undefined => source.pinned(stable as Sequence, at(now));
  t.is(pinned(20, 0), undefined, "nobody asks");
  ask(A, 10, 0);
  t.is(pinned(10, 0), undefined, "the stable version stays anyway");
  t.is(pinned(20, 1_000), 10);
  ask(B, 20, 1_000);
  t.is(pinned(30, 1_000), 10, "one at most");
  t.is(source.deadline(at(1_000)), at(10_000));
  t.is(pinned(30, 10_000), 20, "the first asks no more, the second does");
  let now = 10_000;
  for (; pinned(30, now) === 20; now += 1_000) {
    ask(B, 20, now);
    if (now > 300_000) throw new Error("for ever");
  }
  t.true(now > 100_000, "as long as a transfer may take");
  t.is(pinned(30, now), undefined, "and no longer");
  ask(C, 10, now);
  ask(B, 20, now);
  t.is(pinned(30, now), 10, "others may have their turn");
});

test("a version that is not held is no reason to keep it", (t) => {
  const source = sourceOf(held, 2 ** 40);
  source.onFetch(A, fetchOf(5), at(0));
  t.is(source.pinned(20 as Sequence, at(0)), undefined);
});
