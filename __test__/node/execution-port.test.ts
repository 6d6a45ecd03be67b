/** Execution in another thread, without the thread: what goes through the port, and when it comes by itself. */
import test from "ava";
import { MessageChannel } from "node:worker_threads";
import type { ExecutionCommand, ExecutionHost, ExecutionOutcome } from "../../dist/node/execution-host.js";
import { RemoteExecution, serveExecution } from "../../dist/node/execution-port.js";
import { ZERO_DIGEST, type Sequence } from "../../dist/protocol/types.js";

type Host = Pick<ExecutionHost, "busy" | "deadline" | "take" | "work" | "close">;

const outcome: ExecutionOutcome = {
  kind: "inspected",
  id: 1,
  inspection: { sequence: 1, digest: "", answer: undefined },
};
const command: ExecutionCommand = { kind: "stable", sequence: 1 as Sequence, digest: ZERO_DIGEST };

/** A port whose other end serves `host`, and a promise of the next wake. */
function served(host: Host): { execution: RemoteExecution; woken: () => Promise<void>; close: () => void } {
  const { port1, port2 } = new MessageChannel();
  let wake = (): void => {};
  serveExecution(port2, host as ExecutionHost, () => wake());
  const execution = new RemoteExecution(port1);
  const woken = async (): Promise<void> => new Promise((resolve) => (wake = resolve));
  return { execution, woken, close: () => port1.close() };
}

/** The outcomes that have arrived once there are some. */
async function collected(execution: RemoteExecution): Promise<ExecutionOutcome[]> {
  const outcomes: ExecutionOutcome[] = [];
  while (outcomes.length === 0) {
    await new Promise((resolve) => setImmediate(resolve));
    execution.collect(outcomes);
  }
  return outcomes;
}

test("execution elsewhere goes on as long as it is busy, and comes back by itself when something is due", async (t) => {
  const taken: ExecutionCommand[] = [];
  let slices = 0;
  let firstSeen = false;
  let due: number | undefined;
  const host: Host = {
    get busy() {
      return slices < 3;
    },
    get deadline() {
      return due;
    },
    take: (given) => taken.push(given),
    close: async () => {},
    work: (outcomes) => {
      if (slices < 3) {
        slices++;
        if (slices === 3) outcomes.push(outcome);
      } else if (firstSeen) {
        due = undefined;
        outcomes.push(outcome, outcome);
        return;
      }
      // What is due waits until the test has seen what came before, however slow the machine is.
      if (slices === 3) due = performance.now() + 1;
    },
  };
  const { execution, woken, close } = served(host);
  t.teardown(close);
  execution.give(command);
  const first = woken();
  execution.collect([]);
  await first;
  t.deepEqual(await collected(execution), [outcome]);
  const second = woken();
  firstSeen = true;
  await second;
  t.deepEqual(await collected(execution), [outcome, outcome]);
  t.deepEqual([taken, slices], [[command], 3]);
});
