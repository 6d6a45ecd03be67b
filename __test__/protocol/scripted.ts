/** One core under a script: inputs by hand, actions to look at. */
import type { Action, DurableState, Input, StoredRecord } from "../../dist/protocol/core.js";
import type { BundleRef, CertificateName, Control, NewView, Status, ViewChange } from "../../dist/protocol/messages.js";
import type { ReplicaOptions } from "../../dist/protocol/options.js";
import { carriedOver } from "../../dist/protocol/new-view.js";
import { quorumsOf } from "../../dist/protocol/quorum.js";
import { Replica } from "../../dist/protocol/replica.js";
import {
  setOf,
  type AgreedTime,
  type ClientKey,
  type Digest,
  type Instant,
  type ReplicaId,
  type ReplicaSet,
  type Sequence,
  type SessionId,
  type Verified,
  type View,
} from "../../dist/protocol/types.js";

export const WALL_CLOCK = 1_000_000;

export const OPTIONS: Omit<ReplicaOptions, "me"> = {
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
};

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

export function at(sequence: number): Sequence {
  return sequence as Sequence;
}

/** A certificate of Q signatures of replicas 0, 1 and 2, unless said otherwise. */
export function certificate(
  sequence: number,
  name: string,
  fields: { phase?: "prepare" | "checkpoint"; view?: number; signers?: readonly number[] } = {},
): CertificateName {
  const { phase = "prepare", view = 0, signers = [0, 1, 2] } = fields;
  const place = { view: view as View, sequence: sequence as Sequence };
  return { phase, ...place, digest: digestOf(name), signers: replicas(...signers) };
}

export function stable(sequence: number, name: string, signers: readonly number[] = [0, 1, 2]): CertificateName {
  return certificate(sequence, name, { phase: "checkpoint", signers });
}

/** A VIEW-CHANGE whose bytes have the digest `name`. */
export function viewChange(
  target: number,
  name: string,
  fields: Partial<Pick<ViewChange, "stable" | "prepared">> = {},
): ViewChange {
  return {
    type: "viewChange",
    target: target as View,
    stable: undefined,
    prepared: [],
    digest: digestOf(name),
    ...fields,
  };
}

/** A NEW-VIEW that names these VIEW-CHANGEs, by sender. */
export function newView(
  view: number,
  named: Readonly<Record<number, string>>,
  batches: readonly (string | { readonly digest: Digest })[] = [],
  first = 1,
): NewView {
  const viewChanges = Object.entries(named).map(([from, name]) => ({
    from: Number(from) as ReplicaId,
    digest: digestOf(name),
  }));
  const digests = batches.map((batch) => (typeof batch === "string" ? digestOf(batch) : batch.digest));
  return { type: "newView", view: view as View, viewChanges, first: first as Sequence, batches: digests };
}

/** A STATUS of a replica that has nothing yet. */
export function status(fields: Partial<Record<keyof Status, unknown>> = {}): Status {
  const marks = { view: 0, lowWatermark: 0, lastExecuted: 0, viewChanges: 0, fence: undefined };
  const bits = { proposed: [], prepared: [], committed: [], missing: [] };
  return { type: "status", mode: "normal", ...marks, ...bits, ...fields } as Status;
}

type Kind = Action["kind"];
type ActionOf<K extends Kind> = Extract<Action, { readonly kind: K }>;
type Sent<T extends string> = ActionOf<"send"> & { readonly message: { readonly type: T } };

export class Scripted {
  readonly core: Replica;
  readonly me: number;
  readonly n: number;
  readonly quorum: number;
  now = 0 as Instant;
  actions: readonly Action[] = [];
  /** What a journal would hold, as if every record were durable at once. */
  records: StoredRecord[];
  private readonly options: ReplicaOptions;
  private readonly bundles = new Map<Digest, BundleRef>();
  private readonly viewChanges: { readonly from: ReplicaId; readonly message: ViewChange }[] = [];

