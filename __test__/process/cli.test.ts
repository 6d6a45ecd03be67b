/** The command line with a running cluster: from `init` to Ctrl-C. */
import test, { type ExecutionContext } from "ava";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { add, TestCluster } from "./cluster.ts";
import { eventually, freeBasePort } from "./ports.ts";
import { cli, emptyDirectory, isAlive, type Program } from "./programs.ts";

interface StatusJson {
  readonly nodes: readonly {
    readonly nodeId: string;
    readonly lastExecuted: number;
    readonly digest: string;
    readonly peers: { readonly connected: number; readonly of: number };
  }[];
}

async function written(t: ExecutionContext): Promise<string> {
  const directory = join(await emptyDirectory(t), "cluster");
  const init = await cli(t, "init", "-n", "4", "--base-port", String(await freeBasePort(4)), directory).ended;
  t.is(init.code, 0, init.err);
  return directory;
}

/** The ids of a process's children, from the kernel. */
async function childrenOf(parent: number): Promise<number[]> {
  const entries = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(
    entries.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      return {
        pid: Number(pid),
        parent: Number(
          stat
            .slice(stat.lastIndexOf(")") + 1)
            .trim()
            .split(" ")[1],
        ),
      };
    }),
  );
  return parents.filter((entry) => entry.parent === parent).map(({ pid }) => pid);
}

async function statusOf(t: ExecutionContext, directory: string): Promise<StatusJson["nodes"]> {
  const { code, out, err } = await cli(t, "status", "--json", directory).ended;
  t.is(code, 0, err);
  return (JSON.parse(out) as StatusJson).nodes;
}

async function stopped(t: ExecutionContext, up: Program): Promise<void> {
  const children = await childrenOf(up.pid);
  t.is(children.length, 4);
  up.signal("SIGINT");
  const { code, out } = await up.ended;
  t.is(code, 0);
  t.is(out.match(/ {2}stopped$/gm)?.length, 4, "every node says that it stopped");
  t.deepEqual(children.filter(isAlive), []);
}

test.serial("init, up, client, status, Ctrl-C, and up again", async (t) => {
  const directory = await written(t);
  const up = cli(t, "up", directory);
  await up.says(/^up: 4 nodes/m);
  const first = await cli(t, "client", directory, "add", "5").ended;
  t.deepEqual([first.code, first.out.split(" ")[0]], [0, "5"], first.err);
  const second = await cli(t, "client", "--json", directory, "--", "add", "-7").ended;
  t.is((JSON.parse(second.out) as { value: number }).value, -2, second.err);

  const nodes = await eventually("all nodes at one state", async () => {
    const nodes = await statusOf(t, directory);
    const same = nodes.every(({ lastExecuted }) => lastExecuted === nodes[0]!.lastExecuted && lastExecuted >= 4);
    return same && nodes.every(({ peers }) => peers.connected === 3) && nodes;
  });
  for (const { digest } of nodes) t.is(digest, nodes[0]!.digest);
  const table = (await cli(t, "status", directory).ended).out.trimEnd().split("\n");
  t.is(table.length, 5);
  t.regex(table[0]!, /^NODE +VIEW +PRIMARY +EXECUTED +DIGEST +STABLE +PEERS +REJECTED$/);
  t.regex(table[1]!, /^node-0 +0 +itself +\d+ +[0-9a-f]{16} +0 +3\/3 +\d+$/);
  t.regex(table[2]!, /^node-1 +0 +node-0 /);
  await stopped(t, up);

  const down = await cli(t, "status", directory).ended;
  t.deepEqual([down.code, down.out.match(/no node is running here/g)?.length], [1, 4]);
  const again = cli(t, "up", directory);
  await again.says(/^up: 4 nodes/m);
  const third = await cli(t, "client", directory, "increment").ended;
  t.deepEqual([third.code, third.out.split(" ")[0]], [0, "-1"], "it goes on where it ended");
  await stopped(t, again);
});

