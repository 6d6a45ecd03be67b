/** Invariant 6: what is committed in one view is what every later view starts with. */
import { createHash } from "node:crypto";
import { quorumOf, short, type Checker, type Observation, type Setting } from "../history.ts";
import { Commitments, type Commitment } from "./committed.ts";

type NewView = Extract<Observation, { kind: "newView" }>;
type ViewChange = Extract<Observation, { kind: "viewChange" }>;

/** SHA-256(0x02 | time 0 | count 0 | 32 zero bytes), computed here a second time on purpose. */
const NULL_DIGEST = ((): string => {
  const bytes = createHash("sha256")
    .update(Uint8Array.of(2))
    .update(new Uint8Array(8 + 4 + 32))
    .digest();
  return String.fromCharCode(...Array.from({ length: 16 }, (_, unit) => bytes.readUInt16LE(2 * unit)));
})();

/**
 * Once a batch is committed at any honest replica, every NEW-VIEW of a later view that an honest one sends or enters has it at its
 * sequence, or starts above it. Also one that was entered before the batch was seen to be committed.
 */
export class CommitCarryOver implements Checker {
  readonly invariant = 6;
  readonly name = "commit carry-over";
  readonly kinds = [...Commitments.kinds, "newView"] as const;
  private readonly commitments: Commitments;
  private readonly newViews = new Map<string, NewView>();

  constructor(setting: Setting) {
    this.commitments = new Commitments(setting);
  }

  see(observation: Observation): string | undefined {
    if (observation.kind !== "newView") {
      const committed = this.commitments.see(observation);
      return committed && firstOf([...this.newViews.values()], (newView) => lost(committed, newView));
    }
    const { view, first, batches } = observation;
    const key = `${view}/${first}/${batches.join("")}`;
    if (this.newViews.has(key)) return undefined;
    this.newViews.set(key, observation);
    return firstOf(this.commitments.all(), (committed) => lost(committed, observation));
  }
}

function lost(committed: Commitment, { replica, how, view, first, batches }: NewView): string | undefined {
  const { sequence, digest } = committed;
  if (view <= committed.view || sequence < first || batches[sequence - first] === digest) return undefined;
  const instead = batches[sequence - first];
  return `${short(digest)} was committed at ${sequence} in view ${committed.view}, and the NEW-VIEW of view ${view} that replica ${replica} ${how} has ${instead === undefined ? "nothing" : short(instead)} there`;
}

/**
 * Before it can break: the batches of a NEW-VIEW follow from VIEW-CHANGEs of Q distinct replicas for this very view, each of
 * which whoever enters it has verified, and which prove what they claim.
 */
export class NewViewsFollow implements Checker {
  readonly invariant = 6;
  readonly name = "new views follow";
  readonly kinds = ["viewChange", "newView"] as const;
  private readonly known = new Map<string, { readonly viewChange: ViewChange; readonly replicas: Set<number> }>();
  private readonly setting: Setting;

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "viewChange") {
      const known = this.known.get(observation.digest) ?? { viewChange: observation, replicas: new Set() };
      known.replicas.add(observation.replica);
      this.known.set(observation.digest, known);
      return undefined;
    }
    if (observation.kind !== "newView") return undefined;
    const { replica, how, view } = observation;
    const wrong = this.judge(observation);
    return wrong && `the NEW-VIEW of view ${view} that replica ${replica} ${how} ${wrong}`;
  }

  private judge({ replica, view, first, batches, viewChanges }: NewView): string | undefined {
    const senders = new Set(viewChanges.map(({ from }) => from));
    if (senders.size < quorumOf(this.setting)) return `rests on ${senders.size} replicas`;
    const named: ViewChange[] = [];
    for (const { from, digest } of viewChanges) {
      const known = this.known.get(digest);
      if (known?.replicas.has(replica) !== true) return `names a VIEW-CHANGE of ${from} that it has never verified`;
      if (known.viewChange.signer !== from)
        return `names a VIEW-CHANGE of ${known.viewChange.signer} as that of ${from}`;
      if (known.viewChange.target !== view) return `names a VIEW-CHANGE for view ${known.viewChange.target}`;
      const unproven = this.unproven(known.viewChange);
      if (unproven !== undefined) return `names a VIEW-CHANGE of ${from} ${unproven}`;
      named.push(known.viewChange);
    }
    const expected = follow(named);
    if (first !== expected.first) return `starts at ${first}, and what it rests on at ${expected.first}`;
    const same = batches.length === expected.batches.length && batches.every((b, i) => b === expected.batches[i]);
    return same ? undefined : `has other batches than follow from what it rests on`;
  }

  private unproven({ target, stable, prepared }: ViewChange): string | undefined {
    const { n, window } = this.setting;
    const quorum = quorumOf(this.setting);
    const low = stable?.sequence ?? 0;
    if (stable !== undefined && new Set(stable.signers).size < quorum) return "whose checkpoint is not stable";
    for (const { view, sequence, signers } of prepared) {
      const distinct = new Set(signers);
      if (distinct.size < quorum || !distinct.has(view % n)) return `that does not prove what it has at ${sequence}`;
      if (view >= target) return `that shows ${sequence} prepared in view ${view}`;
      if (sequence <= low || sequence > low + window) return `that shows ${sequence}, outside of its window`;
    }
    return undefined;
  }
}

