import test from "ava";
import { quorumsOf } from "../../dist/protocol/quorum.js";
import { everyone, membersOf, setOf, sizeOf, type ReplicaId } from "../../dist/protocol/types.js";

test("any two quorums meet in an honest replica, and the honest ones alone are a quorum, for every n from 4 to 31", (t) => {
  for (let n = 4; n <= 31; n++) {
    for (let f = 0; f <= Math.floor((n - 1) / 3); f++) {
      const { quorum, weak } = quorumsOf(n, f);
      t.true(2 * quorum - n >= f + 1, `n ${n} f ${f}`);
      t.true(quorum <= n - f, `n ${n} f ${f}`);
      t.true(2 * (quorum - 1) - n < f + 1, `n ${n} f ${f}: no smaller number would do`);
      t.is(weak, f + 1);
    }
  }
});

test("for n = 3f+1 the quorum is 2f+1", (t) => {
  for (let f = 1; f <= 10; f++) t.is(quorumsOf(3 * f + 1, f).quorum, 2 * f + 1);
});

test("sets of up to 31 replicas count and list their members", (t) => {
  t.is(sizeOf(everyone(31)), 31);
  t.deepEqual(membersOf(setOf(0 as ReplicaId, 30 as ReplicaId)), [0, 30] as ReplicaId[]);
  t.is(sizeOf(setOf(3 as ReplicaId, 3 as ReplicaId)), 1);
});