/** Has all nodes keep nothing. */
async function forgetful(directory: string): Promise<void> {
  for (const id of await readdir(join(directory, "nodes"))) {
    const path = join(directory, "nodes", id, "node.json");
    await writeFile(
      path,
      JSON.stringify({ ...(JSON.parse(await readFile(path, "utf8")) as object), durability: "none" }),
    );
  }
}

test.serial("where nothing is durable, up begins a new epoch from nothing", async (t) => {
  const directory = await written(t);
  await forgetful(directory);
  for (const epoch of [1, 2]) {
    const up = cli(t, "up", directory);
    await up.says(/^up: 4 nodes/m);
    const added = await cli(t, "client", directory, "increment").ended;
    t.deepEqual([added.code, added.out.split(" ")[0]], [0, "1"], added.err);
    t.like(JSON.parse(await readFile(join(directory, "cluster.json"), "utf8")), { epoch });
    await stopped(t, up);
  }
});

test.serial("a node that keeps nothing cannot be started twice in one epoch", async (t) => {
  const directory = await written(t);
  await forgetful(directory);
  const file = join(directory, "nodes/node-0/node.json");
  const first = cli(t, "node", file);
  await first.says(/listening/);
  first.signal("SIGTERM");
  t.is((await first.ended).code, 0);
  const second = await cli(t, "node", "--json", file).ended;
  t.is(second.code, 1);
  const report = JSON.parse(second.err.trim().split("\n").at(-1)!) as {
    error: { code: string; data: { reason: string } };
  };
  t.like(report.error, { code: "HALTED", data: { reason: "WIPED_DISK" } });
});

for (const { name, file, change, field, accepted } of [
  {
    name: "cluster.json",
    file: "cluster.json",
    change: { viewChangeTimeoutMs: 5 },
    field: "viewChangeTimeoutMs",
    accepted: /100 … 600000/,
  },
  {
    name: "node.json",
    file: "nodes/node-0/node.json",
    change: { durability: "perhaps" },
    field: "durability",
    accepted: /"none"/,
  },
]) {
  test.serial(`a wrong field of ${name} is named with its range before anything starts`, async (t) => {
    const directory = await written(t);
    const path = join(directory, file);
    await writeFile(path, JSON.stringify({ ...(JSON.parse(await readFile(path, "utf8")) as object), ...change }));
    const { code, out, err } = await cli(t, "node", join(directory, "nodes/node-0/node.json")).ended;
    t.deepEqual([code, out], [1, ""]);
    t.regex(err, new RegExp(field));
    t.regex(err, accepted);
  });
}

test.serial("a wrong number on the command line is wrong usage", async (t) => {
  const { code, err } = await cli(t, "init", "-n", "3", join(await emptyDirectory(t), "cluster")).ended;
  t.is(code, 2);
  t.regex(err, /nodes.*4 … 31/);
});

test.serial("a flight recording is run again and shows what the core did", async (t) => {
  const cluster = await TestCluster.start(t, { shared: { flightRecorder: true } });
  const client = await cluster.client();
  for (let i = 1; i <= 3; i++) t.is(await add(client, 1), i);
  const { sequence } = await cluster.settled(4);
  const file = join(await emptyDirectory(t), "flight.jsonl");
  await writeFile(file, (await cluster.node(1).flightRecording())!);
  const { code, out, err } = await cli(t, "replay", "--json", file).ended;
  t.deepEqual([code, err], [0, ""]);
  const steps = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { input: string; actions: string[] });
  t.true(steps.some(({ input }) => input.includes("prePrepare")));
  const executed = steps.flatMap(({ actions }) => actions).filter((action) => action.startsWith("execute"));
  t.is(executed.length, sequence, "it executes what the replica executed");
  await writeFile(file, "{}\n");
  t.is((await cli(t, "replay", file).ended).code, 1);
});
