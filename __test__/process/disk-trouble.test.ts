/** Real replicas on disks that fail, are full, cannot be written, or stand still: what they say, and that the others go on. */
import test, { type ExecutionContext } from "ava";
import { constants } from "node:os";
import type { ByzantineClient, NodeMetrics } from "../../dist/index.js";
import { assertUncontradicted } from "./contradictions.ts";
import { Killer, type Trouble } from "./killer.ts";
import { assertAnsweredOnce, Load } from "./load.ts";
import { totals } from "./machine.mjs";
import { eventually } from "./ports.ts";
import type { SeenEvent } from "./questions.ts";
import { Replicas } from "./replicas.ts";

const { EIO, EROFS, ENOSPC } = constants.errno;
const SEGMENT = "journal-*.segment";
const shared = { viewChangeTimeoutMs: 2_000, checkpointInterval: 8 };
const PATIENCE_MS = 120_000;
/** Above what is called a stall: the journal says so after 10 s. */
const STALL_MS = 12_000;

interface Stage {
  readonly replicas: Replicas;
  readonly load: Load;
}

/** A durable cluster of four under load, in which checkpoints are stable. */
async function stage(t: ExecutionContext): Promise<Stage> {
  const killer = new Killer();
  t.teardown(() => killer.close());
  const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, tapped: true, killer });
  const load = new Load([await replicas.client()], 4, 5);
  await replicas.until("a checkpoint is stable", ({ checkpoints }) => checkpoints.stable > 0);
  return { replicas, load };
}

/** Nobody's operation was lost, and all that run hold the same; nobody ever contradicted itself. */
async function ended(t: ExecutionContext, { replicas, load }: Stage): Promise<void> {
  await load.stop();
  assertAnsweredOnce(t, load);
  const standings = await replicas.settled();
  for (const { digest, total } of standings) {
    t.is(digest, standings[0]!.digest);
    t.is(total, load.totals.length);
  }
  assertUncontradicted(t, replicas);
}

async function fatal(replicas: Replicas, replica: number): Promise<SeenEvent> {
  const found = async (): Promise<SeenEvent | undefined | false> => {
    const { events } = await replicas.account(replica);
    return events.find(({ name }) => name === "fatal") ?? false;
  };
  return (await eventually(`replica ${replica} stops itself`, found, PATIENCE_MS)) as SeenEvent;
}

/** Large operations, one after another. */
async function writeUntil(client: ByzantineClient, key: string, done: () => Promise<boolean>): Promise<void> {
  const bytes = new Uint8Array(128 * 1024).fill(7);
  while (!(await done())) await client.submit(totals.operation("keep", { key, bytes, answerBytes: 1, answer: 1 }));
}

for (const [what, trouble, reason] of [
  ["whose sync fails", { call: "sync", file: SEGMENT, when: `fail-${EIO}` }, "fsyncFailed"],
  ["that has become read-only", { call: "write", file: SEGMENT, when: `fail-${EROFS}` }, "readOnly"],
  ["without room for a record", { call: "write", file: SEGMENT, when: `fail-${ENOSPC}` }, "full"],
] as const satisfies readonly (readonly [string, Trouble, string])[]) {
  test.serial(
    `a replica on a disk ${what} stops by name before another vote leaves, and the others go on`,
    async (t) => {
      const now = await stage(t);
      const { replicas, load } = now;
      replicas.trouble(3, trouble);
      t.like(await fatal(replicas, 3), { payload: { reason: "DISK_FAILED", data: { reason } } });
      const said = replicas.wiretap.record.votesOf(3);
      await load.answered(40);
      t.is(replicas.wiretap.record.votesOf(3), said, "it is silent");
      await replicas.kill(3);
      replicas.relieve(3);
      await replicas.restart(3);
      await replicas.caughtUp(3);
      await ended(t, now);
    },
  );
}

test.serial(
  "a disk without room for the next segment holds its replica back, says so, and lets it go on later",
  async (t) => {
    const now = await stage(t);
    const { replicas } = now;
    replicas.trouble(3, { call: "fill", file: SEGMENT, when: `fail-${ENOSPC}` });
    const status = (metrics: NodeMetrics): string | undefined => metrics.journal?.status;
    // The segment in use and the one that was prepared have room for a while.
    const client = await replicas.client();
    const isFull = async (): Promise<boolean> => status(await replicas.metrics(3)) === "full";
    await Promise.all(Array.from({ length: 8 }, async (_, key) => writeUntil(client, String(key), isFull)));
    const { lastExecuted } = await replicas.metrics(0);
    await replicas.until("the others go on", (metrics) => metrics.lastExecuted > lastExecuted + 8, [0, 1, 2]);
    replicas.relieve(3);
    await replicas.until("it writes again", (metrics) => status(metrics) === "running", [3]);
    await ended(t, now);
    const { events } = await replicas.account(3);
    t.false(events.some(({ name }) => name === "fatal"));
  },
);

test.serial(
  "a primary whose disk stands still hands over before anybody's timer runs out, and comes back",
  async (t) => {
    const now = await stage(t);
    const { replicas } = now;
    const [{ view }] = (await replicas.until("all in one view", () => true)) as [NodeMetrics];
    const primary = view % 4;
    replicas.trouble(primary, { call: "sync", file: SEGMENT, when: `slow-${STALL_MS}` });
    const others = [0, 1, 2, 3].filter((replica) => replica !== primary);
    const changed = await replicas.until("the next view", (metrics) => metrics.view > view, others);
    for (const { viewsLeft } of changed)
      t.deepEqual(
        Object.keys(viewsLeft).filter((cause) => cause === "timeout"),
        [],
      );
    t.true(changed.some(({ viewsLeft }) => (viewsLeft.handOver ?? 0) > 0));
    await replicas.until("it says that it is stalled", ({ journal }) => journal?.status === "stalled", [primary]);
    replicas.relieve(primary);
    await replicas.caughtUp(primary);
    await ended(t, now);
  },
);
