/** The code of the README, run as a reader would. */
import test, { type ExecutionContext } from "ava";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freeBasePort } from "./ports.ts";
import { emptyDirectory, Program, ROOT } from "./programs.ts";

/** The code under a heading. */
async function codeUnder(heading: string): Promise<string> {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const section = readme.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  return /^```ts\n([\s\S]*?)^```$/m.exec(section ?? "")![1]!;
}

/** What a reader's program prints. */
async function printed(t: ExecutionContext, code: string): Promise<readonly [number | null, string, string]> {
  const directory = await emptyDirectory(t);
  await mkdir(join(directory, "node_modules"));
  await symlink(ROOT, join(directory, "node_modules/byzantine-quic"));
  await writeFile(join(directory, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(join(directory, "example.ts"), code);
  const tsx = import.meta.resolve("tsx");
  const args = ["--no-warnings", `--import=${tsx}`, "example.ts"];
  const { code: exitCode, out, err } = await new Program(t, process.execPath, args, { cwd: directory }).ended;
  return [exitCode, out, err];
}

test("the twenty lines print 5", async (t) => {
  const code = await codeUnder("Twenty lines");
  t.true(code.includes("port: 7400 + i"), "the example has its ports");
  t.deepEqual(await printed(t, code.replace("7400", String(await freeBasePort(4)))), [0, "5\n", ""]);
});

test("the state machine of the README that is opaque keeps its promises", async (t) => {
  const compared = `
    import { compareOpaque } from "byzantine-quic/testing";
    const operations = ["b", "a", "c", "a", "d", "e"].map((name) => Buffer.from(name));
    console.log(await compareOpaque({ make: () => new Names(), operations, interval: 2 }));`;
  t.deepEqual(await printed(t, `${await codeUnder("State that lives elsewhere")}${compared}`), [0, "undefined\n", ""]);
});
