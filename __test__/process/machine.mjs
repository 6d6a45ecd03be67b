/** The state machine of the process tests: a module for nodes, an object for tests. Plain JavaScript, as threads load it. */
import { defineStateMachine, OperationError } from "../../dist/index.js";

export const totals = defineStateMachine({
  name: "totals",
  operations: {
    add(state, args) {
      const total = (state.get("total") ?? 0) + args.amount;
      state.set("total", total);
      return total;
    },
    /** Keeps `bytes` and returns as many bytes as are asked for, all of one value. */
    keep(state, args) {
      state.set(args.key, args.bytes);
      return new Uint8Array(args.answerBytes).fill(args.answer);
    },
    /** Keeps `count` values of `bytes` bytes each, numbered from `first`; all differ. */
    fill(state, args) {
      for (let n = args.first; n < args.first + args.count; n++) {
        const value = new Uint8Array(args.bytes);
        for (let at = 0, next = n + 1; at < value.length; at++) {
          next = (Math.imul(next, 1_664_525) + 1_013_904_223) >>> 0;
          value[at] = next >>> 24;
        }
        state.set(`entry ${n}`, value);
      }
      return args.first + args.count;
    },
    /** Writes, then refuses: what it wrote must not stay. */
    refuse(state) {
      state.set("total", -1);
      throw new OperationError("NOT_TODAY");
    },
    /** Writes, then breaks. */
    fail(state) {
      state.set("total", -2);
      throw new Error("broken");
    },
  },
  queries: {
    total: (state) => state.get("total") ?? 0,
  },
});

export default totals;
