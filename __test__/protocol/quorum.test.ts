import test from "ava";
import { isQuorum, isWeakQuorum, quorumsOf } from "../../dist/protocol/quorum.js";
import { everyone, membersOf, setOf, sizeOf, type ReplicaId, type ReplicaSet } from "../../dist/protocol/types.js";
import { Cluster, crossing } from "./cluster-of-cores.ts";

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

test("the first and the last Q replicas, the sets that overlap least, have an honest one in common whoever the f liars are", (t) => {
  for (let n = 4; n <= 31; n++) {
    for (let f = 0; f <= Math.floor((n - 1) / 3); f++) {
      const quorums = quorumsOf(n, f);
      const ids = membersOf(everyone(n));
      const first = setOf(...ids.slice(0, quorums.quorum));
      const last = setOf(...ids.slice(-quorums.quorum));
      const common = (first & last) as ReplicaSet;
      t.true(isQuorum(quorums, first) && isQuorum(quorums, last));
      t.true(isWeakQuorum(quorums, common), `n ${n} f ${f}: ${f} liars cannot fill what they have in common`);
      t.false(isQuorum(quorums, setOf(...ids.slice(1, quorums.quorum))));
      t.false(isWeakQuorum(quorums, setOf(...ids.slice(0, f))), "f replicas may all be liars");
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

const TIMEOUT_MS = 5_000;
for (const n of [4, 5, 6, 7, 10, 13, 31]) {
  const f = Math.floor((n - 1) / 3);
  const { quorum } = quorumsOf(n, f);
  const ids = Array.from({ length: n }, (_, id) => id);

  test(`n = ${n}, f = ${f}: ${quorum} replicas order and take checkpoints; one fewer does neither`, (t) => {
    const cluster = new Cluster({ n, f, checkpointInterval: 1, window: 4 });
    const live = ids.slice(0, quorum);
    const away = ids.slice(quorum);
    cluster.drop(crossing(...away));
    cluster.run("a", "b");
    for (const id of live) {
      t.deepEqual(cluster.executed(id), ["a", "b"]);
      t.is(cluster.core(id).inspect().low as number, 2);
    }
    cluster.drop(crossing(quorum - 1));
    cluster.request("c");
    cluster.deliver();
    for (const id of live) t.deepEqual(cluster.executed(id), ["a", "b"]);
  });

  test(`n = ${n}, f = ${f}: ${quorum} replicas change the view and go on; one fewer stays in the old one`, (t) => {
    const asked = (live: readonly number[]): Cluster => {
      const cluster = new Cluster({ n, f });
      cluster.run("a");
      cluster.drop(crossing(...ids.filter((id) => !live.includes(id))));
      cluster.request("b", live);
      cluster.pass(2 * TIMEOUT_MS);
      return cluster;
    };
    const enough = ids.slice(1, quorum + 1);
    const cluster = asked(enough);
    for (const id of enough) {
      t.is(cluster.core(id).view().view as number, 1);
      t.deepEqual(cluster.executed(id), ["a", "b"]);
    }
    const fewer = asked(enough.slice(0, -1));
    for (const id of ids) {
      t.is(fewer.core(id).view().view as number, 0);
      t.deepEqual(fewer.executed(id), ["a"]);
    }
  });
}
