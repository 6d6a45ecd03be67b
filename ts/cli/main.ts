#!/usr/bin/env node
/** The program `byzantine-quic`. */
import { run } from "./commands.ts";

process.exitCode = await run(process.argv.slice(2), {
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
});
