import test from "ava";
import { Counters, Durations, Rate } from "../../dist/observability/metrics.js";

test("durations of nothing are zero", (t) => {
  t.deepEqual(new Durations().percentiles(), { p50: 0, p95: 0, p99: 0 });
});

test("percentiles are those of what was recorded, to three figures", (t) => {
  const durations = new Durations();
  for (let ms = 1; ms <= 1_000; ms++) durations.recordMs(ms);
  const { p50, p95, p99 } = durations.percentiles();
  for (const [got, expected] of [
    [p50, 500],
    [p95, 950],
    [p99, 990],
  ] as const) {
    t.true(Math.abs(got - expected) <= expected / 500, `${got} for ${expected}`);
  }
});

test("durations outside of the range count at its ends", (t) => {
  const durations = new Durations();
  durations.recordMs(0);
  t.is(durations.percentiles().p50, 0.001);
  for (let i = 0; i < 3; i++) durations.recordMs(3_600_000);
  const { p50 } = durations.percentiles();
  t.true(Math.abs(p50 - 60_000) <= 120, `${p50}`);
});

test("a rate is over the time that has passed, at least a second and at most ten", (t) => {
  const rate = new Rate();
  t.is(rate.perSecond(0), 0);
  rate.add(30, 100);
  t.is(rate.perSecond(200), 30);
  rate.add(30, 2_100);
  t.is(rate.perSecond(3_000), 20);
  t.is(rate.perSecond(9_900), 60 / 9.9);
  t.is(rate.perSecond(11_500), 3, "what is older than ten seconds is gone");
  t.is(rate.perSecond(60_000), 0);
});

test("counts add up by name, and a snapshot stays as it was", (t) => {
  const counters = new Counters();
  counters.add("a");
  const before = counters.snapshot();
  counters.add("a", 2);
  counters.add("__proto__", 5);
  t.deepEqual(before, { a: 1 });
  const after = counters.snapshot();
  t.is(after["a"], 3);
  t.is(Object.getOwnPropertyDescriptor(after, "__proto__")?.value, 5);
});
