import test, { type ExecutionContext } from "ava";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AdminEndpoint, adminSocketOf, askAdmin } from "../../dist/observability/admin-endpoint.js";

async function socket(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "byzantine-admin-"));
  t.teardown(async () => rm(directory, { recursive: true, force: true }));
  return adminSocketOf(directory);
}

async function opened(t: ExecutionContext, path: string): Promise<AdminEndpoint> {
  const endpoint = await AdminEndpoint.open(path, {
    "/status": async () => ({ view: 7 }),
    "/broken": async () => Promise.reject(new Error("not now")),
  });
  t.teardown(async () => endpoint[Symbol.asyncDispose]().catch(() => undefined));
  return endpoint;
}

test("a route answers, an unknown one and a failing one say so", async (t) => {
  const path = await socket(t);
  await opened(t, path);
  t.deepEqual(await askAdmin(path, "/status"), { view: 7 });
  t.deepEqual(await askAdmin(path, "/broken"), { error: "not now" });
  t.regex(JSON.stringify(await askAdmin(path, "/constructor")), /no such resource/);
});

test("only its owner may open the socket", async (t) => {
  const path = await socket(t);
  await opened(t, path);
  t.is((await stat(path)).mode & 0o777, 0o600);
});

test("where no node listens the answer is CLOSED, before and after", async (t) => {
  const path = await socket(t);
  await t.throwsAsync(askAdmin(path, "/status"), { code: "CLOSED" });
  const endpoint = await opened(t, path);
  await endpoint[Symbol.asyncDispose]();
  await t.throwsAsync(askAdmin(path, "/status"), { code: "CLOSED" });
});

test("what a killed node left behind is replaced", async (t) => {
  const path = await socket(t);
  await writeFile(path, "");
  await opened(t, path);
  t.deepEqual(await askAdmin(path, "/status"), { view: 7 });
});

test("a node that takes the question and stays silent is a TIMEOUT", async (t) => {
  const path = await socket(t);
  const silent = createServer((connection) => t.teardown(() => connection.destroy()));
  await new Promise<void>((resolve) => silent.listen(path, resolve));
  t.teardown(() => silent.close());
  await t.throwsAsync(askAdmin(path, "/status"), { code: "TIMEOUT" });
});

test("a path that no platform takes is replaced by a short one that depends on it", (t) => {
  const long = (name: string): string => join("/", "directory".repeat(20), name);
  t.is(adminSocketOf("/data"), "/data/admin.sock");
  t.true(Buffer.byteLength(adminSocketOf(long("a"))) <= 100);
  t.is(adminSocketOf(long("a")), adminSocketOf(long("a")));
  t.not(adminSocketOf(long("a")), adminSocketOf(long("b")));
});
