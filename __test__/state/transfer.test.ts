/** State transfer between maps: what is fetched, and what it comes to. */
import test from "ava";
import * as fc from "fast-check";
import { STATE_ITEMS_MAX, STATE_NODES_MAX } from "../../dist/codec/state.js";
import { VALUE_BYTES_MAX } from "../../dist/state/interfaces.js";
import { MAP_KEY_BYTES_MAX, ReplicatedMap } from "../../dist/state/replicated-map.js";
import { countOf } from "../../dist/state/tree.js";
import { doneVersion, entriesOf, hasher, honest, mapOf, numbers, randomContents, Rig } from "./transfer-rig.ts";

const key = fc.oneof(
  fc.array(fc.constantFrom(0x00, 0x01, 0x10, 0x11, 0xff), { maxLength: 5 }).map((bytes) => Uint8Array.from(bytes)),
  fc.uint8Array({ maxLength: 3 }),
);
const value = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 4 }) },
  { weight: 1, arbitrary: fc.integer({ min: 250, max: 300 }).map((length) => new Uint8Array(length).fill(length)) },
);
const contents = fc.array(fc.tuple(key, value), { maxLength: 60 });
/** A value to set, or undefined to delete. */
const edits = fc.array(fc.tuple(key, fc.option(value, { nil: undefined })), { maxLength: 30 });

function edit(map: ReplicatedMap, changes: readonly (readonly [Uint8Array, Uint8Array | undefined])[]): void {
  for (const [at, to] of changes) {
    if (to === undefined) map.delete(at);
    else map.set(at, to);
  }
}

/** Nodes of a tree. */
function nodesOf(map: ReplicatedMap): number {
  const version = map.freeze();
  let nodes = 0;
  const waiting = version.tree === undefined ? [] : [version.tree];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    nodes++;
    if ("children" in node) waiting.push(...node.children);
  }
  return nodes;
}

test("an empty replica comes to the state of the others with the help of all", (t) => {
  const source = mapOf(randomContents(3_000, 1));
  const version = source.freeze();
  const root = version.root(hasher);
  const rig = new Rig([honest([10, version]), honest([10, version]), honest([10, version])], { answerBytes: 8 * 1024 });
  rig.aim(10, root);
  const result = doneVersion(rig.run());
  t.is(result.root(hasher), root);
  t.deepEqual(entriesOf(result), entriesOf(version));
  const { nodes, wrong, sources } = rig.transfer.progress;
  // Each was asked for the root.
  t.deepEqual([nodes, wrong, [...sources] as number[]], [nodesOf(source) + 2, 0, [0, 1, 2]]);
});

test("whatever a replica holds, it comes to the target, also by way of an earlier one", (t) => {
  fc.assert(
    fc.property(
      contents,
      edits,
      edits,
      fc.integer({ min: 1, max: 2_000 }),
      fc.nat(20),
      (first, before, after, bytes, turn) => {
        const own = mapOf(first);
        const source = mapOf(first);
        edit(source, before);
        source.set(Uint8Array.of(7), Uint8Array.of(1));
        const earlier = source.freeze();
        edit(source, after);
        source.set(Uint8Array.of(7), Uint8Array.of(2));
        const version = source.freeze();
        const held = honest([10, earlier], [20, version]);
        const rig = new Rig([held, held], { own, answerBytes: bytes });
        rig.aim(10, earlier.root(hasher));
        rig.run(turn);
        rig.aim(20, version.root(hasher));
        const result = doneVersion(rig.run());
        if (result.root(hasher) !== version.root(hasher)) throw new Error("another root");
        if (entriesOf(result).join() !== entriesOf(version).join()) throw new Error("other entries");
        if (result.size !== version.size) throw new Error("other counts");
        const { wrong } = rig.transfer.progress;
        if (wrong > 0) throw new Error("an honest source was blamed");
        own.restoreTo(result);
        own.set(Uint8Array.of(9), Uint8Array.of(9));
        if (own.freeze().root(hasher) === version.root(hasher)) throw new Error("the map does not go on");
        if (version.root(hasher) !== result.root(hasher)) throw new Error("writing has changed what was installed");
      },
    ),
    { numRuns: 400 },
  );
  t.pass();
});

