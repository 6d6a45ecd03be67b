/** A view change over real reactors: sealed, sent byte for byte, fetched from others, installed. */
import test from "ava";
import { ActionWriter, readInputs } from "../../dist/codec/turn.js";
import type { TurnInput } from "../../dist/codec/turn.js";
import { batchDigest, OUTPUT_BYTES_MIN } from "../../dist/native/native.js";
import { digestAt } from "../../dist/codec/digest.js";
import { signaturesOf } from "../../dist/node/signatures.js";
import { newViewName } from "../../dist/protocol/new-view.js";
import type { AgreedTime, Digest, Lsn, ReplicaId, ReplicaSet, Sequence, View } from "../../dist/protocol/types.js";
import { Cluster } from "./rig.ts";

const N = 4;
const TURNS_MAX = 5000;
const everyone = 0b1111 as ReplicaSet;
const view = (number: number): View => number as View;
const first = 1 as Sequence;
const batch = { time: 0 as AgreedTime, bundles: [] };
const digest: Digest = digestAt(batchDigest(0, new Uint8Array(0)), 0);
const prepared = { phase: "prepare", view: view(0), sequence: first, digest, signers: 0b0111 as ReplicaSet } as const;

/** Four reactors, each with the actions of its next turn and all that it heard. */
class Replicas {
  readonly cluster = new Cluster(N);
  readonly actions = this.cluster.reactors.map((reactor) => new ActionWriter(signaturesOf(reactor)));
  readonly heard: TurnInput[][] = this.cluster.reactors.map(() => []);
  readonly #output = new Uint8Array(OUTPUT_BYTES_MIN);