  constructor(
    options: Partial<ReplicaOptions> & { readonly me: ReplicaId },
    state: DurableState = { type: "genesis" },
  ) {
    this.options = { ...OPTIONS, ...options };
    this.me = this.options.me;
    this.n = this.options.n;
    this.quorum = quorumsOf(this.options.n, this.options.f).quorum;
    this.core = new Replica(this.options);
    this.records = state.type === "restart" ? [...state.records] : [];
    this.step({ kind: "recovered", state, wallClock: WALL_CLOCK as AgreedTime });
  }

  step(input: Input): readonly Action[] {
    if (input.kind === "request") this.bundles.set(input.bundle.digest, input.bundle);
    if (input.kind === "control" && input.message.type === "viewChange")
      this.viewChanges.push({ from: input.from, message: input.message });
    if (input.kind === "sealed") {
      const own = this.core.inspect().own?.message;
      if (own !== undefined)
        this.viewChanges.push({ from: this.me as ReplicaId, message: { ...own, digest: input.digest } });
    }
    this.actions = this.core.step(input, this.now);
    for (const action of this.actions) {
      if (action.kind === "persist") this.records.push({ lsn: action.lsn, record: action.record });
      if (action.kind === "truncate") this.records = this.records.filter(({ lsn }) => lsn >= action.below);
    }
    return this.actions;
  }

