/** All adversaries by name. */
import type { AdversaryName } from "../options.ts";
import { Accomplice } from "./accomplice.ts";
import type { Adversary } from "./adversary.ts";
import { Conflicter } from "./conflicter.ts";
import { Delayer } from "./delayer.ts";
import { Equivocator } from "./equivocator.ts";
import { Mutator } from "./mutator.ts";
import { Omitter } from "./omitter.ts";
import { Scribbler } from "./scribbler.ts";
import { Usurper } from "./usurper.ts";

const makers: Readonly<Record<AdversaryName, () => Adversary>> = {
  equivocator: () => new Equivocator(),
  conflicter: () => new Conflicter(),
  mutator: () => new Mutator(),
  scribbler: () => new Scribbler(),
  omitter: () => new Omitter(),
  delayer: () => new Delayer(),
  accomplice: () => new Accomplice(),
  usurper: () => new Usurper(),
};

export function makeAdversary(name: AdversaryName): Adversary {
  return makers[name]();
}
