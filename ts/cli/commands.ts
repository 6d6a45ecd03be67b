/** The dispatch table of the command line; a new command is one more entry. */
import { ByzantineError } from "../errors.ts";
import { EXIT_CODES_HELP, ExitCode, parseArguments, UsageError } from "./command.ts";
import type { Command, Io } from "./command.ts";
import { client } from "./client.ts";
import { init } from "./init.ts";
import { keygen } from "./keygen.ts";
import { node } from "./node.ts";
import { recover } from "./recover.ts";
import { replay } from "./replay.ts";
import { snapshot } from "./snapshot.ts";
import { status } from "./status.ts";
import { up } from "./up.ts";
import { wal } from "./wal.ts";

const COMMANDS: readonly Command[] = [keygen, init, up, client, status, node, recover, replay, wal, snapshot];

/**
 * Runs one command line.
 * @param argv The arguments after the program's name.
 * @returns The exit code; errors have been written to `io`.
 */
export async function run(argv: readonly string[], io: Omit<Io, "json">): Promise<ExitCode> {
  const json = argv.includes("--json");
  try {
    return await dispatch(argv, { ...io, json });
  } catch (error) {
    if (json) io.err(JSON.stringify({ error: errorReport(error) }));
    else io.err(errorText(error));
    return error instanceof UsageError ? ExitCode.usage : ExitCode.failed;
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<ExitCode> {
  const [name, ...rest] = argv;
  if (name === undefined) throw new UsageError(`a command is missing\n\n${overview()}`);
  if (name === "--help" || name === "-h" || name === "help") {
    io.out(overview());
    return ExitCode.ok;
  }
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) throw new UsageError(`unknown command "${name}"\n\n${overview()}`);
  const args = parseArguments(command, rest);
  if (args.options["help"] === true) {
    io.out(`${command.help}\n\n${EXIT_CODES_HELP}`);
    return ExitCode.ok;
  }
  return command.run(args, io);
}

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const list = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join("\n");
  return `byzantine-quic: Byzantine fault tolerant replication over QUIC

Usage: byzantine-quic <command> [options]

Commands
${list}

Options of every command
  -h, --help  what the command does and takes
  --json      results on standard output and errors on standard error as one JSON object each

${EXIT_CODES_HELP}`;
}

function errorReport(error: unknown): Readonly<Record<string, unknown>> {
  if (error instanceof ByzantineError) return { code: error.code, message: error.message, data: error.data };
  if (error instanceof UsageError) return { code: "USAGE", message: error.message, data: error.data };
  if (isSystemError(error)) return { code: error.code, message: error.message, data: {} };
  return { code: "INTERNAL", message: errorText(error), data: {} };
}

/** One line for what the environment or the caller did; the whole stack for what is our bug. */
function errorText(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}\nTry: byzantine-quic <command> --help`;
  if (error instanceof ByzantineError || isSystemError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException & { readonly code: string } {
  return error instanceof Error && "syscall" in error && "code" in error && typeof error.code === "string";
}
