/** What both a test's context and a program without a test runner can assert. */
import assert from "node:assert/strict";
import type { ExecutionContext } from "ava";

export type Assertions = Pick<ExecutionContext, "is" | "true" | "deepEqual">;

/** Outside of a test: what does not hold is thrown. */
export const thrown = { is: assert.equal, true: assert.ok, deepEqual: assert.deepEqual } as unknown as Assertions;
