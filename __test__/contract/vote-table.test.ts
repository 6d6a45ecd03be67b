/** What the core may rely on in a vote table, asked of the native one and of the simulator's alike. */
import test from "ava";
import type { Digest } from "../../dist/protocol/types.js";
import { digest, forms, type Settled, type VoteTableForm } from "./vote-tables.ts";

const A = digest("A");
const B = digest("B");

interface Case {
  readonly name: string;
  /** Ends with what the last turn handed up. */
  readonly given: (table: VoteTableForm) => Settled;
  readonly votes?: readonly string[];
  readonly conflicts?: readonly string[];
}

/** A table with the window 0…8 in view 0; replica 0 is primary and we are replica 3. */
const cases: readonly Case[] = [
  {
    name: "a PREPARE is handed up from f on, with those that came before",
    given: (table) => {
      table.prepare(1, { sequence: 1, digest: A });
      table.settle();
      table.prepare(2, { sequence: 1, digest: A });
      return table.settle();
    },
    votes: ["prepare 0/1 A {1,2}"],
  },
  {
    name: "COMMITs are handed up when ours completes the quorum",
    given: (table) => {
      table.commit(0, { sequence: 1, digest: A });
      const before = table.settle();
      if (before.votes.length > 0) return before;
      table.commit(1, { sequence: 1, digest: A });
      return table.settle();
    },
    votes: ["commit 0/1 A {0,1}"],
  },
  {
    name: "COMMITs beyond a quorum are not handed up",
    given: (table) => {
      for (const from of [0, 1, 2]) table.commit(from, { sequence: 1, digest: A });
      table.settle();
      table.commit(2, { sequence: 1, digest: A });
      return table.settle();
    },
    votes: [],
  },
  {
    name: "a vote that comes twice counts once",
    given: (table) => {
      for (let times = 0; times < 3; times++) table.commit(1, { sequence: 1, digest: A });
      table.commit(2, { sequence: 1, digest: A });
      return table.settle();
    },
    votes: ["commit 0/1 A {1,2}"],
  },
  {
    name: "equal digests count together, different ones apart",
    given: (table) => {
      table.prepare(1, { sequence: 1, digest: A });
      table.prepare(2, { sequence: 1, digest: B });
      return table.settle();
    },
    votes: ["prepare 0/1 A {1}", "prepare 0/1 B {2}"],
  },
  {
    name: "the first of two signed PREPAREs stays and the second is evidence",
    given: (table) => {
      table.prepare(1, { sequence: 1, digest: A });
      table.settle();
      table.prepare(1, { sequence: 1, digest: B });
      return table.settle();
    },
    votes: [],
    conflicts: ["prepare by 1"],
  },
  {
    name: "the first of two COMMITs stays, and unsigned words are no evidence",
    given: (table) => {
      table.commit(1, { sequence: 1, digest: A });
      table.commit(1, { sequence: 1, digest: B });
      table.commit(2, { sequence: 1, digest: B });
      table.commit(0, { sequence: 1, digest: B });
      return table.settle();
    },
    votes: ["commit 0/1 B {0,2}"],
    conflicts: [],
  },
  {
    name: "a PREPARE signed by another replica does not count, and is no evidence against anybody",
    given: (table) => {
      table.prepare(1, { sequence: 1, digest: A, signedBy: 2 });
      table.settle();
      table.prepare(2, { sequence: 1, digest: A });
      return table.settle();
    },
    votes: ["prepare 0/1 A {2}"],
    conflicts: [],
  },
  {
    name: "a badly signed PREPARE does not keep its sender's true one out",
    given: (table) => {
      table.prepare(1, { sequence: 1, digest: A, signedBy: 2 });
      table.settle();
      table.prepare(1, { sequence: 1, digest: B });
      return table.settle();
    },
    votes: ["prepare 0/1 B {1}"],
  },
  {
    name: "the primary's PREPARE does not count, since its PRE-PREPARE does",
    given: (table) => {
      table.prepare(0, { sequence: 1, digest: A });
      return table.settle();
    },
    votes: [],
  },
  {
    name: "votes outside of the window are dropped",
    given: (table) => {
      table.window(2, 4, 0);
      for (const sequence of [2, 5]) table.prepare(1, { sequence, digest: A });
      for (const sequence of [3, 4]) table.prepare(1, { sequence, digest: A });
      return table.settle();
    },
    votes: ["prepare 0/3 A {1}", "prepare 0/4 A {1}"],
  },
  {
    name: "votes of this view and the next are kept, others dropped",
    given: (table) => {
      table.window(0, 8, 4);
      for (const view of [3, 4, 5, 6]) table.prepare(2, { view, sequence: 1, digest: A });
      return table.settle();
    },
    votes: ["prepare 4/1 A {2}", "prepare 5/1 A {2}"],
  },
  {
    name: "while views change, votes of the pending view and the one above are kept too",
    given: (table) => {
      table.window(0, 8, 0, 5);
      for (const view of [0, 1, 4, 5, 7]) table.prepare(2, { view, sequence: 1, digest: A });
      for (const view of [5, 6]) table.commit(2, { view, sequence: 1, digest: A });
      for (const view of [5, 6]) table.commit(1, { view, sequence: 1, digest: A });
      return table.settle();
    },
    votes: ["commit 5/1 A {1,2}", "commit 6/1 A {1,2}", "prepare 0/1 A {2}", "prepare 1/1 A {2}", "prepare 5/1 A {2}"],
  },
  {
    name: "moving the window frees what falls below",
    given: (table) => {
      table.prepare(1, { sequence: 1, digest: A });
      table.window(1, 9, 0);
      table.window(0, 8, 0);
      table.prepare(1, { sequence: 1, digest: B });
      return table.settle();
    },
    votes: ["prepare 0/1 B {1}"],
    conflicts: [],
  },
  {
    name: "a second proposal for one place is evidence against the primary",
    given: (table) => {
      table.propose({ sequence: 1, digest: A });
      table.propose({ sequence: 1, digest: A });
      table.propose({ sequence: 1, digest: B });
      return table.settle();
    },
    conflicts: ["prePrepare by 0"],
  },
  {
    name: "two CHECKPOINTs of one signer for one sequence are evidence",
    given: (table) => {
      table.checkpoint(2, { sequence: 4, digest: A });
      table.checkpoint(2, { sequence: 6, digest: B });
      table.checkpoint(2, { sequence: 4, digest: B });
      return table.settle();
    },
    conflicts: ["checkpoint by 2"],
  },
  {
    name: "what was collected for a view before it was installed is handed up again",
    given: (table) => {
      for (const from of [0, 2]) table.prepare(from, { view: 1, sequence: 1, digest: A });
      for (const from of [0, 1]) table.commit(from, { view: 1, sequence: 1, digest: A });
      table.settle();
      table.window(0, 8, 0, 1);
      table.settle();
      table.window(0, 8, 1);
      return table.settle();
    },
    votes: ["commit 1/1 A {0,1}", "prepare 1/1 A {0,2}"],
  },
  {
    name: "the proposals of a NEW-VIEW stand against what its primary proposed before",
    given: (table) => {
      table.propose({ view: 1, sequence: 1, digest: B });
      table.window(0, 8, 1);
      table.newView(1, 1, [A, A]);
      table.newView(1, 1, [A, A]);
      return table.settle();
    },
    conflicts: ["prePrepare by 1"],
  },
  {
    name: "the stable certificate of a VIEW-CHANGE holds CHECKPOINTs of its signers",
    given: (table) => {
      table.checkpoint(2, { sequence: 4, digest: B });
      table.carry(digest("message"), { sequence: 4, digest: A }, [0, 1, 2]);
      return table.settle();
    },
    conflicts: ["checkpoint by 2"],
  },
];

