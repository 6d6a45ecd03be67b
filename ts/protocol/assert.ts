/** Thrown by {@link assert}: our own bug. The replica stops rather than lies. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/**
 * States what must hold if our own code is right, with the reason. Never about what a peer or a client sent:
 * no message may reach an assertion that it can make false.
 */
export function assert(condition: boolean, why: string): asserts condition {
  if (!condition) throw new AssertionError(why);
}
