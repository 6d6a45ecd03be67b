// `npm run check`: format, lint, types, clippy and the import rules. Prints what failed and exits with 1.
import { spawnSync } from "node:child_process";

const checks = [
  [
    "format",
    "npx",
    ["prettier", "--check", "--log-level", "warn", "ts", "__test__", "benches", ".ci/*.mjs", "README.md"],
  ],
  ["rustfmt", "cargo", ["fmt", "--all", "--check"]],
  ["types", "npx", ["tsc", "-p", "tsconfig.json", "--noEmit"]],
  ["build", "npm", ["run", "--silent", "build:ts"]],
  ["types of tests", "npx", ["tsc", "-p", "__test__/tsconfig.json"]],
  ["types of benchmarks", "npx", ["tsc", "-p", "benches/tsconfig.json"]],
  ["lint", "npx", ["oxlint", "--type-aware", "--deny-warnings", "ts", "__test__", "benches", ".ci"]],
  ["clippy", "cargo", ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]],
  ["house rules", "npx", ["ava", "__test__/house/*.test.ts"]],
];

const failed = checks.filter((check) => {
  const [name, command, args] = /** @type {[string, string, string[]]} */ (check);
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${name}`);
  return status !== 0;
});
process.exitCode = failed.length === 0 ? 0 : 1;