  /** A new process on this one's disk: with all its records, or those up to `through` alone. */
  restarted({ snapshot = 0, through = Infinity, clean = false, wiped = false } = {}): Scripted {
    return new Scripted(this.options, {
      type: "restart",
      clean,
      wiped,
      snapshot: { sequence: snapshot as Sequence, sessions: [], marks: [] },
      records: this.records.filter(({ lsn }) => lsn <= through),
      bundles: [...this.bundles.values()],
      viewChanges: this.viewChanges,
    });
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
      time: (fields.time ?? WALL_CLOCK + this.now) as AgreedTime,
      bundles: bundles.map(digestOf),
    });
  }

  votes(phase: "prepare" | "commit", sequence: number, name: string, ...signers: readonly number[]) {
    return this.votesIn(0, phase, sequence, name, ...signers);
  }

  votesIn(view: number, phase: "prepare" | "commit", sequence: number, name: string, ...signers: readonly number[]) {
    return this.step({
      kind: "votes",
      phase,
      view: view as View,
      sequence: sequence as Sequence,
      digest: digestOf(name),
      signers: replicas(...signers) as Verified<ReplicaSet>,
    });
  }

  executed(through: number): readonly Action[] {
    const sessions = { opened: [], executed: [], acknowledged: [], expired: [], recovered: [] };
    return this.step({ kind: "executed", run: this.core.inspect().run, through: through as Sequence, sessions });
  }

  /** Orders and executes the batch `name` at `sequence` with the votes of replicas 0, 1 and 2, as a backup. */
  commitBatch(sequence: number, name: string): void {
    this.propose(sequence, name);
    this.votes("prepare", sequence, name, 1, 2, 3);
    this.votes("commit", sequence, name, 0, 1, 2);
    this.executed(sequence);
  }

  checkpointed(sequence: number, name: string): readonly Action[] {
    const digest = digestOf(name);
    return this.step({ kind: "checkpointed", run: this.core.inspect().run, sequence: sequence as Sequence, digest });
  }

  /** The state of the root `name` at `sequence` is in place of ours. */
  installed(sequence: number, name: string): readonly Action[] {
    const { run } = this.core.inspect();
    const digest = digestOf(name);
    return this.step({ kind: "installed", run, sequence: sequence as Sequence, digest, sessions: [], marks: [] });
  }

  /** Replica `from` signed the root `name` at `sequence`. */
  checkpoint(from: number, sequence: number, name: string): readonly Action[] {
    return this.control(from, { type: "checkpoint", sequence: sequence as Sequence, digest: digestOf(name) });
  }

  decided(from: number, sequence: number, name: string, bundles: readonly string[] = []): readonly Action[] {
    const content = { time: WALL_CLOCK as AgreedTime, bundles: bundles.map(digestOf) };
    return this.control(from, { type: "decided", sequence: sequence as Sequence, digest: digestOf(name), ...content });
  }

  /** Our VIEW-CHANGE for `target` has its bytes, of the digest `name`. */
  sealed(target: number, name: string): readonly Action[] {
    return this.step({ kind: "sealed", target: target as View, digest: digestOf(name) });
  }

  /** Takes the core into `view` by VIEW-CHANGEs of the first Q other replicas; the first of them carries `prepared`. */
  enterView(view: number, prepared: readonly CertificateName[] = []): readonly Action[] {
    const { low, stableDigest: digest, stableSigners: signers } = this.core.inspect();
    const proof = low === 0 ? undefined : { ...stable(low, ""), digest, signers };
    const ids = Array.from({ length: this.n }, (_, id) => id).filter((id) => id !== this.me);
    const messages = ids.slice(0, this.quorum).map((id, index) => {
      const message = viewChange(view, `${id} to ${view}`, { stable: proof, prepared: index === 0 ? prepared : [] });
      this.control(id, message);
      return [id, message] as const;
    });
    const { first, batches } = carriedOver(messages.map(([, message]) => message));
    const named = messages.map(([from, message]) => ({ from: from as ReplicaId, digest: message.digest }));
    return this.control(view % this.n, { type: "newView", view: view as View, viewChanges: named, first, batches });
  }

  tickAfter(milliseconds: number): readonly Action[] {
    this.now = (this.now + milliseconds) as Instant;
    return this.step({ kind: "tick", wallClock: (WALL_CLOCK + this.now) as AgreedTime });
  }

  /** Time passes in steps that no stall of our own explains; `actions` are those of all ticks. */
  pass(milliseconds: number): readonly Action[] {
    const end = this.now + milliseconds;
    const all: Action[] = [];
    while (this.now < end) all.push(...this.tickAfter(Math.min(250, end - this.now)));
    this.actions = all;
    return all;
  }

  /** A timer of this replica runs out, and so does one of another backup, which is what lets it leave; `actions` are of that. */
  timesOut(another = 2): readonly Action[] {
    this.pass(OPTIONS.viewChangeTimeoutMs);
    return this.complain(another);
  }

  complain(from: number): readonly Action[] {
    return this.control(from, { type: "complaint", view: this.core.inspect().view });
  }

  /** Milliseconds until a timer runs out, in steps of 100: for a request, or for a view; `undefined` if none does within ten timeouts. */
  timesOutAfter(): number | undefined {
    const { now: start } = this;
    const { timedOutAt } = this.core.inspect().suspicion;
    while (this.now < start + 10 * OPTIONS.viewChangeTimeoutMs) {
      const left = this.tickAfter(100).some(({ kind }) => kind === "viewLeft");
      if (left || this.core.inspect().suspicion.timedOutAt !== timedOutAt) return this.now - start;
    }
    return undefined;
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

/** Replica 3 after executing sequences 1 … `last`; checkpoints are due at 4, 8, … and none is signed yet. */
export function executedTo(last: number, core = backup()): Scripted {
  for (let sequence = 1; sequence <= last; sequence++) core.commitBatch(sequence, `batch ${sequence}`);
  return core;
}

/** Replicas 0, 1 and 2 signed the root `name` at `sequence`. */
export function stableByOthers(core: Scripted, sequence: number, name: string): void {
  for (const from of [0, 1, 2]) core.checkpoint(from, sequence, name);
}

/** A backup whose timer expires: replica 3, told of a request that the primary never proposes. */
export function expired(core = backup()): Scripted {
  core.request(bundle("waiting", { client: "impatient" }));
  core.timesOut();
  return core;
}
