/**
 * A restart: from snapshot and records to the state that our own sent messages imply. What was executed up to our last CHECKPOINT is
 * executed again; above it only certificates stand, and become decisions again by COMMITs and DECIDED of others, or by ours
 * where all of us crashed. In the view that we crashed in we are fenced as far as a lease reaches, since we may have voted there.
 */
import { assert } from "./assert.ts";
import type { CheckpointManager } from "./checkpoint-manager.ts";
import type { ConsensusProtocol } from "./consensus-protocol.ts";
import type { Context } from "./context.ts";
import type { DurableState, StoredRecord, ViewChangeCause } from "./core.ts";
import type { Execution } from "./execution.ts";
import { account, recordOwn } from "./journal.ts";
import type { BatchContent, NewView } from "./messages.ts";
import type { RequestPool } from "./request-pool.ts";
import type { Decision, PreparedBatch } from "./state.ts";
import type { Digest, Lsn, Sequence, View } from "./types.ts";
import { extendLease, isFenced } from "./vote-leases.ts";
import type { ViewManager } from "./view-manager.ts";

type Restart = Extract<DurableState, { type: "restart" }>;

/** What the records say, taken together. */
interface Found {
  /** Per sequence, contents by digest; the latest record that has them. */
  readonly contents: Map<Sequence, Map<Digest, BatchContent & { readonly lsn: Lsn }>>;
  /** The certificate of the highest view. */
  readonly prepared: Map<Sequence, PreparedBatch>;
  readonly decided: Map<Sequence, Digest>;
  /** Every view that a record says was entered. */
  readonly entered: View[];
  /** The one of the installed view; undefined in view 0. */
  newView: NewView | undefined;
  /** The last VIEW-CHANGE of ours. */
  left:
    { readonly target: View; readonly cause: ViewChangeCause; readonly message: Digest; readonly lsn: Lsn } | undefined;
  /** Per view, the highest sequence that a lease covers. */
  readonly leases: Map<View, Sequence>;
  cleanStop: { readonly view: View; readonly through: Sequence } | undefined;
}

export class Recovery {
  readonly #context: Context;
  readonly #checkpoints: CheckpointManager;
  readonly #consensus: ConsensusProtocol;
  readonly #execution: Execution;
  readonly #pool: RequestPool;
  readonly #views: ViewManager;
  readonly #onWindow: () => void;

  constructor(
    context: Context,
    rooms: {
      checkpoints: CheckpointManager;
      consensus: ConsensusProtocol;
      execution: Execution;
      pool: RequestPool;
      views: ViewManager;
      /** The bounds of the vote table are known. */
      onWindow: () => void;
    },
  ) {
    this.#context = context;
    this.#checkpoints = rooms.checkpoints;
    this.#consensus = rooms.consensus;
    this.#execution = rooms.execution;
    this.#pool = rooms.pool;
    this.#views = rooms.views;
    this.#onWindow = rooms.onWindow;
  }

  restart(durable: Restart): void {
    const { state } = this.#context;
    const { snapshot } = durable;
    const found = this.#read(durable);
    for (const position of ["snapshot", "lastExecuted", "executing", "lastSeen"] as const)
      state[position] = snapshot.sequence;
    this.#pool.onInstalled(snapshot.sessions);
    this.#pool.restore(durable.bundles);
    this.#restoreView(durable, found);
    this.#fence(durable, found);
    extendLease(this.#context);
    this.#onWindow();
    this.#restoreSequences(found);
    this.#consensus.enterView(state.installed?.first ?? ((state.low + 1) as Sequence), state.installed?.batches ?? []);
    this.#consensus.resume();
    for (const { prepared, decision } of state.slots.values())
      if (prepared !== undefined && decision === undefined) this.#pool.awaitAgain(prepared.bundles);
    this.#pool.releaseUnused();
    this.#pool.followCommitted();
    this.#confirmSnapshot();
    this.#goOn(durable, found, state.view);
    const digests = durable.viewChanges.map(({ message }) => message.digest);
    this.#views.releaseStored(digests, found.entered);
    this.#execution.advance();
  }

  #read({ records, snapshot }: Restart): Found {
    const { state, options } = this.#context;
    const found: Found = {
      contents: new Map(),
      prepared: new Map(),
      decided: new Map(),
      entered: [],
      newView: undefined,
      left: undefined,
      leases: new Map(),
      cleanStop: undefined,
    };
    state.snapshot = snapshot.sequence;
    for (const stored of records) {
      this.#take(found, stored);
      state.nextLsn = (stored.lsn + 1) as Lsn;
      state.persistedUpTo = stored.lsn;
    }
    for (const stored of records) account(state, options.checkpointInterval, stored);
    return found;
  }

