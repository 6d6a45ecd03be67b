/** Calls into the addon, and their errors as the rest of TypeScript knows them. Only for `native.ts` and what it passes on. */
import { ByzantineError } from "../errors.ts";
import type { ErrorCode } from "../errors.ts";
import { loadBinding } from "./load.ts";
import type { Binding } from "./load.ts";

export const binding: Binding = loadBinding();

const NATIVE_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  "NATIVE_BINDING",
  "INVALID_CONFIG",
  "INVALID_KEY",
  "INVALID_ARGUMENT",
  "LISTEN_FAILED",
  "CLOSED",
  "DATA_DIR",
]);

/** Runs a call into the addon; what it throws is translated. */
export function typed<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw translate(error);
  }
}

/**
 * The native side reports `CODE: text`; for a field of the configuration the text is `field: what is accepted`, for a data
 * directory `reason: text`.
 */
export function translate(error: unknown): unknown {
  if (error instanceof ByzantineError || !(error instanceof Error)) return error;
  const [, code, text] = /^([A-Z_]+): (.*)$/su.exec(error.message) ?? [];
  if (code !== undefined && text !== undefined && NATIVE_CODES.has(code)) {
    const [, reason, why] = (code === "DATA_DIR" && /^(\w+): (.*)$/su.exec(text)) || [];
    if (reason !== undefined && why !== undefined) return new ByzantineError("DATA_DIR", why, { reason }, error);
    const [, field, accepted] = (code === "INVALID_CONFIG" && /^([^\s:]+): (?:accepted is )?(.*)$/su.exec(text)) || [];
    return new ByzantineError(code as ErrorCode, text, field === undefined ? {} : { field, accepted }, error);
  }
  // What Node-API itself refuses: a missing field, a number where bytes were due.
  const refused = "code" in error && typeof error.code === "string" && error.code.endsWith("Expected");
  return refused || ("code" in error && error.code === "InvalidArg")
    ? new ByzantineError("INVALID_ARGUMENT", error.message, {}, error)
    : error;
}
