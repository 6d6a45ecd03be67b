/**
 * State outside of the replicated map: texts under names in a Map, a chunk for each of 16 buckets of names. A module for nodes, a class
 * for tests. Plain JavaScript, as threads load it.
 */
import { createHash } from "node:crypto";
import { OperationError } from "../../dist/index.js";

const BUCKETS = 16;

/** Everything that `operation` may ask for, by its first word. */
const operations = {
  /** `set NAME TEXT` returns the text before. */
  set(entries, name, text) {
    const before = entries.get(name) ?? "";
    entries.set(name, text);
    return before;
  },
  get: (entries, name) => entries.get(name) ?? "",
  refuse() {
    throw new OperationError("NOT_TODAY");
  },
  break() {
    throw new Error("broken");
  },
};

export class OpaqueMap {
  opaque = true;
  entries = new Map();
  applied = 0;
  /** How often all was replaced. */
  restores = 0;

  async execute(operation, { sequence }) {
    await new Promise((resolve) => setImmediate(resolve));
    const [name, ...words] = Buffer.from(operation).toString().split(" ");
    if (!Object.hasOwn(operations, name)) throw new OperationError("UNKNOWN_OPERATION");
    const result = Buffer.from(operations[name](this.entries, ...words));
    this.applied = sequence;
    return result;
  }

  async query(question) {
    await new Promise((resolve) => setImmediate(resolve));
    return Buffer.from(this.entries.get(Buffer.from(question).toString()) ?? "");
  }

  digest() {
    const hash = createHash("sha256");
    for (const chunk of this.chunks()) hash.update(chunk);
    return hash.digest();
  }

  async *snapshot() {
    yield* this.chunks();
  }

  async restore(chunks, sequence) {
    this.restores++;
    this.entries.clear();
    for await (const chunk of chunks) {
      for (const [name, text] of JSON.parse(Buffer.from(chunk).toString())) this.entries.set(name, text);
    }
    this.applied = sequence;
  }

  lastApplied() {
    return this.applied;
  }

  chunks() {
    const buckets = Array.from({ length: BUCKETS }, () => []);
    for (const entry of [...this.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      buckets[createHash("sha256").update(entry[0]).digest()[0] % BUCKETS].push(entry);
    }
    return buckets.map((bucket) => Buffer.from(JSON.stringify(bucket)));
  }
}

export default new OpaqueMap();
