import test from "ava";
import { defaultLimits } from "../../dist/client/interfaces.js";
import { HELD_BYTES_PER_REPLICA_MAX } from "../../dist/client/tally.js";
import { digestOf, ok, resultDigest, Rig, status, text, type Settled } from "./rig.ts";

const long = "long result ".repeat(20);

function submitted(rig: Rig): number {
  rig.open();
  const id = rig.submit("operation");
  rig.pass(0);
  return id;
}

const valueOf = (end: Settled | undefined): string | undefined =>
  end?.kind === "resolve" ? text(end.result) : end?.kind;

test("B4: a result is delivered when f+1 replicas vouch for it, and never on one replica's word", (t) => {
  const rig = new Rig();
  const id = submitted(rig);
  for (let repeat = 0; repeat < 5; repeat++) rig.reply(3, 7, [ok(2, "wrong")]);
  t.is(rig.settled.size, 0);
  rig.reply(0, 7, [ok(2, "right")]);
  t.is(rig.settled.size, 0);
  rig.reply(1, 7, [ok(2, "right")]);
  t.is(valueOf(rig.settled.get(id)), "right");
});

test("n = 7 needs three equal words, so two liars together decide nothing", (t) => {
  const rig = new Rig({ n: 7, f: 2 });
  rig.submit("operation");
  rig.pass(0);
  const open = rig.last.firstSequence;
  for (const replica of [0, 1]) rig.reply(replica, 0, [ok(open, "\x63\0\0\0\0\0\0\0")]);
  t.is(rig.session.standing.session, undefined);
  for (const replica of [2, 3, 4]) rig.reply(replica, 0, [ok(open, "\x09\0\0\0\0\0\0\0")]);
  t.is(rig.session.standing.session as number | undefined, 9);
});

test("equal bytes with another status are another result", (t) => {
  const rig = new Rig();
  const id = submitted(rig);
  rig.reply(0, 7, [ok(2, "same")]);
  rig.reply(1, 7, [status(2, "refused", "same")]);
  t.is(rig.settled.size, 0);
  rig.reply(2, 7, [status(2, "refused", "same")]);
  t.like(rig.settled.get(id), { kind: "resolve", status: "refused" });
});

test("a replica's last word replaces its earlier one", (t) => {
  const rig = new Rig();
  submitted(rig);
  rig.reply(3, 7, [ok(2, "x")]);
  rig.reply(3, 7, [ok(2, "y")]);
  rig.reply(2, 7, [ok(2, "x")]);
  t.is(rig.settled.size, 0, "x has one voucher left");
  rig.reply(1, 7, [ok(2, "x")]);
  t.is(rig.settled.size, 1);
});

test("tentative replies need Q that match in view and batch sequence too", (t) => {
  const rig = new Rig();
  const id = submitted(rig);
  const tentative = true;
  rig.reply(0, 7, [ok(2, "r")], { tentative, view: 1, batch: 5 });
  rig.reply(1, 7, [ok(2, "r")], { tentative, view: 1, batch: 5 });
  rig.reply(2, 7, [ok(2, "r")], { tentative, view: 2, batch: 5 });
  t.is(rig.settled.size, 0, "another view");
  rig.reply(2, 7, [ok(2, "r")], { tentative, view: 1, batch: 6 });
  t.is(rig.settled.size, 0, "another batch");
  rig.reply(3, 7, [ok(2, "other")], { tentative, view: 1, batch: 5 });
  t.is(rig.settled.size, 0, "another result");
  rig.reply(2, 7, [ok(2, "r")], { tentative, view: 1, batch: 5 });
  t.is(valueOf(rig.settled.get(id)), "r");
});

test("a committed reply counts with tentative ones of any view and batch, but f+1 that are not all committed do not decide", (t) => {
  const rig = new Rig();
  const id = submitted(rig);
  rig.reply(0, 7, [ok(2, "r")], { tentative: true, view: 1, batch: 5 });
  rig.reply(1, 7, [ok(2, "r")], { view: 2, batch: 9 });
  t.is(rig.settled.size, 0);
  rig.reply(3, 7, [ok(2, "r")], { tentative: true, view: 1, batch: 6 });
  t.is(rig.settled.size, 0, "the tentative ones are of different batches");
  rig.reply(2, 7, [ok(2, "r")], { tentative: true, view: 1, batch: 6 });
  t.is(valueOf(rig.settled.get(id)), "r");
});

test("a committed word that completes a tentative quorum decides", (t) => {
  const rig = new Rig();
  const id = submitted(rig);
  rig.reply(0, 7, [ok(2, "r")], { tentative: true, view: 1, batch: 5 });
  rig.reply(2, 7, [ok(2, "r")], { tentative: true, view: 1, batch: 5 });
  rig.reply(1, 7, [ok(2, "r")], { view: 2, batch: 9 });
  t.is(valueOf(rig.settled.get(id)), "r");
});

test("a tentative word that was overtaken does not weaken its sender's committed one", (t) => {
  const rig = new Rig();
  const id = submitted(rig);
  rig.reply(0, 7, [ok(2, "r")]);
  rig.reply(0, 7, [ok(2, "r")], { tentative: true, view: 0, batch: 1 });
  rig.reply(1, 7, [ok(2, "r")]);
  t.is(valueOf(rig.settled.get(id)), "r");
});