  #take(found: Found, { lsn, record }: StoredRecord): void {
    const { state } = this.#context;
    found.cleanStop = undefined;
    switch (record.type) {
      case "lease":
        found.leases.set(record.view, Math.max(record.through, found.leases.get(record.view) ?? 0) as Sequence);
        return;
      case "prepared": {
        const { view, sequence, digest, signers } = record.certificate;
        learn(found, sequence, digest, { ...record.batch, lsn });
        if ((found.prepared.get(sequence)?.view ?? -1) <= view)
          found.prepared.set(sequence, { ...record.batch, view, digest, signers, lsn });
        return;
      }
      case "decided":
        learn(found, record.sequence, record.digest, { ...record.batch, lsn });
        found.decided.set(record.sequence, record.digest);
        return;
      case "checkpoint":
        for (const [index, digest] of record.batches.entries())
          found.decided.set((record.first + index) as Sequence, digest);
        state.ownCheckpoints.set(record.sequence, { digest: record.digest, lsn });
        return;
      case "stable":
        state.low = record.certificate.sequence;
        state.stableDigest = record.certificate.digest;
        state.stableSigners = record.certificate.signers;
        return;
      case "viewLeft":
        found.left = { ...record, lsn };
        return;
      case "viewEntered":
        found.newView = record.newView;
        found.entered.push(record.newView.view);
        return;
      case "cleanStop":
        found.cleanStop = record;
        return;
      case "readmitted":
        return;
    }
  }

  /** The installed view with its NEW-VIEW and the VIEW-CHANGEs that this rests on; who has left it votes for nothing in it. */
  #restoreView({ viewChanges }: Restart, { newView, left }: Found): void {
    const { state } = this.#context;
    if (left !== undefined && left.target > (newView?.view ?? state.view)) state.pending = left.target;
    if (newView === undefined) return;
    state.view = newView.view;
    state.installed = newView;
    for (const { from, digest } of newView.viewChanges) {
      const message = viewChanges.find((kept) => kept.message.digest === digest)?.message;
      assert(message !== undefined, "a record of entering a view is stored with the VIEW-CHANGEs that it rests on");
      state.named.set(digest, { from, message });
    }
  }

  /** A clean stop says how far we voted; otherwise we may have voted wherever a lease of the view allowed it. */
  #fence({ clean }: Restart, { leases, cleanStop }: Found): void {
    const { state } = this.#context;
    const { view } = state;
    const lease = leases.get(view);
    if (lease === undefined) return;
    const isClean = clean && cleanStop?.view === view;
    state.fence = { view, through: isClean ? cleanStop.through : lease };
  }

  #restoreSequences({ contents, decided, prepared }: Found): void {
    const { state } = this.#context;
    for (const sequence of state.ownCheckpoints.keys())
      if (sequence < state.low || sequence < state.snapshot) state.ownCheckpoints.delete(sequence);
    state.replayThrough = Math.max(state.snapshot, ...decided.keys()) as Sequence;
    const sequences = new Set([...decided.keys(), ...prepared.keys()]);
    for (const sequence of [...sequences].sort((a, b) => a - b)) {
      const digest = sequence > state.snapshot ? decided.get(sequence) : undefined;
      const content = digest === undefined ? undefined : contents.get(sequence)?.get(digest);
      const decision: Decision | undefined =
        digest === undefined || content === undefined ? undefined : { ...content, digest, missing: new Set() };
      // Also below the snapshot: the record that its checkpoint is stable may have been lost, and our COMMITs have not.
      const certificate = sequence > state.low ? prepared.get(sequence) : undefined;
      if (decision !== undefined || certificate !== undefined) this.#consensus.restore(sequence, certificate, decision);
    }
  }

  /** Our state at the stable checkpoint is on disk: our signature under it may be what somebody behind us lacks. */
  #confirmSnapshot(): void {
    const { state } = this.#context;
    const { low, snapshot, stableDigest: digest } = state;
    const own = state.ownCheckpoints.get(snapshot);
    if (own !== undefined && low < snapshot) this.#checkpoints.onCheckpointed(state.run, snapshot, own.digest);
    // Signed before, be it what Q replicas contradict: we sign nothing else there.
    if (own === undefined && low > 0 && low === snapshot) recordOwn(this.#context, low, digest);
  }

  /** We go on changing views where we did, and hand over a view in which we may not propose. */
  #goOn({ viewChanges }: Restart, { left }: Found, view: View): void {
    if (left !== undefined && left.target > view) {
      const own = viewChanges.find(({ message }) => message.digest === left.message);
      assert(own !== undefined, "a record of leaving a view is stored with its VIEW-CHANGE");
      return this.#views.restore(own.message, left.cause, left.lsn);
    }
    if (isFenced(this.#context) && this.#context.isPrimary()) this.#views.leave((view + 1) as View, "fenced");
  }
}

function learn(found: Found, sequence: Sequence, digest: Digest, content: BatchContent & { readonly lsn: Lsn }): void {
  const known = found.contents.get(sequence);
  if (known === undefined) found.contents.set(sequence, new Map([[digest, content]]));
  else known.set(digest, content);
}
