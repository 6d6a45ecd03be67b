/**
 * The actions of one turn as the addon reads them, `WIRE.md` §7: records `u8 kind | u32 length | body`.
 *
 * What is written is our own, so a value out of range is our bug and throws.
 */
import type { DurableRecord } from "../protocol/core.ts";
import type { BatchContent, FetchKind, Outgoing, ViewChange } from "../protocol/messages.ts";
import { newViewName } from "../protocol/new-view.ts";
import type { ClientKey, Digest, Lsn, ReplicaSet, Sequence, View } from "../protocol/types.ts";
import { writeBatch, writeDigests } from "./batch.ts";
import { Writer } from "./bytes.ts";
import { writeReply } from "./client.ts";
import type { Reply } from "./client.ts";
import { encodeBody, encodeOutgoing, MessageType } from "./messages.ts";
import type { Bodies, BodyName } from "./messages.ts";
import { writeRecord } from "./records.ts";
import { writeKind, writeNamed } from "./status.ts";
import { requireSource, writeViewChange } from "./viewChange.ts";
import type { SignatureSource } from "./viewChange.ts";

/** The kinds of action records. */
export const ActionKind = {
  send: 1,
  assemble: 2,
  forward: 3,
  fetch: 4,
  readBatch: 5,
  reply: 6,
  busy: 7,
  release: 8,
  pin: 9,
  window: 10,
  room: 11,
  stable: 12,
  seal: 13,
  forget: 14,
  sendKept: 15,
  persist: 16,
  truncate: 17,
} as const;

/** Collects the actions of one turn; reused from turn to turn by `reset`. */
export class ActionWriter {
  readonly #writer: Writer;
  readonly #signatures: SignatureSource | undefined;

  /**
   * @param signatures Who holds the signatures that VIEW_CHANGE and NEW_VIEW carry; without it neither can be written.
   * @param initialBytes Memory to start with; it grows up to `WRITER_BYTES_MAX`.
   */
  constructor(signatures?: SignatureSource, initialBytes = 64 * 1024) {
    this.#writer = new Writer(initialBytes);
    this.#signatures = signatures;
  }

  get length(): number {
    return this.#writer.length;
  }

  /** The memory whose first `length` bytes are the records; another one after growth. */
  get buffer(): Uint8Array {
    return this.#writer.buffer;
  }

  reset(): void {
    this.#writer.reset();
  }

