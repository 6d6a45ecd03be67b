//! Certificates that the core may still name.

use super::*;

/// Files the proposal and the PREPAREs of replicas 1 and 2 and of ourselves, as far as they are in
/// `signers`.
fn prepared(fixture: &mut Fixture, name: &Name, signers: u32) {
    let primary = fixture.table.quorums().primary(name.view);
    for from in (0..4).filter(|from| signers >> from & 1 == 1) {
        if from == primary {
            let signature = fixture.sign(from, PRE_PREPARE, name);
            fixture
                .table
                .file_proposal(name, &signature)
                .expect("filed");
        } else if from == ME {
            let signature = fixture.sign(from, PREPARE, name);
            fixture.table.file_own_prepare(name, &signature);
        } else {
            fixture.prepare(from, name).expect("taken");
        }
    }
    fixture.settle();
}

fn signers(votes: &[(u8, Signature)]) -> Vec<u8> {
    votes.iter().map(|(from, _)| *from).collect()
}

#[test]
fn of_several_views_that_were_left_the_highest_complete_certificate_stays() {
    let mut fixture = Fixture::new(4, 1);
    let (first, second, third) = (name(0, 1, DIGEST), name(1, 1, OTHER), name(2, 1, DIGEST));
    for (view, name, signers) in [
        (0, &first, 0b0111),
        (1, &second, 0b1110),
        (2, &third, 0b0110),
    ] {
        fixture.table.set_window(0, 100, view, None);
        prepared(&mut fixture, name, signers);
    }
    fixture.table.set_window(0, 100, 9, None);
    assert_eq!(fixture.table.slots(), 0);
    assert_eq!(fixture.table.certificate(&first), []);
    assert_eq!(signers(&fixture.table.certificate(&second)), [1, 2, 3]);
    assert_eq!(fixture.table.certificate(&third), [], "one signature short");
    fixture.table.set_window(1, 101, 9, None);
    assert_eq!(fixture.table.certificate(&second), []);
}

#[test]
fn a_certificate_that_was_named_outlives_a_higher_one_that_was_not() {
    let mut fixture = Fixture::new(4, 1);
    let (first, second) = (name(0, 1, DIGEST), name(1, 1, OTHER));
    prepared(&mut fixture, &first, 0b0111);
    fixture.table.name_certificate(&first);
    fixture.table.set_window(0, 100, 1, None);
    prepared(&mut fixture, &second, 0b1110);
    for _ in 0..2 {
        fixture.table.set_window(0, 100, 9, None);
        assert_eq!(signers(&fixture.table.certificate(&first)), [0, 1, 2]);
        assert_eq!(signers(&fixture.table.certificate(&second)), [1, 2, 3]);
    }
    fixture.table.name_certificate(&second);
    assert_eq!(fixture.table.certificate(&first), []);
    assert_eq!(signers(&fixture.table.certificate(&second)), [1, 2, 3]);
    fixture.table.set_window(1, 101, 9, None);
    assert_eq!(fixture.table.certificate(&second), []);
}

#[test]
fn a_vote_is_verified_only_as_its_signers_with_this_content_and_signature() {
    let mut fixture = Fixture::new(4, 1);
    let vote = name(0, 1, DIGEST);
    prepared(&mut fixture, &vote, 0b0011);
    fixture
        .table
        .offer_prepare(2, &vote, &[0; 64])
        .expect("not looked at");
    let (proposal, prepare) = (
        fixture.sign(0, PRE_PREPARE, &vote),
        fixture.sign(1, PREPARE, &vote),
    );
    for _ in 0..2 {
        let table = &fixture.table;
        assert!(table.is_verified(0, &vote, &proposal) && table.is_verified(1, &vote, &prepare));
        assert!(!table.is_verified(0, &vote, &prepare));
        assert!(!table.is_verified(1, &vote, &[0; 64]));
        assert!(!table.is_verified(2, &vote, &[0; 64]));
        assert!(!table.is_verified(1, &name(0, 1, OTHER), &prepare));
        assert!(!table.is_verified(1, &name(1, 1, DIGEST), &prepare));
        assert!(!table.is_verified(1, &name(0, 2, DIGEST), &prepare));
        assert!(!table.is_verified(30, &vote, &prepare));
        fixture.table.name_certificate(&vote);
        fixture.table.set_window(0, 100, 9, None);
    }
}

#[test]
fn the_stable_certificate_is_the_named_signatures_until_the_next() {
    let mut fixture = Fixture::new(4, 1);
    for from in 0..4 {
        fixture
            .table
            .file_checkpoint(from, 100, &DIGEST, &[from; 64])
            .expect("filed");
    }
    fixture.table.stable(100, DIGEST, 0b1011);
    for from in 0..4 {
        for interval in 2..40 {
            let filed = fixture
                .table
                .file_checkpoint(from, interval * 100, &DIGEST, &[from; 64]);
            assert_eq!(filed, Ok(()));
        }
    }
    fixture.table.turn_is_over();
    let certificate = |fixture: &Fixture, sequence| {
        signers(&fixture.table.checkpoints().certificate(sequence, &DIGEST))
    };
    assert_eq!(certificate(&fixture, 100), [0, 1, 3]);
    fixture.table.stable(3900, DIGEST, 0b0111);
    assert_eq!(certificate(&fixture, 100), []);
    assert_eq!(
        certificate(&fixture, 3900),
        [0, 1, 2, 3],
        "those that are filed too"
    );
}

