import test from "ava";
import { OPEN_LIFETIME_MS_MAX, SESSION_LIMITS } from "../../dist/state/session-limits.js";
import { encodeSystemOperation, decodeNumberResult } from "../../dist/state/system-operation.js";
import type { ReplicaId, View } from "../../dist/protocol/types.js";
import { ALICE, BOB, bytes, clientKey, Driver, entriesOf, MEMBERS, open, sessionOf, text } from "./driver.ts";

test("session ids count up from 1 and are never used again", (t) => {
  const driver = new Driver({ limits: { sessionsMax: 1 } });
  t.is(driver.open(ALICE, 1), 1);
  t.is(driver.open(BOB, 1), 2);
  t.is(driver.open(ALICE, 2), 3);
});

test("a repeated OPEN finds its session until it expires, then it is refused", (t) => {
  const driver = new Driver();
  const first = open(ALICE, 5, driver.timeMs + 1000);
  const session = sessionOf(driver.run(first));
  const again = driver.run(first, open(ALICE, 5, driver.timeMs + 2000));
  t.is(sessionOf(again), session);
  t.is(decodeNumberResult(again.replies[1]!.entries[0]!.result), session);
  t.deepEqual(again.sessions.opened, []);
  driver.timeMs += 999;
  t.is(sessionOf(driver.run(first)), session);
  driver.timeMs += 1;
  t.deepEqual(entriesOf(driver.run(first)), ["5 refused OPEN_EXPIRED"]);
  t.is(sessionOf(driver.run(open(ALICE, 5, driver.timeMs + 1))), session + 1);
});

test("an OPEN expires at most five minutes ahead of agreed time", (t) => {
  const driver = new Driver();
  const far = driver.run(open(ALICE, 1, driver.timeMs + OPEN_LIFETIME_MS_MAX + 1));
  t.deepEqual(entriesOf(far), ["1 refused EXPIRY_TOO_FAR"]);
  t.is(sessionOf(driver.run(open(ALICE, 1, driver.timeMs + OPEN_LIFETIME_MS_MAX))), 1);
  t.is(OPEN_LIFETIME_MS_MAX, 300_000);
});

test("OPENs of one nonce by two clients open two sessions", (t) => {
  const driver = new Driver();
  t.is(driver.open(ALICE, 9), 1);
  t.is(driver.open(BOB, 9), 2);
});

test("a captured OPEN does not evict its owner's sessions, however often it is sent", (t) => {
  const driver = new Driver({ limits: { sessionsPerClientMax: 2 } });
  const captured = open(ALICE, 1, driver.timeMs + 1000);
  driver.run(captured);
  const live = driver.open(ALICE, 2);
  for (let i = 0; i < 5; i++) driver.run(captured);
  driver.timeMs += 2000;
  for (let i = 0; i < 5; i++) driver.run(captured);
  t.deepEqual(entriesOf(driver.run({ session: live, first: 1, operations: ["x"] })), ["1 ok 1"]);
});

test("remembered OPENs are bounded per client and in all, and those that expired make room", (t) => {
  const driver = new Driver({ limits: { opensPerClientMax: 2, opensMax: 3 } });
  driver.open(ALICE, 1);
  driver.open(ALICE, 2);
  const refused = "refused TOO_MANY_OPENS";
  t.deepEqual(entriesOf(driver.run(open(ALICE, 3, driver.timeMs + 1000))), [`3 ${refused}`]);
  driver.open(BOB, 1);
  t.deepEqual(entriesOf(driver.run(open(BOB, 2, driver.timeMs + 1000))), [`2 ${refused}`]);
  driver.timeMs += 1000;
  t.is(driver.open(BOB, 2), 4);
  t.is(driver.open(ALICE, 3), 5);
});

test("a client with too many sessions loses its oldest, and nobody else does", (t) => {
  const driver = new Driver({ limits: { sessionsPerClientMax: 2 } });
  const bob = driver.open(BOB, 1);
  const [oldest, middle] = [driver.open(ALICE, 1), driver.open(ALICE, 2)];
  driver.run({ session: oldest, first: 1, operations: ["keeps it busy"] });
  const batch = driver.run(open(ALICE, 3, driver.timeMs + 1));
  t.deepEqual(batch.sessions.expired, [oldest]);
  t.deepEqual(batch.sessions.opened, [{ session: sessionOf(batch), client: ALICE }]);
  t.deepEqual(entriesOf(driver.run({ session: oldest, first: 2, operations: ["a", "b"] })), [
    "2 sessionExpired",
    "3 sessionExpired",
  ]);
  t.deepEqual(entriesOf(driver.run({ session: middle, first: 1, operations: ["m"] })), ["1 ok 2"]);
  t.deepEqual(entriesOf(driver.run({ client: BOB, session: bob, first: 1, operations: ["n"] })), ["1 ok 3"]);
});

