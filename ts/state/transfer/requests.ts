/** Requests of a state transfer that were not answered yet: which are late, which are worth a second source. */
import type { Instant, ReplicaId } from "../../protocol/types.ts";
import type { Asked } from "./answer.ts";
import type { Source } from "./sources.ts";

/** Requests that were given up, kept per source since the answer may still come. */
const LATE_MAX = 4;

export interface Request<Target> {
  /** A u32 that is echoed by the answer. */
  readonly id: number;
  readonly source: Source;
  readonly target: Target;
  readonly items: readonly Asked[];
  /** Bytes of nodes after which the answer ends. */
  readonly bytesMax: number;
  readonly at: Instant;
  readonly deadline: Instant;
  /** It was given up; the answer is still welcome. */
  late: boolean;
  /** Its items count as asked; no longer when others are to be asked as well. */
  owns: boolean;
}

export class Requests<Target> {
  readonly #open = new Map<number, Request<Target>>();
  #last = 0;
  inFlight = 0;

  /** A new request; its items count as asked. */
  begin(source: Source, target: Target, items: readonly Asked[], bytesMax: number, now: Instant): Request<Target> {
    this.#last = (this.#last + 1) >>> 0;
    const deadline = (now + source.deadlineMs) as Instant;
    const request = { id: this.#last, source, target, items, bytesMax, at: now, deadline, late: false, owns: true };
    this.#open.set(request.id, request);
    for (const { gap } of items) gap.asked++;
    source.inFlight++;
    this.inFlight++;
    return request;
  }

  /** Takes out the request that `from` answers; its items still count as asked. */
  end(id: number, from: ReplicaId): Request<Target> | undefined {
    const request = this.#open.get(id);
    if (request === undefined || request.source.id !== from) return undefined;
    this.#open.delete(id);
    if (!request.owns) for (const { gap } of request.items) gap.asked++;
    if (!request.late) this.#land(request);
    return request;
  }

  /** Requests whose items others are to be asked for now: they have become late, or slow where `hedgeMs` is given. */
  release(now: Instant, hedgeMs: number | undefined): Request<Target>[] {
    const released: Request<Target>[] = [];
    const failed = new Set<Source>();
    for (const request of this.#open.values()) {
      if (request.late) continue;
      if (request.deadline <= now) {
        request.late = true;
        this.#land(request);
        request.source.onLate(now);
        failed.add(request.source);
      } else if (hedgeMs === undefined || request.at + hedgeMs > now) continue;
      if (!request.owns) continue;
      request.owns = false;
      released.push(request);
    }
    for (const source of failed) this.#forget(source);
    return released;
  }

  /** When some request becomes late, and slow where `hedgeMs` is given. */
  *deadlines(hedgeMs: number | undefined): IterableIterator<number> {
    for (const { late, owns, deadline, at } of this.#open.values()) {
      if (late) continue;
      yield deadline;
      if (hedgeMs !== undefined && owns) yield at + hedgeMs;
    }
  }

  #land(request: Request<Target>): void {
    request.source.inFlight--;
    this.inFlight--;
  }

  /** Lets go of the oldest late requests of a source. */
  #forget(source: Source): void {
    const late = [...this.#open.values()].filter((request) => request.late && request.source === source);
    for (const { id } of late.slice(0, Math.max(0, late.length - LATE_MAX))) this.#open.delete(id);
  }
}
