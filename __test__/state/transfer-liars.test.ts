/** State transfer from sources that lie, drip, stall, forget or are restarted: it costs time at most. */
import test from "ava";
import type { StateNodes } from "../../dist/protocol/messages.js";
import type { MapVersion } from "../../dist/state/replicated-map.js";
import { REQUESTS_MAX } from "../../dist/state/transfer/sources.js";
import { NODE_BYTES_MAX } from "../../dist/state/transfer/travelling-node.js";
import type { Behaviour, RigSource } from "./transfer-rig.ts";
import { doneVersion, entriesOf, hasher, honest, mapOf, numbers, randomContents, Rig } from "./transfer-rig.ts";

const ANSWER_BYTES = 2_048;
const source = mapOf(randomContents(600, 11));
source.set(Uint8Array.of(1), new Uint8Array(5_000).fill(3));
const version = source.freeze();
const root = version.root(hasher);
const other = mapOf(randomContents(600, 12)).freeze();
other.root(hasher);

const at10 = (of: MapVersion, behaviour?: Behaviour, delayMs?: number): RigSource => ({
  versions: new Map([[10, of]]),
  ...(behaviour === undefined ? {} : { behaviour }),
  ...(delayMs === undefined ? {} : { delayMs }),
});
const good = at10(version);

/** The packed nodes of an answer, one by one. */
function nodesIn({ nodes }: StateNodes): Uint8Array[] {
  const view = new DataView(nodes.buffer, nodes.byteOffset, nodes.byteLength);
  const list: Uint8Array[] = [];
  for (let at = 0; at < nodes.length; at += 4 + view.getUint32(at, true)) {
    list.push(nodes.slice(at, at + 4 + view.getUint32(at, true)));
  }
  return list;
}

function packed(answer: StateNodes, nodes: readonly Uint8Array[]): StateNodes {
  return { ...answer, count: nodes.length, nodes: new Uint8Array(Buffer.concat(nodes)) };
}

/** Time that the same takes with honest sources alone. */
function honestMs(sources: number): number {
  const rig = new Rig(new Array<RigSource>(sources).fill(good), { answerBytes: ANSWER_BYTES });
  rig.aim(10, root);
  doneVersion(rig.run());
  return rig.now;
}

function transferred(sources: readonly RigSource[], untilMs?: number): Rig {
  const rig = new Rig(sources, { answerBytes: ANSWER_BYTES });
  rig.aim(10, root);
  const result = doneVersion(rig.run(untilMs));
  if (entriesOf(result).join() !== entriesOf(version).join()) throw new Error("other entries");
  return rig;
}

test("no changed byte of any node is taken, and its sender is asked less than the others", (t) => {
  let place = 0;
  const flipping: Behaviour = (answer) => {
    const nodes = answer.nodes.slice();
    // Lengths are the decoder's to check: what is changed here is the nodes themselves.
    const list = nodesIn(answer);
    const starts = list.map((_, i) => list.slice(0, i).reduce((sum, node) => sum + node.length, 0));
    const i = place % list.length;
    const within = 4 + ((place * 7) % (list[i]!.length - 4));
    nodes[starts[i]! + within]! ^= 1 << (place++ % 8);
    return { ...answer, nodes };
  };
  for (let round = 0; round < 100; round++) {
    const rig = transferred([good, at10(version, flipping), good]);
    t.true(rig.transfer.progress.wrong >= 1, "the lie was seen");
    t.false((rig.transfer.progress.sources as readonly number[]).includes(1), "nothing of it counts as given");
    t.true(rig.requestsOf(1).length < rig.requestsOf(0).length);
  }
  t.true(place >= 100);
});

const next = numbers(13);
const lies: Record<string, Behaviour | MapVersion> = {
  "nodes of another version": other,
  "the node of another item first": (answer) => packed(answer, [...nodesIn(answer).slice(1), nodesIn(answer)[0]!]),
  "the first node twice": (answer) => packed(answer, [nodesIn(answer)[0]!, ...nodesIn(answer)]),
  "half of the nodes": (answer) => packed(answer, nodesIn(answer).slice(0, Math.ceil(answer.count / 2))),
  "one node at a time": (answer) => packed(answer, nodesIn(answer).slice(0, 1)),
  "random bytes": (answer) =>
    packed(answer, [Uint8Array.from({ length: 44 }, (_, i) => (i === 0 ? 40 : i < 4 ? 0 : next(256)))]),
  "an empty node": (answer) => packed(answer, [new Uint8Array(4)]),
  "an endless answer": (answer) => {
    const list = nodesIn(answer);
    return packed(answer, [...list, ...new Array<Uint8Array>(200).fill(list.at(-1)!)]);
  },
  "more bytes than any answer has": (answer) => ({
    ...answer,
    nodes: new Uint8Array(Buffer.concat([answer.nodes, new Uint8Array(ANSWER_BYTES + NODE_BYTES_MAX)])),
  }),
  "that it has no such state": (answer) => ({ ...answer, count: 0, nodes: new Uint8Array(0) }),
};

