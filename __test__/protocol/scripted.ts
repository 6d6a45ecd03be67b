/** One core under a script: inputs by hand, actions to look at. */
import type { Action, Input } from "../../dist/protocol/core.js";
import type { BundleRef, Control } from "../../dist/protocol/messages.js";
import type { ReplicaOptions } from "../../dist/protocol/options.js";
import { Replica } from "../../dist/protocol/replica.js";
import {
  setOf,
  type AgreedTime,
  type ClientKey,
  type Digest,
  type Instant,
  type ReplicaId,
  type ReplicaSet,
  type Run,
  type Sequence,
  type SessionId,
  type Verified,
  type View,
} from "../../dist/protocol/types.js";

export const WALL_CLOCK = 1_000_000;

/** A digest that tests can read: the name, padded. */
export function digestOf(name: string): Digest {
  return name.padEnd(16, ".") as Digest;
}

export function replicas(...ids: readonly number[]): ReplicaSet {
  return setOf(...(ids as ReplicaId[]));
}

export function bundle(
  name: string,
  fields: Partial<Record<keyof BundleRef, number | string>> = {},
): Verified<BundleRef> {
  return {
    digest: digestOf(name),
    client: digestOf("client") as string as ClientKey,
    session: 1 as SessionId,
    firstSequence: 1,
    acknowledgedThrough: 0,
    count: 1,
    bytes: 200,
    ...fields,
  } as Verified<BundleRef>;
}

type Kind = Action["kind"];
type ActionOf<K extends Kind> = Extract<Action, { readonly kind: K }>;
type Sent<T extends string> = ActionOf<"send"> & { readonly message: { readonly type: T } };

export class Scripted {
  readonly core: Replica;
  now = 0 as Instant;
  actions: readonly Action[] = [];

  constructor(options: Partial<ReplicaOptions> & { readonly me: ReplicaId }) {
    this.core = new Replica({
      n: 4,
      f: 1,
      checkpointInterval: 4,
      window: 8,
      inFlightMax: 8,
      viewChangeTimeoutMs: 5_000,
      batchBundlesMax: 8,
      batchBytesMax: 10_000,
      poolBundlesMax: 64,
      poolBytesMax: 100_000,
      timeBoundMs: 1_000,
      pipelineDepth: 2,
      historyBytesMax: 100_000,
      ...options,
    });
    this.step({ kind: "recovered", state: { type: "genesis" }, wallClock: WALL_CLOCK as AgreedTime });
  }

  step(input: Input): readonly Action[] {
    this.actions = this.core.step(input, this.now);
    return this.actions;
  }

  control(from: number, message: Control): readonly Action[] {
    return this.step({ kind: "control", from: from as ReplicaId, message: message as Verified<Control> });
  }

  request(ref: Verified<BundleRef>, from?: number, again = false): readonly Action[] {
    return this.step({ kind: "request", bundle: ref, from: from as ReplicaId | undefined, again });
  }

  propose(
    sequence: number,
    name: string,
    bundles: readonly string[] = [],
    fields: { view?: number; time?: number } = {},
  ) {
    return this.control((fields.view ?? 0) % 4, {
      type: "prePrepare",
      view: (fields.view ?? 0) as View,
      sequence: sequence as Sequence,
      digest: digestOf(name),
      time: (fields.time ?? WALL_CLOCK) as AgreedTime,
      bundles: bundles.map(digestOf),
    });
  }

  votes(phase: "prepare" | "commit", sequence: number, name: string, ...signers: readonly number[]) {
    return this.step({
      kind: "votes",
      phase,
      view: 0 as View,
      sequence: sequence as Sequence,
      digest: digestOf(name),
      signers: replicas(...signers) as Verified<ReplicaSet>,
    });
  }

  executed(through: number): readonly Action[] {
    const sessions = { opened: [], executed: [], acknowledged: [], expired: [] };
    return this.step({ kind: "executed", run: 0 as Run, through: through as Sequence, sessions });
  }

  /** Orders and executes the batch `name` at `sequence` with the votes of replicas 0, 1 and 2, as a backup. */
  commitBatch(sequence: number, name: string): void {
    this.propose(sequence, name);
    this.votes("prepare", sequence, name, 1, 2, 3);
    this.votes("commit", sequence, name, 0, 1, 2);
    this.executed(sequence);
  }

  tickAfter(milliseconds: number): readonly Action[] {
    this.now = (this.now + milliseconds) as Instant;
    return this.step({ kind: "tick", wallClock: (WALL_CLOCK + this.now) as AgreedTime });
  }

  of<K extends Kind>(kind: K): ActionOf<K>[] {
    return this.actions.filter((action): action is ActionOf<K> => action.kind === kind);
  }

  sent<T extends string>(type: T): Sent<T>[] {
    return this.of("send").filter((action): action is Sent<T> => action.message.type === type);
  }

  ignored(): string[] {
    return this.of("ignored").map(({ reason }) => reason);
  }
}

export function backup(options: Partial<ReplicaOptions> = {}): Scripted {
  return new Scripted({ me: 3 as ReplicaId, ...options });
}

export function primary(options: Partial<ReplicaOptions> = {}): Scripted {
  return new Scripted({ me: 0 as ReplicaId, ...options });
}
