import type { DecodedNewView } from "../../codec/viewChange.ts";
import type { NewView, Vote } from "../../protocol/messages.ts";
import { carriedOver, NULL_BATCH } from "../../protocol/new-view.ts";
import { membersOf, type Digest, type ReplicaId, type Sequence, type View } from "../../protocol/types.ts";
import type { DecodedViewChange } from "../../codec/viewChange.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";
import { open } from "../wire.ts";
import { certificateOf, newViewOf, partsOf, quorumOf, viewChangeOf, withOwn } from "./forgery.ts";
import type { KnownViewChange } from "./memory.ts";

/** What is false about it: its batches, or the VIEW-CHANGEs that it names. */
const variants = [
  "dropsLast",
  "dropsAll",
  "reorders",
  "lowerView",
  "nullOverPrepared",
  "extra",
  "shifted",
  "tooFew",
  "repeated",
  "ofAnotherView",
  "ghosts",
  "swapped",
  "otherQuorum",
  "withheld",
  "restated",
] as const;

type Variant = (typeof variants)[number];
type Draft = Omit<NewView, "type">;

interface Plan {
  readonly variant: Variant;
  /** Who gets the false one; the others get what is right. */
  readonly side: readonly number[];
  readonly false: DecodedNewView | undefined;
}

/**
 * A primary that starts its view from what does not follow from the VIEW-CHANGEs it has, or names such that nobody can follow it;
 * or shows two NEW-VIEWs of one view, both sound, to different backups. FAULTS V2, V3, V5.
 */
export class NewViewLiar implements Adversary {
  readonly name = "newViewLiar";
  private readonly plans = new Map<View, Plan | undefined>();

  onDeparture(departure: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    if (departure.name === "viewChange") return this.tooEarly(departure, hand);
    if (departure.name === "commit") return this.restate(departure, hand);
    if (departure.name !== "newView") return undefined;
    const { message } = departure.body as DecodedNewView;
    if (!this.plans.has(message.view)) this.plans.set(message.view, draw(message, hand));
    const plan = this.plans.get(message.view);
    if (plan === undefined || !plan.side.includes(departure.to)) return undefined;
    if (plan.variant === "withheld" || plan.variant === "restated") return [];
    const other = plan.false === undefined ? undefined : hand.seal("newView", plan.false);
    return other === undefined ? undefined : [other];
  }

  /** Once something is prepared in the view, those who were left out get another beginning of it. */
  private restate({ body, to }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const { view } = body as Vote;
    const plan = this.plans.get(view);
    if (plan?.variant !== "restated" || !plan.side.includes(to)) return undefined;
    const other = restated(view, hand);
    return other && [other.own, other.newView];
  }

