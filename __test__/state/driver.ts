/** Bundles for an executor, and a state machine that records what reaches it. */
import { Writer } from "../../dist/codec/bytes.js";
import { writeBundle } from "../../dist/codec/client.js";
import { digestAt } from "../../dist/codec/digest.js";
import type { AgreedTime, ClientKey, Digest, Sequence, SessionId } from "../../dist/protocol/types.js";
import type { ExecutedBatch } from "../../dist/state/batch-record.js";
import { Executor } from "../../dist/state/executor.js";
import type { ExecutorOptions } from "../../dist/state/executor.js";
import type { StateMachine, StateView } from "../../dist/state/interfaces.js";
import { decodeNumberResult, encodeSystemOperation } from "../../dist/state/system-operation.js";
import { NodeHasher } from "./node-hasher.ts";

export const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
export const text = (value: Uint8Array): string => Buffer.from(value).toString();
export const clientKey = (n: number): ClientKey =>
  digestAt(new Uint8Array(32).fill(n & 255).fill(n >> 8, 16), 0) as string as ClientKey;
export const digestOf = (n: number): Digest => digestAt(new Uint8Array(32).fill(n & 255).fill(n >> 8, 24), 0);
export const ALICE = clientKey(1);
export const BOB = clientKey(2);
export const MEMBERS = [clientKey(200), clientKey(201), clientKey(202), clientKey(203)];

export interface BundleFields {
  readonly client?: ClientKey;
  readonly session: number;
  readonly first: number;
  readonly acknowledged?: number;
  readonly operations: readonly (string | Uint8Array)[];
}

export function payloadOf(fields: BundleFields): Uint8Array {
  const writer = new Writer();
  writeBundle(writer, {
    client: fields.client ?? ALICE,
    session: fields.session as SessionId,
    firstSequence: fields.first,
    acknowledgedThrough: fields.acknowledged ?? 0,
    operations: fields.operations.map((operation) => (typeof operation === "string" ? bytes(operation) : operation)),
  });
  return writer.copy();
}

export function open(client: ClientKey, nonce: number, expiryMs: number): BundleFields {
  return { client, session: 0, first: nonce, operations: [encodeSystemOperation({ kind: "open", expiryMs })] };
}

/** Appends each operation to the entry "log" and returns how many it has. */
export const logMachine: StateMachine = {
  execute(state: StateView, operation: Uint8Array): Uint8Array {
    const log = state.get(bytes("log")) ?? new Uint8Array(0);
    const next = bytes(`${text(log)}${text(operation)};`);
    state.set(bytes("log"), next);
    return bytes(String(text(next).split(";").length - 1));
  },
};

/** Feeds an executor batch after batch. */
export class Driver {
  readonly executor: Executor;
  timeMs = 1_000_000;

  constructor(options: Partial<ExecutorOptions> = {}) {
    this.executor = new Executor({ stateMachine: logMachine, hasher: new NodeHasher(), members: MEMBERS, ...options });
  }

  /** Executes one batch of these bundles. */
  run(...bundles: readonly BundleFields[]): ExecutedBatch {
    return this.raw(bundles.map(payloadOf));
  }

  raw(payloads: readonly Uint8Array[], tentative = false): ExecutedBatch {
    const sequence = (this.executor.lastExecuted + 1) as Sequence;
    return this.executor.execute({
      sequence,
      timeMs: this.timeMs as AgreedTime,
      digest: digestOf(sequence),
      bundles: payloads.map((payload, i) => ({ digest: digestOf(1000 + i), payload })),
      tentative,
    });
  }

  /** Opens a session in a batch of its own. */
  open(client: ClientKey = ALICE, nonce = 77): number {
    return sessionOf(this.run(open(client, nonce, this.timeMs + 1000)));
  }

  root(): Digest {
    const sequence = this.executor.lastExecuted;
    this.executor.freeze(sequence);
    return this.executor.root(sequence);
  }

  log(): string {
    return text(this.executor.view().get(bytes("log")) ?? new Uint8Array(0));
  }
}

/** The session that the first reply of a batch opened. */
export function sessionOf(batch: ExecutedBatch): number {
  const entry = batch.replies[0]!.entries[0]!;
  const session = entry.status === "ok" ? decodeNumberResult(entry.result) : undefined;
  if (session === undefined) throw new Error(`no session was opened: ${entry.status} ${text(entry.result)}`);
  return session;
}

/** Entries of a reply, readable. */
export function entriesOf(batch: ExecutedBatch, reply = 0): string[] {
  return batch.replies[reply]!.entries.map(({ sequence, status, result }) =>
    `${sequence} ${status} ${text(result)}`.trim(),
  );
}
