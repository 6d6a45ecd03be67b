import test from "ava";
import { RETRIES_AT_ONCE } from "../../dist/client/retry.js";
import { everyone, setOf, without, type ReplicaId, type ReplicaSet } from "../../dist/protocol/types.js";
import { ok, Rig, sessionBytes } from "./rig.ts";

const only = (replica: number): ReplicaSet => setOf(replica as ReplicaId);
const all = everyone(4);

test("after silence all replicas get the same bundle, then again with growing pauses", (t) => {
  const rig = new Rig();
  rig.open();
  rig.submit("a");
  rig.pass(0);
  const { bundle } = rig.sends[0]!;
  const times: number[] = [];
  for (let sent = rig.sends.length; times.length < 6; sent = rig.sends.length) {
    rig.pass(rig.session.deadline()! - rig.now);
    if (rig.sends.length > sent) times.push(rig.now);
  }
  t.true(rig.sends.slice(1).every((send) => send.to === all && send.bundle === bundle && send.payload === undefined));
  const pauses = times.slice(1).map((time, index) => time - times[index]!);
  for (let i = 1; i < pauses.length; i++) t.true(pauses[i]! > pauses[i - 1]!, `${pauses}`);
});

test("silence is measured in round trips, within bounds", (t) => {
  const silence = (roundTripMs: number): number => {
    const rig = new Rig();
    rig.open();
    for (let sequence = 2; sequence < 40; sequence++) {
      rig.submit("a");
      rig.pass(roundTripMs);
      for (const replica of [0, 1]) rig.reply(replica, 7, [ok(sequence, "r")]);
    }
    rig.submit("a");
    rig.pass(0);
    return rig.session.deadline()! - rig.now;
  };
  t.true(silence(1) >= 75 && silence(1) <= 125);
  const slow = silence(90);
  t.true(slow > 250 && slow < 1_000, `${slow}`);
});

test("pauses differ from client to client", (t) => {
  const pauses = [1, 2, 3].map((seed) => {
    const rig = new Rig({ seed });
    rig.submit("a");
    rig.pass(0);
    return rig.session.deadline()! - rig.now;
  });
  t.is(new Set(pauses).size, 3);
});

test("retries are a bounded share of what is sent", (t) => {
  const rig = new Rig({ limits: { bundlesInFlightMax: 1_000, windowOperations: 1_000, retryMsMax: 100 } });
  rig.open();
  for (let i = 0; i < 200; i++) {
    rig.submit(`${i}`);
    rig.pass(0);
  }
  const first = rig.sends.length;
  rig.pass(10_000);
  const retries = rig.sends.length - first;
  t.true(retries >= 40, `${retries}: the cluster is still asked`);
  t.true(retries <= RETRIES_AT_ONCE + 10 * 4, `${retries}`);
});

test("the primary is that of the view which f+1 replicas' replies name at least", (t) => {
  const rig = new Rig();
  rig.open();
  rig.reply(3, 7, [], { view: Number.MAX_SAFE_INTEGER });
  rig.submit("a");
  rig.pass(0);
  t.is(rig.sends.at(-1)!.to, only(0), "one liar moves nothing");
  for (const replica of [1, 2]) rig.reply(replica, 7, [ok(2, "r")], { view: 6 });
  rig.submit("b");
  rig.pass(0);
  t.is(rig.sends.at(-1)!.to, only(2));
  t.is(rig.session.standing.view, 6);
  for (const replica of [1, 2]) rig.reply(replica, 7, [], { view: 5 });
  t.is(rig.session.standing.view, 6, "views only go forward");
});

test("when the primary's connection ends, what only it has goes to the others at once", (t) => {
  const rig = new Rig();
  rig.open();
  rig.submit("a");
  rig.pass(0);
  rig.link(0, false);
  rig.pass(0);
  t.is(rig.sends.length, 2);
  t.is(rig.sends[1]!.to, without(all, only(0)));
});

test("a BUSY primary delays new bundles a little, and the refused one goes to all", (t) => {
  const rig = new Rig();
  rig.open();
  rig.submit("a");
  rig.pass(0);
  rig.busy(0, rig.last);
  rig.submit("b");
  rig.pass(10);
  t.is(rig.sends.length, 1);
  rig.pass(20);
  t.is(rig.sends.length, 3);
  t.is(rig.sends[1]!.to, all);
  t.is(rig.sends[1]!.bundle, rig.sends[0]!.bundle);
});

test("BUSY from one backup changes nothing", (t) => {
  const rig = new Rig();
  rig.open();
  rig.submit("a");
  rig.pass(0);
  const before = rig.session.deadline();
  for (let i = 0; i < 100; i++) rig.busy(3, rig.last);
  t.is(rig.session.deadline(), before);
  rig.submit("b");
  rig.pass(0);
  t.is(rig.sends.length, 2);
});

test("BUSY from f+1 sends the bundle to the primary alone after a growing pause, and to all after silence", (t) => {
  const rig = new Rig();
  rig.open();
  rig.submit("a");
  rig.pass(0);
  const pauses: number[] = [];
  for (let round = 0; round < 4; round++) {
    const sent = rig.sends.length;
    const said = rig.now;
    for (const replica of [0, 1]) rig.busy(replica, rig.last);
    rig.pass(rig.session.deadline()! - rig.now);
    pauses.push(rig.now - said);
    t.is(rig.sends.length, sent + 1);
    t.is(rig.sends.at(-1)!.to, only(0));
  }
  t.true(pauses[0]! < pauses[2]! && pauses[1]! < pauses[3]!, `${pauses}`);
  rig.pass(20_000);
  t.is(rig.sends.at(-1)!.to, all);
});

test("a BUSY for OPEN counts as one for a bundle, and one that names nothing is counted alone", (t) => {
  const rig = new Rig();
  rig.submit("a");
  rig.pass(0);
  const open = rig.last;
  for (const replica of [0, 1]) rig.busy(replica, open);
  rig.pass(30);
  t.is(rig.sends.length, 2);
  t.is(rig.sends[1]!.to, only(0));
  rig.busy(2, { ...open, firstSequence: 5 });
  t.is(rig.session.counters.unknownReplies, 1);
  for (const replica of [0, 1]) rig.reply(replica, 0, [ok(open.firstSequence, sessionBytes(3))]);
  rig.pass(100);
  t.is(rig.last.session as number | undefined, 3);
});
