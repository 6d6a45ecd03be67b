/**
 * What a run shows to its checkers: plain facts, seen from outside of the replicas. Nothing here, and nothing in `checkers/`,
 * imports the product: an oracle that shares a predicate with what it judges shares its mistakes.
 *
 * Replicas are numbers, digests are opaque strings that are only compared, times are virtual milliseconds.
 */

/** Message types that a signature, or a channel, binds their sender to. */
export type VoteType = "prePrepare" | "prepare" | "commit" | "checkpoint" | "decided";

export interface VoteFact {
  readonly type: VoteType;
  /** 0 for checkpoints and DECIDED. */
  readonly view: number;
  readonly sequence: number;
  readonly digest: string;
}

/** What a durable record says, as far as an oracle needs it. */
export type RecordFact =
  | { readonly type: "lease"; readonly view: number; readonly through: number }
  | { readonly type: "prepared"; readonly view: number; readonly sequence: number; readonly digest: string }
  | { readonly type: "decided"; readonly sequence: number; readonly digest: string }
  | { readonly type: "checkpoint"; readonly sequence: number; readonly digest: string }
  | { readonly type: "viewLeft"; readonly target: number; readonly message: string }
  | { readonly type: "viewEntered"; readonly view: number; readonly viewChanges: readonly string[] }
  | { readonly type: "other" };

