/**
 * The way back of a replica whose disk was wiped (proactive recovery's rule, TOCS'02 §4.3.2, for replicas that forgot by accident).
 *
 * What it promised before is unknown, so it is silent: no PRE-PREPARE, PREPARE, COMMIT, VIEW-CHANGE, NEW-VIEW or complaint leaves
 * (`Context.send`), and none of its own is counted. It executes, serves states and signs checkpoints, which are true whoever says them.
 *
 * It has RECOVER(nonce, view) ordered until it has counted Q COMMITs of others for one, at sequence s in the view that it names. So
 * no view above was entered before its disk was lost, and all that it ever voted on lies within one window above a checkpoint below
 * s. When a checkpoint at or above s + window is stable, nothing of that is open any more, and it votes again, in this view and above.
 *
 * What remains is a VIEW-CHANGE that it sent before, for a view that nobody entered yet: it would deny what this replica votes for
 * from now on. Who has executed RECOVER refuses it by what only the old ones have, a stable checkpoint below s (`isVoid`); and every
 * quorum that could enter such a view has one in it who has executed RECOVER.
 *
 * In an idle cluster its RECOVERs, one after another, are what fills the window; only the first one in a view counts.
 */
import type { ConsensusProtocol } from "./consensus-protocol.ts";
import type { Context } from "./context.ts";
import type { DurableState, RecoverMark, SessionChanges } from "./core.ts";
import { startAgain } from "./primary-monitor.ts";
import { isQuorum } from "./quorum.ts";
import type { RequestPool } from "./request-pool.ts";
import { EMPTY_SET, type AgreedTime, type Instant, type ReplicaId, type Sequence } from "./types.ts";
import { extendLease } from "./vote-leases.ts";

/** A RECOVER of which nothing was heard for so long is sent again: who was not connected has not got it. */
const RETRY_MS = 500;

type Recovered = SessionChanges["recovered"][number];

export class Readmission {
  readonly #context: Context;
  readonly #consensus: ConsensusProtocol;
  readonly #pool: RequestPool;
  /** What a replica said in VIEW-CHANGEs before its RECOVER counts no more. */
  readonly #onMark: (replica: ReplicaId) => void;

  constructor(
    context: Context,
    rooms: { consensus: ConsensusProtocol; pool: RequestPool; onMark: (replica: ReplicaId) => void },
  ) {
    this.#context = context;
    this.#consensus = rooms.consensus;
    this.#pool = rooms.pool;
    this.#onMark = rooms.onMark;
  }

  /** Our disk was wiped. The nonce has to be higher than any that this replica has used: its clock was not set back since. */
  begin(nonce: AgreedTime): void {
    const { state, now } = this.#context;
    state.amnesia = { nonce, attempts: 0, askAt: now, orderedAt: undefined };
  }

  /** RECOVERs were executed; to be told before what they were decided by is forgotten. */
  onExecuted(recovered: readonly Recovered[]): void {
    const { state, options } = this.#context;
    for (const { mark, sequence } of recovered) {
      this.#learn(mark);
      if (mark.replica === options.me && state.amnesia !== undefined) this.#onOwn(mark, sequence);
    }
  }

  /** The marks of a state that was installed, or that a restart begins from. */
  onInstalled(marks: readonly RecoverMark[]): void {
    this.#context.state.recoverMarks.clear();
    for (const mark of marks) this.#learn(mark);
  }

  /** After each step: what was open when the disk was lost may lie below the stable checkpoint now. */
  settle(): void {
    const { state, options } = this.#context;
    const orderedAt = state.amnesia?.orderedAt;
    if (orderedAt === undefined || state.low < orderedAt + options.window) return;
    state.amnesia = undefined;
    this.#context.persist({ type: "readmitted", view: state.view, ordered: orderedAt });
    this.#context.emit({ kind: "readmitted", view: state.view, sequence: state.low });
    startAgain(this.#context);
    extendLease(this.#context);
    this.#commit();
    this.#consensus.onWindowMoved();
    this.#context.progress();
  }

  onTick(): void {
    const { state, now } = this.#context;
    if (state.amnesia !== undefined && state.amnesia.askAt <= now) this.#ask();
  }

  deadline(): Instant | undefined {
    return this.#context.state.amnesia?.askAt;
  }

  /** What was prepared here meanwhile: above the window's foot its COMMIT leaves now, below it never does. */
  #commit(): void {
    const { slots, low, view } = this.#context.state;
    for (const slot of slots.values()) {
      const { sequence, prepared } = slot;
      if (prepared === undefined) continue;
      if (sequence <= low) {
        slot.prepared = undefined;
        this.#pool.drop(prepared.bundles);
      } else if (prepared.view === view)
        this.#context.broadcast({ type: "commit", view, sequence, digest: prepared.digest }, prepared.lsn);
    }
  }

  #learn(mark: RecoverMark): void {
    this.#context.state.recoverMarks.set(mark.replica, mark);
    this.#onMark(mark.replica);
  }

  #onOwn(mark: RecoverMark, sequence: Sequence): void {
    const { state } = this.#context;
    const amnesia = state.amnesia!;
    // Our clock was set back.
    if (mark.nonce > amnesia.nonce) amnesia.nonce = mark.nonce + 1;
    // One of an earlier life may be older than the loss of our disk, and proves nothing.
    const isOurs = mark.nonce === amnesia.nonce && mark.view === state.view;
    if (isOurs && amnesia.orderedAt === undefined && this.#isCounted(sequence)) amnesia.orderedAt = sequence;
    this.#ask();
  }

  #isCounted(sequence: Sequence): boolean {
    const slot = this.#context.state.slots.get(sequence);
    if (slot?.decision === undefined) return false;
    return isQuorum(this.#context.quorums, slot.commits.get(slot.decision.digest) ?? EMPTY_SET);
  }

  #ask(): void {
    const { state, now } = this.#context;
    const amnesia = state.amnesia!;
    amnesia.attempts += 1;
    amnesia.askAt = (now + RETRY_MS) as Instant;
    this.#context.emit({ kind: "recover", nonce: amnesia.nonce, view: state.view, attempt: amnesia.attempts });
  }
}

/** Whether nobody knows what this replica promised before: its disk was wiped, and no record says that this is over. */
export function isAmnesiac(durable: DurableState): boolean {
  if (durable.type !== "restart") return durable.type === "wiped";
  return durable.wiped && !durable.records.some(({ record }) => record.type === "readmitted");
}
