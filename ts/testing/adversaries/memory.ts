/**
 * What a Byzantine replica keeps of the traffic that its honest core sees: enough to choose from, to replay, and to put together
 * certificates out of true signatures.
 */
import type { Opened } from "../wire.ts";
import { SIGNATURE_BYTES } from "../../codec/bytes.ts";
import type { Certificate, DecodedNewView, DecodedViewChange } from "../../codec/viewChange.ts";
import type { CertificateName } from "../../protocol/messages.ts";
import {
  membersOf,
  type ClientKey,
  type Digest,
  type ReplicaId,
  type Sequence,
  type View,
} from "../../protocol/types.ts";

/** What is remembered of live traffic: enough to choose from, and no more. */
const REMEMBERED = 32;
/** Votes whose signatures are remembered: several windows of small clusters. */
const VOTES_REMEMBERED = 256;

/** True signatures of one vote. */
export interface KnownVote extends Omit<CertificateName, "signers"> {
  readonly signatures: Map<ReplicaId, Uint8Array>;
}

export interface KnownViewChange {
  readonly from: ReplicaId;
  readonly body: DecodedViewChange;
}

export class Memory {
  readonly digests: Digest[] = [];
  readonly frames: Uint8Array[] = [];
  readonly clients: ClientKey[] = [];
  private readonly n: number;
  private readonly places = new Map<string, Digest[]>();
  private readonly votes = new Map<string, KnownVote>();
  private readonly viewChanges = new Map<string, KnownViewChange>();

  constructor(n: number) {
    this.n = n;
  }

  /** Takes in a frame that `from` sent. */
  learn(from: number, { payload }: Extract<Opened, { ok: true }>, bytes: Uint8Array): void {
    remember(this.frames, bytes);
    if ("digest" in payload.body) this.learnDigest(payload.body);
    const signature = payload.signature as Uint8Array;
    switch (payload.name) {
      case "prePrepare":
      case "prepare":
        return this.learnVote(from, voteOf("prepare", payload.body), signature);
      case "checkpoint":
        return this.learnVote(from, voteOf("checkpoint", payload.body), signature);
      case "viewChange":
        return this.learnViewChange(from as ReplicaId, payload.body);
      case "fetchedViewChange":
        return this.learnViewChange(payload.body.from, payload.body);
      case "newView":
      case "fetchedNewView":
        return this.learnProposals(payload.body);
      case "bundle":
      case "fetchedBundle":
        if (!this.clients.includes(payload.body.client)) remember(this.clients, payload.body.client);
        return;
      default:
    }
  }

  /** Digests that others were seen to propose or vote for at one place. */
  digestsAt(view: number, sequence: number): readonly Digest[] {
    return this.places.get(`${view}/${sequence}`) ?? [];
  }

  /** PREPAREs of one sequence by view and digest, the lowest view first. */
  preparesAt(sequence: number): readonly KnownVote[] {
    const votes = [...this.votes.values()].filter((vote) => vote.phase === "prepare" && vote.sequence === sequence);
    return votes.sort((a, b) => a.view - b.view);
  }

  /** CHECKPOINTs by sequence and digest. */
  checkpoints(): readonly KnownVote[] {
    return [...this.votes.values()].filter((vote) => vote.phase === "checkpoint");
  }

  /** The last VIEW-CHANGE of each replica for one view, or of any view. */
  viewChangesFor(target: number | undefined): readonly KnownViewChange[] {
    return [...this.viewChanges.values()].filter(({ body }) => target === undefined || body.message.target === target);
  }

  private learnDigest(body: object & { readonly digest: Digest }): void {
    remember(this.digests, body.digest);
    if (!("view" in body) || !("sequence" in body)) return;
    const place = `${String(body.view)}/${String(body.sequence)}`;
    const known = this.places.get(place) ?? [];
    if (!known.includes(body.digest)) remember(known, body.digest);
    this.places.set(place, known);
    forgetFirst(this.places, REMEMBERED);
  }

  private learnVote(from: number, name: Omit<CertificateName, "signers">, signature: Uint8Array): void {
    const { phase, view, sequence, digest } = name;
    const key = `${phase}/${view}/${sequence}/${digest}`;
    const known = this.votes.get(key) ?? { phase, view, sequence, digest, signatures: new Map() };
    known.signatures.set(from as ReplicaId, signature);
    this.votes.set(key, known);
    forgetFirst(this.votes, VOTES_REMEMBERED);
  }

  private learnViewChange(from: ReplicaId, body: DecodedViewChange): void {
    this.viewChanges.set(`${body.message.target}/${from}`, { from, body });
    forgetFirst(this.viewChanges, REMEMBERED);
    for (const { name, signatures } of body.certificates) {
      for (const [index, signer] of membersOf(name.signers).entries())
        this.learnVote(signer, name, signatureAt(signatures, index));
    }
  }

  private learnProposals({ message, proposals }: DecodedNewView): void {
    const { view, first, batches } = message;
    for (const [index, digest] of batches.entries()) {
      const name = { phase: "prepare", view, sequence: (first + index) as Sequence, digest } as const;
      this.learnVote(view % this.n, name, proposals[index] as Uint8Array);
    }
  }
}

/** The signature of the signer at `index` among those of a certificate. */
export function signatureAt(signatures: Certificate["signatures"], index: number): Uint8Array {
  return signatures.subarray(index * SIGNATURE_BYTES, (index + 1) * SIGNATURE_BYTES);
}

/** CHECKPOINTs are of no view. */
function voteOf(
  phase: CertificateName["phase"],
  {
    view = 0 as View,
    sequence,
    digest,
  }: { readonly view?: View; readonly sequence: Sequence; readonly digest: Digest },
): Omit<CertificateName, "signers"> {
  return { phase, view, sequence, digest };
}

function remember<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > REMEMBERED) list.shift();
}

function forgetFirst<K>(map: Map<K, unknown>, size: number): void {
  if (map.size > size) map.delete(map.keys().next().value as K);
}
