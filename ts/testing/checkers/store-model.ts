import type { Model } from "./linearizability.ts";

/** What the simulator's store must return, from its description and not from its code. */
export class StoreModel implements Model {
  private readonly values = new Map<string, string>();

  apply(_client: string, operation: string): { readonly status: string; readonly result: string } {
    const [, kind, key = "", argument = ""] = operation.split(" ");
    const value = this.values.get(key) ?? "";
    if (kind === "get") return { status: "ok", result: value };
    if (kind === "refuse") return { status: "refused", result: "REFUSED" };
    if (kind === "fail") return { status: "failed", result: "" };
    if (kind === "append" && value.length >= 200) return { status: "refused", result: "FULL" };
    if (kind === "put") this.values.set(key, argument);
    if (kind === "append") this.values.set(key, value + argument);
    if (kind === "add") this.values.set(key, `${(value === "" ? 0 : +value) + +argument}`);
    return { status: "ok", result: kind === "put" ? value : (this.values.get(key) ?? "") };
  }
}
