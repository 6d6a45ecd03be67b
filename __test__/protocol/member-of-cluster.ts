/** One core of a cluster in memory, and what its ports hold for it. */
import type { Action, Input } from "../../dist/protocol/core.js";
import type { BatchContent, BundleRef, Fetch, NewView, ViewChange, Vote } from "../../dist/protocol/messages.js";
import { newViewName, NULL_BATCH } from "../../dist/protocol/new-view.js";
import { Replica } from "../../dist/protocol/replica.js";
import { membersOf, type Digest, type Instant, type ReplicaId, type Sequence } from "../../dist/protocol/types.js";
import { batchOf, type Cluster, type Letter, type Message, type Wanted } from "./cluster-of-cores.js";
import { replicas } from "./scripted.js";

export class Member {
  readonly id: number;
  readonly core: Replica;
  /** Everything that the core has asked for so far. */
  readonly actions: Action[] = [];
  executed: readonly BundleRef[] = [];
  /** VIEW-CHANGEs and NEW-VIEWs whose certificates did not verify. */
  refused = 0;
  readonly bodies = new Map<Digest, BundleRef>();
  readonly viewChanges = new Map<Digest, { readonly from: number; readonly message: ViewChange }>();
  readonly newViews = new Map<Digest, NewView>();
  readonly #cluster: Cluster;
  readonly #batches = new Map<Digest, BatchContent>([[NULL_BATCH.digest, NULL_BATCH]]);
  readonly #votes = new Map<string, { readonly vote: Vote; signers: number[] }>();
  readonly #frozen = new Map<Digest, readonly BundleRef[]>();
  #installing: { readonly run: number; readonly root: Digest } | undefined;
  #persisted = 0;
  #unsent: Wanted<"send">[] = [];

  constructor(cluster: Cluster, id: number) {
    this.#cluster = cluster;
    this.id = id;
    this.core = new Replica({ ...cluster.options, me: id as ReplicaId });
  }

  of<K extends Action["kind"]>(kind: K): Wanted<K>[] {
    return this.actions.filter((action): action is Wanted<K> => action.kind === kind);
  }

  step(input: Input, now: Instant): void {
    for (const action of this.core.step(input, now)) {
      this.actions.push(action);
      this.#carryOut(action);
    }
  }

  take({ from, message }: Letter): void {
    switch (message.type) {
      case "bundle":
        return this.#onBundle(from, message.ref);
      case "prepare":
      case "commit":
        return this.#onVote(from, message);
      case "fetch":
        return this.#onFetch(from, message);
      case "passedOn":
        return this.#onSigned(message.signer, message.message);
      case "viewChange":
      case "newView":
        return this.#onSigned(from, message);
      case "stateFetch": {
        const executed = this.#frozen.get(message.root);
        return executed === undefined ? undefined : this.#post(from, { type: "state", root: message.root, executed });
      }
      case "state":
        return this.#onState(message.root, message.executed);
      case "execute":
        return this.#execute(message.batch);
      case "checkpointDue":
        return this.#freeze(message.at);
      case "answer":
        return this.#onAnswer(message.input);
      case "prePrepare":
      case "decided":
      case "fetchedBatch":
        this.#batches.set(message.digest, message);
        return this.#control(from, message);
      default:
        return this.#control(from, message);
    }
  }

