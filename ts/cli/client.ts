/** `byzantine-quic client`: submits an operation of the counter to a cluster and prints the result that f+1 replicas vouch for. */
import { join } from "node:path";
import { ByzantineClient } from "../client/client.ts";
import { counter } from "../examples/distributed-counter/counter.ts";
import { ExitCode, numberOption, UsageError } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";

/** Operations on the counter, by the word on the command line; those that take a number say so. */
const OPERATIONS = {
  increment: { takesNumber: false, encode: () => counter.operation("increment") },
  decrement: { takesNumber: false, encode: () => counter.operation("decrement") },
  add: { takesNumber: true, encode: (amount: number) => counter.operation("add", { amount }) },
  set: { takesNumber: true, encode: (value: number) => counter.operation("set", { value }) },
} as const;

export const client: Command = {
  name: "client",
  summary: "submit an operation of the counter to a cluster",
  help: `Usage: byzantine-quic client [options] <directory> <operation>

Operations
  increment | decrement | add <number> | set <number>

Options
  --timeout-ms <t>  how long to wait for the result (default 10000)
  --json            print {"value", "milliseconds"}
  -h, --help        this text

Negative numbers: byzantine-quic client <directory> -- add -5`,
  options: { "timeout-ms": { type: "string" } },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const [directory, ...words] = args.positionals;
    if (directory === undefined) throw new UsageError("the directory of the cluster is missing");
    const operation = parse(words);
    const timeoutMs = numberOption(args, "timeout-ms") ?? 10_000;
    await using session = await ByzantineClient.connect(join(directory, "client", "client.json"));
    const start = performance.now();
    const value = counter.result("add", await session.submit(operation, { timeoutMs }));
    const milliseconds = Math.round((performance.now() - start) * 100) / 100;
    io.out(io.json ? JSON.stringify({ value, milliseconds }) : `${value}  (${milliseconds} ms)`);
    return ExitCode.ok;
  },
};

function parse(words: readonly string[]): Uint8Array {
  const [name, number, ...rest] = words;
  const operation = Object.hasOwn(OPERATIONS, name ?? "") ? OPERATIONS[name as keyof typeof OPERATIONS] : undefined;
  if (operation === undefined)
    throw new UsageError(`operation "${name ?? ""}": accepted are ${Object.keys(OPERATIONS).join(", ")}`);
  const surplus = operation.takesNumber ? rest[0] : number;
  if (surplus !== undefined) throw new UsageError(`unexpected argument "${surplus}"`);
  if (!operation.takesNumber) return operation.encode();
  if (number === undefined || !/^-?\d{1,15}$/.test(number))
    throw new UsageError(`${name} takes a whole number; got "${number ?? ""}"`);
  return operation.encode(Number(number));
}