/** O: from the highest stable checkpoint to the highest prepared sequence, of each the highest view, and null where there is none. */
function follow(viewChanges: readonly ViewChange[]): { readonly first: number; readonly batches: readonly string[] } {
  const low = Math.max(...viewChanges.map(({ stable }) => stable?.sequence ?? 0));
  const prepared = viewChanges.flatMap((viewChange) => viewChange.prepared).filter(({ sequence }) => sequence > low);
  const high = Math.max(low, ...prepared.map(({ sequence }) => sequence));
  const batches = Array.from({ length: high - low }, (_, index) => {
    const here = prepared.filter(({ sequence }) => sequence === low + 1 + index);
    return here.reduce((best, one) => (one.view > best.view ? one : best), { view: -1, digest: NULL_DIGEST }).digest;
  });
  return { first: low + 1, batches };
}

/**
 * And before that: the VIEW-CHANGE of an honest replica shows every batch above its stable checkpoint for which it sent COMMIT, from
 * that view or a higher one. Of what lies two windows below what it executed others show a stable checkpoint: Q of them voted on
 * what it executed last, within a window above one.
 */
export class CompleteViewChanges implements Checker {
  readonly invariant = 6;
  readonly name = "complete view changes";
  readonly kinds = ["emitted", "left", "viewChange", "restarted", "executed", "installed"] as const;
  private readonly reached = new Map<number, number>();
  private readonly setting: Setting;
  private readonly commits = new Map<number, (Commitment & { readonly left: boolean })[]>();

  constructor(setting: Setting) {
    this.setting = setting;
  }

  see(observation: Observation): string | undefined {
    if (observation.kind === "emitted" || observation.kind === "left") {
      const { replica, vote } = observation;
      if (vote?.type !== "commit") return undefined;
      let own = this.commits.get(replica);
      if (own === undefined) this.commits.set(replica, (own = []));
      const { view, sequence, digest } = vote;
      own.push({ view, sequence, digest, left: observation.kind === "left" });
      return undefined;
    }
    if (observation.kind === "executed" || observation.kind === "installed") {
      const { replica, sequence } = observation;
      this.reached.set(replica, Math.max(sequence, this.reached.get(replica) ?? 0));
      return undefined;
    }
    if (observation.kind === "restarted") {
      // What had not left when it crashed nobody heard of.
      const own = this.commits.get(observation.replica) ?? [];
      this.commits.set(
        observation.replica,
        own.filter(({ left }) => left),
      );
      return undefined;
    }
    if (observation.kind !== "viewChange" || observation.how !== "sent") return undefined;
    const { replica, target, stable, prepared } = observation;
    const low = Math.max(stable?.sequence ?? 0, (this.reached.get(replica) ?? 0) - 2 * this.setting.window);
    const own = (this.commits.get(replica) ?? []).filter(({ sequence }) => sequence > low);
    this.commits.set(replica, own);
    return firstOf(own, ({ view, sequence, digest }) => {
      if (view >= target) return undefined;
      const shown = prepared.find((certificate) => certificate.sequence === sequence);
      if (shown !== undefined && (shown.view > view || (shown.view === view && shown.digest === digest)))
        return undefined;
      return `replica ${replica} sent COMMIT of ${sequence} in view ${view}, and its VIEW-CHANGE for ${target} shows ${shown === undefined ? "nothing" : `view ${shown.view}`} there`;
    });
  }
}

/** The null batch stands for nothing that could be executed. */
export class NullIsNothing implements Checker {
  readonly invariant = 3;
  readonly name = "null is nothing";
  readonly kinds = ["executed"] as const;

  see(observation: Observation): string | undefined {
    if (observation.kind !== "executed" || observation.digest !== NULL_DIGEST) return undefined;
    if (observation.bundles.length === 0) return undefined;
    return `replica ${observation.replica} executed bundles as the null batch at ${observation.sequence}`;
  }
}

function firstOf<T>(items: readonly T[], judge: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const wrong = judge(item);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}
