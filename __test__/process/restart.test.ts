/** Replica processes with a journal under load: killed, ended in order, and started again on what they left. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import test from "ava";
import { MessageType } from "../../dist/codec/messages.js";
import { assertNothingLost, assertUncontradicted } from "./contradictions.ts";
import { Killer } from "./killer.ts";
import { Load } from "./load.ts";
import { totals } from "./machine.mjs";
import { eventually } from "./ports.ts";
import { Replicas } from "./replicas.ts";
import { rolled } from "./rolling.ts";

const ALL = [0, 1, 2, 3] as const;
const shared = { viewChangeTimeoutMs: 4_000, checkpointInterval: 16 };
const IN_FLIGHT = 8;
/** From an answer to the next operation: the machine is for those that start again. */
const PACE_MS = 4;
const SOME = 200;
const MIB = 1024 * 1024;
/** Several segments of the journal. */
const ROUND_BYTES = 20 * MIB;

/** Any order. */
function shuffled(replicas: readonly number[]): number[] {
  return replicas
    .map((replica) => ({ replica, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ replica }) => replica);
}

test.serial(
  "all replicas are killed at once: nothing that was answered is lost, and nothing is executed twice",
  async (t) => {
    const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, durable: true, tapped: true });
    const load = new Load([await replicas.client(), await replicas.client()], IN_FLIGHT, PACE_MS);
    for (const round of [1, 2]) {
      await load.answered(SOME);
      await Promise.all(ALL.map(async (replica) => replicas.kill(replica)));
      const order = shuffled(ALL);
      t.log(
        `round ${round}: killed after ${load.totals.length} answers, started again in the order ${order.join(", ")}`,
      );
      for (const replica of order) await replicas.restart(replica);
    }
    await load.answered(SOME);
    await load.stop();
    await assertNothingLost(t, replicas, load);
    assertUncontradicted(t, replicas);
  },
);

test.serial("all replicas are restarted in order, one after another, and clients see no error", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, durable: true });
  const load = new Load([await replicas.client(), await replicas.client()], IN_FLIGHT, PACE_MS);
  for (let round = 0; round < 3; round++) await rolled(replicas, load);
  await load.answered(SOME);
  await load.stop();
  await assertNothingLost(t, replicas, load);
  t.log(`${load.totals.length} operations, at most ${Math.round(load.longestPauseMs)} ms between two answers`);
});

test.serial(
  "a replica that is killed after its VIEW-CHANGE comes back without it having arrived, and it counts",
  async (t) => {
    const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, durable: true, tapped: true });
    const load = new Load([await replicas.client()], IN_FLIGHT, PACE_MS);
    await load.answered(SOME);
    let left = false;
    replicas.wiretap.loses = ({ from, type }) => {
      left ||= from === 2 && type === MessageType.viewChange;
      return from === 2 && left;
    };
    await replicas.kill(0);
    await eventually("a VIEW-CHANGE of replica 2", () => left, 60_000);
    await replicas.kill(2);
    replicas.wiretap.loses = () => false;
    // Without replica 0 there is no quorum without replica 2.
    await replicas.restart(2);
    await load.answered(SOME);
    for (const { view } of await replicas.until("a later view", ({ view }) => view > 0)) t.true(view > 0);
    await replicas.restart(0);
    await load.stop();
    await assertNothingLost(t, replicas, load);
    assertUncontradicted(t, replicas);
  },
);

test.serial("a primary that is killed after one replica heard its NEW-VIEW says no other one", async (t) => {
  const replicas = await Replicas.start(t, { n: 4, shared, recorded: false, durable: true, tapped: true });
  const load = new Load([await replicas.client()], IN_FLIGHT, PACE_MS);
  await load.answered(SOME);
  let heard = false;
  replicas.wiretap.loses = ({ from, to, type }) => {
    const opens = from === 1 && type === MessageType.newView;
    heard ||= opens && to === 3;
    return from === 1 && (heard || opens) && !(opens && to === 3);
  };
  await replicas.kill(0);
  await eventually("a NEW-VIEW of replica 1", () => heard, 60_000);
  await replicas.kill(1);
  replicas.wiretap.loses = () => false;
  await replicas.restart(1);
  await load.answered(SOME);
  await replicas.restart(0);
  await load.stop();
  await assertNothingLost(t, replicas, load);
  assertUncontradicted(t, replicas);
});