/** Replicas 0, 1 and we prepare `name` at 1 in a view whose primary is among them. */
function prepare(table: VoteTableForm, view: number, named: Digest): void {
  table.propose({ view, sequence: 1, digest: named });
  table.own({ view, sequence: 1, digest: named });
  for (const from of [0, 1].filter((replica) => replica !== view))
    table.prepare(from, { view, sequence: 1, digest: named });
  table.settle();
}

for (const form of forms) {
  const make = (): VoteTableForm => {
    const table = form.make();
    table.window(0, 8, 0);
    return table;
  };

  for (const { name, given, votes, conflicts } of cases) {
    test(`${form.name} vote table: ${name}`, (t) => {
      const settled = given(make());
      if (votes !== undefined) t.deepEqual(settled.votes, votes);
      if (conflicts !== undefined) t.deepEqual(settled.conflicts, conflicts);
    });
  }

  test(`${form.name} vote table: a certificate is the proposal and the verified PREPAREs of its digest`, (t) => {
    const table = make();
    table.propose({ sequence: 1, digest: A });
    table.prepare(1, { sequence: 1, digest: A });
    table.prepare(2, { sequence: 1, digest: B });
    table.settle();
    t.deepEqual(table.certificate({ sequence: 1, digest: A }), [0, 1]);
    t.deepEqual(table.certificate({ sequence: 2, digest: A }), []);
  });

  test(`${form.name} vote table: a contradicting proposal is not let in`, (t) => {
    const table = make();
    t.true(table.propose({ sequence: 1, digest: A }));
    t.false(table.propose({ sequence: 1, digest: B }));
    t.deepEqual(table.certificate({ sequence: 1, digest: B }), []);
  });

  test(`${form.name} vote table: CHECKPOINTs above the window are kept, the sixteen highest of each signer`, (t) => {
    const table = make();
    for (let sequence = 100; sequence < 116; sequence++) t.true(table.checkpoint(1, { sequence, digest: A }));
    t.false(table.checkpoint(1, { sequence: 99, digest: A }));
    t.true(table.checkpoint(1, { sequence: 200, digest: A }));
    t.false(table.checkpoint(1, { sequence: 200, digest: A }));
  });

  test(`${form.name} vote table: of a view that is left the complete certificate stays, the highest per sequence`, (t) => {
    const table = make();
    prepare(table, 0, A);
    table.prepare(1, { sequence: 2, digest: A });
    table.settle();
    table.window(0, 8, 1);
    t.deepEqual(table.certificate({ sequence: 1, digest: A }), [0, 1, 3]);
    t.deepEqual(table.certificate({ sequence: 1, digest: B }), []);
    t.deepEqual(table.certificate({ sequence: 2, digest: A }), []);
    prepare(table, 1, B);
    table.window(0, 8, 2);
    t.deepEqual(table.certificate({ view: 1, sequence: 1, digest: B }), [0, 1, 3]);
    t.deepEqual(table.certificate({ sequence: 1, digest: A }), []);
    table.window(1, 9, 2);
    t.deepEqual(table.certificate({ view: 1, sequence: 1, digest: B }), []);
  });

  test(`${form.name} vote table: a view that is pending is not left`, (t) => {
    const table = make();
    table.window(0, 8, 0, 2);
    prepare(table, 0, A);
    table.prepare(1, { view: 2, sequence: 1, digest: B });
    table.window(0, 8, 2);
    t.deepEqual(table.settle().votes, ["prepare 2/1 B {1}"]);
    t.deepEqual(table.certificate({ sequence: 1, digest: A }), [0, 1, 3]);
  });

  test(`${form.name} vote table: the certificate that the core named stays although a higher one completes unseen`, (t) => {
    const table = make();
    prepare(table, 0, A);
    table.keep({ sequence: 1, digest: A }, [0, 1, 3]);
    table.window(0, 8, 1);
    prepare(table, 1, B);
    table.window(0, 8, 2);
    t.deepEqual(table.certificate({ sequence: 1, digest: A }), [0, 1, 3]);
    t.deepEqual(table.certificate({ view: 1, sequence: 1, digest: B }), [0, 1, 3]);
    table.keep({ view: 1, sequence: 1, digest: B }, [0, 1, 3]);
    t.deepEqual(table.certificate({ sequence: 1, digest: A }), []);
    table.window(1, 9, 2);
    t.deepEqual(table.certificate({ view: 1, sequence: 1, digest: B }), []);
  });

  test(`${form.name} vote table: a NEW-VIEW proposes in its primary's name, in place of live proposals`, (t) => {
    const table = make();
    table.propose({ view: 1, sequence: 2, digest: A });
    table.window(1, 4, 1);
    table.newView(1, 1, [A, B, B, B, B]);
    const held = [1, 2, 3, 4, 5].map((sequence) => table.certificate({ view: 1, sequence, digest: B }));
    t.deepEqual(held, [[], [1], [1], [1], []]);
    t.deepEqual(table.certificate({ view: 1, sequence: 2, digest: A }), []);
    t.false(table.propose({ view: 1, sequence: 3, digest: A }));
  });

  test(`${form.name} vote table: the stable certificate stays until the next one`, (t) => {
    const table = make();
    const stable = { sequence: 4, digest: A };
    for (const from of [0, 1, 2]) table.checkpoint(from, stable);
    table.stable(stable, [0, 1, 2]);
    for (let sequence = 10; sequence < 30; sequence++) {
      for (const from of [0, 1, 2]) table.checkpoint(from, { sequence, digest: A });
    }
    table.endTurn();
    t.deepEqual(table.checkpointCertificate(stable), [0, 1, 2]);
    t.false(table.checkpoint(1, { sequence: 3, digest: A }));
    table.stable({ sequence: 29, digest: A }, [0, 1]);
    t.deepEqual(table.checkpointCertificate(stable), []);
    t.deepEqual(table.checkpointCertificate({ sequence: 29, digest: A }), [0, 1, 2]);
  });

  test(`${form.name} vote table: CHECKPOINTs that were pushed out can be named until the turn ends`, (t) => {
    const table = make();
    for (let sequence = 1; sequence <= 17; sequence++) table.checkpoint(1, { sequence, digest: A });
    t.deepEqual(table.checkpointCertificate({ sequence: 1, digest: A }), [1]);
    table.stable({ sequence: 1, digest: A }, [1]);
    table.endTurn();
    t.deepEqual(table.checkpointCertificate({ sequence: 1, digest: A }), [1]);
    table.checkpoint(1, { sequence: 18, digest: A });
    table.endTurn();
    t.deepEqual(table.checkpointCertificate({ sequence: 2, digest: A }), []);
  });

  test(`${form.name} vote table: a signer that lies does not spoil the certificate of a VIEW-CHANGE that is kept`, (t) => {
    const table = make();
    const message = digest("message");
    table.checkpoint(2, { sequence: 4, digest: B });
    table.carry(message, { sequence: 4, digest: A }, [0, 1, 2]);
    t.deepEqual(table.checkpointCertificate({ sequence: 4, digest: A }), [0, 1, 2]);
    table.drop(message);
    t.deepEqual(table.checkpointCertificate({ sequence: 4, digest: A }), [], "none of it was filed");
  });
}