  #carryOut(action: Action): void {
    switch (action.kind) {
      case "persist":
        return this.#answer({ kind: "persisted", upTo: action.lsn });
      case "send":
        if (action.after > this.#persisted) this.#unsent.push(action);
        else this.#send(action);
        return;
      case "seal": {
        const digest = `viewChange of ${this.id}: ${JSON.stringify(action.message)}` as Digest;
        this.viewChanges.set(digest, { from: this.id, message: { ...action.message, digest } });
        return this.#answer({ kind: "sealed", target: action.message.target, digest });
      }
      case "forget":
        for (const digest of action.digests)
          (action.what === "newView" ? this.newViews : this.viewChanges).delete(digest);
        return;
      case "assemble": {
        const batch = batchOf(action.bundles as readonly string[], action.time);
        this.#batches.set(batch.digest, batch);
        return this.#answer({ kind: "assembled", view: action.view, sequence: action.sequence, digest: batch.digest });
      }
      case "forward": {
        const ref = this.bodies.get(action.bundle);
        if (ref !== undefined) for (const to of membersOf(action.to)) this.#post(to, { type: "bundle", ref });
        return;
      }
      case "release":
        for (const digest of action.bundles) this.bodies.delete(digest);
        return;
      case "fetch":
        for (const to of membersOf(action.from))
          this.#post(to, { type: "fetch", kind: action.what, digest: action.digest });
        return;
      case "execute":
        return this.#post(this.id, { type: "execute", batch: action });
      case "checkpoint":
        return this.#post(this.id, { type: "checkpointDue", at: action });
      case "install":
        this.#installing = { run: action.run, root: action.certificate.digest };
        for (const { id } of this.#cluster.members)
          if (id !== this.id) this.#post(id, { type: "stateFetch", root: action.certificate.digest });
        return;
      case "window":
        for (const { vote, signers } of this.#votes.values())
          if (vote.view === action.view) this.#handUp(vote, signers);
        return;
    }
  }

  #post(to: number, message: Message): void {
    this.#cluster.post({ from: this.id, to, message });
  }

  #answer(input: Input): void {
    this.#post(this.id, { type: "answer", input });
  }

  #control(from: number, message: Extract<Input, { kind: "control" }>["message"] | Message): void {
    this.step({ kind: "control", from: from as ReplicaId, message: message as never }, this.#cluster.now as Instant);
  }

