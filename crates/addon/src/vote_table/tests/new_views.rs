//! Proposals that a NEW-VIEW carries.

use super::*;

fn new_view(fixture: &Fixture, view: u64, digests: &[Digest]) -> Vec<(Digest, Signature)> {
    let primary = fixture.table.quorums().primary(view);
    let names = (1..)
        .zip(digests)
        .map(|(sequence, digest)| name(view, sequence, *digest));
    names
        .map(|name| (name.digest, fixture.sign(primary, PRE_PREPARE, &name)))
        .collect()
}

#[test]
fn they_are_filed_when_their_view_is_entered_and_as_the_window_moves() {
    let mut fixture = Fixture::new(4, 1);
    let batches = new_view(&fixture, 6, &[DIGEST; 8]);
    fixture.table.set_window(0, 4, 0, Some(5));
    fixture.table.keep_new_view(6, 1, batches.clone());
    assert_eq!(fixture.table.slots(), 0, "pending is not entered");
    fixture.table.set_window(0, 4, 6, None);
    assert_eq!(fixture.table.slots(), 4);
    assert_eq!(
        fixture.table.certificate(&name(6, 4, DIGEST)),
        [(2, batches[3].1)]
    );
    fixture.table.set_window(2, 8, 6, None);
    assert_eq!(fixture.table.slots(), 6);
    fixture.table.forget_new_view(6);
    fixture.table.set_window(2, 10, 6, None);
    assert_eq!(fixture.table.slots(), 6, "what was filed stays");
    fixture.table.set_window(2, 10, 7, None);
    fixture.table.set_window(2, 10, 6, None);
    assert_eq!(fixture.table.slots(), 0);
}

#[test]
fn one_that_comes_after_its_view_was_entered_is_filed_at_once() {
    let mut fixture = Fixture::new(4, 1);
    fixture.table.set_window(0, 4, 6, None);
    let batches = new_view(&fixture, 6, &[DIGEST]);
    fixture.table.keep_new_view(6, 1, batches.clone());
    assert_eq!(
        fixture.table.certificate(&name(6, 1, DIGEST)),
        [(2, batches[0].1)]
    );
}

#[test]
fn they_replace_what_the_primary_proposed_before_which_is_evidence() {
    let mut fixture = Fixture::new(4, 1);
    let early = name(1, 1, OTHER);
    let signature = fixture.sign(1, PRE_PREPARE, &early);
    fixture
        .table
        .file_proposal(&early, &signature)
        .expect("filed");
    let batches = new_view(&fixture, 1, &[DIGEST, DIGEST]);
    fixture.table.keep_new_view(1, 1, batches.clone());
    assert!(!fixture.table.has_news());
    fixture.table.set_window(0, 100, 1, None);
    assert!(fixture.table.has_news());
    let conflicts = fixture.table.take_conflicts();
    let [conflict] = conflicts.as_slice() else {
        panic!("{conflicts:?}")
    };
    assert_eq!((conflict.by, conflict.message_type), (1, PRE_PREPARE));
    assert_eq!(
        fixture.table.certificate(&name(1, 1, DIGEST)),
        [(1, batches[0].1)]
    );
    assert_eq!(fixture.table.certificate(&early), []);
    assert_eq!(
        fixture.table.file_proposal(&early, &signature),
        Err(Reason::ConflictingVote),
        "the NEW-VIEW's stays"
    );
    assert_eq!(fixture.table.take_conflicts(), []);
}

#[test]
fn what_waits_for_an_installed_view_is_news_without_any_message() {
    let mut fixture = Fixture::new(4, 1);
    fixture.prepare(2, &name(1, 1, DIGEST)).expect("taken");
    fixture.settle();
    assert!(!fixture.table.has_news());
    fixture.table.set_window(0, 100, 1, None);
    assert!(fixture.table.has_news());
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b100)]);
    assert!(!fixture.table.has_news());
}