test("a long result comes in full from one replica and is vouched for by digests", (t) => {
  for (const fullFirst of [true, false]) {
    const rig = new Rig();
    const id = submitted(rig);
    if (fullFirst) rig.reply(2, 7, [ok(2, long)]);
    rig.reply(1, 7, [digestOf(2, long)]);
    if (!fullFirst) rig.reply(2, 7, [ok(2, long)]);
    t.is(valueOf(rig.settled.get(id)), long);
    t.is(rig.session.load.heldBytes, 0);
  }
});

test("when the full result is wrong or missing, those who vouch for the digest are asked once, soon, with the same bundle", (t) => {
  const rig = new Rig();
  const id = submitted(rig);
  const handle = rig.sends.at(-1)!.bundle;
  rig.reply(2, 7, [ok(2, long.toUpperCase())]);
  rig.reply(0, 7, [digestOf(2, long)]);
  rig.reply(3, 7, [digestOf(2, long)]);
  t.is(rig.settled.size, 0);
  rig.pass(10);
  t.is(rig.sends.length, 2);
  t.like(rig.sends.at(-1), { bundle: handle, to: 0b1001 });
  t.is(rig.sends.at(-1)!.payload, undefined);
  rig.reply(3, 7, [ok(2, long)]);
  t.is(valueOf(rig.settled.get(id)), long);
});

test("the digest of a short result is nobody's word for it", (t) => {
  const rig = new Rig();
  submitted(rig);
  rig.reply(0, 7, [ok(2, "short")]);
  rig.reply(1, 7, [{ sequence: 2, status: "ok", digest: resultDigest("ok", new TextEncoder().encode("short")) }]);
  t.is(rig.settled.size, 0);
});

test("a replica that invents long results makes the client hold a bounded number of bytes and keeps nobody's result away", (t) => {
  const rig = new Rig({ limits: { windowOperations: 2_000, bundlesInFlightMax: 2 } });
  rig.open();
  const ids = Array.from({ length: 2_000 }, (_, i) => rig.submit(`${i}`));
  rig.pass(0);
  const lie = new Uint8Array(64 * 1024);
  for (let round = 0; round < 3; round++) {
    for (let sequence = 2; sequence <= 2_000; sequence += 2) rig.reply(3, 7, [ok(sequence, lie)]);
    t.true(rig.session.load.heldBytes <= HELD_BYTES_PER_REPLICA_MAX);
    t.true(rig.session.load.heldBytes > 0);
  }
  for (const replica of [0, 1, 2]) {
    for (let sequence = 2; sequence <= 2_000; sequence++) {
      rig.reply(replica, 7, [
        sequence % 4 === replica ? ok(sequence, `${long}${sequence}`) : digestOf(sequence, `${long}${sequence}`),
      ]);
    }
  }
  const answered = ids.filter((id) => rig.settled.get(id)?.kind === "resolve").length;
  // Every fourth sequence has the liar as the one who sends in full.
  t.true(answered >= 1_499, `${answered}`);
  rig.pass(1_000);
  for (const replica of [0, 1, 2]) {
    for (let sequence = 2; sequence <= 2_001; sequence++) rig.reply(replica, 7, [ok(sequence, `${long}${sequence}`)]);
  }
  rig.pass(0);
  t.is(rig.session.load.heldBytes, 0);
  t.true(ids.slice(0, 1_999).every((id) => rig.settled.get(id)?.kind === "resolve"));
});

test("replies for sessions and sequences that nobody uses are counted and change nothing", (t) => {
  const rig = new Rig();
  submitted(rig);
  const before = rig.session.load;
  for (let i = 0; i < 1_000; i++) {
    rig.reply(3, i + 100, [ok(2, "x")]);
    rig.reply(3, 7, [ok(i + 3, "x"), ok(Number.MAX_SAFE_INTEGER - i, "x"), ok(0, "x")]);
    rig.reply(3, 0, [ok(i, "x")]);
  }
  t.deepEqual(rig.session.load, before);
  t.is(rig.session.counters.unknownReplies, 5_000);
  rig.reply(3, 7, [ok(1, "again")]);
  t.is(rig.session.counters.lateEntries, 1);
});

test("results belong to the caller: the buffer they came in may be reused at once", (t) => {
  const rig = new Rig();
  const [short, full] = [submitted(rig), rig.submit("second")];
  rig.pass(0);
  const buffer = new TextEncoder().encode(long);
  rig.reply(3, 7, [ok(3, buffer)]);
  buffer.fill(0);
  rig.reply(1, 7, [digestOf(3, long)]);
  t.is(valueOf(rig.settled.get(full)), long);
  const tiny = new TextEncoder().encode("tiny");
  for (const replica of [0, 1]) rig.reply(replica, 7, [ok(2, tiny)]);
  tiny.fill(0);
  t.is(valueOf(rig.settled.get(short)), "tiny");
});

test("the default window fits the default bundle", (t) => {
  t.true(defaultLimits.windowOperations >= defaultLimits.bundlesInFlightMax);
});
