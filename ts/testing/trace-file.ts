/** A plan as a short JSON file, so that a failure found once is a test from then on. */
import type { SimOptions } from "./options.ts";
import type { Fault, Plan, PlannedOperation } from "./plan.ts";

/** Longest file: what a person still reads. */
export const TRACE_LINES_MAX = 60;
const LINE_WIDTH = 116;

interface TraceFile {
  readonly about: string;
  readonly options: SimOptions;
  readonly faults: readonly Fault[];
  readonly operations: readonly PlannedOperation[];
  readonly muted: Plan["muted"] | null;
}

/** One line per fault and operation, several numbers a line; operations are joined when there would be too many lines. */
export function formatTrace(plan: Plan, about: string): string {
  const lines = [
    "{",
    `  "about": ${JSON.stringify(about)},`,
    `  "options": {`,
    ...wrapped(Object.entries(plan.options)),
    "  },",
  ];
  lines.push(`  "faults": [`, ...items(plan.faults, 12), "  ],");
  const muted = plan.muted === undefined ? "null" : JSON.stringify(plan.muted);
  lines.push(
    `  "operations": [`,
    ...items(plan.operations, TRACE_LINES_MAX - lines.length - 4),
    "  ],",
    `  "muted": ${muted}`,
    "}",
  );
  return `${lines.join("\n")}\n`;
}

export function parseTrace(text: string): Plan {
  const { options, faults, operations, muted } = JSON.parse(text) as TraceFile;
  return { options, faults, operations, muted: muted ?? undefined };
}

function wrapped(entries: readonly (readonly [string, unknown])[]): string[] {
  const lines: string[] = [];
  let line = "";
  for (const [index, [key, value]] of entries.entries()) {
    const piece = `"${key}": ${JSON.stringify(value)}${index < entries.length - 1 ? "," : ""}`;
    if (line !== "" && line.length + piece.length + 5 > LINE_WIDTH) {
      lines.push(`    ${line}`);
      line = "";
    }
    line += line === "" ? piece : ` ${piece}`;
  }
  return line === "" ? lines : [...lines, `    ${line}`];
}

function items(list: readonly unknown[], linesMax: number): string[] {
  const perLine = Math.max(1, Math.ceil(list.length / Math.max(1, linesMax)));
  const lines: string[] = [];
  for (let start = 0; start < list.length; start += perLine) {
    const comma = start + perLine < list.length ? "," : "";
    const line = list.slice(start, start + perLine).map((item) => JSON.stringify(item));
    lines.push(`    ${line.join(", ")}${comma}`);
  }
  return lines;
}
