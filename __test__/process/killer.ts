/**
 * Ends replica processes by SIGKILL at a point of their writing and sending, or has their disks fail or stand still from there on, by
 * a library that is preloaded into them.
 */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** One place in a replica's life, by `kill-shim.c`. */
export interface KillPoint {
  readonly name: string;
  readonly call: "write" | "sync" | "fill" | "fillSync" | "rename" | "send";
  readonly file: string;
  readonly when: "before" | "half" | "after";
  /** The call that it is, counted from the one after which it was asked for, is drawn from 1 to this. */
  readonly within: number;
}

export interface KillPlan extends Omit<KillPoint, "name" | "within"> {
  /** From 1. */
  readonly k: number;
}

/** What becomes of a disk: each call of a kind fails with this error number, or takes so many milliseconds longer. */
export interface Trouble extends Pick<KillPoint, "call" | "file"> {
  readonly when: `fail-${number}` | `slow-${number}`;
}

const SOURCE = fileURLToPath(new URL("./kill-shim.c", import.meta.url));
/** As in the library. */
const PLAN_BYTES = 256;
const PLAN_TEXT = 8;

const SEGMENT = "journal-*.segment";
const UNFINISHED = "snapshot-*.unfinished";
const SNAPSHOT = "snapshot-*.state";
const DIRECTORY = ".";
const DATAGRAM = "-";

function around(
  name: string,
  point: Omit<KillPoint, "name" | "when">,
  whens: readonly KillPoint["when"][],
): KillPoint[] {
  return whens.map((when) => ({ ...point, name: `${name}, ${when}`, when }));
}

/** What happens all the time under load. A small snapshot is three writes: its header, one chunk, its end. */
export const killPoints: readonly KillPoint[] = [
  ...around("journal write", { call: "write", file: SEGMENT, within: 40 }, ["before", "half", "after"]),
  ...around("journal sync", { call: "sync", file: SEGMENT, within: 40 }, ["before", "after"]),
  ...around("snapshot write", { call: "write", file: UNFINISHED, within: 3 }, ["before", "half", "after"]),
  ...around("snapshot sync", { call: "sync", file: UNFINISHED, within: 1 }, ["before", "after"]),
  ...around("snapshot rename", { call: "rename", file: SNAPSHOT, within: 1 }, ["before", "after"]),
  ...around("directory sync", { call: "sync", file: DIRECTORY, within: 1 }, ["before", "after"]),
  ...around("send", { call: "send", file: DATAGRAM, within: 200 }, ["before", "after"]),
];

/** A first start alone: what is written before there is a record. */
export const firstStartPoints: readonly KillPoint[] = [
  ...around("segment fill", { call: "fill", file: SEGMENT, within: 8 }, ["before", "half", "after"]),
  ...around("segment fill sync", { call: "fillSync", file: SEGMENT, within: 1 }, ["before", "after"]),
];

/** A start from what a killed process left: the end of the journal is written and synced again. */
export const startPoints: readonly KillPoint[] = [
  ...around("journal write", { call: "write", file: SEGMENT, within: 3 }, ["before", "half", "after"]),
  ...around("journal sync", { call: "sync", file: SEGMENT, within: 3 }, ["before", "after"]),
];

export class Killer {
  readonly #directory = mkdtempSync(join(tmpdir(), "byzantine-killer-"));
  readonly #library: string;

  /** Builds the library. */
  constructor() {
    this.#library = join(this.#directory, "kill-shim.so");
    execFileSync("cc", ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", this.#library, SOURCE]);
  }

  /** What a process is started with; plans for the one before are forgotten. @param dataDir Resolved. */
  environmentOf(dataDir: string): NodeJS.ProcessEnv {
    writeFileSync(planOf(dataDir), new Uint8Array(PLAN_BYTES));
    return { LD_PRELOAD: this.#library, KILL_PLAN: planOf(dataDir), KILL_DIRECTORY: dataDir };
  }

  /** From now on calls are counted. */
  arm(dataDir: string, { call, file, when, k }: KillPlan | (Trouble & { readonly k: number })): void {
    const text = Buffer.alloc(PLAN_BYTES - PLAN_TEXT);
    text.write(`${call} ${file} ${when} ${k}`);
    const plan = openSync(planOf(dataDir), "r+");
    writeSync(plan, text, 0, text.length, PLAN_TEXT);
    writeSync(plan, Uint8Array.of(1), 0, 1, 0);
    closeSync(plan);
  }

  /** The disk is well again. */
  relieve(dataDir: string): void {
    const plan = openSync(planOf(dataDir), "r+");
    writeSync(plan, Uint8Array.of(0), 0, 1, 0);
    closeSync(plan);
  }

  /** Removes the library; processes that have loaded it keep it. */
  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function planOf(dataDir: string): string {
  return `${dataDir}.kill-plan`;
}
