/** The helper that judges opaque state machines finds each promise that is broken. */
import test from "ava";
import type { OpaqueStateMachine } from "../../dist/index.js";
import { compareOpaque } from "../../dist/testing/index.js";
import { OpaqueMap } from "../process/opaque-map.mjs";

const operations = Array.from({ length: 20 }, (_, n) => Buffer.from(`set name${19 - n} ${n}`));

/** What is said of machines with other methods; `nth` counts them from 0. */
async function judged(change: (machine: OpaqueMap, nth: number) => Partial<OpaqueStateMachine>): Promise<string> {
  let made = 0;
  const make = (): OpaqueMap => {
    const machine = new OpaqueMap();
    return Object.assign(machine, change(machine, made++));
  };
  return (await compareOpaque({ make, operations, interval: 5 })) ?? "nothing differs";
}

test("a machine that keeps its promises passes", async (t) => {
  t.is(await judged(() => ({})), "nothing differs");
});

test("a result that differs from instance to instance is found", async (t) => {
  const said = await judged((_, nth) => ({ execute: () => Uint8Array.of(nth) }));
  t.is(said, "operation 0 has two results");
});

test("a digest or a snapshot that is not canonical is found", async (t) => {
  t.is(
    await judged((_, nth) => ({ digest: () => new Uint8Array(32).fill(nth) })),
    "after operation 4 digests or chunks differ",
  );
  // In the order in which entries came, which is another one after a restore.
  const said = await judged((machine) => ({
    async *snapshot() {
      yield Buffer.from(JSON.stringify([...machine.entries]));
    },
    async restore(chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        for (const [name, text] of (JSON.parse(Buffer.from(chunk).toString()) as [string, string][]).toReversed())
          machine.entries.set(name, text);
      }
    },
  }));
  t.is(said, "restored after operation 4 digests or chunks differ");
});

test("a machine that is beyond what it was restored to is found", async (t) => {
  const said = await judged(() => ({ lastApplied: () => 100 }));
  t.is(said, "restored at sequence 5 lastApplied says 100");
});
