/**
 * What a view change carries over: the checks of a VIEW-CHANGE, and O, which the new primary computes and every backup recomputes
 * from the same VIEW-CHANGEs (OSDI'99 §4.4). Pure functions of messages whose signatures are verified.
 */
import type { RecoverMark } from "./core.ts";
import type { CertificateName, NewView, ViewChange } from "./messages.ts";
import type { ReplicaOptions } from "./options.ts";
import { isQuorum, type Quorums } from "./quorum.ts";
import { holds, type AgreedTime, type Digest, type ReplicaId, type Sequence, type View } from "./types.ts";

/** Fills a gap in O: nothing is executed at its sequence, which is certified and counted like any other. */
export const NULL_BATCH = {
  /** SHA-256(0x02 | time 0 | count 0 | the root of nothing): a test computes it again. */
  digest: "\u46a2\uafcc\u6db6\u103d\u3027\uaf6f\ud39d\u53e7\u22fb\u1327\u7ee5\ue80c\u30c6\uc522\u761e\u9c39" as Digest,
  time: 0 as AgreedTime,
  bundles: [] as readonly Digest[],
} as const;

/** The batches that a new view starts with: `batches[i]` at sequence `first + i`. */
export interface Carried {
  /** The stable checkpoint that the new view starts from: the highest that any VIEW-CHANGE proves. */
  readonly stable: CertificateName | undefined;
  readonly first: Sequence;
  readonly batches: readonly Digest[];
  /** Sequences that no certificate filled. */
  readonly nulls: number;
}

/**
 * Whether a VIEW-CHANGE says what it may: a certificate for every claim, of lower views than its target, within the window above
 * its own stable checkpoint. One that does not counts for nothing, and for nobody else.
 */
export function isSound(quorums: Quorums, options: ReplicaOptions, message: ViewChange): boolean {
  const { stable, prepared, target } = message;
  const low = stable?.sequence ?? 0;
  if (target < 1 || prepared.length > options.window) return false;
  if (stable !== undefined && !isStableCertificate(quorums, options, stable)) return false;
  let previous = low;
  return prepared.every((certificate) => {
    const { phase, view, sequence, signers } = certificate;
    const inOrder = sequence > previous && sequence <= low + options.window;
    previous = sequence;
    const primary = (view % options.n) as ReplicaId;
    return phase === "prepare" && inOrder && view < target && isQuorum(quorums, signers) && holds(signers, primary);
  });
}

/**
 * Whether a VIEW-CHANGE may be one that its sender has forgotten: of a replica whose disk was wiped, for a view above the one in
 * which its RECOVER was ordered, and resting on a checkpoint below that. What it says since rests on a later one.
 */
export function isVoid(
  marks: ReadonlyMap<ReplicaId, RecoverMark>,
  from: ReplicaId,
  { target, stable }: ViewChange,
): boolean {
  const mark = marks.get(from);
  return mark !== undefined && target > mark.view && (stable?.sequence ?? 0) < mark.sequence;
}

function isStableCertificate(quorums: Quorums, options: ReplicaOptions, stable: CertificateName): boolean {
  const { phase, sequence, signers } = stable;
  return (
    phase === "checkpoint" && sequence > 0 && sequence % options.checkpointInterval === 0 && isQuorum(quorums, signers)
  );
}

/**
 * O of a new view: from min-s, the highest proven stable checkpoint, to max-s, the highest prepared sequence, each sequence with
 * the certificate of the highest view, or the null batch where there is none.
 */
export function carriedOver(viewChanges: readonly ViewChange[]): Carried {
  let stable: CertificateName | undefined;
  for (const message of viewChanges) {
    if (message.stable !== undefined && message.stable.sequence > (stable?.sequence ?? 0)) stable = message.stable;
  }
  const first = ((stable?.sequence ?? 0) + 1) as Sequence;
  const highest = new Map<Sequence, { readonly view: View; readonly digest: Digest }>();
  let last = first - 1;
  for (const { sequence, view, digest } of viewChanges.flatMap(({ prepared }) => prepared)) {
    if (sequence < first) continue;
    last = Math.max(last, sequence);
    const known = highest.get(sequence);
    if (known === undefined || view > known.view) highest.set(sequence, { view, digest });
  }
  const batches = Array.from({ length: last - first + 1 }, (_, index) => {
    return highest.get((first + index) as Sequence)?.digest ?? NULL_BATCH.digest;
  });
  return { stable, first, batches, nulls: batches.length - highest.size };
}

const NAME_REST = "\0".repeat(12);

/** The name under which a NEW-VIEW is kept and fetched: its view in the first 8 bytes, little-endian. */
export function newViewName(view: View): Digest {
  const unit = (index: number): number => Math.floor(view / 2 ** (16 * index)) % 0x10000;
  return (String.fromCharCode(unit(0), unit(1), unit(2), unit(3)) + NAME_REST) as Digest;
}

/** Whether a NEW-VIEW has the O that follows from the VIEW-CHANGEs that it names. */
export function carriesOver({ first, batches }: NewView, carried: Carried): boolean {
  const isSame = first === carried.first && batches.length === carried.batches.length;
  return isSame && batches.every((digest, index) => digest === carried.batches[index]);
}
