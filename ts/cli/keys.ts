/** Private keys in files: PKCS#8 PEM (RFC 8410), readable by their owner alone, never overwritten. */
import { readFile, writeFile } from "node:fs/promises";
import { ByzantineError } from "../errors.ts";
import { generateKey, publicKeyOf } from "../native/native.ts";

/** Only the owner may read or write. */
export const KEY_FILE_MODE = 0o600;

/**
 * Makes a key and writes it to a new file with mode 0600.
 * @returns The public key, 64 lower-case hexadecimal digits.
 * @throws ByzantineError `INVALID_ARGUMENT` where the file exists.
 */
export async function createKeyFile(path: string): Promise<string> {
  const pem = generateKey();
  try {
    await writeFile(path, pem, { mode: KEY_FILE_MODE, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    const data = { field: "file", accepted: "a path where nothing is yet", got: path };
    throw new ByzantineError("INVALID_ARGUMENT", `${path} exists; keys are never overwritten`, data, error);
  }
  return publicKeyOf(pem);
}

/**
 * The public key of a key file, 64 lower-case hexadecimal digits.
 * @throws ByzantineError `INVALID_KEY` where the file holds no Ed25519 private key.
 */
export async function publicKeyOfFile(path: string): Promise<string> {
  return publicKeyOf(await readFile(path, "utf8"));
}
