/** Votes, and what names a batch: PRE_PREPARE, PREPARE, COMMIT, CHECKPOINT, DECIDED, FETCHED_BATCH. Bodies, without signature. */
import type { BatchContent, Checkpoint, Decided, FetchedBatch, Phase, PrePrepare, Vote } from "../protocol/messages.ts";
import type { AgreedTime, Digest, Sequence, View } from "../protocol/types.ts";
import { DIGEST_BYTES } from "./bytes.ts";
import type { Reader, Writer } from "./bytes.ts";

/** u32 count, then the digests in their order. */
export function writeDigests(writer: Writer, digests: readonly Digest[]): void {
  writer.u32(digests.length);
  for (const digest of digests) writer.digest(digest);
}

export function readDigests(reader: Reader, count: number = reader.count32(DIGEST_BYTES)): Digest[] {
  const digests: Digest[] = [];
  for (let i = 0; i < count; i++) digests.push(reader.digest());
  return digests;
}

export function writeBatch(writer: Writer, batch: BatchContent): void {
  writer.u53(batch.time);
  writeDigests(writer, batch.bundles);
}

export function readBatch(reader: Reader): BatchContent {
  return { time: reader.u53() as AgreedTime, bundles: readDigests(reader) };
}

export function writePrePrepare(writer: Writer, message: PrePrepare): void {
  writer.u53(message.view);
  writer.u53(message.sequence);
  writeBatch(writer, message);
}

/** `digest` is the batch digest that the verifier computed from these bytes. */
export function readPrePrepare(reader: Reader, digest: Digest): PrePrepare {
  const view = reader.u53() as View;
  const sequence = reader.u53() as Sequence;
  const time = reader.u53() as AgreedTime;
  return { type: "prePrepare", view, sequence, time, bundles: readDigests(reader), digest };
}

export function writeVote(writer: Writer, message: Vote): void {
  writer.u53(message.view);
  writer.u53(message.sequence);
  writer.digest(message.digest);
}

export function readVote(reader: Reader, type: Phase): Vote {
  return { type, view: reader.u53() as View, sequence: reader.u53() as Sequence, digest: reader.digest() };
}

export function writeCheckpoint(writer: Writer, message: Checkpoint): void {
  writer.u53(message.sequence);
  writer.digest(message.digest);
}

export function readCheckpoint(reader: Reader): Checkpoint {
  return { type: "checkpoint", sequence: reader.u53() as Sequence, digest: reader.digest() };
}

export function writeDecided(writer: Writer, message: Decided): void {
  writer.u53(message.sequence);
  writeBatch(writer, message);
}

/** `digest` is the batch digest that the receiver computed from these bytes. */
export function readDecided(reader: Reader, digest: Digest): Decided {
  const sequence = reader.u53() as Sequence;
  const time = reader.u53() as AgreedTime;
  return { type: "decided", sequence, time, bundles: readDigests(reader), digest };
}

/** `digest` is the batch digest that the receiver computed from these bytes; the body is that of {@link writeBatch}. */
export function readFetchedBatch(reader: Reader, digest: Digest): FetchedBatch {
  return { type: "fetchedBatch", ...readBatch(reader), digest };
}
