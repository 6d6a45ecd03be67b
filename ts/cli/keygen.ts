/** `byzantine-quic keygen`: makes the key that a replica or client is known by. */
import { ExitCode, onePositional } from "./command.ts";
import type { Arguments, Command, Io } from "./command.ts";
import { createKeyFile, publicKeyOfFile } from "./keys.ts";

/** Writes a private key and prints its public key; or prints the public key of one that is there. */
export const keygen: Command = {
  name: "keygen",
  summary: "make an Ed25519 key, or print the public key of one",
  help: `Usage: byzantine-quic keygen <file>
       byzantine-quic keygen --public <file>

Writes a new private key (PKCS#8 PEM, mode 0600) to <file>, which must not exist, and prints
the public key: 64 hexadecimal digits, as "publicKey" in cluster.json has them.

Options
  --public    make nothing; print the public key of the private key in <file>
  --json      print {"file", "publicKey"}
  -h, --help  this text`,
  options: { public: { type: "boolean" } },
  async run(args: Arguments, io: Io): Promise<ExitCode> {
    const file = onePositional(args, "the file of the key");
    const publicKey = args.options["public"] === true ? await publicKeyOfFile(file) : await createKeyFile(file);
    io.out(io.json ? JSON.stringify({ file, publicKey }) : publicKey);
    return ExitCode.ok;
  },
};
