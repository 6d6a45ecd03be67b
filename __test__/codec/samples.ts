/** Values that messages and records are made of where a test does not care which. */
import type { BatchContent } from "../../dist/protocol/messages.js";
import type { AgreedTime, ClientKey, Digest, ReplicaSet, Sequence, View } from "../../dist/protocol/types.js";

export const D = "d".repeat(16) as Digest;
export const E = "e".repeat(16) as Digest;
export const KEY = "k".repeat(16) as ClientKey;
export const view = 5 as View;
export const sequence = 70 as Sequence;
export const some = 0b1010 as ReplicaSet;
export const batch: BatchContent = { time: 1234 as AgreedTime, bundles: [D, E] };
