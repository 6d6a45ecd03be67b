/**
 * The tail of what a live core was told, with the state that it starts from: an incident in production, kept so that it can be
 * run again.
 *
 * The core is deterministic, so inputs and a starting state are enough. The recorder keeps two segments, each a copy of the
 * core's memory and the inputs since; when the newer one is full the older one goes. So between half and all of the bound is
 * always there, at the price of one copy of the core's memory per segment.
 */
import type { Action, Core, Input } from "../protocol/core.ts";
import type { ReplicaOptions } from "../protocol/options.ts";
import { Replica } from "../protocol/replica.ts";
import type { ReplicaState } from "../protocol/state.ts";
import type { Instant } from "../protocol/types.ts";

/** Weight of one segment: an input weighs 1, and 1 for each digest it names, so that memory stays below some ten MiB. */
export const SEGMENT_WEIGHT_MAX = 32_768;
const FORMAT = "byzantine-quic flight recording 1";

export interface RecordedInput {
  readonly now: Instant;
  readonly input: Input;
}

export interface Recording {
  readonly options: ReplicaOptions;
  readonly state: ReplicaState;
  readonly inputs: readonly RecordedInput[];
}

interface Segment {
  readonly state: ReplicaState;
  readonly inputs: RecordedInput[];
  weight: number;
}

/** A core that remembers what it was told lately; in every other way the core that it wraps. */
export class RecordedCore implements Core {
  readonly #core: Replica;
  readonly #options: ReplicaOptions;
  readonly #weightMax: number;
  #older: Segment | undefined;
  #newer: Segment;

  constructor(core: Replica, options: ReplicaOptions, weightMax = SEGMENT_WEIGHT_MAX) {
    this.#core = core;
    this.#options = options;
    this.#weightMax = weightMax;
    this.#newer = { state: core.save(), inputs: [], weight: 0 };
  }

  step(input: Input, now: Instant): readonly Action[] {
    if (this.#newer.weight >= this.#weightMax) {
      this.#older = this.#newer;
      this.#newer = { state: this.#core.save(), inputs: [], weight: 0 };
    }
    this.#newer.inputs.push({ now, input });
    this.#newer.weight += weightOf(input);
    return this.#core.step(input, now);
  }

  deadline(): Instant | undefined {
    return this.#core.deadline();
  }

  room(): ReturnType<Core["room"]> {
    return this.#core.room();
  }

  /** What is remembered now, as text for a file: a line with options and state, then a line per input. */
  recording(): string {
    const first = this.#older ?? this.#newer;
    const inputs = this.#older === undefined ? this.#newer.inputs : [...this.#older.inputs, ...this.#newer.inputs];
    const head = { format: FORMAT, options: this.#options, state: first.state };
    return [head, ...inputs]
      .map((line) => JSON.stringify(line, pack))
      .join("\n")
      .concat("\n");
  }
}

/** Reads what {@link RecordedCore.recording} wrote. @throws SyntaxError for text that is none. */
export function parseRecording(text: string): Recording {
  const [head, ...lines] = text.trimEnd().split("\n");
  const { format, options, state } = JSON.parse(head ?? "", unpack) as Recording & { readonly format?: unknown };
  if (format !== FORMAT) throw new SyntaxError("this is no flight recording of this version");
  return { options, state, inputs: lines.map((line) => JSON.parse(line, unpack) as RecordedInput) };
}

/** Runs a recording through the same core again. */
export function* replay({
  options,
  state,
  inputs,
}: Recording): Generator<RecordedInput & { readonly actions: readonly Action[] }> {
  const core = new Replica(options);
  core.restore(state);
  for (const { now, input } of inputs) yield { now, input, actions: core.step(input, now) };
}

function weightOf(input: Input): number {
  if (input.kind !== "control" || !("bundles" in input.message)) return 1;
  return 1 + input.message.bundles.length;
}

/** Maps and sets, which JSON has none of; digests survive it, as lone surrogates are escaped. */
function pack(_key: string, value: unknown): unknown {
  if (value instanceof Map) return { $map: [...value] };
  if (value instanceof Set) return { $set: [...value] };
  return value;
}

function unpack(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("$map" in value) return new Map(value.$map as [unknown, unknown][]);
  if ("$set" in value) return new Set(value.$set as unknown[]);
  return value;
}
