/** The child's side of {@link ./questions.ts}. Plain JavaScript: a replica that is started a thousand times compiles nothing. */

/** Hears the plan, tells when it runs, and answers from then on. The process ends with its parent's interest. */
export async function serve(start) {
  process.once("disconnect", () => process.exit());
  const plan = await new Promise((resolve) => process.once("message", resolve));
  const answers = await start(plan);
  process.on("message", ({ id, question }) => {
    void Promise.resolve(answers[question]?.()).then((answer) => process.send?.({ id, answer }));
  });
  process.send?.({ id: 0 });
}
