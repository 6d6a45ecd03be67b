//! What PERSIST keeps, and what it refuses to promise.

use super::builders::SOUND;
use super::scenes::*;
use super::*;
use crate::durable::DurableRecord;
use crate::durable::types::{PREPARED, STABLE, VIEW_ENTERED, VIEW_LEFT};
use crate::messages::{new_view_name, view_change_digest};

const LEASE: DurableRecord<'static> = DurableRecord::Lease {
    view: 0,
    through: 100,
};

fn left(target: u64, message: Digest) -> DurableRecord<'static> {
    DurableRecord::ViewLeft {
        target,
        cause: 0,
        message,
    }
}

#[test]
fn a_record_that_names_what_is_not_held_is_a_fault_and_is_not_stored() {
    let prepared = PreparedBatch::new();
    let (next, other) = (NextView::new(), [[9; 32]]);
    let mut scene = prepared.scene();
    let unheld = Batch {
        time_ms: 7,
        bundles: &other,
    };
    let of = |name, signers, batch| DurableRecord::Prepared {
        name,
        signers,
        batch,
    };
    let name = prepared.name;
    let unheld_name = Name {
        sequence: 6,
        digest: unheld.digest(),
        ..name
    };
    let decided = |batch| DurableRecord::Decided {
        sequence: 6,
        digest: unheld.digest(),
        batch,
    };
    let digest = view_change_digest(&SOUND.payload());
    for (case, record, fault) in [
        ("a body", decided(unheld), Fault::MissingBody),
        (
            "a vote",
            of(name, 0b1111, prepared.batch()),
            Fault::Unresolved(PREPARED),
        ),
        (
            "any vote",
            of(unheld_name, 0b1101, unheld),
            Fault::Unresolved(PREPARED),
        ),
        (
            "another batch",
            decided(prepared.batch()),
            Fault::Unresolved(5),
        ),
        (
            "a checkpoint",
            stable_record(0b0111),
            Fault::Unresolved(STABLE),
        ),
        (
            "a VIEW-CHANGE",
            left(1, digest),
            Fault::Unresolved(VIEW_LEFT),
        ),
        (
            "a NEW-VIEW",
            next.record(2),
            Fault::Unresolved(VIEW_ENTERED),
        ),
        (
            "the VIEW-CHANGEs of a NEW-VIEW",
            next.record(1),
            Fault::Unresolved(VIEW_ENTERED),
        ),
    ] {
        assert_eq!(scene.try_persist(1, record), Err(fault), "{case}");
        assert_eq!(scene.engine.take_records().len(), 0, "{case}");
    }
    scene.persist(1, prepared.record());
    assert_eq!(scene.engine.take_records().len(), 1);
}

#[test]
fn a_view_change_is_recorded_as_ours_and_for_its_view_alone() {
    let next = NextView::new();
    let mut scene = next.scene(2);
    let [_, ours, anothers] = next.digests();
    let fault = Err(Fault::Unresolved(VIEW_LEFT));
    assert_eq!(scene.try_persist(1, left(1, anothers)), fault);
    assert_eq!(scene.try_persist(1, left(2, ours)), fault);
    scene.persist(1, left(1, ours));
}

#[test]
fn a_new_view_is_recorded_as_ours_in_a_view_of_ours_alone() {
    let next = NextView::new();
    let mut scene = next.scene(2);
    let entered = |view| DurableRecord::ViewEntered {
        view,
        new_view: next.unsigned(),
    };
    let fault = Err(Fault::Unresolved(VIEW_ENTERED));
    assert_eq!(
        scene.try_persist(1, entered(1)),
        fault,
        "replica 1 leads it"
    );
    assert_eq!(next.scene(1).try_persist(1, entered(5)), fault);
    let send = Action::Send {
        to: 0b1111,
        message_type: NEW_VIEW,
        payload: next.unsigned(),
    };
    let fault = Fault::Payload(NEW_VIEW, crate::wire::DecodeError::UnknownType);
    assert_eq!(scene.engine.apply(send, &scene.links), Err(fault));
}