for (const [name, lie] of Object.entries(lies)) {
  test(`two liars of three that send ${name} delay the transfer, and no more`, (t) => {
    const liar = typeof lie === "function" ? at10(version, lie) : at10(lie);
    const rig = transferred([liar, good, liar], 60_000);
    t.true(rig.requestsOf(1).length > 0);
    t.true((rig.transfer.progress.sources as readonly number[]).includes(1));
    if (name !== "that it has no such state") t.true(rig.transfer.progress.wrong > 0, "the lie was seen");
    t.true(rig.now < 30 * honestMs(1), `${rig.now} ms instead of ${honestMs(1)} ms`);
  });
}

test("a replica that is lied to by all waits, and goes on when one tells the truth", (t) => {
  let honestNow = false;
  const turning: Behaviour = (answer) =>
    honestNow ? answer : { ...answer, nodes: answer.nodes.map((byte, at) => (at < 4 ? byte : byte ^ 1)) };
  const rig = new Rig([at10(version, turning), at10(version, turning)], { answerBytes: ANSWER_BYTES });
  rig.aim(10, root);
  t.is(rig.run(20_000).status, "walking");
  const asked = rig.requestsOf(0).length;
  t.true(asked < 40, `${asked} requests to a liar in 20 s`);
  honestNow = true;
  t.is(rig.run(120_000).status, "done");
});

test("a source that answers everything but the end does not hold up the transfer", (t) => {
  const answers = transferred([good, good, good]).requestsOf(1).length;
  const stalling: Behaviour = (answer, _, times) => (times < answers - 1 ? answer : undefined);
  const rig = transferred([good, at10(version, stalling), good]);
  t.true(rig.now <= 2 * honestMs(3) + 600, `${rig.now} ms instead of ${honestMs(3)} ms`);
});

test("a silent source and a slow one are left aside", (t) => {
  const silent: Behaviour = () => undefined;
  const rig = transferred([good, at10(version, silent), at10(version, undefined, 400)]);
  t.true(rig.requestsOf(1).length <= 3, "two in flight, and one more try");
  t.true(rig.requestsOf(0).length > 3 * rig.requestsOf(2).length);
  t.true(rig.now < honestMs(1) + 600, `${rig.now} ms instead of ${honestMs(1)} ms`);
});

test("what was lost on the way is asked for again, also where there is nobody else to ask", (t) => {
  const losing: Behaviour = (answer, _, times) => (times % 4 === 0 ? undefined : answer);
  const rig = transferred([at10(version, losing)]);
  const asked = rig.requestsOf(0).length;
  t.true(rig.now < 1_000 + asked * 2_000, `${rig.now} ms for ${asked} requests`);
});

test("answers that come too late are used all the same", (t) => {
  // Each takes longer than the first deadline.
  const rig = transferred([at10(version, undefined, 3_000), at10(version, undefined, 3_500)]);
  const { nodes } = rig.transfer.progress;
  t.true(rig.now < 600_000);
  const whole = transferred([good]).transfer.progress.nodes;
  t.true(nodes < 3 * whole, `${nodes} nodes for ${whole}`);
});

test("where one source has let go of the state and the others were late once, all are asked before it is again", (t) => {
  const gone: Behaviour = (answer) => ({ ...answer, count: 0, nodes: new Uint8Array(0) });
  const lateAndGone: Behaviour = (answer, request, times) => (times === 1 ? undefined : gone(answer, request, times));
  const rig = new Rig([at10(version, gone), at10(version, lateAndGone), at10(version, lateAndGone)]);
  rig.aim(10, root);
  t.is(rig.run().status, "unavailable");
  for (const source of [1, 2]) t.is(rig.requestsOf(source).length, 2);
  t.true(rig.now < 10_000, `${rig.now} ms`);
});

