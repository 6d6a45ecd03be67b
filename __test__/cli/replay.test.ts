import test from "ava";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../dist/cli/commands.js";
import { RecordedCore } from "../../dist/observability/flight-recorder.js";
import type { Input } from "../../dist/protocol/core.js";
import type { ReplicaOptions } from "../../dist/protocol/options.js";
import { Replica } from "../../dist/protocol/replica.js";
import type { Instant, ReplicaId } from "../../dist/protocol/types.js";

const options: ReplicaOptions = {
  n: 4,
  f: 1,
  me: 1 as ReplicaId,
  checkpointInterval: 2,
  window: 4,
  inFlightMax: 4,
  viewChangeTimeoutMs: 5000,
  batchBundlesMax: 4,
  batchBytesMax: 4096,
  poolBundlesMax: 16,
  poolBytesMax: 65_536,
  timeBoundMs: 500,
  pipelineDepth: 4,
  historyBytesMax: 65_536,
};

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(argv, { out: (line) => out.push(line), err: (line) => err.push(line) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

test("replay prints what the core was told and what it did", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "byzantine-quic-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const core = new RecordedCore(new Replica(options), options);
  core.step({ kind: "recovered", state: { type: "genesis" }, wallClock: 0 } as unknown as Input, 0 as Instant);
  core.step({ kind: "link", peer: 2 as ReplicaId, up: true }, 5 as Instant);
  const file = join(folder, "recording");
  await writeFile(file, core.recording());
  const printed = await cli("replay", file);
  t.is(printed.code, 0, printed.err);
  t.regex(printed.out, /^0 recovered genesis\n {4}persist 1 .*\n(?:.*\n)*5 link 2 up\n {4}send status /u);
  const json = await cli("replay", "--json", file);
  const lines = json.out.split("\n").map((line) => JSON.parse(line) as { now: number; input: string });
  t.deepEqual(
    lines.map(({ now, input }) => [now, input]),
    [
      [0, "recovered genesis"],
      [5, "link 2 up"],
    ],
  );
});

test("replay without a readable recording fails", async (t) => {
  t.is((await cli("replay")).code, 2);
  t.is((await cli("replay", "/nowhere/at/all")).code, 1);
});
