import type { Bodies, BodyName } from "../../codec/messages.ts";
import { EMPTY_SET, type Digest, type ReplicaId, type Sequence, type View } from "../../protocol/types.ts";
import { batchDigest } from "../hashing.ts";
import type { Prng } from "../prng.ts";
import type { Adversary, Departure, Hand } from "./adversary.ts";

type Path = readonly (string | number)[];

/**
 * Small scope: one field of a well-formed message is off by one, or its digest is another live one, and the whole is signed
 * again. Also says what its own core never would: every type that the protocol knows. FAULTS B3, B4, B6, B7, P4.
 */
export class Mutator implements Adversary {
  readonly name = "mutator";

  onDeparture({ name, body, frame }: Departure, hand: Hand): readonly Uint8Array[] | undefined {
    const prng = hand.acts();
    if (prng === undefined) return undefined;
    if (prng.chance(0.2)) {
      const invented = invent(prng, hand);
      return invented === undefined ? undefined : [invented, frame];
    }
    const changed = mutate(name, body, prng, hand);
    if (changed === undefined) return undefined;
    return prng.chance(0.5) ? [changed] : [changed, frame];
  }
}

function mutate(name: BodyName, body: Bodies[BodyName], prng: Prng, hand: Hand): Uint8Array | undefined {
  const paths = fieldsOf(body, []);
  if (paths.length === 0) return undefined;
  const path = prng.pick(paths);
  const changed = replaced(body, path, (value) => mutateField(value, prng, hand)) as Bodies[BodyName];
  return hand.seal(name, rehashed(changed));
}

/** A proposal's digest is never sent, so it follows from what was changed. */
function rehashed(body: Bodies[BodyName]): Bodies[BodyName] {
  if ("time" in body && "bundles" in body && "digest" in body)
    return { ...body, digest: batchDigest(body) } as Bodies[BodyName];
  return body;
}

/** Every number, digest, bit and byte string of a message. */
function fieldsOf(value: unknown, path: Path): Path[] {
  if (typeof value === "number" || typeof value === "boolean") return [path];
  if (typeof value === "string") return value.length === 16 ? [path] : [];
  if (value instanceof Uint8Array) return [path];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    fieldsOf(inner, [...path, Array.isArray(value) ? Number(key) : key]),
  );
}

function replaced(value: unknown, path: Path, change: (value: unknown) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return change(value);
  const inner = replaced((value as Record<string | number, unknown>)[key], rest, change);
  if (Array.isArray(value)) return value.map((item, index) => (index === key ? inner : item));
  return { ...(value as object), [key]: inner };
}

function mutateField(value: unknown, prng: Prng, hand: Hand): unknown {
  if (typeof value === "number")
    return Math.max(0, value + prng.pick([-1, 1, 1, -2, 2, 1000, Number.MAX_SAFE_INTEGER - value]));
  if (typeof value === "boolean") return !value;
  if (value instanceof Uint8Array) {
    const bytes = value.slice();
    if (bytes.length > 0) bytes[prng.below(bytes.length)]! ^= 1 << prng.below(8);
    return bytes;
  }
  const live = hand.memory.digests;
  return live.length > 0 ? prng.pick(live) : value;
}

/** A message out of nothing, made of live parts. */
function invent(prng: Prng, hand: Hand): Uint8Array | undefined {
  const digest = (): Digest => prng.pick([...hand.memory.digests, "\0".repeat(16) as Digest]);
  const sequence = (): Sequence => prng.between(1, 30) as Sequence;
  const view = (): View => prng.pick([0, 0, 1, 2, hand.me, 1 << 20]) as View;
  const vote = { view: view(), sequence: sequence(), digest: digest() };
  const batch = { time: 0, bundles: [] } as unknown as { time: Bodies["decided"]["time"]; bundles: [] };
  switch (prng.below(11)) {
    case 0:
      return hand.seal("prePrepare", { type: "prePrepare", ...vote, ...batch, digest: batchDigest(batch) });
    case 1:
      return hand.seal("prepare", { type: "prepare", ...vote });
    case 2:
      return hand.seal("commit", { type: "commit", ...vote });
    case 3:
      return hand.seal("checkpoint", { type: "checkpoint", sequence: vote.sequence, digest: vote.digest });
    case 4:
      return hand.seal("viewChange", {
        message: { type: "viewChange", target: view(), stable: undefined, prepared: [], digest: digest() },
        certificates: [],
      });
    case 5:
      return hand.seal("newView", {
        message: {
          type: "newView",
          view: view(),
          viewChanges: [{ from: hand.me as ReplicaId, digest: digest() }],
          first: sequence(),
          batches: [],
        },
        proposals: [],
      });
    case 6:
      return hand.seal("decided", { type: "decided", sequence: sequence(), ...batch, digest: batchDigest(batch) });
    case 7:
      return hand.seal("complaint", { type: "complaint", view: view() });
    case 8:
      return hand.seal(prng.pick(["fetch", "unavailable"]), {
        type: "fetch",
        kind: prng.pick(["bundle", "batch", "viewChange", "newView"]),
        digest: digest(),
      } as Bodies["fetch"] & Bodies["unavailable"]);
    case 9:
      return hand.seal("stateFetch", {
        type: "stateFetch",
        sequence: sequence(),
        request: prng.below(2 ** 32),
        bytesMax: prng.pick([1, 2 ** 20]),
        items: [{ path: Uint8Array.from({ length: prng.below(8) }, () => prng.below(17)), deep: prng.chance(0.5) }],
      });
    default:
      return hand.seal("status", {
        type: "status",
        mode: prng.pick(["normal", "viewChange"]),
        view: view(),
        lowWatermark: prng.pick([0, sequence(), Number.MAX_SAFE_INTEGER]) as Sequence,
        lastExecuted: prng.pick([0, sequence(), Number.MAX_SAFE_INTEGER]) as Sequence,
        proposed: [],
        prepared: [],
        committed: [],
        missing: [digest()],
        viewChanges: EMPTY_SET,
        fence: undefined,
      });
  }
}