test("what is fetched is proportional to the difference", (t) => {
  const ENTRIES = 20_000;
  const base = randomContents(ENTRIES, 2);
  const own = mapOf(base);
  const source = mapOf(base);
  const next = numbers(3);
  const shares: number[] = [];
  const all = nodesOf(source);
  for (const changed of [1, ENTRIES / 100, ENTRIES / 10]) {
    for (let i = 0; i < changed; i++) source.set(base[next(ENTRIES)]![0], Uint8Array.of(next(256), next(256), 9));
    const version = source.freeze();
    const rig = new Rig([honest([10, version]), honest([10, version])], { own });
    rig.aim(10, version.root(hasher));
    const result = doneVersion(rig.run());
    const { nodes, reused } = rig.transfer.progress;
    shares.push(nodes / changed);
    t.is(countOf(result.tree), version.size);
    t.true(reused + changed >= version.size, "all else was ours");
    t.log(`${changed} of ${ENTRIES} entries changed: ${nodes} of ${all} nodes fetched`);
    own.restoreTo(result);
  }
  // A changed leaf and the nodes above it, of which several leaves share some.
  t.true(
    shares.every((share) => share <= 7),
    shares.join(),
  );
});

test("a key that comes or goes high in the tree costs no more than itself", (t) => {
  const base = randomContents(2_000, 4).map(([name, content]) => [Uint8Array.of(0x75, ...name), content] as const);
  const log = Uint8Array.of(0x6c);
  for (const [mine, theirs] of [
    [[...base, [log, log] as const], base],
    [base, [...base, [log, log] as const]],
  ] as const) {
    const own = mapOf(mine);
    const source = mapOf(theirs);
    source.set(base[0]![0], Uint8Array.of(1, 2, 3));
    const version = source.freeze();
    const rig = new Rig([honest([10, version])], { own });
    rig.aim(10, version.root(hasher));
    doneVersion(rig.run());
    t.true(rig.transfer.progress.nodes <= 8, `${rig.transfer.progress.nodes} nodes`);
  }
});

test("a replica that holds the target already asks nobody", (t) => {
  const own = mapOf(randomContents(100, 5));
  const rig = new Rig([honest()], { own });
  rig.aim(10, own.freeze().root(hasher));
  doneVersion(rig.run());
  t.deepEqual(rig.requestsOf(0), []);
});

test("the longest values and the deepest trees fit into answers and requests", (t) => {
  const source = new ReplicatedMap();
  for (let n = 0; n < 3; n++) source.set(Uint8Array.of(1, n), new Uint8Array(VALUE_BYTES_MAX).fill(n));
  for (let length = 1; length <= MAP_KEY_BYTES_MAX; length++) {
    source.set(new Uint8Array(length).fill(0x22), Uint8Array.of(length));
    source.set(new Uint8Array(length).fill(0x22).fill(0x23, length - 1), Uint8Array.of(length));
  }
  const version = source.freeze();
  const held = honest([10, version]);
  const rig = new Rig([held, held], { answerBytes: 4_096 });
  rig.aim(10, version.root(hasher));
  t.deepEqual(entriesOf(doneVersion(rig.run())), entriesOf(version));
  t.is(rig.transfer.progress.wrong, 0);
  const requests = [...rig.requestsOf(0), ...rig.requestsOf(1)];
  t.true(requests.every(({ items }) => items.length <= STATE_ITEMS_MAX));
  t.true(Math.max(...requests.flatMap(({ items }) => items.map(({ path }) => path.length))) > 2_000);
});

test("an answer holds at most so many nodes, however small they are", (t) => {
  const source = new ReplicatedMap();
  for (let n = 0; n < 6_000; n++) source.set(Uint8Array.of(n >> 8, n), new Uint8Array(0));
  const version = source.freeze();
  const counts: number[] = [];
  const rig = new Rig([
    {
      versions: new Map([[10, version]]),
      behaviour: (answer) => {
        counts.push(answer.count);
        return answer;
      },
    },
  ]);
  rig.aim(10, version.root(hasher));
  t.deepEqual(entriesOf(doneVersion(rig.run())), entriesOf(version));
  t.is(Math.max(...counts), STATE_NODES_MAX);
  t.is(rig.transfer.progress.wrong, 0);
});
