/** What a command of the command line is, and how all of them read arguments, report and fail. */
import { parseArgs } from "node:util";
import type { ParseArgsConfig } from "node:util";

/** Exit codes, documented in every help text. */
export const ExitCode = {
  ok: 0,
  /** The command was understood and could not be carried out. */
  failed: 1,
  /** The command line itself is wrong. */
  usage: 2,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export const EXIT_CODES_HELP = `Exit codes
  0  done
  1  failed: the reason is on standard error
  2  wrong usage: unknown command or option, or a value out of range`;

/** The command line is wrong; `data` says which part where there is more to say than the text. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly data: Readonly<Record<string, unknown>>;

  constructor(message: string, data: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.data = data;
  }
}

/** Where a command's output goes. */
export interface Io {
  /** Whether `--json` was given. */
  readonly json: boolean;
  /** Writes a line to standard output. */
  out(line: string): void;
  /** Writes a line to standard error. */
  err(line: string): void;
}

export interface Arguments {
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

export type CommandOptions = Readonly<Record<string, { readonly type: "string" | "boolean"; readonly short?: string }>>;

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** The whole help text except for the exit codes. */
  readonly help: string;
  /** Its options besides `--help` and `--json`. */
  readonly options: CommandOptions;
  /** @throws UsageError for a wrong command line, any other error for what failed. */
  run(args: Arguments, io: Io): Promise<ExitCode>;
}

/** The options that every command has. */
const COMMON_OPTIONS = {
  help: { type: "boolean", short: "h" },
  json: { type: "boolean" },
} as const satisfies CommandOptions;

/** @throws UsageError for an unknown option or one without its value. */
export function parseArguments(command: Command, argv: readonly string[]): Arguments {
  const options = { ...command.options, ...COMMON_OPTIONS } as NonNullable<ParseArgsConfig["options"]>;
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
    return { options: values as Arguments["options"], positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** The one positional argument of a command. */
export function onePositional(args: Arguments, what: string): string {
  const [only, ...rest] = args.positionals;
  if (only === undefined || only === "") throw new UsageError(`${what} is missing`);
  if (rest.length > 0) throw new UsageError(`unexpected argument "${rest[0]}"`);
  return only;
}

/** The value of an option that is a number without sign, or `undefined`; its range is checked by who uses it. */
export function numberOption(args: Arguments, name: string): number | undefined {
  const text = args.options[name];
  if (text === undefined) return undefined;
  if (typeof text !== "string" || !/^\d{1,15}$/.test(text)) {
    throw new UsageError(`--${name} must be a whole number; got "${String(text)}"`);
  }
  return Number(text);
}

/** The value of an option that is text, or `undefined`. */
export function textOption(args: Arguments, name: string): string | undefined {
  const text = args.options[name];
  return typeof text === "string" ? text : undefined;
}

/** A number with what it counts: "1 byte", "2 bytes". */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
