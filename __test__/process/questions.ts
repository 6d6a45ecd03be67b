/** What a test and the replica processes that it started say to each other. */
import type { ChildProcess } from "node:child_process";
import type { ClusterConfig, Evidence, NodeEvents, NodeMetrics } from "../../dist/index.js";
import type { FaultPlan } from "../attack/byzantine-replica.ts";

/** The first message to a replica process. */
export interface ReplicaPlan {
  readonly cluster: ClusterConfig;
  readonly me: number;
  /** PKCS#8 PEM. */
  readonly key: string;
  /** An honest one's journal and snapshots; without it nothing is durable. */
  readonly dataDir?: string | undefined;
  /** Keeps what was executed, and the core's inputs. */
  readonly recorded: boolean;
  /** Of a Byzantine one. */
  readonly faults: readonly FaultPlan[];
  /** Whether these act from the start. */
  readonly attacking: boolean;
}

/** An event of a node, in the order in which its user saw them. */
export type SeenEvent = {
  readonly [Name in keyof NodeEvents]: { readonly name: Name; readonly payload: NodeEvents[Name][0] };
}[keyof NodeEvents];

/** What one replica holds. */
export interface Standing {
  readonly sequence: number;
  readonly digest: string;
  readonly total: number;
}

/** What one replica has seen and done. */
export interface Account {
  /** Batch digest and number of operations by sequence. */
  readonly executed: ReadonlyMap<number, { readonly digest: string; readonly operations: number }>;
  readonly gaps: readonly { readonly from: number; readonly to: number }[];
  readonly events: readonly SeenEvent[];
  readonly evidence: readonly Evidence[];
}

export interface Answers {
  readonly metrics: NodeMetrics;
  readonly standing: Standing;
  readonly account: Account;
  readonly recording: string | undefined;
  /** Processor time of the process so far, in milliseconds. */
  readonly cpuMs: number;
  /** Of a Byzantine process: its faults act from now on, or not. */
  readonly attack: void;
  readonly behave: void;
  /** Ends its node in order, as on SIGTERM. */
  readonly shutdown: void;
}

export type Question = keyof Answers;
export type Answerer = { readonly [Q in Question]?: () => Answers[Q] | Promise<Answers[Q]> };

/** Asks a child process that runs `serve`. */
export async function ask<Q extends Question>(child: ChildProcess, question: Q, id: number): Promise<Answers[Q]> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      child.off("message", onMessage);
      child.off("exit", onExit);
    };
    const onMessage = (message: { readonly id: number; readonly answer: Answers[Q] }): void => {
      if (message.id !== id) return;
      end();
      resolve(message.answer);
    };
    const onExit = (): void => {
      end();
      reject(new Error(`the process ended before it told its ${question}`));
    };
    if (!child.connected) return onExit();
    child.on("message", onMessage);
    child.once("exit", onExit);
    child.send({ id, question });
  });
}