test.serial(
  "a replica that is killed while it fetches a state, and while it writes that down, has the one before",
  async (t) => {
    const killer = new Killer();
    t.teardown(() => killer.close());
    const often = { viewChangeTimeoutMs: 30_000, checkpointInterval: 4, windowIntervals: 2 };
    const replicas = await Replicas.start(t, { n: 4, shared: often, recorded: false, tapped: true, killer });
    const client = await replicas.client();
    await client.submit(totals.operation("fill", { first: 0, count: 4, bytes: 4_096 }));
    await replicas.kill(3);
    for (let first = 0; first < 2_048; first += 128)
      await client.submit(totals.operation("fill", { first, count: 128, bytes: 4_096 }));
    const load = new Load([client], 4, PACE_MS);
    // More than is kept for replay.
    await load.answered(SOME);
    let parts = 0;
    replicas.wiretap.loses = ({ to, type }) => {
      if (to === 3 && type === MessageType.stateNodes) parts += 1;
      return to === 3 && parts > 1;
    };
    await replicas.restart(3);
    await eventually("parts of a state on their way to replica 3", () => parts > 1, 60_000);
    await replicas.kill(3);
    replicas.wiretap.loses = () => false;
    // The first file of this life is the state that was fetched.
    const fetched = await replicas.begin(3, { call: "rename", file: "snapshot-*.state", when: "before", k: 1 });
    t.is(await fetched.ended, "SIGKILL");
    await replicas.restart(3);
    await replicas.caughtUp(3);
    await load.stop();
    await assertNothingLost(t, replicas, load);
    assertUncontradicted(t, replicas);
  },
);

/** Sizes of the files of one kind. */
function filesOf(dataDir: string, kind: RegExp): number[] {
  return readdirSync(dataDir)
    .filter((name) => kind.test(name))
    .map((name) => statSync(join(dataDir, name)).size);
}

test.serial(
  "a backup that is killed again and again under load catches up, and its directory does not grow",
  async (t) => {
    const replicas = await Replicas.start(t, {
      n: 4,
      shared: { ...shared, viewChangeTimeoutMs: 30_000, checkpointInterval: 4 },
      recorded: false,
      durable: true,
    });
    const load = new Load([await replicas.client()], 1, PACE_MS);
    const writer = await replicas.client();
    const bytes = new Uint8Array(128 * 1024).fill(7);
    let written = 0;
    let freed = 0;
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < ROUND_BYTES / bytes.length; n++) {
        await writer.submit(totals.operation("keep", { key: `of ${n % 8}`, bytes, answerBytes: 1, answer: 1 }));
        written += bytes.length;
      }
      const [metrics] = await replicas.until("segments freed", ({ journal }) => (journal?.segmentsFreed ?? 0) > 0, [3]);
      freed += metrics!.journal!.segmentsFreed;
      await replicas.kill(3);
      await load.answered(20);
      await replicas.restart(3);
      await replicas.caughtUp(3);
    }
    await load.stop();
    await assertNothingLost(t, replicas, load);
    const segments = filesOf(replicas.dataDir(3), /^journal-/);
    const snapshots = filesOf(replicas.dataDir(3), /^snapshot-/);
    const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
    t.log(
      `${written / MIB} MiB written, ${freed} segments freed, ${segments.length} there; snapshots ${snapshots.join(", ")}`,
    );
    t.true(sum(segments) < written / 2);
    t.true(snapshots.length >= 1 && snapshots.length <= 2);
  },
);
