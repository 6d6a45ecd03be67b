/**
 * Scenario scripts: a schedule for one core, written by hand, with the actions that it prints. A script is text; lines that
 * start with `>` are inputs, `#` starts a comment, and indented lines are the actions of the input above, which running the
 * script writes again. A change of the core shows as a change of the script, to be read in review.
 *
 *     options me=1 checkpointInterval=2
 *     > recovered
 *     > request a session 1 seq 1 from 0
 *     > prePrepare 0/1 A = a from 0
 *     > prepare 0/1 A by 2 3
 *     > persisted all
 *
 * Batches, bundles and states have names instead of digests; `at MS` sets the time of what follows.
 */
import type { Action, Input } from "../protocol/core.ts";
import { NULL_BATCH } from "../protocol/new-view.ts";
import type { ReplicaOptions } from "../protocol/options.ts";
import { Replica } from "../protocol/replica.ts";
import { EMPTY_SET, setOf, type Digest, type Instant, type Lsn, type ReplicaId } from "../protocol/types.ts";
import { narrateAction } from "./narrate.ts";

/** Wall clock at time 0 of a script. */
const WALL_MS = 1_000_000;

const defaults: ReplicaOptions = {
  n: 4,
  f: 1,
  me: 1 as ReplicaId,
  checkpointInterval: 2,
  window: 4,
  inFlightMax: 4,
  viewChangeTimeoutMs: 5_000,
  batchBundlesMax: 4,
  batchBytesMax: 4_096,
  poolBundlesMax: 16,
  poolBytesMax: 65_536,
  timeBoundMs: 500,
  pipelineDepth: 4,
  historyBytesMax: 65_536,
};

/** Runs a script and returns it with the actions that happened. @throws SyntaxError naming the line it cannot read. */
export function runScenario(script: string): string {
  const lines = script.split("\n").filter((line) => !line.startsWith("  "));
  const output: string[] = [];
  let player: Player | undefined;
  let options = defaults;
  for (const [index, line] of lines.entries()) {
    output.push(line);
    try {
      if (line.startsWith("options ")) options = { ...options, ...numbers(words(line).slice(1)) };
      if (!line.startsWith("> ")) continue;
      player ??= new Player(options);
      for (const action of player.play(words(line.slice(2)))) output.push(`  ${narrateAction(action, nameOf)}`);
    } catch (error) {
      throw new SyntaxError(`line ${index + 1}: "${line}": ${(error as Error).message}`, { cause: error });
    }
  }
  return output.join("\n");
}

class Player {
  private readonly core: Replica;
  private now = 0;
  private persisted = 0;

  constructor(options: ReplicaOptions) {
    this.core = new Replica(options);
  }

  play(given: readonly string[]): readonly Action[] {
    const [verb = "", ...rest] = given;
    if (verb === "at") {
      this.now = Number(rest[0]);
      return [];
    }
    const input =
      verb === "persisted" && rest[0] === "all" ? { kind: "persisted", upTo: this.persisted } : this.read(verb, rest);
    const actions = this.core.step(input as unknown as Input, this.now as Instant);
    for (const action of actions) if (action.kind === "persist") this.persisted = action.lsn as Lsn as number;
    return actions;
  }

  /** An input as plain data; the types of the core are met by construction. */
  private read(verb: string, rest: readonly string[]): object {
    const field = (name: string): string | undefined => after(rest, name)[0];
    const number = (name: string, otherwise = 0): number => Number(field(name) ?? otherwise);
    const [view, sequence] = (rest[0] ?? "").split("/").map(Number);
    const place = { view, sequence, digest: digestNamed(rest[1] ?? "") };
    const content = { time: WALL_MS + number("time", this.now), bundles: after(rest, "=", "from").map(digestNamed) };
    const control = (message: object): object => ({ kind: "control", from: number("from"), message });
    switch (verb) {
      case "recovered":
        return { kind: "recovered", state: { type: rest[0] ?? "genesis" }, wallClock: WALL_MS + this.now };
      case "tick":
        return { kind: "tick", wallClock: WALL_MS + this.now };
      case "persisted":
        return { kind: "persisted", upTo: Number(rest[0]) };
      case "prePrepare":
        return control({ type: "prePrepare", ...place, ...content });
      case "prepare":
      case "commit":
        return {
          kind: "votes",
          phase: verb,
          ...place,
          signers: setOf(...after(rest, "by").map((id) => Number(id) as ReplicaId)),
        };
      case "assembled":
        return { kind: "assembled", ...place };
      case "checkpoint":
        return control({ type: "checkpoint", sequence: Number(rest[0]), digest: place.digest });
      case "decided":
        return control({ type: "decided", sequence: Number(rest[0]), digest: place.digest, ...content });
      case "executed":
        return { kind: "executed", run: 0, through: Number(rest[0]), sessions: sessionsOf(rest) };
      case "checkpointed":
        return { kind: "checkpointed", run: 0, sequence: Number(rest[0]), digest: place.digest };
      case "request":
        return {
          kind: "request",
          bundle: bundleOf(rest[0] ?? "", number),
          from: field("from") === undefined ? undefined : number("from"),
          again: rest.includes("again"),
        };
      case "unavailable":
        return { kind: "body", digest: digestNamed(rest[0] ?? ""), status: "unavailable" };
      case "conflict":
        return {
          kind: "conflict",
          by: Number(rest[0]),
          evidence: { type: rest[1], digest: digestNamed(rest[2] ?? "") },
        };
      case "sealed":
        return { kind: "sealed", target: Number(rest[0]), digest: digestNamed(field("as") ?? "") };
      case "viewChange":
        return control(viewChangeOf(rest));
      case "newView":
        return control(newViewOf(rest));
      case "complaint":
        return control({ type: "complaint", view: Number(rest[0]) });
      case "fetchedBatch":
        return control({ type: "fetchedBatch", digest: digestNamed(rest[0] ?? ""), ...content });
      case "link":
        return { kind: "link", peer: Number(rest[0]), up: rest[1] === "up" };
      case "status":
        return control(statusOf(number));
      default:
        throw new SyntaxError(`"${verb}" is no input`);
    }
  }
}

