/** One seed, one run: the ways to make and to repeat it. */
import { StoreModel } from "./checkers/store-model.ts";
import { checkDeterminism } from "./checkers/determinism.ts";
import { chooseOptions, type SimOptions } from "./options.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { Prng } from "./prng.ts";
import { store } from "./store.ts";
import { World, type RunResult, type WorldOptions } from "./world.ts";

/** The product's signer and verifier, where the addon was built. */
const native = await import("./native-keyring.ts").catch(() => undefined);

/** What tells the store's operations apart: they begin with a number. */
function numberOf(operation: string): string {
  const end = operation.indexOf(" ");
  return end < 0 ? operation : operation.slice(0, end);
}

/** The simulator's own store with its model. */
export const storeWorld: WorldOptions = {
  subject: { machine: store, identify: numberOf },
  model: () => new StoreModel(),
  realKeyring: native === undefined ? undefined : (prng, nodes) => new native.NativeKeyring(prng, nodes),
};

/** The plan of a seed; `given` fixes options that the seed would choose otherwise. */
export function planOf(seed: bigint, given: Partial<SimOptions> = {}): Plan {
  const root = new Prng(seed);
  return drawPlan(chooseOptions(seed, root, given), root);
}

export function runPlan(plan: Plan, world: WorldOptions = storeWorld): RunResult {
  return new World(plan, world).run();
}

/** Runs a seed; `twice` also checks that a second run of it is the same (invariant 20). */
export function runSeed(
  seed: bigint,
  twice = false,
  given: Partial<SimOptions> = {},
  world: WorldOptions = storeWorld,
): RunResult {
  const plan = planOf(seed, given);
  const result = runPlan(plan, world);
  if (!twice || result.violation !== undefined) return result;
  return { ...result, violation: checkDeterminism(result.log, runPlan(plan, world).log) };
}
