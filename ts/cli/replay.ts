/** `byzantine-quic replay`: runs a flight recording through the same core again and prints what the core did. */
import { readFile } from "node:fs/promises";
import { parseRecording, replay as replayRecording } from "../observability/flight-recorder.ts";
import { narrateAction, narrateInput } from "../testing/narrate.ts";
import { ExitCode, UsageError } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";

export const replay: Command = {
  name: "replay",
  summary: "run a flight recording again and print the core's actions",
  help: `Usage: byzantine-quic replay [options] <file>

The file is what a node with the option flightRecorder writes when it halts.

Options
  --json      print one JSON object per input: {"now", "input", "actions"}
  -h, --help  this text`,
  options: {},
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const [file, ...surplus] = args.positionals;
    if (file === undefined) throw new UsageError("the file with the recording is missing");
    if (surplus[0] !== undefined) throw new UsageError(`unexpected argument "${surplus[0]}"`);
    for (const { now, input, actions } of replayRecording(parseRecording(await readFile(file, "utf8")))) {
      if (io.json)
        io.out(
          JSON.stringify({ now, input: narrateInput(input), actions: actions.map((action) => narrateAction(action)) }),
        );
      else {
        io.out(`${now} ${narrateInput(input)}`);
        for (const action of actions) io.out(`    ${narrateAction(action)}`);
      }
    }
    return ExitCode.ok;
  },
};