test("a full table loses the least recently executed session, then the lowest id, in the order of operations", (t) => {
  const driver = new Driver({ limits: { sessionsMax: 4 } });
  const keys = [10, 11, 12, 13].map(clientKey);
  const opened = driver.run(...keys.map((key) => open(key, 1, driver.timeMs + 1000)));
  t.deepEqual(
    opened.sessions.opened.map(({ session }) => session),
    [1, 2, 3, 4] as never,
  );
  driver.run({ client: keys[0]!, session: 1, first: 1, operations: ["x"] });
  // 2 and 3 are as old as 4; the bundle of 2 comes before the first OPEN of this batch, that of 3 after it.
  const batch = driver.run(
    { client: keys[1]!, session: 2, first: 1, operations: ["x"] },
    open(ALICE, 1, driver.timeMs + 1000),
    { client: keys[2]!, session: 3, first: 1, operations: ["x"] },
    open(ALICE, 2, driver.timeMs + 1000),
    open(ALICE, 3, driver.timeMs + 1000),
    open(ALICE, 4, driver.timeMs + 1000),
  );
  t.deepEqual(entriesOf(batch, 2), ["1 sessionExpired"]);
  t.deepEqual(batch.sessions.expired, [3, 4, 1, 2] as never);
});

test("who goes next follows what was executed since the last eviction", (t) => {
  const driver = new Driver({ limits: { sessionsMax: 2 } });
  driver.open(ALICE, 1);
  driver.open(ALICE, 2);
  t.deepEqual(driver.run(open(ALICE, 3, driver.timeMs + 1000)).sessions.expired, [1] as never);
  driver.run({ session: 2, first: 1, operations: ["x"] });
  t.deepEqual(driver.run(open(ALICE, 4, driver.timeMs + 1000)).sessions.expired, [3] as never);
  driver.run({ session: 2, first: 1, operations: ["x"] });
  t.deepEqual(
    driver.run(open(ALICE, 5, driver.timeMs + 1000)).sessions.expired,
    [2] as never,
    "a duplicate is no execution",
  );
});

test("a duplicate is answered from the table and executes once", (t) => {
  const driver = new Driver();
  const session = driver.open();
  const bundle = { session, first: 1, operations: ["a", "b", "c"] };
  const first = driver.run(bundle);
  const root = driver.root();
  const again = driver.run(bundle, bundle);
  t.deepEqual(entriesOf(first), ["1 ok 1", "2 ok 2", "3 ok 3"]);
  t.deepEqual(entriesOf(again, 0), entriesOf(first));
  t.deepEqual(entriesOf(again, 1), entriesOf(first));
  t.deepEqual(again.operations, []);
  t.deepEqual(again.sessions.executed, [
    { session, first: 1, last: 3 },
    { session, first: 1, last: 3 },
  ] as never);
  t.is(driver.log(), "a;b;c;");
  t.not(driver.root(), root, "the ledger counts the batch");
});

test("of overlapping bundles that conflict only what is new executes, whatever its bytes", (t) => {
  const driver = new Driver();
  const session = driver.open();
  const batch = driver.run(
    { session, first: 2, operations: ["b", "c"] },
    { session, first: 1, operations: ["A", "B", "C", "D"] },
  );
  t.deepEqual(entriesOf(batch, 0), ["2 ok 1", "3 ok 2"]);
  t.deepEqual(entriesOf(batch, 1), ["1 ok 3", "2 ok 1", "3 ok 2", "4 ok 4"]);
  t.is(driver.log(), "b;c;A;D;");
  t.deepEqual(
    batch.operations.map(({ sequence, operation }) => [sequence, text(operation)]),
    [
      [2, "b"],
      [3, "c"],
      [1, "A"],
      [4, "D"],
    ],
  );
});

test("acknowledged results are forgotten, and what was acknowledged never executes", (t) => {
  const driver = new Driver();
  const session = driver.open();
  driver.run({ session, first: 1, operations: ["a", "b"] }, { session, first: 3, operations: ["c"] });
  const batch = driver.run({ session, first: 6, acknowledged: 2, operations: ["f"] });
  t.deepEqual(batch.sessions.acknowledged, [{ session, through: 2 }] as never);
  t.deepEqual(entriesOf(driver.run({ session, first: 1, operations: ["a", "b", "c"] })), [
    "1 forgotten",
    "2 forgotten",
    "3 ok 3",
  ]);
  driver.run({ session, first: 7, acknowledged: 5, operations: ["g"] });
  t.deepEqual(entriesOf(driver.run({ session, first: 4, operations: ["late", "late"] })), [
    "4 forgotten",
    "5 forgotten",
  ]);
  t.is(driver.log(), "a;b;c;f;g;");
});

