/** How a submitted operation ended, as its caller sees it. */
import { ByzantineError, type Executed } from "../errors.ts";
import type { ClientAction, RejectCode } from "./interfaces.ts";

type Resolve = Extract<ClientAction, { kind: "resolve" }>;
type Reject = Extract<ClientAction, { kind: "reject" }>;

const MESSAGES: Readonly<Record<RejectCode, string>> = {
  TIMEOUT: "no result in time",
  ABORTED: "the caller's signal was aborted",
  CLOSED: "the client was closed",
  SESSION_EXPIRED: "the cluster no longer knows the session; it keeps a bounded number of them",
  BUSY: "too many operations wait for a place in flight",
  INVALID_ARGUMENT: "the operation is longer than the cluster accepts",
  OPERATION_REFUSED: "the cluster refused to open a session",
};

const EXECUTED: Readonly<Record<Executed, string>> = {
  no: "it was not executed",
  unknown: "it may have been executed",
  yes: "it was executed",
};

/**
 * The error of an operation that ended otherwise than by `ok`.
 * @param cause What the caller's signal was aborted with.
 */
export function errorOf(action: Resolve | Reject, cause?: unknown): ByzantineError {
  return action.kind === "resolve"
    ? refusalOf(action)
    : rejectionOf(action.code, action.executed, action.reason, cause);
}

export function rejectionOf(code: RejectCode, executed: Executed, reason?: string, cause?: unknown): ByzantineError {
  const data = reason === undefined ? { executed } : { executed, code: reason };
  const why = reason === undefined ? "" : ` (${reason})`;
  return new ByzantineError(code, `${MESSAGES[code]}${why}; ${EXECUTED[executed]}`, data, cause);
}

function refusalOf({ status, result }: Resolve): ByzantineError {
  const executed = "no" satisfies Executed;
  if (status !== "refused") {
    return new ByzantineError("OPERATION_FAILED", "the state machine failed; its writes were undone", { executed });
  }
  const code = new TextDecoder().decode(result);
  return new ByzantineError("OPERATION_REFUSED", `the state machine refused: ${code}`, { executed, code });
}
