import test from "ava";
import { resolveClientFile, resolveNodeOptions } from "../../dist/codec/nodeOptions.js";
import { refusal } from "./configurations.ts";

const nodeFile = {
  formatVersion: 1,
  nodeId: "node-0",
  cluster: "../cluster.json",
  keyFile: "key.pem",
  dataDir: "data",
};

test("a node's file has its documented defaults", (t) => {
  t.deepEqual(resolveNodeOptions(nodeFile), {
    ...nodeFile,
    formatVersion: 1,
    listen: undefined,
    durability: "fsync",
    execution: "inline",
    debug: false,
    flightRecorder: false,
  });
  const listen = { host: "::", port: 0 };
  t.deepEqual(resolveNodeOptions({ ...nodeFile, listen }).listen, listen);
});

const wrongNodes: readonly { change: Record<string, unknown>; field: string }[] = [
  { change: { formatVersion: "1" }, field: "formatVersion" },
  { change: { nodeId: "" }, field: "nodeId" },
  { change: { cluster: "" }, field: "cluster" },
  { change: { keyFile: 3 }, field: "keyFile" },
  { change: { dataDir: undefined }, field: "dataDir" },
  { change: { dataDir: "a\0b" }, field: "dataDir" },
  { change: { listen: { host: "::" } }, field: "listen.port" },
  { change: { listen: { host: "::", port: 65_536 } }, field: "listen.port" },
  { change: { listen: { host: "", port: 1 } }, field: "listen.host" },
  { change: { durability: "maybe" }, field: "durability" },
  { change: { execution: "remote" }, field: "execution" },
  { change: { debug: "yes" }, field: "debug" },
  { change: { flightRecorder: 1 }, field: "flightRecorder" },
  { change: { color: "red" }, field: "color" },
];

for (const { change, field } of wrongNodes) {
  test(`a node's file with ${JSON.stringify(change)} is refused at ${field}`, (t) => {
    t.is(refusal(() => resolveNodeOptions({ ...nodeFile, ...change })).field, field);
  });
}

test("a client's file names its cluster and its key", (t) => {
  const file = { formatVersion: 1, cluster: "../cluster.json", keyFile: "key.pem" } as const;
  t.deepEqual(resolveClientFile(file), file);
  t.is(refusal(() => resolveClientFile({ ...file, keyFile: undefined })).field, "keyFile");
  t.is(refusal(() => resolveClientFile({ ...file, nodeId: "a" })).field, "nodeId");
});
