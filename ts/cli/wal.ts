/** `byzantine-quic wal`: looks at the journal in a replica's data directory. */
import { inspectDataDir, inspectSegment, segmentNumbers } from "../native/native.ts";
import type { DataDirContents, DataDirRefusal, SegmentContents } from "../native/native.ts";
import { ByzantineError } from "../errors.ts";
import { count, ExitCode, onePositional, UsageError } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";

type Item = SegmentContents["items"][number];
type Kind = Item["kind"];

/** A segment as it is reported; one that cannot be read at all has an error in its place. */
type SegmentReport =
  | (Omit<SegmentContents, "items"> & {
      readonly counts: Readonly<Record<Kind, number>>;
      readonly damaged: readonly Item[];
      readonly items?: readonly Item[];
    })
  | { readonly number: number; readonly error: string };

export const wal: Command = {
  name: "wal",
  summary: "inspect or verify the journal in a data directory",
  help: `Usage: byzantine-quic wal inspect [--items] [options] <directory>
       byzantine-quic wal verify [options] <directory>

<directory> is the data directory of a replica. Nothing in it is changed and its lock is not taken. While a replica runs on
it, the newest records may look torn.

inspect prints whose directory it is, how it began, which records it holds, what a crash left, whether the last stop was clean,
and a line per segment with what is in it and what is damaged.
verify prints whether a replica could start from it; if not, it exits with 1 and prints why, with file and offset.

Options
  --items     with inspect: a line per item of every segment
  --json      inspect: print {"directory", "journal": {...} or {"problem"}, "segments": [...]}
              verify: print {"directory", "sound", "journal": {...} or {"problem"}}
  -h, --help  this text`,
  options: { items: { type: "boolean" } },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const [action, ...rest] = args.positionals;
    if (action !== "inspect" && action !== "verify") {
      throw new UsageError(action === undefined ? "inspect or verify is missing" : `unknown action "${action}"`);
    }
    const directory = onePositional({ ...args, positionals: rest }, "the data directory");
    const items = args.options["items"] === true;
    if (action === "inspect") return inspect(directory, items, io);
    if (items) throw new UsageError("--items goes with inspect");
    return verify(directory, io);
  },
};

function inspect(directory: string, items: boolean, io: Io): ExitCode {
  // First, for it says whether there is a directory at all: one that was never made is no wiped one.
  const numbers = segmentNumbers(directory);
  const journal = inspectDataDir(directory);
  const segments = numbers.map((number) => reportOf(directory, number, items));
  if (io.json) {
    io.out(JSON.stringify({ directory, journal, segments }));
    return ExitCode.ok;
  }
  for (const line of linesOfJournal(journal)) io.out(line);
  for (const segment of segments) for (const line of linesOfSegment(segment)) io.out(line);
  return ExitCode.ok;
}

function verify(directory: string, io: Io): ExitCode {
  segmentNumbers(directory);
  const journal = inspectDataDir(directory);
  const sound = !("problem" in journal);
  if (io.json) io.out(JSON.stringify({ directory, sound, journal }));
  else if ("problem" in journal) io.out(`not sound: ${journal.problem.text}`);
  else io.out(`sound; records: ${recordsOf(journal)}${journal.torn === undefined ? "" : `; ${tornOf(journal.torn)}`}`);
  return sound ? ExitCode.ok : ExitCode.failed;
}

function reportOf(directory: string, number: number, all: boolean): SegmentReport {
  try {
    const { items, ...segment } = inspectSegment(directory, number);
    const counts: Record<Kind, number> = { record: 0, release: 0, mark: 0 };
    for (const { kind } of items) counts[kind] += 1;
    return { ...segment, counts, damaged: items.filter(isDamaged), ...(all ? { items } : {}) };
  } catch (error) {
    // It may be removed while we look; the others are worth a line all the same.
    if (error instanceof ByzantineError) return { number, error: error.message };
    throw error;
  }
}

/** A mark says nothing that is needed, and the next item writes over it, often in part. */
function isDamaged({ kind, damage }: Item): boolean {
  return damage !== undefined && kind !== "mark";
}

function linesOfJournal(journal: DataDirContents | DataDirRefusal): string[] {
  if ("problem" in journal) return [`no replica starts from here: ${journal.problem.text}`];
  const { cluster, epoch, replica, origin, cleanStop, torn } = journal;
  const firstStart = origin === "genesis" ? "an empty journal is a first start" : "an empty journal is no first start";
  return [
    `cluster     ${cluster}`,
    `epoch       ${epoch}`,
    `replica     ${replica}`,
    `origin      ${origin}: ${firstStart}`,
    `records     ${recordsOf(journal)}`,
    `clean stop  ${cleanStop === undefined ? "none" : `yes, with ${count(cleanStop, "byte")}`}`,
    `torn tail   ${torn === undefined ? "none" : tornOf(torn)}`,
  ];
}

function recordsOf({ firstLsn, lastLsn, segments }: DataDirContents): string {
  if (lastLsn === 0) return "none yet";
  if (firstLsn > lastLsn) return `all up to ${lastLsn} were released`;
  return `${firstLsn} … ${lastLsn} in ${count(segments, "segment")}`;
}

function tornOf({ file, offset, bytes }: NonNullable<DataDirContents["torn"]>): string {
  return `${file} at byte ${offset}: ${count(bytes, "byte")} that nobody was told of, to be cut off`;
}

function linesOfSegment(segment: SegmentReport): string[] {
  if ("error" in segment) return [`segment ${segment.number}: ${segment.error}`];
  const { file, bytes, header, counts, damaged, items } = segment;
  const from = typeof header === "string" ? header : `from record ${header.firstLsn}`;
  const kinds = (Object.keys(counts) as Kind[]).filter((kind) => counts[kind] > 0);
  const held = kinds.map((kind) => count(counts[kind], kind));
  if (damaged.length > 0) held.push(`${damaged.length} damaged`);
  return [
    `${file}  ${count(bytes, "byte")}  ${from}${held.length === 0 ? "" : `  ${held.join(", ")}`}`,
    ...(items ?? damaged).map(lineOfItem),
  ];
}

function lineOfItem({ offset, lsn, kind, length, damage }: Item): string {
  const verdict = damage === undefined ? "" : `  ${damage}`;
  return `    at byte ${offset}  ${kind} ${lsn}  ${count(length, "byte")}${verdict}`;
}