  #send({ to, message }: Wanted<"send">): void {
    const { type } = message;
    if (type === "prePrepare") this.#batches.set(message.digest, message);
    if (type === "prePrepare" || type === "prepare")
      this.#cluster.sign(this.id, "prepare", message.view, message.sequence, message.digest);
    if (type === "checkpoint") this.#cluster.sign(this.id, type, 0, message.sequence, message.digest);
    if (type === "newView") {
      this.newViews.set(newViewName(message.view), message);
      for (const [index, digest] of message.batches.entries())
        this.#cluster.sign(this.id, "prepare", message.view, (message.first + index) as Sequence, digest);
    }
    for (const id of membersOf(to)) this.#post(id, message);
  }

  #onAnswer(input: Input): void {
    if (input.kind === "persisted") {
      this.#persisted = input.upTo;
      const unsent = this.#unsent;
      this.#unsent = [];
      for (const action of unsent) this.#carryOut(action);
    }
    this.step(input, this.#cluster.now as Instant);
  }

  #onBundle(from: number, ref: BundleRef): void {
    const held = this.bodies.has(ref.digest);
    if (held && from >= 0) return;
    this.bodies.set(ref.digest, ref);
    const bundleFrom = from < 0 ? undefined : (from as ReplicaId);
    this.step({ kind: "request", bundle: ref as never, from: bundleFrom, again: held }, this.#cluster.now as Instant);
  }

  /** The vote table: one vote of each signer per phase, view and sequence. */
  #onVote(from: number, vote: Vote): void {
    const place = `${vote.type} ${vote.view}/${vote.sequence}`;
    for (const [key, { signers }] of this.#votes) if (key.startsWith(`${place} `) && signers.includes(from)) return;
    const filed = this.#votes.get(`${place} ${vote.digest}`) ?? { vote, signers: [] };
    filed.signers.push(from);
    this.#votes.set(`${place} ${vote.digest}`, filed);
    if (vote.view === this.core.view().view) this.#handUp(vote, filed.signers);
  }

  #handUp({ type: phase, view, sequence, digest }: Vote, signers: readonly number[]): void {
    this.#answer({ kind: "votes", phase, view, sequence, digest, signers: replicas(...signers) as never });
  }

  #onSigned(signer: number, message: ViewChange | NewView): void {
    if (message.type === "newView") this.newViews.set(newViewName(message.view), message);
    else {
      const { stable, prepared } = message;
      if (![...(stable === undefined ? [] : [stable]), ...prepared].every((name) => this.#cluster.verifies(name))) {
        this.refused += 1;
        return;
      }
      this.viewChanges.set(message.digest, { from: signer, message });
    }
    this.#control(signer, message);
  }

  #onFetch(from: number, { kind, digest }: Fetch): void {
    const answers: Record<Fetch["kind"], () => Message | undefined> = {
      bundle: () => {
        const ref = this.bodies.get(digest);
        return ref && { type: "bundle", ref };
      },
      batch: () => {
        const content = this.#batches.get(digest);
        return content && { type: "fetchedBatch", digest, time: content.time, bundles: content.bundles };
      },
      viewChange: () => {
        const kept = this.viewChanges.get(digest);
        return kept && { type: "passedOn", signer: kept.from, message: kept.message };
      },
      newView: () => {
        const message = this.newViews.get(digest);
        return message && { type: "passedOn", signer: message.view % this.#cluster.options.n, message };
      },
    };
    const answer = answers[kind]();
    if (answer !== undefined) this.#post(from, answer);
  }

  #execute({ run, sequence, digest, bundles }: Wanted<"execute">): void {
    if (run !== this.core.inspect().run) return;
    const first = this.#cluster.decisions.get(sequence) ?? digest;
    if (first !== digest)
      throw new Error(`${this.id} executes ${digest} at ${sequence}, where ${first} was executed before`);
    this.#cluster.decisions.set(sequence, digest);
    const before = this.executed;
    for (const name of bundles) {
      const ref = this.bodies.get(name) as BundleRef;
      if (!this.#wasExecuted(ref)) this.executed = [...this.executed, ref];
    }
    const fresh = this.executed.slice(before.length);
    const sessions = new Map(fresh.map((ref) => [ref.session, ref]));
    const opened = [...sessions.values()].filter(({ session }) => !before.some((done) => done.session === session));
    const executed = fresh.map(({ session, firstSequence }) => ({
      session,
      first: firstSequence,
      last: firstSequence,
    }));
    this.step(
      {
        kind: "executed",
        run,
        through: sequence,
        sessions: { opened, executed, acknowledged: [], expired: [], recovered: [] },
      },
      this.#cluster.now as Instant,
    );
  }

  #wasExecuted({ session, firstSequence }: BundleRef): boolean {
    return this.executed.some((done) => done.session === session && done.firstSequence === firstSequence);
  }

  #freeze({ run, sequence }: Wanted<"checkpoint">): void {
    if (run !== this.core.inspect().run) return;
    const digest = `root ${sequence} of ${this.executed.map((ref) => ref.digest).join(" ")}` as Digest;
    this.#frozen.set(digest, this.executed);
    this.step({ kind: "checkpointed", run, sequence, digest }, this.#cluster.now as Instant);
  }

  #onState(root: Digest, executed: readonly BundleRef[]): void {
    const installing = this.#installing;
    if (installing?.root !== root || installing.run !== this.core.inspect().run) return;
    this.#installing = undefined;
    this.executed = executed;
    this.#frozen.set(root, executed);
    const sessions = [...new Set(executed.map(({ session }) => session))].map((session) => {
      const own = executed.filter((ref) => ref.session === session);
      const ranges = own.map(({ firstSequence }) => [firstSequence, firstSequence] as const).sort(([a], [b]) => a - b);
      return { session, client: (own[0] as BundleRef).client, acknowledgedThrough: 0, executed: ranges };
    });
    const sequence = this.core.inspect().installing?.sequence as Sequence;
    this.step(
      { kind: "installed", run: installing.run as never, sequence, digest: root, sessions, marks: [] },
      this.#cluster.now as Instant,
    );
  }
}
