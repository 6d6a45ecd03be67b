/** The loop with a core and a reactor that follow a script: what waits for the journal, and in which order it goes. */
import test from "ava";
import { ActionKind } from "../../dist/codec/actions.js";
import { Writer } from "../../dist/codec/bytes.js";
import { InputKind } from "../../dist/codec/turn.js";
import type { Reactor } from "../../dist/native/native.js";
import type { ExecutionPort } from "../../dist/node/execution-port.js";
import { ReactorLoop } from "../../dist/node/reactor-loop.js";
import type { Action, Core, Input } from "../../dist/protocol/core.js";
import type { AgreedTime, ClientKey, Lsn, ReplicaId, Run, Sequence, View } from "../../dist/protocol/types.js";
import { D } from "../codec/samples.ts";

const lease = (lsn: number): Action => ({
  kind: "persist",
  lsn: lsn as Lsn,
  record: { type: "lease", view: 0 as View, through: 1 as Sequence },
});
const execute = (sequence: number): Action => ({
  kind: "execute",
  run: 0 as Run,
  sequence: sequence as Sequence,
  digest: D,
  tentative: false,
  time: 1 as AgreedTime,
  bundles: [],
});

/** A loop whose core answers every kind of input with the next list of its script. */
class Scripted {
  readonly loop: ReactorLoop;
  readonly #script: Partial<Record<Input["kind"], Action[][]>>;
  #inputs: Uint8Array = new Uint8Array(0);
  #sequences: number[] = [];

  constructor(opaque: boolean, script: Partial<Record<Input["kind"], Action[][]>>) {
    this.#script = script;
    const core: Pick<Core, "step" | "deadline" | "room"> = {
      step: (input) => this.#script[input.kind]?.shift() ?? [],
      deadline: () => undefined,
      room: () => ({ bundles: 1, bytes: 1 }),
    };
    const reactor: Pick<Reactor, "turn" | "roundTrips"> = {
      turn: (actions, length, output) => this.#turn(actions.subarray(0, length), output),
      roundTrips: () => new Float64Array(4),
    };
    const execution: ExecutionPort = { give: () => {}, collect: () => {}, busy: false, deadline: undefined };
    const nothing = (): void => {};
    const observer = {
      onInput: nothing,
      onAction: nothing,
      onExecuted: nothing,
      onCommit: nothing,
      onInspected: nothing,
      onTransfer: nothing,
      onBroadcast: nothing,
      wantsOperations: false,
    };
    this.loop = new ReactorLoop({
      core: core as Core,
      reactor: reactor as Reactor,
      execution,
      observer,
      replica: { n: 4, me: 1 as ReplicaId },
      key: D as string as ClientKey,
      durable: true,
      opaque,
    });
  }

  /** A turn that brings what is durable, if that is new; the batches whose bodies were asked for since the last one. */
  turn(durable?: number): number[] {
    const writer = new Writer();
    if (durable !== undefined) {
      writer.u8(InputKind.persisted);
      const place = writer.openLength();
      writer.u53(durable);
      writer.closeLength(place);
    }
    this.#inputs = writer.copy();
    this.loop.turn();
    this.#inputs = new Uint8Array(0);
    this.loop.turn();
    return this.#sequences.splice(0);
  }

  #turn(actions: Uint8Array, output: Uint8Array): number {
    const view = new DataView(actions.buffer, actions.byteOffset, actions.length);
    for (let at = 0; at < actions.length; at += 5 + view.getUint32(at + 1, true)) {
      if (actions[at] === ActionKind.readBatch) this.#sequences.push(Number(view.getBigUint64(at + 5, true)));
    }
    output.set(this.#inputs);
    return this.#inputs.length;
  }
}

const scripts = (): Partial<Record<Input["kind"], Action[][]>> => ({
  recovered: [[lease(1), execute(1), lease(2), execute(2)]],
  persisted: [[execute(3)], [execute(4), lease(3), execute(5)]],
});

function started(opaque: boolean): Scripted {
  const scripted = new Scripted(opaque, scripts());
  scripted.loop.start({ kind: "recovered", state: { type: "genesis" }, wallClock: 1 as AgreedTime });
  return scripted;
}

test("what is in the map is executed before the journal is on the disk, since it goes with the process", (t) => {
  const scripted = started(false);
  t.deepEqual(scripted.turn(), [1, 2]);
  t.deepEqual(scripted.turn(1), [3]);
});

test("opaque state gets a batch when all that was recorded before is durable, and nothing overtakes", (t) => {
  const scripted = started(true);
  t.deepEqual(scripted.turn(), []);
  t.deepEqual(scripted.turn(1), [1]);
  t.deepEqual(scripted.turn(2), [2, 3, 4]);
  t.deepEqual(scripted.turn(3), [5]);
});
