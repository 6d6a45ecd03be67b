import test from "ava";
import { everyone, setOf, without, type ReplicaId, type ReplicaSet } from "../../dist/protocol/types.js";
import { ok, Rig, sessionBytes, status, text } from "./rig.ts";

const only = (replica: number): ReplicaSet => setOf(replica as ReplicaId);
const all = everyone(4);

test("nothing leaves before the first submission, which opens a session with a nonce and an expiry", (t) => {
  const rig = new Rig();
  rig.pass(10_000);
  t.is(rig.sends.length, 0);
  t.is(rig.session.deadline(), undefined);
  rig.submit("a");
  rig.pass(0);
  t.is(rig.sends.length, 1);
  const open = rig.last;
  t.is(open.session as number | undefined, 0);
  t.is(open.operations.length, 1);
  const operation = open.operations[0]!;
  t.is(operation[0], 1);
  const expiry = Number(new DataView(operation.buffer, operation.byteOffset).getBigUint64(1, true));
  t.is(expiry, 1_700_000_000_000 + rig.now + 60_000);
});

test("operations submitted while the session opens share the first bundle, in order, from client sequence 1", (t) => {
  const rig = new Rig();
  rig.submit("a");
  rig.pass(0);
  rig.submit("b");
  rig.submit("c");
  rig.pass(0);
  t.is(rig.sends.length, 1);
  const nonce = rig.last.firstSequence;
  rig.reply(2, 0, [ok(nonce, sessionBytes(9))]);
  rig.pass(0);
  t.is(rig.sends.length, 1, "one replica's word opens nothing");
  rig.reply(3, 0, [ok(nonce, sessionBytes(9))]);
  rig.pass(0);
  t.is(rig.sends.length, 2);
  t.like(rig.last, { session: 9, firstSequence: 1, acknowledgedThrough: 0 });
  t.deepEqual(rig.last.operations.map(text), ["a", "b", "c"]);
});

test("two starts of one key draw different nonces", (t) => {
  const nonces = [1, 2].map((seed) => {
    const rig = new Rig({ seed });
    rig.submit("a");
    rig.pass(0);
    return rig.last.firstSequence;
  });
  t.not(nonces[0], nonces[1]);
});

test("an OPEN that expired is replaced by one with a fresh nonce", (t) => {
  const rig = new Rig({ limits: { openExpiryMs: 30_000 } });
  rig.submit("a");
  rig.pass(0);
  const first = rig.last.firstSequence;
  rig.pass(29_999);
  t.is(rig.last.firstSequence, first, "until then the same bytes are sent again");
  rig.pass(1);
  t.not(rig.last.firstSequence, first);
  t.is(rig.forgotten.length, 1);
});

test("a cluster that refuses to open a session three times is heard: nothing was executed", (t) => {
  const rig = new Rig();
  const id = rig.submit("a");
  const nonces = new Set<number>();
  for (let round = 0; round < 3; round++) {
    rig.pass(1_000);
    nonces.add(rig.last.firstSequence);
    for (const replica of [1, 2]) rig.reply(replica, 0, [status(rig.last.firstSequence, "refused", "EXPIRED")]);
  }
  t.is(nonces.size, 3);
  t.like(rig.settled.get(id), { kind: "reject", code: "OPERATION_REFUSED", executed: "no", reason: "EXPIRED" });
});

test("what waits leaves at once while few bundles are in flight, and gathers when they are", (t) => {
  const rig = new Rig({ limits: { bundlesInFlightMax: 2 } });
  rig.open();
  rig.submit("a");
  rig.pass(0);
  rig.submit("b");
  rig.pass(0);
  t.is(rig.sends.length, 2);
  for (const operation of ["c", "d", "e"]) rig.submit(operation);
  rig.pass(0);
  t.is(rig.sends.length, 2);
  for (const replica of [0, 1]) rig.reply(replica, 7, [ok(2, "A")]);
  rig.pass(0);
  t.is(rig.sends.length, 3);
  t.like(rig.last, { session: 7, firstSequence: 4, acknowledgedThrough: 2 });
  t.deepEqual(rig.last.operations.map(text), ["c", "d", "e"]);
});

test("a bundle holds at most 1,024 operations and 512 KiB", (t) => {
  const rig = new Rig({ limits: { windowOperations: 5_000, bundlesInFlightMax: 3 } });
  rig.open();
  for (let i = 0; i < 1_030; i++) rig.submit("x");
  rig.submit(new Uint8Array(256 * 1024));
  rig.submit(new Uint8Array(256 * 1024));
  rig.pass(0);
  const shapes = rig.sends.map((send) => rig.bundleOf(send).operations.length);
  t.deepEqual(shapes, [1024, 7, 1]);
  for (const payload of rig.payloads.values()) t.true(payload.length + 64 <= 512 * 1024);
});

test("client sequences in flight stay within the window above what is acknowledged", (t) => {
  const rig = new Rig({ limits: { windowOperations: 4 } });
  rig.open();
  for (let i = 0; i < 6; i++) rig.submit(`${i}`);
  rig.pass(0);
  t.is(rig.last.operations.length, 4);
  // 3 is done and 2 is not: nothing above 2 can be acknowledged, so there is no room.
  for (const replica of [0, 1]) rig.reply(replica, 7, [ok(3, "r"), ok(4, "r"), ok(5, "r")]);
  rig.pass(0);
  t.is(rig.sends.length, 1);
  for (const replica of [0, 1]) rig.reply(replica, 7, [ok(2, "r")]);
  rig.pass(0);
  t.like(rig.last, { firstSequence: 6, acknowledgedThrough: 5 });
  t.is(rig.last.operations.length, 2);
});