test("where no source has the state the transfer says so, keeps what has come, and goes on with a newer one", (t) => {
  let gives = false;
  const gone: Behaviour = (answer, _, times) =>
    gives || times <= 3 ? answer : { ...answer, count: 0, nodes: new Uint8Array(0) };
  const sources = [at10(version, gone), at10(version, gone)];
  const rig = new Rig(sources, { answerBytes: ANSWER_BYTES });
  rig.aim(10, root);
  t.is(rig.run().status, "unavailable");
  const { nodes } = rig.transfer.progress;
  t.true(nodes > 0);
  rig.aim(10, root);
  t.is(rig.run(rig.now + 5_000).status, "unavailable", "asked again, it is still gone");
  const moved = mapOf([...source.freeze().range()]);
  moved.set(Uint8Array.of(2), Uint8Array.of(2));
  const later = moved.freeze();
  later.root(hasher);
  const returned = new Rig([honest([20, later]), honest([20, later])], { answerBytes: ANSWER_BYTES });
  returned.aim(20, later.root(hasher));
  doneVersion(returned.run());
  for (const { versions } of sources) versions.set(20, later);
  gives = true;
  rig.aim(20, later.root(hasher));
  t.deepEqual(entriesOf(doneVersion(rig.run())), entriesOf(later));
  t.true(rig.transfer.progress.nodes < returned.transfer.progress.nodes + 20, "nothing was fetched twice");
});

test("a target that moves faster than the walk is reached, since what has come is kept", (t) => {
  const base = randomContents(4_000, 21);
  const moving = mapOf(base);
  const versions = new Map<number, MapVersion>();
  let sequence = 10;
  const freeze = (): void => {
    const frozen = moving.freeze();
    frozen.root(hasher);
    versions.set(sequence, frozen);
    // Only the newest version is held: whoever asks for an older one gets nothing.
    for (const held of versions.keys()) if (held < sequence) versions.delete(held);
  };
  freeze();
  const rig = new Rig([{ versions }, { versions }, { versions }], { answerBytes: ANSWER_BYTES });
  rig.aim(sequence, versions.get(sequence)!.root(hasher));
  let movedAt = 0;
  rig.onStep = () => {
    if (rig.now - movedAt < 9) return;
    movedAt = rig.now;
    sequence += 10;
    for (let i = 0; i < 5; i++) moving.set(base[next(base.length)]![0], Uint8Array.of(next(256), next(256)));
    freeze();
    rig.aim(sequence, versions.get(sequence)!.root(hasher));
  };
  const result = doneVersion(rig.run(20_000));
  t.true(sequence > 50, "the target has moved several times");
  t.deepEqual(entriesOf(result), entriesOf(versions.get(sequence)!));
  t.is(rig.transfer.progress.wrong, 0, "nobody is blamed for a version that is gone");
});

test("answers that nobody asked for are refused, and those of another source", (t) => {
  const rig = new Rig([good, at10(version, () => undefined)], { answerBytes: ANSWER_BYTES });
  const answer: StateNodes = { type: "stateNodes", request: 1, count: 1, nodes: Uint8Array.of(0, 0, 0, 0) };
  t.false(rig.deliver(0, answer), "before anything was asked");
  rig.aim(10, root);
  rig.run(1);
  const silent = rig.requestsOf(1)[0] ?? rig.requestsOf(0)[0]!;
  t.false(rig.deliver(7, { ...answer, request: silent.request }));
  t.false(rig.deliver(0, { ...answer, request: 999 }));
});

test("the requests in flight are bounded in all", (t) => {
  const held = mapOf(randomContents(3_000, 31));
  const own = mapOf(randomContents(3_000, 32));
  // They give the root, and nothing after it.
  const many = Array.from({ length: 12 }, () =>
    at10(held.freeze(), (answer, _, times) => (times > 1 ? undefined : answer)),
  );
  const rig = new Rig(many, { own, answerBytes: ANSWER_BYTES });
  rig.aim(10, held.freeze().root(hasher));
  rig.run(90);
  const inFlight = many.reduce((sum, _, id) => sum + rig.requestsOf(id).length - 1, 0);
  t.true(inFlight > 2 && inFlight <= REQUESTS_MAX, `${inFlight}`);
});
