import test from "ava";
import { readArguments, USAGE } from "../../dist/testing/sim-arguments.js";

test("what is asked is read, with fresh seeds unless the first is named", (t) => {
  t.like(readArguments([]), { seeds: 200, minutes: undefined, workers: 1, shrink: true, given: {} });
  t.like(readArguments(["--minutes", "0.5", "--workers", "2", "--from", "7", "--no-shrink", "--json"]), {
    minutes: 0.5,
    workers: 2,
    from: 7n,
    shrink: false,
    json: true,
  });
  t.like(readArguments(["--seed", "18446744073709551615", "--set", "n=7", "--set", 'faults=["cut"]']), {
    seed: 18_446_744_073_709_551_615n,
    given: { n: 7, faults: ["cut"] },
  });
});

test("what cannot be meant is said, never thrown", (t) => {
  for (const args of [
    ["--seeds", "none"],
    ["--seeds", "0"],
    ["--minutes", "-1"],
    ["--seed", "1e3"],
    ["--from", ""],
    ["--set", "n"],
    ["--set", "n={"],
    ["--unknown"],
    ["positional"],
  ])
    t.is(typeof readArguments(args), "string", args.join(" "));
});

test("help names every option", (t) => {
  t.is(readArguments(["--help"]), undefined);
  for (const option of ["seeds", "minutes", "seed", "trace", "from", "set", "workers", "no-shrink", "verbose", "json"])
    t.true(USAGE.includes(`--${option} `), option);
});
