/** Computations that may wait, written once: they run to their end in one go wherever nothing makes them wait. */

/** Yields what it waits for, and goes on with what that came to. */
export type Steps<T> = Generator<Promise<unknown>, T, unknown>;

/** Runs a computation: at once where it waits for nothing, otherwise until the promise settles. */
export function drive<T>(steps: Steps<T>): T | Promise<T> {
  const first = steps.next();
  return first.done === true ? first.value : finish(steps, first.value);
}

async function finish<T>(steps: Steps<T>, first: Promise<unknown>): Promise<T> {
  for (let awaited = first; ;) {
    const step = await awaited.then(
      (value) => steps.next(value),
      (error: unknown) => steps.throw(error),
    );
    if (step.done === true) return step.value;
    awaited = step.value;
  }
}