export type Observation =
  /** A key made a signature; both honest replicas and adversaries sign through the same register. */
  | { readonly kind: "signed"; readonly signer: number; readonly vote: VoteFact }
  /** The same of a VIEW-CHANGE for a view, or the NEW-VIEW of one; equal contents are equal messages. */
  | {
      readonly kind: "signedView";
      readonly signer: number;
      readonly type: "viewChange" | "newView";
      readonly view: number;
      readonly content: string;
    }
  /** The content that a batch digest covers became known. */
  | { readonly kind: "batch"; readonly digest: string; readonly bundles: readonly string[] }
  /** An honest core decided to send a vote, with the record that it rests on; `bodiesHeld`: it holds every body the batch names. */
  | {
      readonly kind: "emitted";
      readonly replica: number;
      readonly vote: VoteFact;
      readonly after: number;
      readonly bodiesHeld: boolean;
    }
  /** An honest primary enters a view of its own: these sequences it proposes in it by its NEW-VIEW. */
  | {
      readonly kind: "carried";
      readonly replica: number;
      readonly view: number;
      readonly first: number;
      readonly count: number;
    }
  /** An honest primary chose a batch of its own for a sequence; its PRE-PREPARE follows when the digest is computed. */
  | { readonly kind: "chosen"; readonly replica: number; readonly view: number; readonly sequence: number }
  /** A vote, reply or commit event left an honest replica while its disk was durable up to `durable`. */
  | {
      readonly kind: "left";
      readonly replica: number;
      readonly vote: VoteFact | undefined;
      readonly what: string;
      readonly after: number;
      readonly durable: number;
    }
  /** A record became durable. */
  | { readonly kind: "durable"; readonly replica: number; readonly lsn: number; readonly record: RecordFact }
  /** An honest replica took a message whose signature and channel hold. */
  | { readonly kind: "accepted"; readonly replica: number; readonly from: number; readonly vote: VoteFact }
  /** An honest replica made a certificate for its disk or for others: the signatures in it, each re-checked by the register. */
  | {
      readonly kind: "certificate";
      readonly replica: number;
      readonly phase: "prepare" | "checkpoint";
      readonly view: number;
      readonly sequence: number;
      readonly digest: string;
      readonly signers: readonly number[];
    }
  /** An honest core handed a batch to execution. */
  | {
      readonly kind: "executed";
      readonly replica: number;
      readonly sequence: number;
      readonly digest: string;
      readonly bundles: readonly string[];
    }
  /** The state machine of an honest replica ran one operation. */
  | {
      readonly kind: "applied";
      readonly replica: number;
      readonly sequence: number;
      readonly index: number;
      readonly client: string;
      readonly operation: string;
      /** What makes it one operation of its client, whichever of two conflicting forms it took. */
      readonly identity: string;
    }
  /** The state after `sequence`, fetched, has taken the place of an honest replica's own. */
  | { readonly kind: "installed"; readonly replica: number; readonly sequence: number }
  /** The nodes of a fetched state were each taken for right, and the whole has another root than the certified one. */
  | { readonly kind: "misfetched"; readonly replica: number }
  | { readonly kind: "checkpointed"; readonly replica: number; readonly sequence: number; readonly digest: string }
  /** An honest core moved its window. */
  | { readonly kind: "stable"; readonly replica: number; readonly sequence: number; readonly digest: string }
  | { readonly kind: "entered"; readonly replica: number; readonly view: number }
  /** An honest core no longer takes part in a view. */
  | {
      readonly kind: "viewLeft";
      readonly replica: number;
      readonly view: number;
      readonly target: number;
      readonly cause: string;
      readonly at: number;
    }
  /** A replica calls the primary of a view slow, before an honest one; its own complaints are among them. */
  | { readonly kind: "complained"; readonly replica: number; readonly from: number; readonly view: number }
  /** From here on nothing is broken any more, and work goes on: `core` was healed. */
  | { readonly kind: "calm"; readonly core: readonly number[] }
  /** An honest core takes part in a view that it changed to. */
  | { readonly kind: "viewChanged"; readonly replica: number; readonly view: number; readonly cause: string }
  /**
   * A VIEW-CHANGE left its honest signer, or an honest replica verified it, whoever passed it on: its stable checkpoint with those
   * who signed it, undefined at 0, and what it shows as prepared above that.
   */
  | {
      readonly kind: "viewChange";
      readonly replica: number;
      readonly how: "sent" | "verified";
      readonly signer: number;
      readonly target: number;
      readonly digest: string;
      readonly stable:
        { readonly sequence: number; readonly digest: string; readonly signers: readonly number[] } | undefined;
      readonly prepared: readonly {
        readonly view: number;
        readonly sequence: number;
        readonly digest: string;
        readonly signers: readonly number[];
      }[];
    }
  /** A NEW-VIEW left its honest primary, or an honest replica entered its view: its batches are for `first` and upwards. */
  | {
      readonly kind: "newView";
      readonly replica: number;
      readonly how: "sent" | "accepted";
      readonly view: number;
      readonly first: number;
      readonly batches: readonly string[];
      readonly viewChanges: readonly { readonly from: number; readonly digest: string }[];
    }
  /** The own state of an honest replica differs from what Q signed. */
  | { readonly kind: "diverged"; readonly replica: number; readonly sequence: number }
  | { readonly kind: "acknowledged"; readonly replica: number; readonly session: number; readonly through: number }
  /** An honest replica shows that `by` signed two messages that exclude each other; `digest` names the second. */
  | {
      readonly kind: "accused";
      readonly replica: number;
      readonly by: number;
      readonly type: "prePrepare" | "prepare" | "checkpoint" | "viewChange" | "newView";
      readonly digest: string;
    }
  | { readonly kind: "halted"; readonly replica: number; readonly reason: string }
  | { readonly kind: "crashed"; readonly replica: number }
  /** A crashed replica came back as a new process, to the disk of the old one or to one that knows nothing. */
  | {
      readonly kind: "restarted";
      readonly replica: number;
      readonly disk: "kept" | "wiped";
      /** What its disk says: sequence of its snapshot, low watermark, installed view, and whether it had stopped in order. */
      readonly snapshot: number;
      readonly low: number;
      readonly view: number;
      readonly clean: boolean;
    }
  /** A replica whose disk was lost votes again: all that it may have voted on before lies below `sequence`, which is stable. */
  | { readonly kind: "readmitted"; readonly replica: number; readonly sequence: number }
  /** A message that was already taken came again: did the state of the core change, and what did it emit that binds? */
  | {
      readonly kind: "redelivered";
      readonly replica: number;
      readonly input: string;
      readonly changed: boolean;
      readonly emitted: readonly string[];
    }
  /** Something that must stay bounded was measured. */
  | {
      readonly kind: "footprint";
      readonly replica: number;
      readonly what: string;
      readonly size: number;
      readonly cap: number;
    }
  /** A client that lies signed this operation: it may execute, and nobody waits for it. */
  | { readonly kind: "forked"; readonly client: string; readonly operation: string }
  /** A client began an operation; the operation's bytes are unique within a run. */
  | { readonly kind: "invoked"; readonly client: string; readonly operation: string; readonly at: number }
  /** A client accepted a result, or learnt that it will never know one (`status` other than ok, refused, failed). */
  | {
      readonly kind: "returned";
      readonly client: string;
      readonly operation: string;
      readonly status: string;
      readonly result: string;
      readonly at: number;
    };

