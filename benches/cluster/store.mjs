/** The replicated state of the benchmark: operations are values, stored under one of 1,024 keys, and counted. */
const KEYS = 1024;
const counter = new Uint8Array([0]);

export default {
  execute(state, operation) {
    const count = new DataView(new ArrayBuffer(8));
    const stored = state.get(counter);
    const next = (stored === undefined ? 0 : new DataView(stored.buffer, stored.byteOffset).getUint32(0, true)) + 1;
    count.setUint32(0, next, true);
    state.set(counter, new Uint8Array(count.buffer));
    const key = new Uint8Array([1, (next % KEYS) & 0xff, (next % KEYS) >> 8]);
    state.set(key, operation.slice());
    return new Uint8Array(count.buffer);
  },
};
