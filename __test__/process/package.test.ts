/** The package as a user without a toolchain gets it: packed, installed elsewhere, run from there. */
import test from "ava";
import { access, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { freeBasePort } from "./ports.ts";
import { emptyDirectory, Program, ROOT } from "./programs.ts";

/** Where npm's own program lies, beside the node that runs this. */
const NPM = ["../lib/node_modules/npm/bin/npm-cli.js", "../share/nodejs/npm/bin/npm-cli.js"];

async function npmCli(): Promise<string> {
  const fromEnvironment = process.env["npm_execpath"];
  const candidates = NPM.map((path) => join(dirname(process.execPath), path));
  if (fromEnvironment?.endsWith("npm-cli.js") === true) candidates.unshift(fromEnvironment);
  for (const path of candidates) {
    const found = await access(path).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new Error("npm is not installed beside node");
}

test("a tarball installs without cargo and runs a cluster of four", async (t) => {
  const home = await emptyDirectory(t);
  const packed = new Program(t, process.execPath, [join(ROOT, ".ci/pack-local.mjs"), home], {
    cwd: ROOT,
    env: { ...process.env, BYZANTINE_SKIP_BUILD: "1" },
  });
  const { code, out, err } = await packed.ended;
  t.is(code, 0, err);
  const tarball = out.trim().split("\n").at(-1)!;

  const bin = join(home, "bin");
  await mkdir(bin);
  await symlink(process.execPath, join(bin, "node"));
  await symlink("/bin/sh", join(bin, "sh"));
  const env = { PATH: bin, HOME: home, npm_config_cache: join(home, "cache"), npm_config_audit: "false" };
  const run = (command: string, ...args: string[]): Program => new Program(t, command, args, { cwd: home, env });
  t.not((await run(join(bin, "sh"), "-c", "cargo --version").ended).code, 0, "there is no cargo on the PATH");

  await writeFile(join(home, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const install = await run(process.execPath, await npmCli(), "install", "--offline", "--ignore-scripts", tarball)
    .ended;
  t.is(install.code, 0, install.err);
  const program = join(home, "node_modules/.bin/byzantine-quic");

  const cluster = join(home, "cluster");
  const port = await freeBasePort(4);
  t.is((await run(program, "init", "-n", "4", "--base-port", String(port), cluster).ended).code, 0);
  const up = run(program, "up", cluster);
  await up.says(/^up: 4 nodes/m);
  const added = await run(program, "client", cluster, "add", "5").ended;
  t.deepEqual([added.code, added.out.split(" ")[0]], [0, "5"], added.err);
  const { nodes } = JSON.parse((await run(program, "status", "--json", cluster).ended).out) as { nodes: unknown[] };
  t.is(nodes.length, 4);
  up.signal("SIGINT");
  t.is((await up.ended).code, 0);

  const readme = await readFile(join(home, "node_modules/byzantine-quic/README.md"), "utf8");
  const example = /^## Twenty lines\n\n```ts\n([\s\S]*?)^```$/m.exec(readme)![1]!;
  // What a TypeScript user's compiler leaves of it.
  const { transform } = createRequire(createRequire(import.meta.url).resolve("tsx"))("esbuild") as {
    transform(code: string, options: { loader: "ts" }): Promise<{ code: string }>;
  };
  const javascript = await transform(example.replace("7400", String(await freeBasePort(4))), { loader: "ts" });
  await writeFile(join(home, "example.js"), javascript.code);
  const printed = await run(process.execPath, "--no-warnings", "example.js").ended;
  t.deepEqual([printed.code, printed.out], [0, "5\n"], printed.err);
});
