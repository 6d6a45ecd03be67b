import test from "ava";
import type { ExecutionContext } from "ava";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../dist/cli/commands.js";
import { resolveCluster } from "../../dist/codec/cluster.js";
import { resolveClientFile, resolveNodeOptions } from "../../dist/codec/nodeOptions.js";
import { inspectDataDir } from "../../dist/native/native.js";
import { publicKeyOf } from "../../dist/native/native.js";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function cli(...argv: string[]): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(argv, { out: (line) => out.push(line), err: (line) => err.push(line) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

async function directory(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "byzantine-quic-"));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function json(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
}

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

for (const [n, f, first, last] of [
  [4, 1, "node-0", "node-3"],
  [7, 2, "node-0", "node-6"],
  [10, 3, "node-0", "node-9"],
  [31, 10, "node-00", "node-30"],
] as const) {
  test(`init -n ${n} writes a configuration that is accepted as it is`, async (t) => {
    const home = join(await directory(t), "cluster");
    const { code, err } = await cli("init", "-n", String(n), home);
    t.deepEqual([code, err], [0, ""]);
    const file = await json(join(home, "cluster.json"));
    const cluster = resolveCluster(file);
    t.deepEqual(file, JSON.parse(JSON.stringify(cluster)));
    t.deepEqual([cluster.nodes.length, cluster.maxFaults], [n, f]);
    t.deepEqual([cluster.nodes[0]?.nodeId, cluster.nodes.at(-1)?.nodeId], [first, last]);
    t.is(new Set(cluster.nodes.map(({ publicKey }) => publicKey)).size, n);
    t.deepEqual(
      (await readdir(join(home, "nodes"))).sort(),
      cluster.nodes.map(({ nodeId }) => nodeId),
    );
  });
}

test("every node gets its key, its configuration and the mark of a first start", async (t) => {
  const home = join(await directory(t), "cluster");
  t.is((await cli("init", home)).code, 0);
  const cluster = resolveCluster(await json(join(home, "cluster.json")));
  for (const { nodeId, host, port, publicKey } of cluster.nodes) {
    const own = join(home, "nodes", nodeId);
    const options = resolveNodeOptions(await json(join(own, "node.json")));
    t.is(options.nodeId, nodeId);
    t.deepEqual(options.listen, { host, port });
    t.is(join(own, options.cluster), join(home, "cluster.json"));
    t.is(publicKeyOf(await readFile(join(own, options.keyFile), "utf8")), publicKey);
    t.is(options.durability, "fsync");
    t.like(inspectDataDir(join(own, options.dataDir)), {
      cluster: cluster.clusterId,
      epoch: 0,
      replica: publicKey,
      origin: "genesis",
      lastLsn: 0,
    });
  }
});

test("the client that is written is the only one admitted", async (t) => {
  const home = join(await directory(t), "cluster");
  t.is((await cli("init", home)).code, 0);
  const client = resolveClientFile(await json(join(home, "client", "client.json")));
  t.is(join(home, "client", client.cluster), join(home, "cluster.json"));
  const publicKey = publicKeyOf(await readFile(join(home, "client", client.keyFile), "utf8"));
  t.deepEqual(resolveCluster(await json(join(home, "cluster.json"))).clients, [{ name: "client", publicKey }]);
});

test("keys are their owner's alone, and so are the directories", async (t) => {
  const home = join(await directory(t), "cluster");
  t.is((await cli("init", home)).code, 0);
  for (const key of ["client/key.pem", "nodes/node-0/key.pem", "nodes/node-3/key.pem"]) {
    t.is(await modeOf(join(home, key)), 0o600, key);
  }
  for (const path of ["", "client", "nodes", "nodes/node-0", "nodes/node-0/data"]) {
    t.is(await modeOf(join(home, path)), 0o700, path);
  }
});

test("two clusters share neither id nor key", async (t) => {
  const base = await directory(t);
  const made = [];
  for (const name of ["a", "b"]) {
    t.is((await cli("init", join(base, name))).code, 0);
    made.push(resolveCluster(await json(join(base, name, "cluster.json"))));
  }
  t.not(made[0]?.clusterId, made[1]?.clusterId);
  t.not(made[0]?.nodes[0]?.publicKey, made[1]?.nodes[0]?.publicKey);
});

test("options reach the configuration", async (t) => {
  const home = join(await directory(t), "cluster");
  const options =
    "-n 7 --host ::1 --base-port 9000 --max-faults 1 --checkpoint-interval 10 --view-change-timeout-ms 900";
  t.is((await cli("init", ...options.split(" "), home)).code, 0);
  const cluster = resolveCluster(await json(join(home, "cluster.json")));
  t.deepEqual(
    cluster.nodes.map(({ host, port }) => `${host} ${port}`),
    [0, 1, 2, 3, 4, 5, 6].map((i) => `::1 ${9000 + i}`),
  );
  t.deepEqual([cluster.maxFaults, cluster.checkpointInterval, cluster.viewChangeTimeoutMs], [1, 10, 900]);
});

test("init says what it wrote and what comes next", async (t) => {
  const home = join(await directory(t), "cluster");
  const { out } = await cli("init", home);
  t.regex(out, /^Wrote a cluster of 4 nodes that tolerates 1 faulty/);
  for (const file of ["cluster.json", "nodes/node-0/key.pem", "nodes/node-3/data/identity", "client/client.json"]) {
    t.true(out.includes(`  ${file}`), file);
  }
  t.true(out.endsWith(`Next: byzantine-quic up ${home}`));
});

test("init --json says it in one object", async (t) => {
  const home = join(await directory(t), "cluster");
  const { out } = await cli("init", home, "--json");
  const report = JSON.parse(out) as {
    directory: string;
    clusterId: string;
    nodes: unknown[];
    files: string[];
    next: string;
  };
  t.is(report.directory, home);
  t.is(report.clusterId, resolveCluster(await json(join(home, "cluster.json"))).clusterId);
  t.deepEqual(report.nodes[1], { nodeId: "node-1", host: "127.0.0.1", port: 7401 });
  for (const file of report.files) t.true((await stat(join(home, file))).isFile(), file);
  t.is(report.files.length, 4 * 3 + 3);
});

test("an existing cluster is never overwritten", async (t) => {
  const home = join(await directory(t), "cluster");
  t.is((await cli("init", home)).code, 0);
  const before = await readFile(join(home, "cluster.json"));
  const { code, err } = await cli("init", home, "--json");
  t.is(code, 1);
  const { error } = JSON.parse(err) as { error: { code: string; data: unknown } };
  t.is(error.code, "INVALID_ARGUMENT");
  t.deepEqual(error.data, { field: "directory", accepted: "a directory that is absent or empty", got: home });
  t.deepEqual(await readFile(join(home, "cluster.json")), before);
});

test("a directory with anything in it is refused and left alone", async (t) => {
  const home = await directory(t);
  await writeFile(join(home, "notes"), "mine");
  const { code, err } = await cli("init", home);
  t.is(code, 1);
  t.regex(err, /^INVALID_ARGUMENT: .* is not empty; init never overwrites a cluster$/);
  t.deepEqual(await readdir(home), ["notes"]);
});

test("an empty directory may be there already", async (t) => {
  const home = join(await directory(t), "cluster");
  await mkdir(home);
  t.is((await cli("init", home)).code, 0);
});

test("of two that start at once, one makes the cluster", async (t) => {
  const home = join(await directory(t), "cluster");
  const both = await Promise.all([cli("init", home), cli("init", home)]);
  t.deepEqual(
    both.map(({ code }) => code).sort((a, b) => a - b),
    [0, 1],
  );
  const cluster = resolveCluster(await json(join(home, "cluster.json")));
  const pem = await readFile(join(home, "nodes", "node-2", "key.pem"), "utf8");
  t.is(cluster.nodes[2]?.publicKey, publicKeyOf(pem));
});

test("a path below a file is the environment's fault, in one line", async (t) => {
  const home = await directory(t);
  await writeFile(join(home, "file"), "");
  const { code, err } = await cli("init", join(home, "file", "cluster"));
  t.is(code, 1);
  t.regex(err, /^ENOTDIR: [^\n]*$/);
});

const wrong: readonly { argv: string[]; says: RegExp }[] = [
  { argv: [], says: /the directory of the cluster is missing/ },
  { argv: ["a", "b"], says: /unexpected argument "b"/ },
  { argv: ["-n", "3", "x"], says: /nodes must be a list of 4 … 31 members .*; got a list of 3\n/ },
  { argv: ["-n", "32", "x"], says: /nodes must be a list of 4 … 31 members/ },
  { argv: ["-n", "999999999999999", "x"], says: /nodes must be a list of 4 … 31 members/ },
  { argv: ["-n", "four", "x"], says: /--nodes must be a whole number; got "four"/ },
  { argv: ["-n", "-4", "x"], says: /argument is ambiguous/ },
  { argv: ["--base-port", "65533", "x"], says: /nodes\[3\]\.port must be an integer, 1 … 65535; got 65536/ },
  { argv: ["--base-port", "1.5", "x"], says: /--base-port must be a whole number/ },
  { argv: ["--max-faults", "2", "x"], says: /maxFaults must be an integer, 0 … 1/ },
  { argv: ["--checkpoint-interval", "0", "x"], says: /checkpointInterval must be an integer, 1 … 1024; got 0/ },
  { argv: ["--view-change-timeout-ms", "1", "x"], says: /viewChangeTimeoutMs must be an integer, 100 … 600000/ },
  { argv: ["--host", "a b", "x"], says: /nodes\[0\]\.host must be a host name/ },
  { argv: ["--colour", "x"], says: /--colour/ },
];

for (const { argv, says } of wrong) {
  test(`init ${argv.join(" ")} is wrong usage and writes nothing`, async (t) => {
    const home = await directory(t);
    const placed = argv.map((argument) => (argument === "x" ? join(home, "cluster") : argument));
    const { code, err, out } = await cli("init", ...placed);
    t.is(code, 2);
    t.regex(err, says);
    t.is(out, "");
    t.deepEqual(await readdir(home), []);
  });
}
