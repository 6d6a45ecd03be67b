/** What the core may rely on in a body store, asked of the native one and of the simulator's alike. */
import test from "ava";
import { forms } from "./body-stores.ts";

for (const { name, make } of forms) {
  test(`${name} body store: a body is handed over once, and again only after its release`, (t) => {
    const store = make();
    store.room(10);
    t.true(store.put(1));
    t.deepEqual(store.requests(), ["1 from client"]);
    t.false(store.put(1, 2));
    t.deepEqual(store.requests(), []);
    t.true(store.holds(1));
    store.release(1);
    t.false(store.holds(1));
    t.true(store.put(1, 2));
    t.deepEqual(store.requests(), ["1 from 2"]);
  });

  test(`${name} body store: bundles wait for room and keep their order`, (t) => {
    const store = make();
    for (const bundle of [1, 2, 3]) t.true(store.put(bundle));
    t.deepEqual(store.requests(), []);
    store.room(2);
    t.deepEqual(store.requests(), ["1 from client", "2 from client"]);
    t.deepEqual(store.requests(), []);
    store.room(2);
    t.deepEqual(store.requests(), ["3 from client"]);
  });

  test(`${name} body store: a bundle that is longer than the room waits`, (t) => {
    const store = make();
    store.put(1, undefined, 500);
    store.room(5, 400);
    t.deepEqual(store.requests(), []);
    store.room(5, 4000);
    t.deepEqual(store.requests(), ["1 from client"]);
  });

  test(`${name} body store: replicas and clients take turns in the room`, (t) => {
    const store = make();
    for (const bundle of [1, 2]) store.put(bundle);
    for (const bundle of [3, 4]) store.put(bundle, 2);
    store.room(3);
    t.deepEqual(store.requests(), ["3 from 2", "1 from client", "4 from 2"]);
  });

  test(`${name} body store: what is pinned needs no room, whether it is here or comes later`, (t) => {
    const store = make();
    store.put(1);
    store.put(2, 1);
    store.pin(2);
    t.deepEqual(store.requests(), ["2 from 1"]);
    store.pin(3);
    t.true(store.put(3, 0));
    t.deepEqual(store.requests(), ["3 from 0"]);
  });

  test(`${name} body store: a body that waits is held, and released before it was handed over it never is`, (t) => {
    const store = make();
    store.put(1);
    t.true(store.holds(1));
    store.release(1);
    store.room(5);
    t.deepEqual(store.requests(), []);
  });
}
