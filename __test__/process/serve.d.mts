import type { Answerer } from "./questions.ts";

export declare function serve<Plan>(start: (plan: Plan) => Answerer | Promise<Answerer>): Promise<void>;
