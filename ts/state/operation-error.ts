/** How a state machine refuses an operation. */

const CODE = /^[A-Z_]{1,64}$/;

/**
 * Thrown by a state machine: the operation's writes are undone, and its client gets `code` as a deterministic error reply.
 * The message is for the logs of this replica alone.
 */
export class OperationError extends Error {
  override readonly name = "OperationError";
  /** 1 … 64 of A–Z and `_`. */
  readonly code: string;

  /** @throws TypeError if `code` is none. */
  constructor(code: string, message: string = code) {
    super(message);
    if (typeof code !== "string" || !CODE.test(code))
      throw new TypeError("the code of an OperationError is 1 to 64 of A–Z and _");
    this.code = code;
  }
}

/** The code of an `OperationError` whose field nobody has changed since. */
export function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof OperationError)) return undefined;
  const code: unknown = error.code;
  return typeof code === "string" && CODE.test(code) ? code : undefined;
}
