import { spawn } from "node:child_process";
import { getEventListeners, once } from "node:events";
import test, { type ExecutionContext } from "ava";
import { ByzantineClient } from "../../dist/client/client.js";
import { ByzantineError } from "../../dist/errors.js";
import { bytes, text } from "./rig.ts";
import { Stage } from "./stage.ts";

async function set(t: ExecutionContext): Promise<{ stage: Stage; client: ByzantineClient }> {
  const stage = new Stage();
  t.teardown(() => stage.close());
  const client = await ByzantineClient.connect({ cluster: stage.cluster, key: stage.clientKey });
  t.teardown(() => client.close());
  return { stage, client };
}

function nextArrival(stage: Stage): Promise<void> {
  const before = stage.arrivals.length;
  return stage.until(() => stage.arrivals.length > before);
}

async function refused(t: ExecutionContext, promise: Promise<unknown>): Promise<ByzantineError> {
  return (await t.throwsAsync(promise, { instanceOf: ByzantineError }))!;
}

test("a submitted operation resolves with the result that the replicas executed", async (t) => {
  const { client } = await set(t);
  t.is(text(await client.submit(bytes("5"))), "5");
  t.is(text(await client.submit(bytes("-2"))), "3");
  t.like(client.statistics(), { submitted: 2, resolved: 2, pending: 0, session: 1, primary: "replica-0" });
});

test("operations of one turn of the event loop share a bundle, also those that results make", async (t) => {
  const { stage, client } = await set(t);
  await client.submit(bytes("0"));
  const before = client.statistics().bundles;
  const operation = bytes("1");
  const twice = Array.from({ length: 100 }, async () => {
    await client.submit(operation);
    return text(await client.submit(operation));
  });
  operation.set(bytes("0"));
  const results = await Promise.all(twice);
  t.is(client.statistics().bundles - before, 2);
  t.is(
    Math.max(...results.map(Number)),
    100,
    "the first round was copied before its buffer changed, the second was read after",
  );
  t.true(stage.arrivals.length >= 3);
});

test("submitAll gives the results in order", async (t) => {
  const { client } = await set(t);
  const results = await client.submitAll(["1", "2", "3"].map(bytes));
  t.deepEqual(results.map(text), ["1", "3", "6"]);
  t.is((await refused(t, client.submitAll(["1", "refuse", "fail"].map(bytes)))).code, "OPERATION_REFUSED");
  t.deepEqual(await client.submitAll([]), []);
});

test("B4: a lying primary is outvoted", async (t) => {
  const { stage, client } = await set(t);
  stage.manners[0] = "lying";
  t.is(text(await client.submit(bytes("7"))), "7");
  t.is(client.statistics().retries, 0, "nobody waits for the liar");
});

test("after a silent primary the others are asked", async (t) => {
  const { stage, client } = await set(t);
  stage.manners[0] = "silent";
  t.is(text(await client.submit(bytes("7"))), "7");
  t.true(client.statistics().retries >= 1);
});

test("what the state machine refuses or fails at is a typed error, and was not executed", async (t) => {
  const { client } = await set(t);
  const refusal = await refused(t, client.submit(bytes("refuse")));
  t.like(refusal, { code: "OPERATION_REFUSED", executed: "no" });
  t.is(refusal.data["code"], "TOO_MUCH");
  t.like(await refused(t, client.submit(bytes("fail"))), { code: "OPERATION_FAILED", executed: "no" });
});

test("an abort before the sending says not executed, after it unknown, and leaves no listener", async (t) => {
  const { stage, client } = await set(t);
  await client.submit(bytes("0"));
  stage.manners.fill("silent");
  const controller = new AbortController();
  const { signal } = controller;
  const arrived = nextArrival(stage);
  const left = client.submit(bytes("1"), { signal });
  await arrived;
  const waiting = client.submit(bytes("1"), { signal });
  controller.abort(new Error("enough"));
  const error = await refused(t, left);
  t.like(error, { code: "ABORTED", executed: "unknown" });
  t.is((error.cause as Error).message, "enough");
  t.is((await refused(t, waiting)).executed, "no");
  t.is((await refused(t, client.submit(bytes("1"), { signal }))).executed, "no");
  t.is(getEventListeners(signal, "abort").length, 0);
});

