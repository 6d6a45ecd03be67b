/** What replicas hold for each other: VIEW-CHANGEs, NEW-VIEWs and batches, and how fetches of them are answered. */
import test from "ava";
import type { Input } from "../../dist/protocol/core.js";
import { newViewName } from "../../dist/protocol/new-view.js";
import type { Bodies, BodyName } from "../../dist/codec/messages.js";
import { Coverage } from "../../dist/testing/coverage.js";
import { batchDigest } from "../../dist/testing/hashing.js";
import { History } from "../../dist/testing/history.js";
import { StubKeyring } from "../../dist/testing/keyring.js";
import { BodyStore } from "../../dist/testing/ports/body-store.js";
import { MessageStore } from "../../dist/testing/ports/message-store.js";
import { VoteTable } from "../../dist/testing/ports/vote-table.js";
import { Prng } from "../../dist/testing/prng.js";
import { Receiver } from "../../dist/testing/receiver.js";
import type { Surroundings } from "../../dist/testing/surroundings.js";
import { open, proposalBytes, sealBody } from "../../dist/testing/wire.js";
import { MessageType } from "../../dist/codec/messages.js";

const N = 4;
const ME = 3;

/** One replica's ports without its core: what it heard, what it answered and how often it verified. */
class Bench {
  readonly store = new MessageStore();
  readonly votes = new VoteTable({ n: N, f: 1, me: ME as never, naive: false });
  readonly inputs: Input[] = [];
  readonly answers: { readonly to: number; readonly name: BodyName; readonly frame: Uint8Array }[] = [];
  verified = 0;
  private readonly keyring = new StubKeyring(new Prng(1n), N + 1);
  private readonly coverage = new Coverage();
  private readonly receiver: Receiver;

  constructor() {
    const keyring = {
      sign: this.keyring.sign.bind(this.keyring),
      keyOf: this.keyring.keyOf.bind(this.keyring),
      nodeOf: this.keyring.nodeOf.bind(this.keyring),
      verify: (...question: Parameters<StubKeyring["verify"]>) => {
        this.verified++;
        return this.keyring.verify(...question);
      },
    };
    const around = {
      options: { n: N, f: 1 },
      keyring,
      coverage: this.coverage,
      history: new History([]),
      batches: new Map(),
    };
    this.votes.window(0 as never, 8 as never, 0 as never, undefined);
    this.receiver = new Receiver(around as unknown as Surroundings, {
      votes: this.votes,
      bodies: new BodyStore(),
      store: this.store,
      input: (input) => this.inputs.push(input),
      answer: (to, name, frame) => this.answers.push({ to, name, frame }),
      accepted: () => undefined,
      verified: () => undefined,
      states: { onFetch: () => undefined, onNodes: () => undefined } as never,
    });
  }

  /** Takes a frame as the transport would: a copy that nobody has decoded. */
  hear(from: number, frame: Uint8Array): void {
    this.receiver.receive(from, frame.slice());
  }

  seal<K extends BodyName>(by: number, name: K, body: Bodies[K]): Uint8Array {
    return sealBody(name, body, (type, payload) => this.keyring.sign(by, type, payload));
  }

  fetch(kind: "batch" | "viewChange" | "newView", digest: string): string | undefined {
    this.hear(2, this.seal(2, "fetch", { type: "fetch", kind, digest: digest as never }));
    return this.answers.at(-1)?.name;
  }

  /** A VIEW-CHANGE of replica 1 with one certificate, `signedBy` of which made a signature. */
  viewChange(target: number, signedBy: readonly number[] = [0, 1, 2]): Uint8Array {
    const name = { phase: "prepare", view: 0, sequence: 1, digest: "A".repeat(16), signers: 7 } as never;
    const signatures = Buffer.concat(
      signedBy.map((signer) =>
        this.keyring.sign(signer, signer === 0 ? MessageType.prePrepare : MessageType.prepare, proposalBytes(name)),
      ),
    );
    const message = { type: "viewChange", target, stable: undefined, prepared: [name], digest: "" } as never;
    return this.seal(1, "viewChange", { message, certificates: [{ name, signatures }] });
  }

  newView(by: number, view: number, batch: string, proposedBy = by): Uint8Array {
    const proposal = { view, sequence: 1, digest: batch.repeat(16) as never };
    const proposals = [this.keyring.sign(proposedBy, MessageType.prePrepare, proposalBytes(proposal))];
    const message = { type: "newView", view, viewChanges: [], first: 1, batches: [proposal.digest] } as never;
    return this.seal(by, "newView", { message, proposals });
  }

  get heard(): string[] {
    return this.inputs.map((input) => {
      if (input.kind === "control") return `${input.message.type} from ${input.from}`;
      if (input.kind === "conflict") return `conflict by ${input.by}: ${input.evidence.type}`;
      return input.kind === "body" ? `body ${input.status}` : input.kind;
    });
  }
}

function digestOf(frame: Uint8Array): string {
  const opened = open(frame.slice());
  return (opened.ok ? opened.digest : undefined) ?? "";
}