  turn(replica: number): void {
    const { buffer, length } = this.actions[replica]!;
    const written = this.cluster.reactors[replica]!.turn(buffer, length, this.#output, 1);
    this.actions[replica]!.reset();
    readInputs(this.#output, written, this.heard[replica]!);
  }

  /** Turns all until `replica` has heard something that fits; returns it. */
  until<T extends TurnInput>(replica: number, fits: (input: TurnInput) => input is T): T {
    for (let turns = 0; turns < TURNS_MAX; turns += 1) {
      const found = this.heard[replica]!.find(fits);
      if (found !== undefined) return found;
      for (let each = 0; each < N; each += 1) this.turn(each);
    }
    throw new Error(`replica ${replica} never heard it`);
  }
}

type Control = Extract<TurnInput, { kind: "control" }>;

function of(type: Control["message"]["type"]): (input: TurnInput) => input is Control {
  return (input): input is Control => input.kind === "control" && input.message.type === type;
}

function isSealed(input: TurnInput): input is Extract<TurnInput, { kind: "sealed" }> {
  return input.kind === "sealed";
}

function votes(signers: number): (input: TurnInput) => input is Extract<TurnInput, { kind: "votes" }> {
  return (input): input is Extract<TurnInput, { kind: "votes" }> =>
    input.kind === "votes" && input.phase === "prepare" && (input.signers & signers) === signers;
}

function prepareAll(replicas: Replicas): void {
  replicas.cluster.connect();
  for (const actions of replicas.actions) actions.window(0 as Sequence, 100 as Sequence, view(0), undefined);
  for (let each = 0; each < N; each += 1) replicas.turn(each);
  replicas.actions[0]!.send(everyone, { type: "prePrepare", view: view(0), sequence: first, digest, ...batch });
  for (const backup of [1, 2]) {
    replicas.until(backup, of("prePrepare"));
    replicas.actions[backup]!.send(everyone, { type: "prepare", view: view(0), sequence: first, digest });
  }
  for (const [replica, signers] of [0b110, 0b100, 0b010].entries()) replicas.until(replica, votes(signers));
}

test("a view change carries what was prepared into the next view, whoever passes it on", (t) => {
  const replicas = new Replicas();
  t.teardown(() => replicas.cluster.close());
  prepareAll(replicas);

  const digests = [0, 1, 2].map((replica) => {
    const actions = replicas.actions[replica]!;
    actions.persist(1 as Lsn, { type: "prepared", certificate: prepared, batch }, false);
    actions.window(0 as Sequence, 100 as Sequence, view(0), view(1));
    actions.seal({ type: "viewChange", target: view(1), stable: undefined, prepared: [prepared] });
    const sealed = replicas.until(replica, isSealed);
    t.is(sealed.target as number, 1);
    return sealed.digest;
  });
  // Replica 3 is not among those that they send it to.
  for (const replica of [0, 2]) {
    const message = { type: "viewChange", target: view(1), stable: undefined, prepared: [prepared] } as const;
    replicas.actions[replica]!.send(0b0111 as ReplicaSet, { ...message, digest: digests[replica]! });
  }
  const heard = replicas.until(1, of("viewChange"));
  t.deepEqual(heard.message as unknown, {
    type: "viewChange",
    target: 1,
    stable: undefined,
    prepared: [prepared],
    digest: digests[heard.from],
  });
  replicas.until(1, (input): input is Control => of("viewChange")(input) && input.from !== heard.from);

  replicas.actions[1]!.window(0 as Sequence, 100 as Sequence, view(1), undefined);
  const newView = {
    type: "newView",
    view: view(1),
    viewChanges: [0, 1, 2].map((from) => ({ from: from as ReplicaId, digest: digests[from]! })),
    first,
    batches: [digest],
  } as const;
  replicas.actions[1]!.persist(2 as Lsn, { type: "viewEntered", newView }, true);
  replicas.actions[1]!.send(0b0111 as ReplicaSet, newView);
  t.deepEqual(replicas.until(0, of("newView")), { kind: "control", from: 1, message: newView } as never);

  // It hears of everything from replica 0, which signed none of what it asks for.
  replicas.actions[3]!.fetch(0b0001 as ReplicaSet, "newView", newViewName(view(1)));
  replicas.actions[3]!.fetch(0b0001 as ReplicaSet, "viewChange", digests[2]!);
  replicas.actions[3]!.fetch(0b0001 as ReplicaSet, "batch", digest);
  t.deepEqual(replicas.until(3, of("newView")), { kind: "control", from: 1, message: newView } as never);
  const passedOn = replicas.until(3, of("viewChange"));
  t.deepEqual([passedOn.from, (passedOn.message as { digest: Digest }).digest], [2 as ReplicaId, digests[2]]);
  const content = replicas.until(3, of("fetchedBatch"));
  t.deepEqual(content.message as unknown, { type: "fetchedBatch", digest, ...batch });

  // The proposal of the NEW-VIEW is filed where its view is entered, and certificates of it can be shown.
  replicas.actions[3]!.window(0 as Sequence, 100 as Sequence, view(1), undefined);
  replicas.turn(3);
  const again = { ...prepared, view: view(1), signers: 0b0010 as ReplicaSet };
  t.is(signaturesOf(replicas.cluster.reactors[3]!).certificate(again).length, 64);
  const kept = replicas.cluster.reactors[3]!.statistics().reactor!;
  t.is(kept.messagesKept, 2);
  replicas.actions[3]!.forget("viewChange", [digests[2]!]);
  replicas.actions[3]!.forget("newView", [newViewName(view(1))]);
  replicas.turn(3);
  t.is(replicas.cluster.reactors[3]!.statistics().reactor!.messagesKept, 0);
});

test("a fetch that nobody can answer ends, whatever it is for", (t) => {
  const replicas = new Replicas();
  t.teardown(() => replicas.cluster.close());
  replicas.cluster.connect();
  const names = ["bundle", "batch", "viewChange", "newView"].map((_, index) => newViewName(view(100 + index)));
  for (const [index, what] of (["bundle", "batch", "viewChange", "newView"] as const).entries())
    replicas.actions[0]!.fetch(0b1110 as ReplicaSet, what, names[index]!);
  type Body = Extract<TurnInput, { kind: "body" }>;
  for (const name of names) {
    const body = replicas.until(0, (input): input is Body => input.kind === "body" && input.digest === name);
    t.is(body.status, "unavailable");
  }
});

test("round trips are known of connected replicas alone", (t) => {
  const replicas = new Replicas();
  t.teardown(() => replicas.cluster.close());
  const [reactor] = replicas.cluster.reactors;
  t.deepEqual([...reactor!.roundTrips()], [Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
  replicas.cluster.connect();
  const measured = [...reactor!.roundTrips()];
  t.true(Number.isNaN(measured[0]));
  t.true(measured.slice(1).every((milliseconds) => milliseconds > 0 && milliseconds < 10_000));
});
