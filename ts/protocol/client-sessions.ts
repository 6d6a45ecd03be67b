/**
 * What the core knows of client sessions: enough to refuse duplicates early and to end timers. The truth is the session
 * table in the replicated state, which execution alone changes; this follows what `executed` reports (PROTOCOL: a bundle is
 * done when each of its operations is executed, acknowledged, expired or out of window).
 */
import type { SessionChanges } from "./core.ts";
import type { BundleRef } from "./messages.ts";
import type { ReplicaState, SessionRecord } from "./state.ts";
import type { SessionId } from "./types.ts";

/** Whether every operation of a bundle was executed or acknowledged before. Bundles outside of sessions never are. */
export function isExecuted(state: ReplicaState, bundle: BundleRef): boolean {
  const record = state.sessions.get(bundle.session);
  if (record === undefined || bundle.session === 0) return false;
  const last = bundle.firstSequence + bundle.count - 1;
  const first = Math.max(bundle.firstSequence, record.acknowledgedThrough + 1);
  if (first > last) return true;
  return record.executed.some(([from, to]) => from <= first && last <= to);
}

/** Takes over what one executed batch changed and returns the sessions whose pooled bundles may be done now. */
export function applySessionChanges(state: ReplicaState, changes: SessionChanges): Set<SessionId> {
  const touched = new Set<SessionId>();
  for (const { session, client } of changes.opened) {
    state.sessions.set(session, { client, acknowledgedThrough: 0, executed: [] });
  }
  for (const { session, first, last } of changes.executed) {
    const record = state.sessions.get(session);
    if (record !== undefined) addRange(record, first, last);
    touched.add(session);
  }
  for (const { session, through } of changes.acknowledged) {
    const record = state.sessions.get(session);
    if (record !== undefined) acknowledge(record, through);
    touched.add(session);
  }
  for (const session of changes.expired) {
    state.sessions.delete(session);
    touched.add(session);
  }
  return touched;
}

function addRange(record: SessionRecord, first: number, last: number): void {
  const before = record.executed.filter(([, to]) => to < first - 1);
  const after = record.executed.filter(([from]) => from > last + 1);
  const joined = record.executed.filter(([from, to]) => to >= first - 1 && from <= last + 1);
  const from = Math.min(first, ...joined.map((range) => range[0]));
  const to = Math.max(last, ...joined.map((range) => range[1]));
  record.executed = [...before, [from, to], ...after];
}

function acknowledge(record: SessionRecord, through: number): void {
  if (through <= record.acknowledgedThrough) return;
  record.acknowledgedThrough = through;
  record.executed = record.executed
    .filter(([, to]) => to > through)
    .map(([from, to]) => [Math.max(from, through + 1), to] as const);
}
