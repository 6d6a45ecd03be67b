/** Scenario scripts print what they say. `UPDATE_SCENARIOS=1` writes what they print; the change is read in review. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import test from "ava";
import { runScenario } from "../../dist/testing/scenario.js";

const folder = new URL("scenarios/", import.meta.url);

for (const name of readdirSync(folder).sort()) {
  test(`scenario ${name.replace(".txt", "")}`, (t) => {
    const file = new URL(name, folder);
    const script = readFileSync(file, "utf8");
    const printed = runScenario(script);
    if (process.env["UPDATE_SCENARIOS"] === "1") writeFileSync(file, printed);
    else t.is(printed, script);
    t.true(printed.includes("\n  "), "a scenario without actions shows nothing");
  });
}

test("a scenario names the line that it cannot read", (t) => {
  t.throws(() => runScenario("> recovered\n> dance"), { instanceOf: SyntaxError, message: /line 2.*dance/ });
});
