import test from "ava";
import * as fc from "fast-check";
import { hexOf } from "../../dist/codec/digest.js";
import { MAP_KEY_BYTES_MAX, ReplicatedMap } from "../../dist/state/replicated-map.js";
import type { MapReader, MapVersion } from "../../dist/state/replicated-map.js";
import { VALUE_BYTES_MAX } from "../../dist/state/interfaces.js";
import { MapModel } from "./map-model.ts";
import { NodeHasher } from "./node-hasher.ts";

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const rootOf = (map: ReplicatedMap): string => hexOf(map.freeze().root(new NodeHasher()));
const contents = (reader: MapReader): string[][] => hex([...reader.range()]);
const hex = (entries: readonly (readonly [Uint8Array, Uint8Array])[]): string[][] =>
  entries.map((entry) => entry.map((part) => Buffer.from(part).toString("hex")));

/** Keys that share prefixes, end within one another, and differ in every half byte. */
const key = fc.oneof(
  fc.uint8Array({ maxLength: 3 }),
  fc
    .array(fc.constantFrom(0x00, 0x01, 0x10, 0x0f, 0xf0, 0xff), { maxLength: 6 })
    .map((values) => Uint8Array.from(values)),
  fc.uint8Array({ minLength: 30, maxLength: 40 }),
);
const value = fc.oneof(
  { arbitrary: fc.uint8Array({ maxLength: 8 }), weight: 8 },
  { arbitrary: fc.integer({ min: 255, max: 2000 }).map((length) => new Uint8Array(length).fill(length)), weight: 1 },
);
const change = fc.oneof(
  { arbitrary: fc.record({ kind: fc.constant("set" as const), key, value }), weight: 4 },
  { arbitrary: fc.record({ kind: fc.constant("delete" as const), key }), weight: 1 },
  { arbitrary: fc.record({ kind: fc.constant("deleteNth" as const), nth: fc.nat() }), weight: 2 },
  { arbitrary: fc.record({ kind: fc.constant("freeze" as const), hash: fc.nat({ max: 20 }) }), weight: 1 },
);
const changes = fc.array(change, { maxLength: 80 });
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

interface Kept {
  readonly version: MapVersion;
  readonly contents: string[][];
  readonly root: string;
}

function apply(map: ReplicatedMap, model: MapModel, all: readonly Change[], kept: Kept[] = []): Kept[] {
  const hasher = new NodeHasher();
  for (const one of all) {
    if (one.kind === "set") {
      map.set(one.key, one.value);
      model.set(one.key, one.value);
    } else if (one.kind === "freeze") {
      const version = map.freeze();
      version.hashSlice(hasher, one.hash);
      kept.push({ version, contents: hex(model.entries), root: model.root() });
    } else {
      const there = one.kind === "deleteNth" && model.entries.length > 0;
      const gone = there
        ? model.entries[one.nth % model.entries.length]![0]
        : one.kind === "delete"
          ? one.key
          : bytes("none");
      if (map.delete(gone) !== model.delete(gone))
        throw new Error("the map and the model disagree on what was deleted");
    }
  }
  return kept;
}

test("the map holds what a sorted array holds, and its root is that of the recursive definition", (t) => {
  fc.assert(
    fc.property(changes, fc.array(key), (all, questions) => {
      const map = new ReplicatedMap();
      const model = new MapModel();
      apply(map, model, all);
      t.deepEqual(contents(map), hex(model.entries));
      t.is(map.size, model.entries.length);
      for (const question of questions) t.deepEqual(map.get(question), model.get(question));
      t.is(rootOf(map), model.root());
    }),
    { numRuns: 400 },
  );
  t.pass();
});

test("equal contents have equal roots whatever the history", (t) => {
  fc.assert(
    fc.property(changes, fc.infiniteStream(fc.nat()), (all, order) => {
      const map = new ReplicatedMap();
      const model = new MapModel();
      apply(map, model, all);
      const shuffled = model.entries.map((entry) => ({ entry, at: order.next().value })).sort((a, b) => a.at - b.at);
      const other = new ReplicatedMap();
      for (const { entry } of shuffled) other.set(entry[0], bytes("before"));
      for (const { entry } of shuffled) other.set(entry[0], entry[1]);
      t.is(rootOf(other), rootOf(map));
    }),
  );
  t.pass();
});

