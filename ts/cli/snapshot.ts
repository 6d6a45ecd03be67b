/** `byzantine-quic snapshot`: checks the snapshots in a replica's data directory. */
import { verifySnapshots } from "../native/native.ts";
import type { SnapshotContents, SnapshotRefusal } from "../native/native.ts";
import { count, ExitCode, onePositional, UsageError } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";

export const snapshot: Command = {
  name: "snapshot",
  summary: "verify the snapshots in a data directory",
  help: `Usage: byzantine-quic snapshot verify [options] <directory>

<directory> is the data directory of a replica. Nothing in it is changed and its lock is not taken.

Reads every snapshot whole and prints a line for each, the newest first: its sequence, the digest of the state, its size and
whose it is, or what is wrong with it, with file and offset. Exits with 1 if one is damaged.

Options
  --json      print {"directory", "sound", "snapshots": [{...} or {"sequence", "problem"}]}
  -h, --help  this text`,
  options: {},
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const [action, ...rest] = args.positionals;
    if (action !== "verify") {
      throw new UsageError(action === undefined ? "verify is missing" : `unknown action "${action}"`);
    }
    const directory = onePositional({ ...args, positionals: rest }, "the data directory");
    const snapshots = verifySnapshots(directory);
    const sound = snapshots.every((found) => !("problem" in found));
    if (io.json) io.out(JSON.stringify({ directory, sound, snapshots }));
    else if (snapshots.length === 0) io.out("no snapshots");
    else for (const found of snapshots) io.out(lineOf(found));
    return sound ? ExitCode.ok : ExitCode.failed;
  },
};

function lineOf(found: SnapshotContents | SnapshotRefusal): string {
  if ("problem" in found) return `${found.sequence}  not sound: ${found.problem.text}`;
  const { sequence, digest, cluster, epoch, replica, chunks, bytes } = found;
  return `${sequence}  sound  digest ${digest}  ${count(bytes, "byte")} in ${count(chunks, "chunk")}  cluster ${cluster}  epoch ${epoch}  replica ${replica}`;
}
