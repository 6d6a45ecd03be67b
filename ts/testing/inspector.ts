/**
 * Looks into a core between its steps: how much it holds, and whether an input that comes twice changes anything. Only what
 * PBFT promises is asked; how the core is built is not.
 */
import { inspect } from "node:util";
import { deserialize, serialize } from "node:v8";
import type { Action, Input } from "../protocol/core.ts";
import type { Instant } from "../protocol/types.ts";
import { WAITING_MAX } from "./ports/body-store.ts";
import type { Prng } from "./prng.ts";
import type { SimReplica } from "./replica.ts";
import type { Surroundings } from "./surroundings.ts";

/** Turns from one measurement of memory to the next. */
const MEASURE_EVERY = 16;
/** Inputs that peers and clients can repeat. */
const repeatable: readonly Input["kind"][] = ["control", "votes", "request"];
/** Actions that a repeated message may cause: they bind nobody and keep nothing. */
const harmless: readonly Action["kind"][] = ["ignored", "answer", "busy", "release", "forget"];

export class Inspector {
  private readonly around: Surroundings;
  private readonly replica: SimReplica;
  private readonly prng: Prng;
  private turns = 0;

  constructor(around: Surroundings, replica: SimReplica, prng: Prng) {
    this.around = around;
    this.replica = replica;
    this.prng = prng;
  }

  /** Gives an input a second time, now and then, and compares the core before and after. */
  afterStep(input: Input, first: readonly Action[], now: Instant): void {
    const { redeliver } = this.around.options;
    if (redeliver === 0 || !this.replica.honest || this.replica.halted) return;
    if (!repeatable.includes(input.kind) || !this.prng.chance(redeliver)) return;
    // What was refused for lack of room was not taken, so its repetition is not one.
    if (first.some(({ kind }) => kind === "busy" || kind === "release")) return;
    const { core } = this.replica;
    const before = serialize(core.inspect());
    const actions = core.step(input, now);
    const changed = differ(before, serialize(core.inspect()));
    const emitted = actions.map(({ kind }) => kind).filter((kind) => !harmless.includes(kind));
    this.around.coverage.hit("redelivered");
    const name = input.kind === "control" ? `control ${input.message.type}` : input.kind;
    this.around.history.see({ kind: "redelivered", replica: this.replica.id, input: name, changed, emitted });
  }

  afterTurn(): void {
    const state = this.replica.core.inspect();
    if (state.early.size > 0) this.around.coverage.hit("proposal buffered early");
    if (state.suspicion.attempts > 0) this.around.coverage.hit("view timer doubled");
    if (this.turns++ % MEASURE_EVERY !== 0 || !this.replica.honest) return;
    const { n, checkpointInterval, windowIntervals, poolBundlesMax, batchBundlesMax } = this.around.options;
    const window = checkpointInterval * windowIntervals;
    // Instances of four windows: two that DECIDED may run ahead of the stable checkpoint, the live one, and what waits for execution.
    // Besides, what a restart found executed since its snapshot, until it is executed again.
    const again = Math.max(0, state.replayThrough - state.lastExecuted);
    const slots = 4 * window + checkpointInterval + again;
    const bodies = 3 * poolBundlesMax + 2 * slots * batchBundlesMax;
    this.measure("instances", state.slots.size, slots);
    this.measure("early proposals", state.early.size, window + checkpointInterval);
    this.measure("proposals of the next view", state.next.proposals.size, window + checkpointInterval);
    // What was prepared before a restart waits again, whatever the pool holds.
    const prepared = this.replica.lives === 1 ? 0 : window * batchBundlesMax;
    this.measure("pooled bundles", state.pooledBundles, 3 * poolBundlesMax + prepared);
    this.measure("bodies named by the core", state.bundles.size, bodies);
    // Besides, what each replica, and all clients together, have waiting for room.
    this.measure("bodies in the store", this.replica.bodies.size, bodies + poolBundlesMax + (n + 1) * WAITING_MAX);
    // Bodies and contents of instances, and the VIEW-CHANGEs that a NEW-VIEW in waiting of each primary names.
    this.measure("fetches", state.fetches.size, slots * (batchBundlesMax + 1) + n * n);
    this.measure("executed batches", state.history.size, 4 * window);
    this.measure("DECIDED claims", state.decidedClaims.size, window);
    this.measure("signers of CHECKPOINT", state.checkpointClaims.size, n);
    this.measure(
      "votes",
      this.replica.votes.size,
      3 * 2 * n * (window + checkpointInterval) + 16 * n + 12 * (window + checkpointInterval),
    );
    const { viewChanges, newViews, batches } = this.replica.store.size;
    // The installed NEW-VIEW and one in waiting of each primary; the highest VIEW-CHANGE of each signer, and those that are named.
    this.measure("NEW-VIEWs kept", newViews, 1 + n);
    // More than f liars have us join view after view within one turn; what was sealed for those is let go of in the next.
    if (this.around.options.byzantine.length <= this.around.options.f)
      this.measure("VIEW-CHANGEs kept", viewChanges, n + (1 + n) * n);
    // They are kept until a checkpoint is stable; who hears fewer than Q of the others executes on without one, and has 8192 at most.
    const unstable = Math.max(0, state.lastExecuted - state.low - window);
    this.measure("batches kept", batches, 4 * (slots + unstable));
    this.measure("certificates of views that were left", this.replica.votes.certificates, 2 * slots);
    if (state.lastExecuted < state.committedPrefix && state.committedPrefix >= state.low + window) {
      this.around.coverage.hit("watermark stall");
    }
  }

  private measure(what: string, size: number, cap: number): void {
    this.around.history.see({ kind: "footprint", replica: this.replica.id, what, size, cap });
  }
}

/** Equal numbers may have different bytes, as the engine stores them in more than one way: text decides then, order included. */
function differ(before: Buffer, after: Buffer): boolean {
  if (Buffer.compare(before, after) === 0) return false;
  const text = (state: Buffer): string => inspect(deserialize(state), { depth: null, maxArrayLength: null });
  return text(before) !== text(after);
}
