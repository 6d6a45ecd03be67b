/** NEW-VIEWs that are false, each in one way. */
import type { Certificate } from "../../codec/viewChange.ts";
import type { NewView } from "../../protocol/messages.ts";
import { carriedOver, NULL_BATCH } from "../../protocol/new-view.ts";
import { membersOf, type Digest, type ReplicaId, type Sequence, type View } from "../../protocol/types.ts";
import type { Prng } from "../prng.ts";
import { open } from "../wire.ts";
import type { Hand } from "./adversary.ts";
import { certificateOf, newViewOf, partsOf, quorumOf, viewChangeOf, withOwn } from "./forgery.ts";
import type { KnownViewChange } from "./memory.ts";

/** What is false about it: its batches, or the VIEW-CHANGEs that it names. */
export const variants = [
  "dropsLast",
  "dropsAll",
  "reorders",
  "lowerView",
  "nullOverPrepared",
  "extra",
  "shifted",
  "tooFew",
  "repeated",
  "ghosts",
  "swapped",
  "otherQuorum",
  "ofAnotherView",
  "withheld",
  "restated",
] as const;

export type Variant = (typeof variants)[number];
type Draft = Omit<NewView, "type">;

export function change(
  variant: Exclude<Variant, "withheld" | "restated" | "ofAnotherView">,
  message: NewView,
  prng: Prng,
  hand: Hand,
): Draft {
  const { batches, first, viewChanges, view } = message;
  const at = prng.below(Math.max(1, batches.length));
  const put = (digest: Digest): Draft => ({ ...message, batches: batches.map((b, i) => (i === at ? digest : b)) });
  switch (variant) {
    case "dropsLast":
      return { ...message, batches: batches.slice(0, -1) };
    case "dropsAll":
      return { ...message, batches: [] };
    case "reorders":
      return { ...message, batches: batches.toReversed() };
    case "lowerView":
      return put(hand.memory.preparesAt(first + at)[0]?.digest ?? prng.pick(hand.memory.digests));
    case "nullOverPrepared":
      return { ...message, batches: batches.map((b) => (prng.chance(0.7) ? NULL_BATCH.digest : b)) };
    case "extra":
      return { ...message, batches: [...batches, prng.pick([NULL_BATCH.digest, ...hand.memory.digests])] };
    case "shifted":
      return { ...message, first: Math.max(1, first + prng.pick([-1, 1])) as Sequence };
    case "tooFew":
      return drawnFrom(view, named(message, hand).slice(0, -1));
    case "repeated":
      return { ...message, viewChanges: [...viewChanges.slice(0, -1), viewChanges[0] as (typeof viewChanges)[number]] };
    case "ghosts":
      return { ...message, viewChanges: viewChanges.map(({ from }) => ({ from, digest: ghost(prng) })) };
    case "swapped":
      return { ...message, viewChanges: swapped(viewChanges) };
    case "otherQuorum":
      return drawnFrom(view, prng.sample(hand.memory.viewChangesFor(view), quorumOf(hand)));
  }
}

/** What follows from these VIEW-CHANGEs, whoever and however many they are. */
export function drawnFrom(view: View, from: readonly KnownViewChange[]): Draft {
  const ordered = from.toSorted((a, b) => a.from - b.from);
  const { first, batches } = carriedOver(ordered.map(({ body }) => body.message));
  const viewChanges = ordered.map(({ from: sender, body }) => ({ from: sender, digest: body.message.digest }));
  return { view, first, batches, viewChanges };
}

/** A VIEW-CHANGE of its own for the view above, which hides everything, and a NEW-VIEW that rests on it. */
export function foreign(message: NewView, prng: Prng, hand: Hand): readonly Uint8Array[] {
  const mine = seal((message.view + prng.between(1, hand.n)) as View, undefined, [], hand);
  return mine === undefined ? [] : withMine(message.view, mine, named(message, hand), hand);
}

/** A VIEW-CHANGE of its own that shows what is prepared in the very view it asks for, and a NEW-VIEW that rests on it. */
export function restated(view: View, hand: Hand): readonly Uint8Array[] | undefined {
  const known = hand.memory.viewChangesFor(view);
  const own = known.find(({ from }) => from === hand.me);
  if (own === undefined) return undefined;
  const { stable } = partsOf(own.body);
  const low = stable?.name.sequence ?? 0;
  const prepared = Array.from({ length: hand.window }, (_, index) => hand.memory.preparesAt(low + 1 + index))
    .flatMap((votes) => votes.filter((vote) => vote.view === view).slice(0, 1))
    .map((vote) => certificateOf(vote, withOwn(vote, vote.signatures, hand), hand))
    .filter(({ name }) => membersOf(name.signers).length >= quorumOf(hand));
  const mine = seal(view, stable, prepared, hand);
  return mine && withMine(view, mine, known, hand);
}

interface Sealed extends KnownViewChange {
  readonly frame: Uint8Array;
}

function seal(
  target: View,
  stable: Certificate | undefined,
  prepared: readonly Certificate[],
  hand: Hand,
): Sealed | undefined {
  const frame = hand.seal("viewChange", viewChangeOf(target, stable, prepared));
  const opened = frame === undefined ? undefined : open(frame);
  if (frame === undefined || opened?.ok !== true || opened.payload.name !== "viewChange") return undefined;
  return { frame, from: hand.me as ReplicaId, body: opened.payload.body };
}

/** Both messages: whoever gets the NEW-VIEW needs what it names. */
function withMine(view: View, mine: Sealed, known: readonly KnownViewChange[], hand: Hand): readonly Uint8Array[] {
  const others = known.filter(({ from }) => from !== hand.me).slice(0, quorumOf(hand) - 1);
  const newView = hand.seal("newView", newViewOf({ type: "newView", ...drawnFrom(view, [mine, ...others]) }, hand));
  return newView === undefined ? [] : [mine.frame, newView];
}

/** The VIEW-CHANGEs that a NEW-VIEW names. */
function named({ view, viewChanges }: NewView, hand: Hand): readonly KnownViewChange[] {
  const digests = new Set(viewChanges.map(({ digest }) => digest));
  return hand.memory.viewChangesFor(view).filter(({ body }) => digests.has(body.message.digest));
}

/** True digests under each other's senders. */
function swapped(viewChanges: NewView["viewChanges"]): NewView["viewChanges"] {
  return viewChanges.map(({ from }, index) => ({
    from,
    digest: (viewChanges[(index + 1) % viewChanges.length] as (typeof viewChanges)[number]).digest,
  }));
}

/** A digest that no message has. */
function ghost(prng: Prng): Digest {
  return String.fromCharCode(...Array.from({ length: 16 }, () => prng.below(65_536))) as Digest;
}
