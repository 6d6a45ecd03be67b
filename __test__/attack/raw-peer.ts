/** Runs `crates/transport/examples/raw_peer.rs`: a QUIC peer below the transport, which shows what key and writes what bytes it likes. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Writer } from "../../dist/codec/bytes.js";
import { helloFields } from "../../dist/codec/hello.js";
import { lanes, MessageType, type Lane } from "../../dist/codec/messages.js";
import { MessageCrypto, type ClusterConfig } from "../../dist/index.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ALPN = "byzantine-quic-replica/1";
const VERSION = 1;
const REPLICA = 0;

const run = promisify(execFile);

/** The program's path: as `npm test` has built it, otherwise it is built now. */
export async function buildRawPeer(): Promise<string> {
  const built = process.env["BYZANTINE_RAW_PEER"];
  if (built !== undefined) return built;
  const build = ["build", "--quiet", "--locked", "--message-format=json", "-p", "byzantine-transport"];
  const { stdout } = await run("cargo", [...build, "--example", "raw_peer"], {
    cwd: ROOT,
    maxBuffer: 64 * 1024 * 1024,
  });
  const artifacts = stdout.split("\n").filter((line) => line.startsWith("{"));
  const executables = artifacts.map((line) => (JSON.parse(line) as { executable?: string | null }).executable);
  const program = executables.find((path) => path?.includes("raw_peer"));
  if (typeof program !== "string") throw new Error("cargo did not build raw_peer");
  return program;
}

export interface RawPeer {
  readonly program: string;
  /** Port of the replica that is dialled. */
  readonly port: number;
  /** Public key that is shown, 64 hexadecimal digits. */
  readonly shown: string;
  /** Private key that signs the handshake, PKCS#8 PEM. */
  readonly key: string;
  readonly streams?: readonly { readonly lane: Lane; readonly bytes: Uint8Array }[];
}

/** Dials a replica as a replica and resolves with how the connection ended. */
export async function dialRaw({ program, port, shown, key, streams = [] }: RawPeer): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "byzantine-raw-"));
  try {
    const secret = join(directory, "key.pem");
    await writeFile(secret, key, { mode: 0o600 });
    const written = streams.map(({ lane, bytes }) => `${lanes.indexOf(lane)}:${Buffer.from(bytes).toString("hex")}`);
    const { stdout } = await run(program, [`127.0.0.1:${port}`, ALPN, shown, secret, ...written]);
    return stdout.trim();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A frame as it stands on a lane; `length` is what it claims, which is the truth unless given. */
export function frame(type: number, payload: Uint8Array, length = payload.length + 1): Uint8Array {
  const writer = new Writer();
  writer.u32(length);
  writer.u8(type);
  writer.raw(payload);
  return writer.copy();
}

/** The first frame of a replica of this cluster. */
export function hello(cluster: ClusterConfig): Uint8Array {
  const fields = helloFields(cluster, (bytes) => MessageCrypto.sha256(bytes));
  const writer = new Writer();
  writer.u8(REPLICA);
  writer.u16(VERSION);
  writer.u8(fields.length);
  for (const { name, digest } of fields) {
    writer.u8(name.length);
    writer.raw(Buffer.from(name, "ascii"));
    writer.raw(digest);
  }
  return frame(MessageType.hello, writer.copy());
}
