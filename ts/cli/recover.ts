/** `byzantine-quic recover`: lets a replica whose disk was lost take part again. */
import { initDataDir } from "../node/data-dir.ts";
import { readNodeFiles } from "../node/node-files.ts";
import { ExitCode, onePositional } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";
import { COUNTER } from "./node.ts";

export const recover: Command = {
  name: "recover",
  summary: "let a replica whose disk was lost take part again",
  help: `Usage: byzantine-quic recover [options] <node.json>

Marks the data directory of the replica that <node.json> describes, which is absent or empty, as one in place of a disk that was
lost. Start the node as always then: it fetches the state, executes what the others decide, and votes for nothing before everything
that it may have voted for is settled. It counts among the faulty until then, so all others have to be there.

Options
  --json      print {"nodeId", "dataDir"}
  -h, --help  this text`,
  options: {},
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const options = await readNodeFiles(onePositional(args, "the node's node.json"));
    const { nodeId, dataDir } = options;
    initDataDir({ ...options, stateMachine: COUNTER }, { diskLost: true });
    if (io.json) io.out(JSON.stringify({ nodeId, dataDir }));
    else
      io.out(`Marked ${dataDir} as the one of ${nodeId}, in place of a disk that was lost. Next: byzantine-quic node`);
    return ExitCode.ok;
  },
};
