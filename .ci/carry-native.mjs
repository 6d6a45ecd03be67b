// Part of `npm run build:ts`: the loader, its types and the binary stand beside the compiled TypeScript that imports them.
import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const from = "ts/native";
const to = "dist/native";

mkdirSync(to, { recursive: true });
for (const name of readdirSync(to)) {
  // A binary that is replaced in place while a process has it mapped would crash that process, so the old file goes first.
  if (name.endsWith(".node")) rmSync(join(to, name));
}
const carried = readdirSync(from).filter((name) => /^binding\.(cjs|d\.cts)$|\.node$/.test(name));
for (const name of carried) copyFileSync(join(from, name), join(to, name));
if (!carried.some((name) => name.endsWith(".node"))) {
  console.error("there is no binary in ts/native: run npm run build:native first");
  process.exitCode = 1;
}
