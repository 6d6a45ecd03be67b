/**
 * One process of a replica, from its start to its end: the core and those ports whose contents die with it. The disk and the
 * clock belong to the machine and see every incarnation.
 */
import type { Action, Input } from "../protocol/core.ts";
import { Replica } from "../protocol/replica.ts";
import type { Digest, ReplicaId, Sequence } from "../protocol/types.ts";
import { Departures } from "./departures.ts";
import { viewChangeFact } from "./facts.ts";
import { replicaOptions } from "./options.ts";
import { BodyStore } from "./ports/body-store.ts";
import type { Disk } from "./ports/disk.ts";
import { ExecutionPort } from "./ports/execution.ts";
import { MessageStore } from "./ports/message-store.ts";
import { Outbox } from "./ports/outbox.ts";
import { VoteTable } from "./ports/vote-table.ts";
import type { Prng } from "./prng.ts";
import { Receiver } from "./receiver.ts";
import type { Surroundings } from "./surroundings.ts";

/** What stays when a process ends. */
export interface Machine {
  readonly id: number;
  readonly honest: boolean;
  readonly prng: Prng;
  readonly disk: Disk;
  /** Something for the core's next turn. */
  readonly onInput: (input: Input) => void;
}

export class Incarnation {
  readonly core: Replica;
  readonly votes: VoteTable;
  readonly bodies = new BodyStore();
  readonly store = new MessageStore();
  readonly outbox: Outbox;
  readonly execution: ExecutionPort;
  readonly departures: Departures;
  readonly receiver: Receiver;
  inbox: Input[] = [];
  /** What arrived while the process stood still. */
  stalled: { readonly from: number; readonly bytes: Uint8Array }[] = [];

  private readonly handedOver = new Map<Sequence, Digest>();
  private readonly batches: Surroundings["batches"];

  constructor(around: Surroundings, machine: Machine) {
    const { options, history } = around;
    const { id, honest, prng, disk, onInput } = machine;
    this.batches = around.batches;
    this.core = new Replica(replicaOptions(options, id));
    this.votes = new VoteTable({ n: options.n, me: id as ReplicaId, f: options.f, naive: options.naiveVotes });
    this.outbox = new Outbox(() => disk.durableThrough);
    this.execution = new ExecutionPort(around, {
      id,
      honest,
      prng: prng.split("execution"),
      onInput: (input) => {
        // What came after the state that was fetched is executed again, on that one.
        if (input.kind === "installed") this.handedOver.clear();
        onInput(input);
      },
      leave: (to, name, frame) => this.departures.frame(to, name, frame),
      disk,
    });
    this.departures = new Departures(around, { id, honest, prng, votes: this.votes, store: this.store });
    this.receiver = new Receiver(around, {
      votes: this.votes,
      bodies: this.bodies,
      store: this.store,
      states: this.execution.state,
      input: onInput,
      answer: (to, name, frame) => this.departures.frame(to, name, frame),
      accepted: (from, vote) => {
        if (honest) history.see({ kind: "accepted", replica: id, from, vote });
      },
      verified: (signer, message) => {
        if (honest) history.see(viewChangeFact(id, "verified", signer, message));
      },
    });
  }

  /** What has gathered for the next turn. */
  takeInputs(): Input[] {
    const { inbox } = this;
    this.inbox = [];
    for (const input of this.votes.drain()) inbox.push(input);
    for (const input of this.bodies.drain()) inbox.push(input);
    return inbox;
  }

  /** Whether this batch was not handed to execution before: under a later run the core hands over again what it has no result of. */
  isNew(sequence: Sequence, digest: Digest): boolean {
    if (this.handedOver.get(sequence) === digest) return false;
    this.handedOver.set(sequence, digest);
    return true;
  }

  /** The core will not name these messages again. */
  letGo(what: "viewChange" | "newView", digests: readonly Digest[]): void {
    for (const digest of digests) {
      const view = this.store.newView(digest)?.body.message.view;
      if (what === "viewChange") this.votes.drop(digest);
      else if (view !== undefined) this.votes.forgetNewView(view);
    }
    this.store.forget(what, digests);
  }

  /** The core has no room for a bundle: its client hears of it. */
  refuse(bundle: Digest): void {
    const body = this.bodies.get(bundle);
    this.bodies.release([bundle]);
    if (body !== undefined) this.departures.busy(body.bundle);
  }

  /** Whether every body is here that a message's batch names. */
  holdsBodies({ message }: Extract<Action, { kind: "send" }>): boolean {
    if (!("digest" in message)) return true;
    const named = this.batches.get(message.digest);
    return named?.every((bundle) => this.bodies.get(bundle as Digest) !== undefined) ?? true;
  }

  /** The process is gone: nothing that it began goes on. */
  end(): void {
    this.outbox.clear();
    this.execution.end();
    this.inbox = [];
    this.stalled = [];
  }
}
