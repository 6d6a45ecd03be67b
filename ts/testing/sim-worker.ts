/** A thread that runs ranges of seeds, as `npm run sim` and its benchmark use it: one for each core. */
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { runRange, type SeedRange, type Tally } from "./runner.ts";

/** What a scenario leaves behind is dead within milliseconds: in a larger nursery nobody copies it before. */
const YOUNG_GENERATION_MB = 192;

export class SimWorker {
  private readonly worker = new Worker(new URL(import.meta.url), {
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });

  /** Runs one range; the next may follow when it is done. Rejects when the thread fails. */
  async run(range: SeedRange): Promise<Tally> {
    const answer = once(this.worker, "message") as Promise<[Tally]>;
    this.worker.postMessage(range, []);
    const [tally] = await answer;
    return tally;
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

if (!isMainThread) parentPort?.on("message", (range: SeedRange) => parentPort?.postMessage(runRange(range), []));
