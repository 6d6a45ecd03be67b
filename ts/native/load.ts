/** Loading of the addon, and what is said when that fails. Only for `call.ts`. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { ByzantineError } from "../errors.ts";
import type * as generated from "./binding.cjs";

/** What the generated loader exports. */
export type Binding = typeof generated;

/**
 * @throws ByzantineError NATIVE_BINDING where there is no binary for this machine, or it is of another release.
 */
export function loadBinding(): Binding {
  const require = createRequire(import.meta.url);
  let binding: Binding;
  try {
    binding = require("./binding.cjs") as Binding;
  } catch (cause) {
    throw new ByzantineError("NATIVE_BINDING", explain(), machine(), cause);
  }
  const found = binding.nativeVersion();
  const expected = packageVersion();
  if (found !== expected) {
    const message = `the native binding is version ${found} and this package is version ${expected}: install it again`;
    throw new ByzantineError("NATIVE_BINDING", message, { ...machine(), found, expected });
  }
  return binding;
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

function machine(): { platform: string; arch: string; libc: string } {
  return { platform: process.platform, arch: process.arch, libc: libc() };
}

/** "glibc 2.36", "musl", or "none" on other platforms than Linux. */
function libc(): string {
  if (process.platform !== "linux") return "none";
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = report.header?.glibcVersionRuntime;
  return glibc === undefined ? "musl" : `glibc ${glibc}`;
}

function explain(): string {
  const { platform, arch, libc } = machine();
  return (
    `byzantine-quic has no native binding that loads on ${platform} ${arch} (libc: ${libc}). ` +
    "The published package carries one for linux x64 with glibc 2.34 or newer. " +
    "Either install the package again without omitting files, or build it on this machine: " +
    "clone the repository and run npm install there, which needs cargo 1.89 or newer and a C compiler."
  );
}