test("a full queue refuses as BUSY, an operation beyond the bound as INVALID_ARGUMENT; neither was executed", (t) => {
  const rig = new Rig({ limits: { queueOperationsMax: 2, operationBytesMax: 10, queueBytesMax: 15 }, links: false });
  t.is(rig.settled.get(rig.submit("a")), undefined);
  t.like(rig.settled.get(rig.submit(new Uint8Array(11))), { code: "INVALID_ARGUMENT", executed: "no" });
  rig.submit("b");
  t.like(rig.settled.get(rig.submit("c")), { code: "BUSY", executed: "no" });
  const other = new Rig({ limits: { queueBytesMax: 15 }, links: false });
  other.submit(new Uint8Array(8));
  t.like(other.settled.get(other.submit(new Uint8Array(8))), { code: "BUSY", executed: "no" });
});

test("an abandoned operation that never left was not executed; one that left may have been", (t) => {
  const rig = new Rig({ limits: { bundlesInFlightMax: 1 } });
  rig.open();
  const left = rig.submit("left");
  rig.pass(0);
  const waiting = rig.submit("waiting");
  rig.pass(0);
  rig.step({ kind: "abandon", id: waiting, code: "ABORTED" });
  rig.step({ kind: "abandon", id: left, code: "TIMEOUT" });
  t.like(rig.settled.get(waiting), { code: "ABORTED", executed: "no" });
  t.like(rig.settled.get(left), { code: "TIMEOUT", executed: "unknown" });
  rig.settled.clear();
  for (const replica of [0, 1]) rig.reply(replica, 7, [ok(2, "late")]);
  t.is(rig.settled.size, 0, "nobody waits for it");
  rig.submit("next");
  rig.pass(0);
  t.like(rig.last, { firstSequence: 3, acknowledgedThrough: 2 }, "but its sequence is settled and acknowledged");
});

test("operations that nobody waits for do not hold up those that somebody does: a new session is opened", (t) => {
  const rig = new Rig({ limits: { bundlesInFlightMax: 1 } });
  rig.open();
  const lost = rig.submit("lost");
  rig.pass(0);
  rig.step({ kind: "abandon", id: lost, code: "TIMEOUT" });
  const id = rig.submit("wanted");
  rig.pass(0);
  t.is(rig.last.session as number | undefined, 0);
  for (const replica of [0, 1]) rig.reply(replica, 0, [ok(rig.last.firstSequence, sessionBytes(8))]);
  rig.pass(0);
  t.deepEqual(rig.last.operations.map(text), ["wanted"]);
  for (const replica of [0, 1]) rig.reply(replica, 8, [ok(1, "done")]);
  t.like(rig.settled.get(id), { kind: "resolve", status: "ok" });
});

test("SESSION_EXPIRED from f+1 ends the session with outcome unknown, and what waits goes into a new one", (t) => {
  const rig = new Rig({ limits: { bundlesInFlightMax: 1 } });
  rig.open();
  const a = rig.submit("a");
  const b = rig.submit("b");
  rig.pass(0);
  const waiting = rig.submit("waiting");
  rig.reply(1, 7, [status(2, "sessionExpired")]);
  rig.reply(1, 7, [status(2, "sessionExpired")]);
  t.is(rig.settled.size, 0, "one replica cannot end a session, however often it says so");
  rig.reply(3, 7, [status(2, "sessionExpired")]);
  for (const id of [a, b]) t.like(rig.settled.get(id), { code: "SESSION_EXPIRED", executed: "unknown" });
  t.is(rig.forgotten.length, 1);
  rig.pass(0);
  t.is(rig.last.session as number | undefined, 0);
  for (const replica of [0, 1]) rig.reply(replica, 0, [ok(rig.last.firstSequence, sessionBytes(12))]);
  rig.pass(0);
  t.like(rig.last, { session: 12, firstSequence: 1, acknowledgedThrough: 0 });
  t.is(rig.settled.get(waiting), undefined);
});

test("a result that f+1 replicas say is forgotten was executed", (t) => {
  const rig = new Rig();
  rig.open();
  const id = rig.submit("a");
  rig.pass(0);
  for (const replica of [0, 1]) rig.reply(replica, 7, [status(2, "forgotten")]);
  t.like(rig.settled.get(id), { code: "SESSION_EXPIRED", executed: "yes" });
});

test("refused and failed are results like others", (t) => {
  const rig = new Rig();
  rig.open();
  const ids = [rig.submit("a"), rig.submit("b")];
  rig.pass(0);
  for (const replica of [2, 3]) rig.reply(replica, 7, [status(2, "refused", "NEGATIVE"), status(3, "failed")]);
  t.deepEqual(
    ids.map((id) => rig.settled.get(id)).map((end) => (end?.kind === "resolve" ? [end.status, text(end.result)] : end)),
    [
      ["refused", "NEGATIVE"],
      ["failed", ""],
    ],
  );
});

test("the first sending goes to the primary alone, and to all who are linked while it is not", (t) => {
  const rig = new Rig();
  rig.open();
  rig.submit("a");
  rig.pass(0);
  t.is(rig.sends.at(-1)?.to, only(0));
  rig.link(0, false);
  rig.submit("b");
  rig.pass(0);
  t.is(rig.sends.at(-1)?.to, without(all, only(0)));
});

test("nothing leaves while no replica is linked, so it is known not to be executed", (t) => {
  const rig = new Rig({ links: false });
  const id = rig.submit("a");
  rig.pass(100_000);
  t.is(rig.sends.length, 0);
  t.is(rig.session.deadline(), undefined, "no timer runs for it");
  rig.link(2, true);
  rig.pass(0);
  t.is(rig.sends.length, 1);
  rig.step({ kind: "abandon", id, code: "TIMEOUT" });
  t.like(rig.settled.get(id), { executed: "no" });
});
