// `npm run pack:local`: builds everything and packs one tarball with this machine's binary inside, for machines without a
// toolchain. Prints the tarball's path.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

function run(command, args) {
  const { status, stdout } = spawnSync(command, args, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
  if (status !== 0) process.exit(status ?? 1);
  return stdout;
}

const destination = process.argv[2] ?? ".build";
mkdirSync(destination, { recursive: true });
if (process.env.BYZANTINE_SKIP_BUILD === undefined) run("npm", ["run", "build"]);
// dist/native carries the binary, so the package's own list of files includes it.
const [packed] = JSON.parse(run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", destination]));
if (!packed.files.some(({ path }) => path.endsWith(".node"))) {
  console.error("the tarball has no binary: run npm run build first");
  process.exit(1);
}
console.log(join(destination, packed.filename));