test("a VIEW-CHANGE is verified and handed up once, kept for others, and let go of", (t) => {
  const bench = new Bench();
  const frame = bench.viewChange(1);
  bench.hear(1, frame);
  t.is(bench.verified, 4);
  bench.hear(1, frame);
  t.is(bench.verified, 4);
  t.deepEqual(bench.heard, ["viewChange from 1"], "the core may let go of the second while it holds the first");
  t.is(bench.fetch("viewChange", digestOf(frame)), "fetchedViewChange");
  bench.store.forget("viewChange", [digestOf(frame) as never]);
  t.is(bench.fetch("viewChange", digestOf(frame)), "unavailable");
  bench.hear(1, frame);
  t.is(bench.heard.length, 2, "once it is let go of it is news again");
});

test("a VIEW-CHANGE counts for nothing where one signature in it is not what it says, or its sender is another", (t) => {
  const bench = new Bench();
  bench.hear(1, bench.viewChange(1, [0, 1, 3]));
  bench.hear(2, bench.viewChange(1));
  t.deepEqual(bench.heard, []);
  t.is(bench.store.size.viewChanges, 0);
});

test("a VIEW-CHANGE that is passed on is its signer's, and comes only where it was asked for", (t) => {
  const asked = new Bench();
  const frame = asked.viewChange(1);
  asked.hear(1, frame);
  asked.fetch("viewChange", digestOf(frame));
  const passedOn = asked.answers[0]?.frame ?? new Uint8Array(0);
  const bench = new Bench();
  bench.hear(2, passedOn);
  t.deepEqual(bench.heard, []);
  t.true(bench.store.ask("viewChange", digestOf(frame) as never, 0b0100 as never));
  bench.hear(0, passedOn);
  t.deepEqual(bench.heard, []);
  bench.hear(2, passedOn);
  t.deepEqual(bench.heard, ["viewChange from 1"]);
  t.is(bench.fetch("viewChange", digestOf(frame)), "fetchedViewChange");
});

test("two VIEW-CHANGEs of one replica for one view are evidence", (t) => {
  const bench = new Bench();
  bench.hear(1, bench.viewChange(1));
  const message = { type: "viewChange", target: 1, stable: undefined, prepared: [], digest: "" } as never;
  bench.hear(1, bench.seal(1, "viewChange", { message, certificates: [] }));
  t.deepEqual(
    bench.heard.filter((line) => line.startsWith("conflict")),
    ["conflict by 1: viewChange"],
  );
});

test("a NEW-VIEW is its primary's, with proposals that this primary signed", (t) => {
  const bench = new Bench();
  bench.hear(2, bench.newView(2, 1, "A"));
  bench.hear(2, bench.newView(1, 1, "A"));
  bench.hear(1, bench.newView(1, 1, "A", 2));
  t.deepEqual(bench.heard, []);
  bench.hear(1, bench.newView(1, 1, "A"));
  t.deepEqual(bench.heard, ["newView from 1"]);
  t.is(bench.fetch("newView", newViewName(1 as never)), "fetchedNewView");
});

test("while a NEW-VIEW is kept, another one of its view is evidence and goes no further", (t) => {
  const bench = new Bench();
  bench.hear(1, bench.newView(1, 1, "A"));
  bench.hear(1, bench.newView(1, 1, "B"));
  t.deepEqual(bench.heard, ["newView from 1", "conflict by 1: newView"]);
  bench.hear(1, bench.newView(1, 1, "A"));
  bench.store.forget("newView", [newViewName(1 as never)]);
  bench.hear(1, bench.newView(1, 1, "B"));
  t.deepEqual(bench.heard.slice(2), ["newView from 1", "newView from 1"]);
});

test("a batch is kept until the highest sequence that it was proposed at is stable", (t) => {
  const bench = new Bench();
  const batch = { time: 5 as never, bundles: ["a".repeat(16) as never] };
  const digest = batchDigest(batch);
  bench.store.keepBatch(digest, 3 as never, batch);
  bench.store.keepBatch(digest, 2 as never, batch);
  bench.store.stable(2 as never);
  t.is(bench.fetch("batch", digest), "fetchedBatch");
  bench.store.stable(3 as never);
  t.is(bench.fetch("batch", digest), "unavailable");
});

test("a fetched batch is taken from those who were asked, once", (t) => {
  const bench = new Bench();
  const batch = { time: 5 as never, bundles: ["a".repeat(16) as never] };
  const digest = batchDigest(batch);
  const frame = bench.seal(1, "fetchedBatch", { type: "fetchedBatch", ...batch, digest });
  bench.hear(1, frame);
  t.true(bench.store.ask("batch", digest, 0b0110 as never));
  bench.hear(0, frame);
  t.deepEqual(bench.heard, []);
  bench.hear(1, frame);
  bench.hear(2, frame);
  t.deepEqual(bench.heard, ["fetchedBatch from 1"]);
});

test("a fetch has failed when the last of those asked has not got it", (t) => {
  const bench = new Bench();
  const digest = "x".repeat(16) as never;
  t.true(bench.store.ask("batch", digest, 0b0011 as never));
  for (const from of [0, 2, 0])
    bench.hear(from, bench.seal(from, "unavailable", { type: "unavailable", kind: "batch", digest }));
  t.deepEqual(bench.heard, []);
  bench.hear(1, bench.seal(1, "unavailable", { type: "unavailable", kind: "batch", digest }));
  t.deepEqual(bench.heard, ["body unavailable"]);
});
