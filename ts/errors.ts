/**
 * The one error class that callers see. A peer's fault is never an error; our own bug is an assertion; this is the
 * environment's or the caller's.
 */

export type ErrorCode =
  /** A configuration field is missing or out of range; `data.field` and `data.accepted` say which and what. */
  | "INVALID_CONFIG"
  | "INVALID_ARGUMENT"
  | "INVALID_KEY"
  /** The native binding could not be loaded. */
  | "NATIVE_BINDING"
  /** The address is taken or cannot be bound. */
  | "LISTEN_FAILED"
  /** No answer in time. The operation may have been executed. */
  | "TIMEOUT"
  /** The caller's signal. The operation may have been executed. */
  | "ABORTED"
  /** The session was evicted; whether the operation was executed before is unknown. */
  | "SESSION_EXPIRED"
  /** The replicas' pools are full; the operation was not executed. */
  | "BUSY"
  /** The state machine refused the operation (`data.code` is its own); its writes were undone. */
  | "OPERATION_REFUSED"
  /** The state machine's code failed; its writes were undone. */
  | "OPERATION_FAILED"
  | "CLOSED"
  /** This replica stopped itself; `data.reason` says why. */
  | "HALTED"
  /** The data directory is in use, another replica's, without its marker, damaged …; `data.reason` says which. */
  | "DATA_DIR";

/** Whether an operation whose promise was rejected took effect. */
export type Executed = "no" | "unknown" | "yes";

export class ByzantineError extends Error {
  override readonly name = "ByzantineError";
  readonly code: ErrorCode;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, data: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.data = data;
  }

  /** For rejected operations: whether the operation may have been executed. */
  get executed(): Executed {
    return (this.data["executed"] as Executed | undefined) ?? "no";
  }
}