#[test]
fn records_are_dense_from_the_last_one_on() {
    let (mut engine, links) = (engine(1), Recorded::default());
    engine.keep_journal(7);
    let mut scene = Scene { engine, links };
    let not_dense = |expected, found| Err(Fault::NotDense { expected, found });
    assert_eq!(scene.try_persist(7, LEASE), not_dense(8, 7));
    scene.persist(8, LEASE);
    assert_eq!(scene.try_persist(8, LEASE), not_dense(9, 8));
    assert_eq!(scene.try_persist(10, LEASE), not_dense(9, 10));
    scene.persist(9, LEASE);
    assert_eq!(scene.engine.take_records().len(), 2);
    assert_eq!(scene.engine.take_records().len(), 0);
}

#[test]
fn without_a_journal_nothing_is_stored_and_all_is_kept_as_with_one() {
    let (next, links) = (NextView::new(), Recorded::default());
    let engine = engine(1);
    let mut scene = Scene { engine, links };
    let batch = Batch {
        time_ms: 7,
        bundles: &[[9; 32]],
    };
    let digest = batch.digest();
    scene.persist(
        40,
        DurableRecord::Decided {
            sequence: 5,
            digest,
            batch,
        },
    );
    scene.persist(3, next.record(1));
    assert_eq!(scene.engine.take_records().len(), 0);
    let held = scene.fetched(3, FetchKind::Batch, &digest).0;
    assert_eq!(held, FETCHED_BATCH);
    let held = scene.fetched(3, FetchKind::NewView, &new_view_name(1));
    assert_eq!(held, (FETCHED_NEW_VIEW, next.payload.to_vec()));
}

#[test]
fn our_new_view_is_withheld_until_its_record_is_durable_and_anothers_is_not() {
    let next = NextView::new();
    let mut scene = next.scene(1);
    scene.persist(1, LEASE);
    scene.persist(2, next.record(1));
    let name = new_view_name(1);
    for durable in [None, Some(1)] {
        if let Some(up_to) = durable {
            scene.engine.persisted(up_to);
        }
        let answer = scene.fetched(3, FetchKind::NewView, &name).0;
        assert_eq!(answer, UNAVAILABLE);
    }
    scene.engine.persisted(2);
    let answer = scene.fetched(3, FetchKind::NewView, &name);
    assert_eq!(answer, (FETCHED_NEW_VIEW, next.payload.to_vec()));

    let mut backup = next.scene(2);
    backup.persist(1, next.record(2));
    let answer = backup.fetched(3, FetchKind::NewView, &name).0;
    assert_eq!(answer, FETCHED_NEW_VIEW);
}

#[test]
fn what_the_disk_did_comes_before_all_other_inputs_and_once() {
    let prepared = PreparedBatch::new();
    let mut scene = prepared.scene();
    let read = Action::ReadBatch {
        sequence: 5,
        batch: prepared.batch(),
    };
    apply(&mut scene.engine, &scene.links, read);
    scene.engine.persisted(3);
    scene.engine.persisted(9);
    scene.engine.disk_failed(2);
    assert!(scene.engine.has_input());
    let turn = records(&mut scene.engine, &scene.links);
    let kinds: Vec<u8> = turn.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [11, 12, InputKind::Batch as u8]);
    assert_eq!(turn[0].1, 9u64.to_le_bytes());
    assert_eq!(turn[1].1, [2]);
    assert!(!scene.engine.has_input());
}

#[test]
fn the_highest_of_a_turns_truncations_counts_once() {
    let (mut engine, links) = (engine(1), Recorded::default());
    assert_eq!(engine.take_release(), None);
    for below in [4, 9, 6] {
        apply(&mut engine, &links, Action::Truncate { below });
    }
    assert_eq!(engine.take_release(), Some(9));
    assert_eq!(engine.take_release(), None);
}
