/**
 * Where an operator's tools ask a running node: HTTP over a Unix domain socket that only the node's own user can open, so it
 * needs no authentication and no port.
 */
import { createHash } from "node:crypto";
import { chmod, rm } from "node:fs/promises";
import { createServer, request, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ByzantineError } from "../errors.ts";

/** Longest socket path that every platform takes (macOS: 104 bytes with the final zero). */
const SOCKET_PATH_MAX = 100;
/** An answer is a few kilobytes; more is not ours. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** A running node answers within one turn. */
const ANSWER_TIMEOUT_MS = 2_000;

/** The socket of the node with this data directory: inside it, or by a name derived from it where that path is too long. */
export function adminSocketOf(dataDir: string): string {
  const path = join(resolve(dataDir), "admin.sock");
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return path;
  return join(tmpdir(), `byzantine-quic-${createHash("sha256").update(path).digest("hex").slice(0, 24)}.sock`);
}

/** Answers GET requests with what `routes` return, as JSON. */
export class AdminEndpoint implements AsyncDisposable {
  readonly #server: Server;
  readonly #path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** @throws Error where the socket cannot be made. */
  static async open(path: string, routes: Readonly<Record<string, () => Promise<unknown>>>): Promise<AdminEndpoint> {
    await rm(path, { force: true });
    const server = createServer((incoming, response) => {
      const route = incoming.method === "GET" ? routes[incoming.url ?? ""] : undefined;
      if (route === undefined) return answer(response, 404, { error: `no such resource: ${incoming.url}` });
      route().then(
        (value) => answer(response, 200, value),
        (error: unknown) => answer(response, 503, { error: error instanceof Error ? error.message : String(error) }),
      );
    });
    await new Promise<void>((done, failed) => server.once("error", failed).listen(path, done));
    await chmod(path, 0o600);
    return new AdminEndpoint(server, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((done) => this.#server.close(() => done()));
    await rm(this.#path, { force: true });
  }
}

/**
 * Asks a node.
 * @returns What it answered, parsed.
 * @throws ByzantineError `CLOSED` where no node listens, `TIMEOUT` where none answers.
 */
export async function askAdmin(path: string, resource: string): Promise<unknown> {
  return new Promise((done, failed) => {
    const asked = request({ socketPath: path, path: resource, timeout: ANSWER_TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) response.destroy(new Error("answer too large"));
        else chunks.push(chunk);
      });
      response.once("error", failed);
      response.once("end", () => {
        try {
          done(JSON.parse(Buffer.concat(chunks).toString("utf8")));
        } catch (error) {
          failed(error as Error);
        }
      });
    });
    asked.once("timeout", () => asked.destroy(new ByzantineError("TIMEOUT", "the node does not answer")));
    asked.once("error", (error: NodeJS.ErrnoException) => {
      const absent = error.code === "ENOENT" || error.code === "ECONNREFUSED";
      failed(absent ? new ByzantineError("CLOSED", "no node is running here", { path }, error) : error);
    });
    asked.end();
  });
}

function answer(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