export type ObservationKind = Observation["kind"];

/** The facts of a run that do not change. */
export interface Setting {
  readonly n: number;
  readonly f: number;
  /** K: high watermark minus low watermark. */
  readonly window: number;
  readonly honest: readonly number[];
  /** Base timeout of view changes. */
  readonly timeoutMs: number;
  /** Vote leases or full fsync: false where durability is switched off. */
  readonly durable: boolean;
}

/** What the end of a run adds: the replicas that were healed, alive and honest, and what they ended with. */
export interface Ending {
  /** Empty when liveness was not asked of this run. */
  readonly core: readonly number[];
  readonly lastExecuted: readonly { readonly replica: number; readonly sequence: number; readonly state: string }[];
  readonly at: number;
}

/** One oracle. `see` and `finish` return what is wrong, or `undefined`. */
export interface Checker {
  /** Number in the list of invariants. */
  readonly invariant: number;
  readonly name: string;
  readonly kinds: readonly ObservationKind[];
  see(observation: Observation): string | undefined;
  finish?(ending: Ending): string | undefined;
}

export interface Violation {
  readonly invariant: number;
  readonly name: string;
  readonly message: string;
  /** Index of the observation that showed it. */
  readonly step: number;
}

/** Hands every observation to the checkers that ask for its kind, and keeps the first violation. */
export class History {
  violation: Violation | undefined;
  private readonly byKind = new Map<ObservationKind, Checker[]>();
  private readonly checkers: readonly Checker[];
  private steps = 0;

  constructor(checkers: readonly Checker[]) {
    this.checkers = checkers;
    for (const checker of checkers) {
      for (const kind of checker.kinds) {
        const listeners = this.byKind.get(kind);
        if (listeners === undefined) this.byKind.set(kind, [checker]);
        else listeners.push(checker);
      }
    }
  }

  see(observation: Observation): void {
    this.steps++;
    const listeners = this.byKind.get(observation.kind);
    if (listeners === undefined) return;
    for (const checker of listeners) this.judge(checker, checker.see(observation));
  }

  finish(ending: Ending): void {
    for (const checker of this.checkers) this.judge(checker, checker.finish?.(ending));
  }

  /** Reports what no checker saw, such as a throw out of a core. */
  fail(invariant: number, name: string, message: string): void {
    this.violation ??= { invariant, name, message, step: this.steps };
  }

  private judge(checker: Checker, message: string | undefined): void {
    if (message !== undefined) this.fail(checker.invariant, checker.name, message);
  }
}

/** Q = ⌈(n+f+1)/2⌉, written a second time on purpose. */
export function quorumOf(setting: Setting): number {
  return Math.floor((setting.n + setting.f) / 2) + 1;
}

/** The first bytes of a digest or operation, for messages. */
export function short(opaque: string): string {
  let text = "";
  for (let index = 0; index < Math.min(4, opaque.length); index++) {
    const unit = opaque.charCodeAt(index);
    text += (unit & 255).toString(16).padStart(2, "0") + (unit >> 8).toString(16).padStart(2, "0");
  }
  return text;
}