function statusOf(number: (name: string) => number): object {
  const bits = { proposed: [], prepared: [], committed: [], missing: [], viewChanges: EMPTY_SET, fence: undefined };
  const marks = { view: number("view"), lowWatermark: number("low"), lastExecuted: number("executed") };
  return { type: "status", mode: "normal", ...marks, ...bits };
}

/** `viewChange 1 as V stable 2 S {0,1,2} prepared 0/3 A {0,1,3} 0/4 B {0,1,3} from 2`. */
function viewChangeOf(rest: readonly string[]): object {
  const [sequence, named, signers] = after(rest, "stable");
  const stable =
    sequence === undefined
      ? undefined
      : { phase: "checkpoint", view: 0, ...certified(`0/${sequence}`, named, signers) };
  const parts = after(rest, "prepared", "from");
  const prepared = Array.from({ length: parts.length / 3 }, (_, index) => {
    const [place = "", digest, its] = parts.slice(3 * index);
    return { phase: "prepare", ...certified(place, digest, its) };
  });
  return {
    type: "viewChange",
    target: Number(rest[0]),
    digest: digestNamed(after(rest, "as")[0] ?? ""),
    stable,
    prepared,
  };
}

/** `newView 1 of 0:V0 1:V1 3:V3 first 3 O A B from 1`. */
function newViewOf(rest: readonly string[]): object {
  const viewChanges = after(rest, "of", "first").map((text) => {
    const [from, digest = ""] = text.split(":");
    return { from: Number(from), digest: digestNamed(digest) };
  });
  const batches = after(rest, "O", "from").map(digestNamed);
  return { type: "newView", view: Number(rest[0]), viewChanges, first: Number(after(rest, "first")[0]), batches };
}

function certified(place: string, digest = "", signers = "{}"): object {
  const [view, sequence] = place.split("/").map(Number);
  const ids = signers
    .slice(1, -1)
    .split(",")
    .map((id) => Number(id) as ReplicaId);
  return { view, sequence, digest: digestNamed(digest), signers: setOf(...ids) };
}

function bundleOf(name: string, number: (name: string, otherwise?: number) => number): object {
  return {
    digest: digestNamed(name),
    client: digestNamed("client"),
    session: number("session", 1),
    firstSequence: number("seq", 1),
    acknowledgedThrough: number("ack"),
    count: number("count", 1),
    bytes: number("bytes", 100),
  };
}

/** `opened 1`, `did 1:1-2`: what execution changed in the session table. */
function sessionsOf(rest: readonly string[]): object {
  const opened = after(rest, "opened", "did").map((id) => ({ session: Number(id), client: digestNamed("client") }));
  const executed = after(rest, "did", "opened").map((text) => {
    const [session, first, last] = text.split(/[:-]/).map(Number);
    return { session, first, last: last ?? first };
  });
  return { opened, executed, acknowledged: [], expired: [], recovered: [] };
}

function words(line: string): string[] {
  return line.split("#", 1).join("").trim().split(/\s+/);
}

/** The words after `name`, up to `end`. */
function after(rest: readonly string[], name: string, end?: string): string[] {
  const start = rest.indexOf(name);
  if (start < 0) return [];
  const tail = rest.slice(start + 1);
  const stop = end === undefined ? -1 : tail.indexOf(end);
  return stop < 0 ? tail : tail.slice(0, stop);
}

function numbers(pairs: readonly string[]): Partial<ReplicaOptions> {
  return Object.fromEntries(
    pairs.map((pair) => [pair.split("=")[0] ?? "", Number(pair.split("=")[1])]),
  ) as Partial<ReplicaOptions>;
}

/** A digest that says its name. */
function digestNamed(name: string): Digest {
  if (name === "null") return NULL_BATCH.digest;
  return name.padEnd(16, "\0").slice(0, 16) as Digest;
}

function nameOf(digest: Digest): string {
  if (digest === NULL_BATCH.digest) return "null";
  return digest.replace(/\0+$/, "");
}
