import test from "ava";
import { CommitStream } from "../../dist/node/commit-stream.js";
import type { Commit, CommitGap } from "../../dist/index.js";

function commit(sequence: number, operations = 1): Commit {
  const operation = {
    client: "00".repeat(32),
    session: 1,
    clientSequence: sequence,
    operation: new Uint8Array(),
    status: "ok",
    result: new Uint8Array(),
  };
  const digest = "00".repeat(32);
  return {
    type: "commit",
    sequence,
    digest,
    timestampMs: 0,
    operations: Array.from({ length: operations }, () => operation),
  };
}

function stream(): { readonly commits: CommitStream; readonly told: (boolean | number)[] } {
  const told: (boolean | number)[] = [];
  const commits = new CommitStream({
    onSubscribed: (subscribed) => told.push(subscribed),
    onSeen: (operations) => told.push(operations),
  });
  return { commits, told };
}

function numbers(commits: readonly (Commit | CommitGap)[]): string[] {
  return commits.map((commit) => (commit.type === "gap" ? `${commit.from}–${commit.to}` : `${commit.sequence}`));
}

test("the first listener subscribes, the last one unsubscribes, and what was taken is acknowledged", (t) => {
  const { commits, told } = stream();
  const seen: (Commit | CommitGap)[] = [];
  const one = commits.listen((commit) => seen.push(commit));
  const other = commits.listen(() => undefined);
  commits.push([commit(1, 3), { type: "gap", from: 2, to: 4 }, commit(5, 2)]);
  one();
  one();
  commits.push([commit(6)]);
  other();
  t.deepEqual(numbers(seen), ["1", "2–4", "5"]);
  t.deepEqual(told, [true, 5, 1, false]);
});

test("one listener given twice is two subscriptions", (t) => {
  const { commits } = stream();
  let calls = 0;
  const listener = (): void => void (calls += 1);
  const first = commits.listen(listener);
  commits.listen(listener);
  commits.push([commit(1)]);
  first();
  commits.push([commit(2)]);
  t.is(calls, 3);
});

test("an iterator without a beginning begins with what comes next", async (t) => {
  const { commits } = stream();
  const iterator = commits.iterate({});
  commits.push([commit(7), commit(8)]);
  t.like(await iterator.next(), { done: false, value: { sequence: 7 } });
  t.like(await iterator.next(), { done: false, value: { sequence: 8 } });
});

test("an iterator skips what lies before its beginning, and names what is missing", async (t) => {
  const { commits } = stream();
  const iterator = commits.iterate({ from: 4 });
  commits.push([commit(2), { type: "gap", from: 3, to: 3 }, commit(6), { type: "gap", from: 7, to: 9 }, commit(12)]);
  const got: (Commit | CommitGap)[] = [];
  for (let i = 0; i < 5; i++) got.push((await iterator.next()).value!);
  t.deepEqual(numbers(got), ["4–5", "6", "7–9", "10–11", "12"]);
});

test("of a gap that begins before what it has seen a reader is told the rest", async (t) => {
  const { commits } = stream();
  const reader = commits.iterate({ from: 3 });
  commits.push([{ type: "gap", from: 1, to: 9 }, commit(10)]);
  commits.push([
    { type: "gap", from: 8, to: 10 },
    { type: "gap", from: 9, to: 14 },
  ]);
  const told: (Commit | CommitGap)[] = [];
  for (let i = 0; i < 3; i++) told.push((await reader.next()).value as Commit | CommitGap);
  t.deepEqual(numbers(told), ["3–9", "10", "11–14"]);
});

test("waiting calls are answered in their order", async (t) => {
  const { commits } = stream();
  const iterator = commits.iterate({ from: 1 });
  const waiting = [iterator.next(), iterator.next(), iterator.next(), iterator.next()];
  commits.push([commit(1), commit(3)]);
  commits.close();
  const results = await Promise.all(waiting);
  t.deepEqual(numbers(results.flatMap(({ value }) => value ?? [])), ["1", "2–2", "3"]);
  t.true(results[3]!.done);
});

test("a reader that is too slow finds a gap where the oldest were", async (t) => {
  const { commits } = stream();
  const iterator = commits.iterate({ from: 1 });
  commits.push(Array.from({ length: 5_000 }, (_, i) => commit(i + 1)));
  const first = (await iterator.next()).value;
  t.deepEqual(first, { type: "gap", from: 1, to: 904 });
  t.like((await iterator.next()).value, { sequence: 905 });
});

test("closing ends readers after what they hold; an abort and a return end them at once", async (t) => {
  const { commits, told } = stream();
  const ending = new AbortController();
  const [closed, aborted, returned] = [
    commits.iterate({}),
    commits.iterate({ signal: ending.signal }),
    commits.iterate({}),
  ];
  commits.push([commit(1)]);
  ending.abort();
  t.true((await aborted.next()).done);
  t.true((await returned.return()).done);
  t.true((await returned.next()).done);
  commits.close();
  t.like(await closed.next(), { done: false, value: { sequence: 1 } });
  t.true((await closed.next()).done);
  t.true((await commits.iterate({}).next()).done, "a closed stream has nothing more");
  t.is(told[0], true);
});
