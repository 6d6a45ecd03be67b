/** All adversaries by name. */
import type { AdversaryName } from "../options.ts";
import { Accomplice } from "./accomplice.ts";
import type { Adversary } from "./adversary.ts";
import { Censor } from "./censor.ts";
import { CheckpointLiar } from "./checkpoint-liar.ts";
import { Complainer } from "./complainer.ts";
import { Conflicter } from "./conflicter.ts";
import { Delayer } from "./delayer.ts";
import { DripFeeder } from "./drip-feeder.ts";
import { Equivocator } from "./equivocator.ts";
import { Mutator } from "./mutator.ts";
import { NewViewLiar } from "./new-view-liar.ts";
import { Omitter } from "./omitter.ts";
import { Scribbler } from "./scribbler.ts";
import { Sleeper } from "./sleeper.ts";
import { SlowPrimary } from "./slow-primary.ts";
import { StateLiar } from "./state-liar.ts";
import { StatusLiar } from "./status-liar.ts";
import { Usurper } from "./usurper.ts";
import { ViewChangeLiar } from "./view-change-liar.ts";
import { ViewSpammer } from "./view-spammer.ts";

const makers: Readonly<Record<AdversaryName, () => Adversary>> = {
  equivocator: () => new Equivocator(),
  conflicter: () => new Conflicter(),
  mutator: () => new Mutator(),
  scribbler: () => new Scribbler(),
  omitter: () => new Omitter(),
  delayer: () => new Delayer(),
  accomplice: () => new Accomplice(),
  usurper: () => new Usurper(),
  censor: () => new Censor(),
  checkpointLiar: () => new CheckpointLiar(),
  complainer: () => new Complainer(),
  dripFeeder: () => new DripFeeder(),
  newViewLiar: () => new NewViewLiar(),
  sleeper: () => new Sleeper(),
  slowPrimary: () => new SlowPrimary(),
  stateLiar: () => new StateLiar(),
  statusLiar: () => new StatusLiar(),
  viewChangeLiar: () => new ViewChangeLiar(),
  viewSpammer: () => new ViewSpammer(),
};

export function makeAdversary(name: AdversaryName): Adversary {
  return makers[name]();
}
