/**
 * While a simulation runs, nothing may read the real clock or draw real random numbers: the globals that offer them throw.
 * Virtual time never waits, so the whole run is one synchronous stretch and nobody else can meet them.
 */

export function withPoisonedGlobals<T>(run: () => T): T {
  const { random } = Math;
  const { now } = Date;
  const { now: performanceNow } = performance;
  Math.random = forbidden("Math.random");
  Date.now = forbidden("Date.now");
  performance.now = forbidden("performance.now");
  try {
    return run();
  } finally {
    Math.random = random;
    Date.now = now;
    performance.now = performanceNow;
  }
}

function forbidden(name: string): () => never {
  return () => {
    throw new Error(`${name} was called inside of a simulation, which must depend on its seed alone`);
  };
}