  /** A VIEW_CHANGE leaves as the bytes that were sealed, a NEW_VIEW as those that were persisted. */
  send(to: ReplicaSet, message: Outgoing): void {
    if (message.type === "viewChange") return this.#sendKept(to, message.digest);
    if (message.type === "newView") return this.#sendKept(to, newViewName(message.view));
    const place = this.#open(ActionKind.send);
    this.#writer.set(to);
    this.#writer.u8(MessageType[message.type]);
    encodeOutgoing(this.#writer, message, this.#signatures);
    this.#writer.closeLength(place);
  }

  /** Has our VIEW_CHANGE encoded, signed and kept; answered by a `sealed` input. */
  seal(message: Omit<ViewChange, "digest">): void {
    const place = this.#open(ActionKind.seal);
    writeViewChange(this.#writer, message, requireSource(this.#signatures));
    this.#writer.closeLength(place);
  }

  /** Lets go of VIEW_CHANGEs, or of NEW_VIEWs by the names that fetches give them. */
  forget(what: "viewChange" | "newView", digests: readonly Digest[]): void {
    const place = this.#open(ActionKind.forget);
    writeKind(this.#writer, what);
    writeDigests(this.#writer, digests);
    this.#writer.closeLength(place);
  }

  /**
   * Stores a record with what it names, where there is a journal. A prepared certificate stays until its sequence is stable or another
   * is named for it, in whatever view; a NEW_VIEW of our own is encoded, signed and kept here, and sent by its name.
   */
  persist(lsn: Lsn, record: DurableRecord, own: boolean): void {
    const place = this.#open(ActionKind.persist);
    this.#writer.u53(lsn);
    writeRecord(this.#writer, record, own ? requireSource(this.#signatures) : undefined);
    this.#writer.closeLength(place);
  }

  /** Records below are not needed any more. */
  truncate(below: Lsn): void {
    const place = this.#open(ActionKind.truncate);
    this.#writer.u53(below);
    this.#writer.closeLength(place);
  }

  /** Sends what the shell itself has to say: steps of state transfer. */
  sendBody<K extends BodyName>(to: ReplicaSet, name: K, body: Bodies[K]): void {
    const place = this.#open(ActionKind.send);
    this.#writer.set(to);
    this.#writer.u8(MessageType[name]);
    encodeBody(this.#writer, name, body);
    this.#writer.closeLength(place);
  }

  assemble(view: View, sequence: Sequence, batch: BatchContent): void {
    const place = this.#open(ActionKind.assemble);
    this.#writer.u53(view);
    this.#writer.u53(sequence);
    writeBatch(this.#writer, batch);
    this.#writer.closeLength(place);
  }

  forward(to: ReplicaSet, bundle: Digest): void {
    const place = this.#open(ActionKind.forward);
    this.#writer.set(to);
    this.#writer.digest(bundle);
    this.#writer.closeLength(place);
  }

  fetch(from: ReplicaSet, kind: FetchKind, digest: Digest): void {
    const place = this.#open(ActionKind.fetch);
    this.#writer.set(from);
    writeNamed(this.#writer, { kind, digest });
    this.#writer.closeLength(place);
  }

  /** Answered by a `BatchRecord` in the same turn. */
  readBatch(sequence: Sequence, batch: BatchContent): void {
    const place = this.#open(ActionKind.readBatch);
    this.#writer.u53(sequence);
    writeBatch(this.#writer, batch);
    this.#writer.closeLength(place);
  }

  /**
   * Every result must be in full; the addon shortens long ones that another replica sends in full, unless `inFull`: the client
   * has asked again, and that other replica may be silent.
   */
  reply(to: ClientKey, reply: Reply, inFull: boolean): void {
    const place = this.#open(ActionKind.reply);
    this.#writer.digest(to);
    this.#writer.boolean(inFull);
    writeReply(this.#writer, reply);
    this.#writer.closeLength(place);
  }

  busy(bundle: Digest): void {
    const place = this.#open(ActionKind.busy);
    this.#writer.digest(bundle);
    this.#writer.closeLength(place);
  }

  release(bundles: readonly Digest[]): void {
    this.#digests(ActionKind.release, bundles);
  }

  pin(bundles: readonly Digest[]): void {
    this.#digests(ActionKind.pin, bundles);
  }

  window(low: Sequence, high: Sequence, view: View, pending: View | undefined): void {
    const place = this.#open(ActionKind.window);
    this.#writer.u53(low);
    this.#writer.u53(high);
    this.#writer.u53(view);
    this.#writer.u53(pending === undefined ? 0 : pending + 1);
    this.#writer.closeLength(place);
  }

  room(bundles: number, bytes: number): void {
    const place = this.#open(ActionKind.room);
    this.#writer.u32(bundles);
    this.#writer.u32(bytes);
    this.#writer.closeLength(place);
  }

  /** A checkpoint is stable; the signatures of `signers` are kept aside until the next one. */
  stable(sequence: Sequence, digest: Digest, signers: ReplicaSet): void {
    const place = this.#open(ActionKind.stable);
    this.#writer.u53(sequence);
    this.#writer.digest(digest);
    this.#writer.set(signers);
    this.#writer.closeLength(place);
  }

  #sendKept(to: ReplicaSet, digest: Digest): void {
    const place = this.#open(ActionKind.sendKept);
    this.#writer.set(to);
    this.#writer.digest(digest);
    this.#writer.closeLength(place);
  }

  #digests(kind: number, digests: readonly Digest[]): void {
    const place = this.#open(kind);
    writeDigests(this.#writer, digests);
    this.#writer.closeLength(place);
  }

  #open(kind: number): number {
    this.#writer.u8(kind);
    return this.#writer.openLength();
  }
}
