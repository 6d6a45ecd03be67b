/** How the simulator is asked on the command line. */
import { parseArgs } from "node:util";
import type { SimOptions } from "./options.ts";

const DEFAULT_SEEDS = 200;

export const USAGE = `Usage: npm run sim -- [options]

Runs whole clusters under faults and adversaries, each from one seed, and checks what must hold.

  --seeds <n>         so many seeds (default ${DEFAULT_SEEDS})
  --minutes <m>       for so long, instead
  --seed <s>          one seed, with its options; on a violation its shrunk trace and the command that replays it
  --trace <file>      a trace that was found before
  --from <s>          the first seed (default: one that nobody had before)
  --set <name=value>  an option for all seeds, the value as JSON; may be repeated
  --workers <n>       threads (default 1)
  --no-shrink         print failures as they are
  --verbose           tell what happens, with --seed or --trace
  --json              the last line as JSON
  --help              this text

Exit codes: 0 clean, 1 a violation or a situation that never came up, 2 wrong usage`;

export interface Arguments {
  readonly seeds: number;
  readonly minutes: number | undefined;
  readonly seed: bigint | undefined;
  readonly trace: string | undefined;
  readonly from: bigint;
  readonly json: boolean;
  readonly workers: number;
  readonly shrink: boolean;
  readonly verbose: boolean;
  readonly given: Partial<SimOptions>;
}

/** What is asked, what is wrong with it, or undefined for help. */
export function readArguments(args: readonly string[]): Arguments | string | undefined {
  try {
    return parsed(args);
  } catch (error) {
    return (error as Error).message;
  }
}

function parsed(args: readonly string[]): Arguments | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: "string" },
      minutes: { type: "string" },
      seed: { type: "string" },
      trace: { type: "string" },
      from: { type: "string" },
      json: { type: "boolean", default: false },
      workers: { type: "string", default: "1" },
      "no-shrink": { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
      set: { type: "string", multiple: true, default: [] },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  return {
    seeds: positive("seeds", values.seeds ?? String(DEFAULT_SEEDS)),
    minutes: values.minutes === undefined ? undefined : positive("minutes", values.minutes),
    seed: values.seed === undefined ? undefined : seedOf("seed", values.seed),
    trace: values.trace,
    // Fresh seeds every time, unless asked otherwise: old ones have been clean before.
    from: values.from === undefined ? BigInt(Date.now()) * 1_000_000n : seedOf("from", values.from),
    json: values.json,
    workers: Math.ceil(positive("workers", values.workers)),
    shrink: !values["no-shrink"],
    verbose: values.verbose,
    given: Object.fromEntries(values.set.map(settingOf)) as Partial<SimOptions>,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new RangeError(`--${name} takes a number above 0, not ${JSON.stringify(text)}`);
}

function seedOf(name: string, text: string): bigint {
  if (/^\d{1,20}$/u.test(text)) return BigInt(text);
  throw new RangeError(`--${name} takes a seed, up to 20 decimal digits, not ${JSON.stringify(text)}`);
}

function settingOf(pair: string): [name: string, value: unknown] {
  const at = pair.indexOf("=");
  try {
    if (at > 0) return [pair.slice(0, at), JSON.parse(pair.slice(at + 1)) as unknown];
  } catch {
    // Said below.
  }
  throw new RangeError(`--set takes name=value with the value as JSON, not ${JSON.stringify(pair)}`);
}
