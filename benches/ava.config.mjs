export default {
  files: ["benches/**/*.bench.ts"],
  extensions: { ts: "module" },
  nodeArguments: ["--import=tsx", "--no-warnings"],
  workerThreads: false,
  // One after another: two benchmarks at once measure each other.
  concurrency: 1,
  serial: true,
  timeout: "20m",
  verbose: true,
};