test("an operation without an answer in time may have been executed", async (t) => {
  const { stage, client } = await set(t);
  await client.submit(bytes("0"));
  stage.manners.fill("silent");
  const arrived = nextArrival(stage);
  t.like(await refused(t, client.submit(bytes("1"), { timeoutMs: 50 })), { code: "TIMEOUT", executed: "unknown" });
  await arrived;
  const abandoned = Buffer.from(stage.arrivals.at(-1)!.payload);
  const heard = stage.arrivals.length;
  stage.manners.fill("honest");
  t.is(text(await client.submit(bytes("0"))).length, 1, "others do not wait for it");
  await stage.until(() => stage.arrivals.slice(heard).some(({ payload }) => abandoned.equals(payload)));
  t.is(text(await client.submit(bytes("0"))), "1", "it was: the same bytes are sent until its sequence is settled");
});

test("bad arguments are named", async (t) => {
  const { client } = await set(t);
  t.is((await refused(t, client.submit("5" as never))).data["field"], "operation");
  t.is((await refused(t, client.submit(bytes("5"), { timeoutMs: 0 }))).data["field"], "timeoutMs");
  t.is((await refused(t, client.submit(new Uint8Array(300 * 1024)))).code, "INVALID_ARGUMENT");
  t.is(client.statistics().pending, 0);
});

test("close is idempotent, rejects what is pending, and ends the client", async (t) => {
  const { stage, client } = await set(t);
  await client.submit(bytes("0"));
  stage.manners.fill("silent");
  const arrived = nextArrival(stage);
  const pending = client.submit(bytes("1"));
  await arrived;
  const rejected = refused(t, pending);
  await Promise.all([client.close(), client[Symbol.asyncDispose]()]);
  t.like(await rejected, { code: "CLOSED", executed: "unknown" });
  t.like(await refused(t, client.submit(bytes("1"))), { code: "CLOSED", executed: "no" });
});

test("replicas that come back are found again, and what waits for them resolves", async (t) => {
  const { stage, client } = await set(t);
  await client.submit(bytes("1"));
  await Promise.all([0, 1, 2, 3].map((replica) => stage.stop(replica)));
  const waiting = client.submit(bytes("2"));
  for (const replica of [0, 1, 2, 3]) stage.restart(replica);
  t.is(text(await waiting), "3");
});

test("connect gives up after its time and says who was reached", async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  const { cluster } = stage;
  for (const replica of [0, 1]) await stage.stop(replica);
  const connecting = ByzantineClient.connect({ cluster, key: stage.clientKey, connectTimeoutMs: 500 });
  const error = await refused(t, connecting);
  t.like(error, { code: "TIMEOUT", executed: "no" });
  const connected = error.data["connected"] as readonly string[];
  t.true(
    connected.every((nodeId) => nodeId === "replica-2" || nodeId === "replica-3"),
    `${connected}`,
  );
});

test("connect can be aborted", async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  for (const replica of [0, 1]) await stage.stop(replica);
  const signal = AbortSignal.timeout(50);
  t.is(
    (await refused(t, ByzantineClient.connect({ cluster: stage.cluster, key: stage.clientKey, signal }))).code,
    "ABORTED",
  );
  t.is(getEventListeners(signal, "abort").length, 0);
});

const program = `
import { ByzantineClient } from ${JSON.stringify(new URL("../../dist/client/index.js", import.meta.url).href)};
const client = await ByzantineClient.connect(JSON.parse(process.argv[1]));
console.log(new TextDecoder().decode(await client.submit(new TextEncoder().encode("4"))));
if (process.argv[2] === "close") await client.close();
`;

for (const ending of ["close", "leave"] as const) {
  test(`a process ends by itself ${ending === "close" ? "after close" : "when no operation waits, without close"}`, async (t) => {
    const stage = new Stage();
    t.teardown(() => stage.close());
    const options = JSON.stringify({ cluster: stage.cluster, key: stage.clientKey });
    const child = spawn(process.execPath, ["--input-type=module", "-e", program, options, ending], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.teardown(() => child.kill("SIGKILL"));
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, "close")) as [number | null];
    t.is(code, 0);
    t.is(output, "4\n");
  });
}