test("frozen versions stay as they were, and each can be returned to", (t) => {
  fc.assert(
    fc.property(changes, fc.nat(), changes, (all, nth, later) => {
      const map = new ReplicatedMap();
      const model = new MapModel();
      const kept = apply(map, model, [...all, { kind: "freeze", hash: 3 }]);
      for (const { version, contents: before, root } of kept) {
        t.deepEqual(contents(version), before);
        t.is(hexOf(version.root(new NodeHasher())), root);
      }
      const target = kept[nth % kept.length]!;
      map.restoreTo(target.version);
      const again = new MapModel();
      again.entries = [...target.version.range()].map(([k, v]) => [k, v]);
      apply(map, again, later, kept);
      t.deepEqual(contents(map), hex(again.entries));
      t.is(rootOf(map), again.root());
      for (const { version, contents: before, root } of kept) {
        t.deepEqual(contents(version), before);
        t.is(hexOf(version.root(new NodeHasher())), root);
      }
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test("ranges are in order in both directions, within all bounds", (t) => {
  const bound = fc.option(key, { nil: undefined });
  const range = fc.record(
    { gte: bound, lt: bound, prefix: bound, reverse: fc.boolean(), limit: fc.nat({ max: 20 }) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(changes, fc.array(range, { minLength: 1, maxLength: 10 }), (all, ranges) => {
      const map = new ReplicatedMap();
      const model = new MapModel();
      apply(map, model, all);
      for (const one of ranges) {
        const given = Object.fromEntries(Object.entries(one).filter(([, part]) => part !== undefined));
        t.deepEqual(hex([...map.range(given)]), hex(model.range(one)));
        if (one.prefix !== undefined) t.is(map.count(one.prefix), model.range({ prefix: one.prefix }).length);
      }
    }),
    { numRuns: 400 },
  );
  t.pass();
});

test("a root computed in slices is the root computed at once, in slices no longer than asked for", (t) => {
  fc.assert(
    fc.property(changes, fc.integer({ min: 1, max: 7 }), (all, nodesMax) => {
      const map = new ReplicatedMap();
      const model = new MapModel();
      apply(map, model, all);
      const version = map.freeze();
      const hasher = new NodeHasher();
      for (let done = false; !done;) {
        const before = hasher.hashed;
        done = version.hashSlice(hasher, nodesMax);
        t.true(hasher.hashed - before <= nodesMax);
        map.set(bytes("meanwhile"), bytes(String(hasher.calls)));
      }
      t.is(hexOf(version.root(hasher)), model.root());
    }),
  );
  t.pass();
});

test("two versions that share long values are hashed in turns", (t) => {
  const map = new ReplicatedMap();
  const model = new MapModel();
  for (let i = 0; i < 40; i++) {
    const long = new Uint8Array(1000).fill(i);
    map.set(bytes(`key ${i}`), long);
    model.set(bytes(`key ${i}`), long);
  }
  const first = { version: map.freeze(), root: model.root() };
  map.set(bytes("key 7"), bytes("short"));
  model.set(bytes("key 7"), bytes("short"));
  const second = { version: map.freeze(), root: model.root() };
  const hasher = new NodeHasher();
  const unfinished = new Set([first, second]);
  while (unfinished.size > 0) {
    for (const one of unfinished) if (one.version.hashSlice(hasher, 3)) unfinished.delete(one);
  }
  t.is(hexOf(first.version.root(hasher)), first.root);
  t.is(hexOf(second.version.root(hasher)), second.root);
});

test("deleting what was added brings the root back", (t) => {
  const map = new ReplicatedMap();
  for (let i = 0; i < 100; i++) map.set(bytes(`key ${i}`), bytes(String(i)));
  const before = rootOf(map);
  for (let i = 100; i < 300; i++) map.set(bytes(`key ${i}`), bytes(String(i)));
  t.not(rootOf(map), before);
  for (let i = 100; i < 300; i++) t.true(map.delete(bytes(`key ${i}`)));
  t.is(rootOf(map), before);
  for (let i = 0; i < 100; i++) map.delete(bytes(`key ${i}`));
  t.is(rootOf(map), rootOf(new ReplicatedMap()));
});

test("known roots", (t) => {
  const map = new ReplicatedMap();
  t.is(rootOf(map), "83891d7fe85c33e52c8b4e5814c92fb6a3b9467299200538a6babaa8b452d879");
  map.set(bytes("a"), bytes("1"));
  map.set(bytes("ab"), bytes("2"));
  map.set(bytes("b"), new Uint8Array(300));
  t.is(rootOf(map), "0a261195c700519203cfb9fe7a13b81cb71ba249e3fb607817258f28d566bfff");
});

test("only changed nodes are hashed again, a level in one call", (t) => {
  const map = new ReplicatedMap();
  for (let i = 0; i < 5000; i++) map.set(Buffer.from(`${(i * 2654435761) % 2 ** 32}`), bytes("x"));
  const hasher = new NodeHasher();
  map.freeze().root(hasher);
  const all = hasher.hashed;
  t.true(all > 5000);
  t.true(hasher.calls <= 20);
  hasher.hashed = 0;
  map.set(Buffer.from(`${2654435761 % 2 ** 32}`), bytes("y"));
  map.freeze().root(hasher);
  t.true(hasher.hashed <= 12);
});

test("a write while a range is walked ends the walk with an error", (t) => {
  const map = new ReplicatedMap();
  for (const name of ["a", "b", "c"]) map.set(bytes(name), bytes(name));
  const entries = map.range();
  entries.next();
  map.set(bytes("d"), bytes("d"));
  t.throws(() => entries.next(), { code: "INVALID_ARGUMENT" });
  const begun = map.range();
  map.delete(bytes("a"));
  t.throws(() => begun.next(), { code: "INVALID_ARGUMENT" });
});

test("keys and values beyond their bounds are refused and leave nothing", (t) => {
  const map = new ReplicatedMap();
  map.set(new Uint8Array(MAP_KEY_BYTES_MAX), new Uint8Array(VALUE_BYTES_MAX));
  const before = rootOf(map);
  t.throws(() => map.set(new Uint8Array(MAP_KEY_BYTES_MAX + 1), bytes("")), { code: "INVALID_ARGUMENT" });
  t.throws(() => map.set(bytes("k"), new Uint8Array(VALUE_BYTES_MAX + 1)), { code: "INVALID_ARGUMENT" });
  t.throws(() => map.range({ limit: -1 }), { code: "INVALID_ARGUMENT" });
  t.throws(() => map.range({ gte: "a" as never }), { code: "INVALID_ARGUMENT" });
  t.is(rootOf(map), before);
});

test("the longest chain of keys that are prefixes of one another is walked, changed and hashed", (t) => {
  const map = new ReplicatedMap();
  for (let length = 0; length <= MAP_KEY_BYTES_MAX; length++) map.set(new Uint8Array(length), bytes("v"));
  t.is(map.size, MAP_KEY_BYTES_MAX + 1);
  t.deepEqual(
    [...map.range()].map(([k]) => k.length),
    Array.from({ length: MAP_KEY_BYTES_MAX + 1 }, (_, length) => length),
  );
  const before = rootOf(map);
  map.delete(new Uint8Array(MAP_KEY_BYTES_MAX));
  map.set(new Uint8Array(MAP_KEY_BYTES_MAX), bytes("v"));
  t.is(rootOf(map), before);
});

test("a released version is not read any more", (t) => {
  const version = new ReplicatedMap().freeze();
  version.release();
  version.release();
  t.throws(() => version.get(bytes("a")), { name: "AssertionError" });
});

test("a map that continues from another map's version shares it without changing it", (t) => {
  const map = new ReplicatedMap();
  for (let i = 0; i < 50; i++) map.set(bytes(`${i}`), bytes("before"));
  const version = map.freeze();
  const root = hexOf(version.root(new NodeHasher()));
  const other = new ReplicatedMap(version);
  for (let i = 0; i < 50; i += 2) {
    other.set(bytes(`${i}`), bytes("other"));
    map.delete(bytes(`${i}`));
  }
  t.is(hexOf(new ReplicatedMap(version).freeze().root(new NodeHasher())), root);
  t.deepEqual(other.get(bytes("0")), bytes("other"));
  t.false(map.has(bytes("0")));
  t.true(map.has(bytes("1")));
});
