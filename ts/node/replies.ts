/** Results on their way to a client. */
import type { ActionWriter } from "../codec/actions.ts";
import type { Reply } from "../codec/client.ts";
import type { ResultEntry } from "../protocol/messages.ts";
import type { ClientKey } from "../protocol/types.ts";

/** Results in one REPLY: half of what a frame of the client lane holds, so that the last one added always fits. */
const REPLY_BYTES_MAX = 512 * 1024;
/** What an entry takes besides its result. */
const ENTRY_BYTES = 16;

/** Writes results, in several frames where they would not fit into one. */
export function writeReplies(
  writer: ActionWriter,
  client: ClientKey,
  head: Omit<Reply, "entries">,
  entries: readonly ResultEntry[],
  inFull: boolean,
): void {
  let first = 0;
  let bytes = 0;
  for (const [index, entry] of entries.entries()) {
    if (bytes > 0 && bytes + entry.result.length > REPLY_BYTES_MAX) {
      writer.reply(client, { ...head, entries: entries.slice(first, index) }, inFull);
      first = index;
      bytes = 0;
    }
    bytes += entry.result.length + ENTRY_BYTES;
  }
  if (first < entries.length) writer.reply(client, { ...head, entries: entries.slice(first) }, inFull);
}
