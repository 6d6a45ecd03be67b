/** Makes the planned faults happen at their times, and ends them. */
import type { Fault } from "./plan.ts";
import type { SimReplica } from "./replica.ts";
import type { Surroundings } from "./surroundings.ts";

/** A cut that lasts so long ends the connection: both sides see the link go down, and up again after it. */
const IDLE_MS = 100;

export class FaultDriver {
  private readonly around: Surroundings;
  private readonly replicas: readonly SimReplica[];
  private readonly faults: readonly Fault[];
  private stopped = false;

  constructor(around: Surroundings, replicas: readonly SimReplica[], faults: readonly Fault[]) {
    this.around = around;
    this.replicas = replicas;
    this.faults = faults;
  }

  start(): void {
    for (const [index, fault] of this.faults.entries()) {
      this.around.scheduler.at(fault.atMs, () => this.begin(fault, index));
      if (fault.kind === "amnesia") {
        this.around.scheduler.at(fault.restartAtMs, () => {
          this.replicas[fault.replica]?.rollBack();
          this.restart(fault.replica, index);
        });
      } else if (fault.kind === "stop") {
        this.around.scheduler.at(fault.restartAtMs, () => {
          // Who does not stop in time is ended.
          this.replicas[fault.replica]?.crash();
          this.restart(fault.replica, index);
        });
      } else if (fault.kind !== "crash") this.around.scheduler.at(fault.untilMs, () => this.end(fault, index));
      else if (fault.restartAtMs !== undefined)
        this.around.scheduler.at(fault.restartAtMs, () => this.restart(fault.replica, index));
    }
  }

  /** No fault begins any more; those of healed links were ended by healing. */
  stop(): void {
    this.stopped = true;
  }

  private begin(fault: Fault, index: number): void {
    if (this.stopped) return;
    const { network, log, scheduler, coverage } = this.around;
    log.add(scheduler.now, "fault", index, 1);
    switch (fault.kind) {
      case "partition":
        coverage.hit("partition");
        for (const [from, to] of this.across(fault.side)) this.cut(from, to, fault.untilMs - fault.atMs);
        return;
      case "cut":
        return this.cut(fault.from, fault.to, fault.untilMs - fault.atMs);
      case "clog":
        return network.clog(fault.from, fault.to);
      case "amnesia":
        coverage.hit("amnesia");
        return this.replicas[fault.replica]?.crash();
      case "crash":
        coverage.hit("crash");
        return this.replicas[fault.replica]?.crash();
      case "stop":
        return this.replicas[fault.replica]?.stop();
      case "pause":
        coverage.hit("pause");
        return this.replicas[fault.replica]?.pause();
    }
  }

  private end(fault: Exclude<Fault, { kind: "crash" | "amnesia" | "stop" }>, index: number): void {
    const { network, log, scheduler } = this.around;
    log.add(scheduler.now, "fault", index, 0);
    // Healing has ended the faults of the core's links; the others keep theirs for good.
    if (this.stopped) return;
    switch (fault.kind) {
      case "partition":
        for (const [from, to] of this.across(fault.side)) this.mend(from, to, fault.untilMs - fault.atMs);
        return;
      case "cut":
        return this.mend(fault.from, fault.to, fault.untilMs - fault.atMs);
      case "clog":
        return network.unclog(fault.from, fault.to);
      case "pause":
        return this.replicas[fault.replica]?.resume();
    }
  }

  /** Also after faults have stopped: what healing left outside may come back when it wants. */
  private restart(id: number, index: number): void {
    const { network, log, scheduler, coverage } = this.around;
    log.add(scheduler.now, "fault", index, 0);
    const replica = this.replicas[id];
    if (replica?.restart() !== true) return;
    coverage.hit("restart");
    for (const peer of this.replicas) {
      if (peer === replica) continue;
      peer.link(id, false);
      if (!network.isCut(id, peer.id)) peer.link(id, true);
      if (!network.isCut(peer.id, id)) replica.link(peer.id, true);
    }
  }

  private cut(from: number, to: number, durationMs: number): void {
    this.around.network.cut(from, to);
    if (durationMs >= IDLE_MS) this.replicas[to]?.link(from, false);
  }

  private mend(from: number, to: number, durationMs: number): void {
    this.around.network.mend(from, to);
    if (durationMs >= IDLE_MS) this.replicas[to]?.link(from, true);
  }

  /** All directed links between one side and the other. */
  private across(side: readonly number[]): [from: number, to: number][] {
    const ids = this.replicas.map(({ id }) => id);
    const other = ids.filter((id) => !side.includes(id));
    return side.flatMap((a) =>
      other.flatMap((b): [number, number][] => [
        [a, b],
        [b, a],
      ]),
    );
  }
}
