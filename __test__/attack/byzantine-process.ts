/** A Byzantine replica as a process of its own. */
import { totals } from "../process/machine.mjs";
import type { ReplicaPlan } from "../process/questions.ts";
import { serve } from "../process/serve.mjs";
import { ByzantineReplica } from "./byzantine-replica.ts";

await serve(async (plan: ReplicaPlan) => {
  const replica = new ByzantineReplica(plan, totals);
  replica.start();
  return {
    metrics: () => replica.metrics(),
    attack: () => replica.attack(true),
    behave: () => replica.attack(false),
  };
});
