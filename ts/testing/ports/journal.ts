/**
 * What a journal stores beside records: the bodies, signatures and messages that they name. A new process gets its ports filled with
 * it again, and its core the state to restart from.
 */
import type { DurableRecord, DurableState, StoredRecord } from "../../protocol/core.ts";
import type { BundleRef, CertificateName, ViewChange } from "../../protocol/messages.ts";
import { newViewName } from "../../protocol/new-view.ts";
import type { Digest, ReplicaId, Sequence } from "../../protocol/types.ts";
import type { Executor } from "../../state/executor.ts";
import type { MapVersion } from "../../state/replicated-map.ts";
import { refOf, type Body, type BodyStore } from "./body-store.ts";
import type { MessageStore, StoredNewView, StoredViewChange } from "./message-store.ts";
import type { VoteTable } from "./vote-table.ts";

export interface JournalPorts {
  readonly votes: VoteTable;
  readonly bodies: BodyStore;
  readonly store: MessageStore;
}

/** A record with what it names. */
export interface JournalEntry extends StoredRecord {
  readonly certificate: Uint8Array | undefined;
  readonly bodies: readonly Body[];
  readonly viewChanges: readonly (readonly [digest: Digest, stored: StoredViewChange])[];
  readonly newView: StoredNewView | undefined;
}

/** A snapshot of the state machine, as a disk holds it. */
export interface Snapshot {
  readonly sequence: Sequence;
  readonly version: MapVersion;
}

/** What a process finds that starts again. */
export interface FoundJournal {
  readonly entries: readonly JournalEntry[];
  readonly snapshot: Snapshot | undefined;
  /** They begin after the disk was lost. */
  readonly wiped: boolean;
}

/** Finds what a record names. Throws where it names what is not held: such a record would promise what it cannot keep. */
export function entryOf({ lsn, record }: StoredRecord, ports: JournalPorts): JournalEntry {
  const bodies = bundlesOf(record).map((digest) => held(ports.bodies.get(digest), "a body"));
  const viewChanges = viewChangesOf(record).map(
    (digest) => [digest, held(ports.store.viewChange(digest), "a VIEW-CHANGE")] as const,
  );
  const name = certificateOf(record);
  return {
    lsn,
    record,
    certificate: name === undefined ? undefined : ports.votes.certificate(name),
    bodies,
    viewChanges,
    newView:
      record.type === "viewEntered"
        ? held(ports.store.newView(newViewName(record.newView.view)), "a NEW-VIEW")
        : undefined,
  };
}

/** Fills the ports of a new process, and tells its core what it restarts from. */
export function restart(
  { entries, snapshot, wiped }: FoundJournal,
  executor: Executor,
  ports: JournalPorts,
): Extract<DurableState, { type: "restart" }> {
  const bundles = new Map<Digest, BundleRef>();
  const viewChanges = new Map<Digest, { from: ReplicaId; message: ViewChange }>();
  for (const { record, certificate, bodies, viewChanges: named, newView } of entries) {
    for (const body of bodies) {
      ports.bodies.restore(body);
      bundles.set(body.digest, refOf(body));
    }
    for (const [digest, stored] of named) {
      ports.store.keepViewChange(digest, stored);
      viewChanges.set(digest, { from: stored.from, message: stored.body.message });
    }
    if (newView !== undefined) {
      ports.store.keepNewView(newView.body.message.view, newView);
      ports.votes.keepNewView(newView.body);
    }
    const name = certificateOf(record);
    if (name !== undefined && certificate !== undefined) ports.votes.restore(name, certificate);
    if (record.type === "prepared")
      ports.store.keepBatch(record.certificate.digest, record.certificate.sequence, record.batch);
    if (record.type === "decided") ports.store.keepBatch(record.digest, record.sequence, record.batch);
  }
  return {
    type: "restart",
    clean: entries.at(-1)?.record.type === "cleanStop",
    wiped,
    snapshot: {
      sequence: snapshot?.sequence ?? (0 as Sequence),
      sessions: executor.sessions(),
      marks: executor.recoverMarks(),
    },
    records: entries.map(({ lsn, record }) => ({ lsn, record })),
    bundles: [...bundles.values()],
    viewChanges: [...viewChanges.values()],
  };
}

function certificateOf(record: DurableRecord): CertificateName | undefined {
  return record.type === "prepared" || record.type === "stable" ? record.certificate : undefined;
}

function bundlesOf(record: DurableRecord): readonly Digest[] {
  return record.type === "prepared" || record.type === "decided" ? record.batch.bundles : [];
}

function viewChangesOf(record: DurableRecord): readonly Digest[] {
  if (record.type === "viewLeft") return [record.message];
  return record.type === "viewEntered" ? record.newView.viewChanges.map(({ digest }) => digest) : [];
}

function held<T>(found: T | undefined, what: string): T {
  if (found === undefined) throw new Error(`${what} is recorded that is not held`);
  return found;
}
