/** The example that `npm start` runs. */
import test from "ava";
import { join } from "node:path";
import { Program, ROOT } from "./programs.ts";

test("four processes agree on a counter, and go on when a backup is killed", async (t) => {
  const example = new Program(t, process.execPath, [join(ROOT, "dist/examples/distributed-counter/main.js")]);
  const { code, out, err } = await example.ended;
  t.is(code, 0, err);
  t.is(out.match(/equal digests, model says -?\d+: right/g)?.length, 2);
  t.regex(out, /Killed node-[1-3], a backup/);
  const operations = Number(/^(\d+) operations, all replicas agree/m.exec(out)?.[1]);
  t.true(operations >= 1_000, `${operations} operations`);
});