test("an acknowledgement inside a run of results keeps the rest of it", (t) => {
  const driver = new Driver();
  const session = driver.open();
  const bundle = { session, first: 1, operations: ["a", "b", "c"] };
  driver.run(bundle);
  t.deepEqual(entriesOf(driver.run({ ...bundle, acknowledged: 2 })), ["1 forgotten", "2 forgotten", "3 ok 3"]);
});

test("an old acknowledgement in a replayed bundle takes nothing back", (t) => {
  const driver = new Driver();
  const session = driver.open();
  const captured = { session, first: 1, operations: ["a"] };
  driver.run(captured);
  driver.run({ session, first: 2, acknowledged: 1, operations: ["b"] });
  t.deepEqual(entriesOf(driver.run(captured)), ["1 forgotten"]);
  t.is(driver.log(), "a;b;");
});

test("operations above the window do not execute, and do when it has moved", (t) => {
  const driver = new Driver({ limits: { window: 3 } });
  const session = driver.open();
  t.deepEqual(entriesOf(driver.run({ session, first: 2, operations: ["b", "c", "d"] })), [
    "2 ok 1",
    "3 ok 2",
    "4 outOfWindow",
  ]);
  const moved = { session, first: 4, acknowledged: 3, operations: ["d"] };
  t.deepEqual(entriesOf(driver.run(moved)), ["4 ok 3"]);
});

test("a client that acknowledges the end of all numbers locks out its own session and no other", (t) => {
  const driver = new Driver();
  const session = driver.open(ALICE, 1);
  const other = driver.open(ALICE, 2);
  const last = Number.MAX_SAFE_INTEGER;
  t.deepEqual(entriesOf(driver.run({ session, first: last, acknowledged: last, operations: ["x"] })), [
    `${last} forgotten`,
  ]);
  t.deepEqual(entriesOf(driver.run({ session, first: 1, operations: ["x"] })), ["1 forgotten"]);
  t.deepEqual(entriesOf(driver.run({ session: other, first: 1, operations: ["x"] })), ["1 ok 1"]);
  const edge = driver.open(ALICE, 3);
  const near = { session: edge, first: last - 1, acknowledged: last - 2, operations: ["y", "z"] };
  t.deepEqual(entriesOf(driver.run(near)), [`${last - 1} ok 2`, `${last} ok 3`]);
  t.deepEqual(entriesOf(driver.run(near)), [`${last - 1} ok 2`, `${last} ok 3`]);
});

test("results beyond a session's bytes are forgotten, the oldest first, and never execute again", (t) => {
  const driver = new Driver({
    stateMachine: { execute: (_, operation) => new Uint8Array(Number(text(operation))).fill(65) },
    limits: { resultBytesMax: 50_000 },
  });
  const session = driver.open();
  const bundle = { session, first: 1, operations: ["20000", "20000", "20000"] };
  const first = driver.run(bundle);
  t.true(first.replies[0]!.entries.every(({ status, result }) => status === "ok" && result.length === 20_000));
  const again = driver.run(bundle);
  t.deepEqual(
    again.replies[0]!.entries.map(({ status, result }) => [status, result.length]),
    [
      ["forgotten", 0],
      ["ok", 20_000],
      ["ok", 20_000],
    ],
  );
  t.deepEqual(again.operations, []);
});

test("a result of the largest size is kept by a session of default limits", (t) => {
  const driver = new Driver({ stateMachine: { execute: () => new Uint8Array(256 * 1024) } });
  const session = driver.open();
  const bundle = { session, first: 1, operations: ["x"] };
  driver.run(bundle);
  const [entry] = driver.run(bundle).replies[0]!.entries;
  t.is(entry!.status, "ok");
  t.is(entry!.result.length, 256 * 1024);
});

test("a forged owner executes nothing, and ends nothing", (t) => {
  const driver = new Driver();
  const session = driver.open(ALICE);
  const forged = driver.run({ client: BOB, session, first: 1, acknowledged: 100, operations: ["stolen"] });
  t.deepEqual(entriesOf(forged), ["1 sessionExpired"]);
  t.is(forged.replies[0]!.client, BOB);
  t.deepEqual(forged.sessions.expired, []);
  t.deepEqual(forged.sessions.acknowledged, []);
  t.is(driver.log(), "");
  t.deepEqual(entriesOf(driver.run({ session, first: 1, operations: ["mine"] })), ["1 ok 1"]);
});

