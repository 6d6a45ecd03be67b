/** UDP ports for clusters on loopback, and waiting for what nobody announces. */
import { createSocket } from "node:dgram";

/** Below the ports that the operating system hands out by itself, so that no client's socket takes one in between. */
const FIRST = 10_000;
const LAST = 32_000;

async function isFree(port: number): Promise<boolean> {
  const socket = createSocket("udp4");
  return new Promise((resolve) => {
    socket.once("error", () => resolve(false));
    socket.bind(port, "127.0.0.1", () => socket.close(() => resolve(true)));
  });
}

/** The first of `count` consecutive free UDP ports. */
export async function freeBasePort(count: number): Promise<number> {
  for (;;) {
    const base = FIRST + Math.floor(Math.random() * (LAST - FIRST - count));
    const free = await Promise.all(Array.from({ length: count }, async (_, i) => isFree(base + i)));
    if (free.every(Boolean)) return base;
  }
}

/** Far above what anything here takes on a loaded machine; reached only by a failure. */
const PATIENCE_MS = 60_000;
const POLL_MS = 20;

/** Resolves with the first value of `probe` that is not undefined or false. */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<Exclude<T, undefined | false>> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