  /** A NEW-VIEW before enough replicas asked for it. */
  private tooEarly({ body, to, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const { target } = (body as DecodedViewChange).message;
    if (target % hand.n !== hand.me) return undefined;
    const known = hand.memory.viewChangesFor(target);
    const prng = known.length < quorumOf(hand) ? hand.acts() : undefined;
    if (prng === undefined || !prng.chance(0.3)) return undefined;
    const early = hand.seal("newView", newViewOf({ type: "newView", ...drawnFrom(target, known) }, hand));
    if (early !== undefined) hand.send(to, early);
    return [frame];
  }
}

/** The VIEW-CHANGEs that it has, but its own shows what is prepared in the very view that they ask for. */
function restated(view: View, hand: Hand): { readonly own: Uint8Array; readonly newView: Uint8Array } | undefined {
  const known = hand.memory.viewChangesFor(view);
  const mine = known.find(({ from }) => from === hand.me);
  if (mine === undefined) return undefined;
  const { stable } = partsOf(mine.body);
  const low = stable?.name.sequence ?? 0;
  const prepared = Array.from({ length: hand.window }, (_, index) => hand.memory.preparesAt(low + 1 + index))
    .flatMap((votes) => votes.filter((vote) => vote.view === view).slice(0, 1))
    .map((vote) => certificateOf(vote, withOwn(vote, vote.signatures, hand), hand))
    .filter(({ name }) => membersOf(name.signers).length >= quorumOf(hand));
  const own = hand.seal("viewChange", viewChangeOf(view, stable, prepared));
  const opened = own === undefined ? undefined : open(own);
  if (own === undefined || opened?.ok !== true || opened.payload.name !== "viewChange") return undefined;
  const others = known.filter(({ from }) => from !== hand.me).slice(0, quorumOf(hand) - 1);
  const drawn = drawnFrom(view, [{ from: hand.me as ReplicaId, body: opened.payload.body }, ...others]);
  const newView = hand.seal("newView", newViewOf({ type: "newView", ...drawn }, hand));
  return newView && { own, newView };
}

function draw(message: NewView, hand: Hand): Plan | undefined {
  const prng = hand.acts();
  if (prng === undefined) return undefined;
  const peers = Array.from({ length: hand.n }, (_, replica) => replica).filter((replica) => replica !== hand.me);
  const variant = prng.pick(variants);
  const changed = change(variant, message, prng, hand);
  const side = prng.chance(0.5) ? peers : prng.sample(peers, prng.between(1, peers.length));
  return { variant, side, false: newViewOf({ type: "newView", ...changed }, hand) };
}

function change(variant: Variant, message: NewView, prng: Prng, hand: Hand): Draft {
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
      return drawnFrom(view, chosen(message, hand).slice(0, -1));
    case "repeated":
      return { ...message, viewChanges: [...viewChanges.slice(0, -1), viewChanges[0] as (typeof viewChanges)[number]] };
    case "ofAnotherView":
      return withForeign(message, prng, hand);
    case "ghosts":
      return { ...message, viewChanges: viewChanges.map(({ from }) => ({ from, digest: ghost(prng) })) };
    case "swapped":
      return { ...message, viewChanges: swapped(viewChanges) };
    case "otherQuorum":
      return drawnFrom(view, prng.sample(hand.memory.viewChangesFor(view), quorumOf(hand)));
    case "withheld":
    case "restated":
      return message;
  }
}

/** What follows from these VIEW-CHANGEs, whoever and however many they are. */
function drawnFrom(view: View, from: readonly KnownViewChange[]): Draft {
  const ordered = from.toSorted((a, b) => a.from - b.from);
  const { first, batches } = carriedOver(ordered.map(({ body }) => body.message));
  return {
    view,
    first,
    batches,
    viewChanges: ordered.map(({ from: sender, body }) => ({ from: sender, digest: body.message.digest })),
  };
}

/** The VIEW-CHANGEs that a NEW-VIEW names. */
function chosen({ view, viewChanges }: NewView, hand: Hand): readonly KnownViewChange[] {
  const named = new Set(viewChanges.map(({ digest }) => digest));
  return hand.memory.viewChangesFor(view).filter(({ body }) => named.has(body.message.digest));
}

/** Of one of the named senders, another VIEW-CHANGE is named: for another view. */
function withForeign(message: NewView, prng: Prng, hand: Hand): Draft {
  const foreign = hand.memory.viewChangesFor(undefined).filter(({ body }) => body.message.target !== message.view);
  if (foreign.length === 0) return message;
  const one = prng.pick(foreign);
  const others = chosen(message, hand).filter(({ from }) => from !== one.from);
  return drawnFrom(message.view, [one, ...others].slice(0, quorumOf(hand)));
}

/** True digests under each other's senders. */
function swapped(viewChanges: NewView["viewChanges"]): NewView["viewChanges"] {
  return viewChanges.map(({ from }, index) => ({
    from: from as ReplicaId,
    digest: (viewChanges[(index + 1) % viewChanges.length] as (typeof viewChanges)[number]).digest,
  }));
}

/** A digest that no message has. */
function ghost(prng: Prng): Digest {
  return String.fromCharCode(...Array.from({ length: 16 }, () => prng.below(65_536))) as Digest;
}
