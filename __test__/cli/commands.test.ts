import test from "ava";
import type { ExecutionContext } from "ava";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../../dist/cli/commands.js";
import { publicKeyOf } from "../../dist/native/native.js";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(argv, { out: (line) => out.push(line), err: (line) => err.push(line) });
  return { code, out: out.join("\n"), err: err.join("\n") };
}

function program(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [MAIN, ...argv], (_error, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err });
    });
  });
}

async function directory(t: ExecutionContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "byzantine-quic-"));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

for (const argv of [["--help"], ["-h"], ["help"]]) {
  test(`${argv[0]} lists the commands and the exit codes`, async (t) => {
    const { code, out, err } = await cli(...argv);
    t.deepEqual([code, err], [0, ""]);
    for (const line of [
      /^Usage: byzantine-quic <command>/m,
      /^ {2}keygen {2}/m,
      /^ {2}init {2}/m,
      /--json/,
      /^ {2}2 {2}wrong usage/m,
    ]) {
      t.regex(out, line);
    }
  });
}

for (const command of ["keygen", "init"]) {
  for (const flag of ["--help", "-h"]) {
    test(`${command} ${flag} says how it is used, its options and exit codes`, async (t) => {
      const { code, out, err } = await cli(command, flag);
      t.deepEqual([code, err], [0, ""]);
      for (const line of [
        new RegExp(`^Usage: byzantine-quic ${command} `),
        /^Options$/m,
        /--json/,
        /--help/,
        /^Exit codes$/m,
      ]) {
        t.regex(out, line);
      }
    });
  }
}

for (const { argv, says } of [
  { argv: [], says: /a command is missing/ },
  { argv: ["frobnicate"], says: /unknown command "frobnicate"/ },
  { argv: ["keygen"], says: /the file of the key is missing/ },
  { argv: ["keygen", "a", "b"], says: /unexpected argument "b"/ },
  { argv: ["keygen", "--fast", "a"], says: /--fast/ },
]) {
  test(`"${argv.join(" ")}" is wrong usage`, async (t) => {
    const { code, out, err } = await cli(...argv);
    t.deepEqual([code, out], [2, ""]);
    t.regex(err, says);
    t.regex(err, /--help/);
  });
}

test("with --json wrong usage is an object too", async (t) => {
  const { code, err } = await cli("keygen", "--json");
  t.is(code, 2);
  t.deepEqual(JSON.parse(err), { error: { code: "USAGE", message: "the file of the key is missing", data: {} } });
});

test("keygen writes a key for its owner alone and prints the public one", async (t) => {
  const file = join(await directory(t), "key.pem");
  const { code, out, err } = await cli("keygen", file);
  t.deepEqual([code, err], [0, ""]);
  const pem = await readFile(file, "utf8");
  t.regex(pem, /^-----BEGIN PRIVATE KEY-----\n[\s\S]+-----END PRIVATE KEY-----\n$/);
  t.is((await stat(file)).mode & 0o777, 0o600);
  t.is(out, publicKeyOf(pem));
  t.regex(out, /^[0-9a-f]{64}$/);
  t.is((await cli("keygen", "--public", file)).out, out);
  t.deepEqual(JSON.parse((await cli("keygen", "--public", "--json", file)).out), { file, publicKey: out });
});

test("keygen overwrites nothing", async (t) => {
  const file = join(await directory(t), "key.pem");
  await writeFile(file, "mine");
  const { code, out, err } = await cli("keygen", file);
  t.deepEqual([code, out], [1, ""]);
  t.regex(err, /^INVALID_ARGUMENT: .* exists; keys are never overwritten$/);
  t.is(await readFile(file, "utf8"), "mine");
});

test("keygen --public of what is no key names the error, and of nothing the path", async (t) => {
  const home = await directory(t);
  await writeFile(join(home, "text"), "no key");
  const refused = await cli("keygen", "--public", "--json", join(home, "text"));
  t.is(refused.code, 1);
  t.is((JSON.parse(refused.err) as { error: { code: string } }).error.code, "INVALID_KEY");
  const absent = await cli("keygen", "--public", join(home, "absent"));
  t.is(absent.code, 1);
  t.regex(absent.err, /^ENOENT: .*absent/);
});

test("the program exits with the command's code and keeps the streams apart", async (t) => {
  const help = await program("--help");
  t.deepEqual([help.code, help.err], [0, ""]);
  t.true(help.out.startsWith("byzantine-quic: "));
  const unknown = await program("frobnicate");
  t.deepEqual([unknown.code, unknown.out], [2, ""]);
  const failed = await program("keygen", "--public", join(await directory(t), "absent"));
  t.deepEqual([failed.code, failed.out], [1, ""]);
  t.regex(await readFile(MAIN, "utf8"), /^#!\/usr\/bin\/env node\n/);
});