test("a bundle of a session that nobody has opened yet does not end the one that will have its id", (t) => {
  const driver = new Driver();
  const early = driver.run({ session: 1, first: 1, operations: ["x"] });
  t.deepEqual(entriesOf(early), ["1 sessionExpired"]);
  t.deepEqual(early.sessions.expired, []);
  t.is(driver.open(), 1);
  t.deepEqual(entriesOf(driver.run({ session: 1, first: 1, operations: ["x"] })), ["1 ok 1"]);
});

test("an evicted session leaves nothing but its remembered OPEN", (t) => {
  const limits = { sessionsPerClientMax: 1 };
  const driver = new Driver({ limits });
  const session = driver.open(ALICE, 1);
  for (let i = 0; i < 20; i++) driver.run({ session, first: 1 + 2 * i, operations: ["x"] });
  driver.timeMs += 1000;
  driver.open(ALICE, 2);
  driver.executor.freeze(driver.executor.lastExecuted);
  const version = driver.executor.version(driver.executor.lastExecuted);
  const prefixes = [...version.range()].map(([key]) => key[0]);
  t.deepEqual(prefixes, [0x00, 0x01, 0x03, 0x04, 0x05, 0x41]);
});

test("RECOVER returns its sequence to the replica whose key it bears, and to nobody else", (t) => {
  const driver = new Driver();
  const recover = (client: typeof ALICE, replica: number): string[] => {
    const operation = encodeSystemOperation({
      kind: "recover",
      replica: replica as ReplicaId,
      nonce: 7,
      view: 0 as View,
    });
    const batch = driver.run({ client, session: 0, first: 3, operations: [operation] });
    const [entry] = batch.replies[0]!.entries;
    return [entry!.status, entry!.status === "ok" ? String(decodeNumberResult(entry!.result)) : text(entry!.result)];
  };
  t.deepEqual(recover(MEMBERS[2]!, 2), ["ok", "1"]);
  t.deepEqual(recover(MEMBERS[2]!, 2), ["ok", "2"]);
  t.deepEqual(recover(MEMBERS[2]!, 1), ["refused", "NOT_THAT_REPLICA"]);
  t.deepEqual(recover(ALICE, 0), ["refused", "NOT_THAT_REPLICA"]);
  t.deepEqual(recover(ALICE, 77), ["refused", "NOT_THAT_REPLICA"]);
});

test("the RECOVER that counts is the first of the highest nonce, and under it of the highest view", (t) => {
  const driver = new Driver();
  const marked = (nonce: number, view: number): readonly number[] => {
    const operation = encodeSystemOperation({ kind: "recover", replica: 2 as ReplicaId, nonce, view: view as View });
    const { sequence, sessions } = driver.run({ client: MEMBERS[2]!, session: 0, first: 1, operations: [operation] });
    const [{ mark, sequence: executedAt } = t.fail() as never] = sessions.recovered;
    t.is(executedAt, sequence);
    t.deepEqual(driver.executor.recoverMarks(), [mark]);
    return [mark.nonce, mark.view, mark.sequence];
  };
  t.deepEqual(marked(7, 1), [7, 1, 1]);
  t.deepEqual(marked(7, 1), [7, 1, 1], "one that was captured moves nothing");
  t.deepEqual(marked(7, 0), [7, 1, 1]);
  t.deepEqual(marked(6, 9), [7, 1, 1]);
  t.deepEqual(marked(7, 2), [7, 2, 5]);
  t.deepEqual(marked(8, 0), [8, 0, 6]);
});

test("malformed operations outside of a session are refused", (t) => {
  const driver = new Driver();
  const whole = encodeSystemOperation({ kind: "open", expiryMs: driver.timeMs + 1 });
  const bad = [
    bytes(""),
    bytes("x"),
    whole.subarray(0, 8),
    Uint8Array.of(...whole, 0),
    whole.map((b, i) => (i === 8 ? 255 : b)),
  ];
  for (const operation of bad) {
    t.deepEqual(entriesOf(driver.run({ session: 0, first: 1, operations: [operation] })), ["1 refused MALFORMED"]);
  }
});

test("limits out of range name the field", (t) => {
  t.throws(() => new Driver({ limits: { window: 65_536 } }), { code: "INVALID_CONFIG", message: /limits\.window/ });
  t.throws(() => new Driver({ limits: { sessionsMax: 0 } }), { code: "INVALID_CONFIG" });
  t.true(SESSION_LIMITS.window >= 1024);
});
