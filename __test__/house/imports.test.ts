/** Imports point down only. Each folder under ts/ is a room; the table says which rooms it may look into. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import test from "ava";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../../ts");

/** What a room may import besides itself and `errors.ts`. A pattern with a slash allows that file alone. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  codec: ["protocol"],
  state: ["protocol", "codec"],
  native: ["protocol", "codec"],
  observability: ["protocol", "codec"],
  client: ["protocol", "codec", "native", "state"],
  node: ["protocol", "codec", "native", "state", "observability", "client"],
  // The simulator runs the product's own client protocol; it knows neither the client's shell nor the node's.
  testing: ["protocol", "codec", "native", "state", "observability", "client/session.ts", "client/interfaces.ts"],
  "index.ts": ["protocol", "codec", "native", "state", "observability", "client", "node"],
  examples: ["index.ts"],
  integrations: ["index.ts"],
  cli: ["index.ts", "protocol", "codec", "native", "state", "observability", "client", "node", "testing", "examples"],
};

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesUnder(path);
    return entry.name.endsWith(".ts") ? [path] : [];
  });
}

function roomOf(path: string): string {
  return relative(root, path).split("/")[0] as string;
}

function importsOf(path: string): string[] {
  const source = readFileSync(path, "utf8");
  return [
    ...source.matchAll(/^(?:import|export)[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm),
  ].map((match) => (match[1] ?? match[2] ?? match[3]) as string);
}

test("imports point down only", (t) => {
  const broken: string[] = [];
  for (const file of filesUnder(root)) {
    const room = roomOf(file);
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith(".")) continue;
      const target = relative(root, resolve(dirname(file), specifier));
      const targetRoom = target.split("/")[0] as string;
      const may = allowed[room] ?? [];
      if (targetRoom === room || target === "errors.ts" || may.includes(targetRoom) || may.includes(target)) continue;
      broken.push(`${relative(root, file)} imports ${target}: ${room} may look into ${may.join(", ") || "nothing"}`);
    }
  }
  t.deepEqual(broken, []);
});

test("the protocol is pure: no module of Node.js, no clock, no randomness, no waiting", (t) => {
  const forbidden =
    /node:|\bDate\b|Math\.random|\bawait\b|\basync\b|setTimeout|setImmediate|\bprocess\.|\bPromise\b|performance\./;
  const broken = filesUnder(join(root, "protocol")).flatMap((file) => {
    const code = readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
    const found = forbidden.exec(code);
    return found === null ? [] : [`${relative(root, file)}: ${found[0]}`];
  });
  t.deepEqual(broken, []);
});

test("only the room of native code sees the addon", (t) => {
  const broken = filesUnder(root).filter(
    (file) => roomOf(file) !== "native" && importsOf(file).some((specifier) => specifier.includes("binding.")),
  );
  t.deepEqual(
    broken.map((file) => relative(root, file)),
    [],
  );
});

test("the simulator's checkers import nothing from the protocol that they judge", (t) => {
  const checkers = filesUnder(root).filter((file) => file.includes("testing/checkers/"));
  t.true(checkers.length > 0);
  const broken = checkers.filter((file) => importsOf(file).some((specifier) => specifier.includes("/protocol/")));
  t.deepEqual(
    broken.map((file) => relative(root, file)),
    [],
  );
});

test("no file is longer than 400 lines", (t) => {
  const long = filesUnder(root).filter((file) => readFileSync(file, "utf8").split("\n").length > 401);
  t.deepEqual(
    long.map((file) => relative(root, file)),
    [],
  );
});
