/** What happens to the process around the addon: each test is a child process that must end by itself. */
import { spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import test from "ava";

const native = JSON.stringify(new URL("../../dist/native/native.js", import.meta.url).href);
/** Far above what any of them takes: a process that hangs is killed and fails its test. */
const DEADLINE_MS = 60_000;

async function run(script: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { timeout: DEADLINE_MS });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output };
}

const PARTS = `
  import * as native from ${native};
  const pem = native.generateKey();
  const key = Buffer.from(native.publicKeyOf(pem), "hex");
  const digest = new Uint8Array(32);
  const config = {
    clusterId: digest, epoch: 0, maxFaults: 0, members: [{ key, address: "127.0.0.1:9" }], me: 0, secretKeyPem: pem,
    listenHost: "127.0.0.1", listenPort: 0, hello: [{ name: "cluster", digest }],
    limits: { operationBytesMax: 1024, batchBundlesMax: 16, batchBytesMax: 1 << 20 },
  };
  const client = { ...config, me: undefined, listenHost: undefined, listenPort: undefined, secretKeyPem: native.generateKey() };
`;

test("an open transport does not keep the process alive", async (t) => {
  const { code, output } = await run(`${PARTS} new native.Transport(client, () => {}); console.log("made");`);
  t.deepEqual({ code, output }, { code: 0, output: "made\n" });
});

test("the process ends by itself after a transport was closed", async (t) => {
  const script = `${PARTS} const transport = new native.Transport(client, () => {}); await transport.close(); console.log("closed");`;
  t.deepEqual(await run(script), { code: 0, output: "closed\n" });
});

test("the process ends by itself with a reactor that was shut down, and with one that was not", async (t) => {
  for (const end of ["reactor.shutdown(100);", ""]) {
    const script = `${PARTS} const reactor = new native.Reactor(config);
      reactor.turn(new Uint8Array(0), 0, new Uint8Array(native.OUTPUT_BYTES_MIN), 1); ${end} console.log("turned");`;
    t.deepEqual(await run(script), { code: 0, output: "turned\n" }, end);
  }
});

test("a snapshot that is being written does not keep the process alive", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "byzantine-native-"));
  t.teardown(() => rm(directory, { recursive: true }));
  const script = `${PARTS} const owner = { clusterId: digest, epoch: 0, replicaKey: key };
    const writer = new native.SnapshotFileWriter(${JSON.stringify(directory)}, owner, 1, digest, digest);
    console.log(writer.status().state);`;
  t.deepEqual(await run(script), { code: 0, output: "writing\n" });
});

test("worker threads load the addon, turn a reactor and are terminated, twenty times", async (t) => {
  const worker = `
    ${PARTS}
    import { parentPort } from "node:worker_threads";
    new native.Transport(client, () => {});
    const reactor = new native.Reactor(config);
    const output = new Uint8Array(native.OUTPUT_BYTES_MIN);
    const nothing = new Uint8Array(0);
    parentPort.postMessage("running");
    setImmediate(function turn() { reactor.turn(nothing, 0, output, 50); setImmediate(turn); });
  `;
  const url = JSON.stringify(`data:text/javascript,${encodeURIComponent(worker)}`);
  const script = `
    import { once } from "node:events";
    import { Worker } from "node:worker_threads";
    for (let i = 0; i < 20; i += 1) {
      const worker = new Worker(new URL(${url}));
      await once(worker, "message");
      await worker.terminate();
    }
    console.log("terminated");
  `;
  t.deepEqual(await run(script), { code: 0, output: "terminated\n" });
});

/** A copy of the compiled binding as another installation would have it. */
async function install(version: string, names: readonly string[]): Promise<URL> {
  const root = pathToFileURL(`${await mkdtemp(join(tmpdir(), "byzantine-native-"))}/`);
  await mkdir(new URL("dist/native/", root), { recursive: true });
  await writeFile(new URL("package.json", root), JSON.stringify({ type: "module", version }));
  for (const name of ["errors.js", ...names.map((file) => `native/${file}`)]) {
    await copyFile(new URL(`../../dist/${name}`, import.meta.url), new URL(`dist/${name}`, root));
  }
  return root;
}

async function loadFrom(root: URL): Promise<string> {
  const { output } = await run(`
    try { await import("${new URL("dist/native/native.js", root).href}"); console.log("loaded"); }
    catch (error) { console.log(error.name, error.code, error.cause instanceof Error, JSON.stringify(error.data), error.message); }
  `);
  await rm(root, { recursive: true });
  return output;
}

const CODE = ["native.js", "data-dir.js", "call.js", "load.js", "binding.cjs"];

test("a missing binary is an error that names the machine and the remedies", async (t) => {
  const output = await loadFrom(await install("0.1.0", CODE));
  t.true(output.startsWith("ByzantineError NATIVE_BINDING true"), output);
  for (const part of [process.platform, process.arch, "libc", "npm install", "cargo"])
    t.true(output.includes(part), part);
});

test("a binary of another version is refused", async (t) => {
  const files = await readdir(new URL("../../dist/native/", import.meta.url));
  const output = await loadFrom(await install("99.0.0", [...CODE, ...files.filter((name) => name.endsWith(".node"))]));
  t.true(output.startsWith("ByzantineError NATIVE_BINDING false"), output);
  t.regex(output, /this package is version 99\.0\.0/);
});