#[test]
fn what_was_pushed_out_can_be_named_until_the_turn_is_over() {
    let mut fixture = Fixture::new(4, 1);
    for interval in (1..=20).rev() {
        let _ = fixture
            .table
            .file_checkpoint(1, interval * 100, &DIGEST, &[1; 64]);
        fixture
            .table
            .file_checkpoint(2, (21 - interval) * 100, &DIGEST, &[2; 64])
            .expect("filed");
    }
    let certificate = |fixture: &Fixture, sequence| {
        signers(&fixture.table.checkpoints().certificate(sequence, &DIGEST))
    };
    assert_eq!(certificate(&fixture, 100), [1, 2]);
    assert_eq!(certificate(&fixture, 500), [1, 2]);
    fixture.table.turn_is_over();
    assert_eq!(certificate(&fixture, 100), []);
    assert_eq!(certificate(&fixture, 500), [1, 2]);
}

#[test]
fn a_view_changes_stable_certificate_is_carried_beside_what_is_filed_until_it_is_let_go_of() {
    let mut fixture = Fixture::new(4, 1);
    let votes: Vec<_> = (0..3).map(|from| (from, [from; 64])).collect();
    fixture
        .table
        .file_checkpoint(2, 100, &OTHER, &[9; 64])
        .expect("filed");
    fixture.table.carry([7; 32], (100, DIGEST), votes);
    let conflicts = fixture.table.take_conflicts();
    assert_eq!(
        conflicts
            .iter()
            .map(|conflict| conflict.by)
            .collect::<Vec<_>>(),
        [2]
    );
    let certificate =
        |fixture: &Fixture| signers(&fixture.table.checkpoints().certificate(100, &DIGEST));
    assert_eq!(certificate(&fixture), [0, 1, 2]);
    fixture.table.drop_carried(&[7; 32]);
    assert_eq!(certificate(&fixture), [], "nothing of it was filed");
}

#[test]
fn a_carried_certificate_pushes_out_nothing_that_the_core_counts() {
    let mut fixture = Fixture::new(4, 1);
    for sequence in 1..=16 {
        fixture
            .table
            .file_checkpoint(2, sequence * 100, &DIGEST, &[2; 64])
            .expect("filed");
    }
    let votes: Vec<_> = (0..3).map(|from| (from, [from; 64])).collect();
    fixture.table.carry([7; 32], (1_700, DIGEST), votes);
    fixture.table.turn_is_over();
    let held = fixture.table.checkpoints().certificate(100, &DIGEST);
    assert_eq!(signers(&held), [2]);
}

#[test]
fn a_checkpoint_that_contradicts_a_carried_one_is_evidence() {
    let mut fixture = Fixture::new(4, 1);
    let votes: Vec<_> = (0..3).map(|from| (from, [from; 64])).collect();
    fixture.table.carry([7; 32], (100, DIGEST), votes);
    for _ in 0..2 {
        let refused = fixture.table.file_checkpoint(2, 100, &OTHER, &[9; 64]);
        assert_eq!(refused, Err(Reason::ConflictingVote));
    }
    let conflicts = fixture.table.take_conflicts();
    assert_eq!(conflicts.len(), 1, "one is enough");
}

#[test]
fn a_restored_certificate_is_filed_once_its_place_is_in_the_window() {
    let mut fixture = Fixture::new(4, 1);
    let vote = name(1, 150, DIGEST);
    let votes: Vec<_> = [0, 1, 2]
        .map(|by: u8| {
            let message_type = if by == 1 { PRE_PREPARE } else { PREPARE };
            (by, fixture.sign(by, message_type, &vote))
        })
        .to_vec();
    fixture.table.restore_certificate(vote, votes.clone());
    for (high, slots) in [(101, 0), (150, 1), (151, 1)] {
        fixture.table.set_window(0, high, 1, None);
        assert_eq!(fixture.table.slots(), slots);
        assert_eq!(fixture.table.certificate(&vote), votes);
    }
    let other = name(1, 150, OTHER);
    assert_eq!(fixture.prepare(2, &other), Err(Reason::ConflictingVote));
    assert_eq!(fixture.prepare(2, &vote), Err(Reason::Duplicate));
    assert_eq!(fixture.table.file_proposal(&vote, &votes[1].1), Ok(()));
    fixture.settle();
    assert_eq!(fixture.table.take_conflicts().len(), 1);
    fixture.table.set_window(0, 151, 4, None);
    assert_eq!(fixture.table.slots(), 0);
    assert_eq!(fixture.table.certificate(&vote), votes, "it is still named");
}
