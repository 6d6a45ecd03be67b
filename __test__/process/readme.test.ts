/** The code of the README, run as a reader would. */
import test from "ava";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freeBasePort } from "./ports.ts";
import { emptyDirectory, Program, ROOT } from "./programs.ts";

test("the twenty lines print 5", async (t) => {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const code = /^## Twenty lines\n\n```ts\n([\s\S]*?)^```$/m.exec(readme)?.[1];
  t.true(code?.includes("port: 7400 + i"), "the example stands under its heading, with its ports");
  const directory = await emptyDirectory(t);
  await mkdir(join(directory, "node_modules"));
  await symlink(ROOT, join(directory, "node_modules/byzantine-quic"));
  await writeFile(join(directory, "package.json"), JSON.stringify({ type: "module" }));
  await writeFile(join(directory, "example.ts"), code!.replace("7400", String(await freeBasePort(4))));
  const tsx = import.meta.resolve("tsx");
  const args = ["--no-warnings", `--import=${tsx}`, "example.ts"];
  const { code: exitCode, out, err } = await new Program(t, process.execPath, args, { cwd: directory }).ended;
  t.deepEqual([exitCode, out, err], [0, "5\n", ""]);
});
