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
