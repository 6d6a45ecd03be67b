//! Messages of one replica that exclude each other.

use super::*;

#[test]
fn two_signed_votes_for_one_slot_are_evidence_and_the_first_counts() {
    let mut fixture = Fixture::new(4, 1);
    fixture.prepare(1, &name(0, 1, DIGEST)).expect("taken");
    assert_eq!(
        fixture.prepare(1, &name(0, 1, OTHER)),
        Err(Reason::ConflictingVote)
    );
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b010)]);
    let conflicts = fixture.table.take_conflicts();
    let [conflict] = conflicts.as_slice() else {
        panic!("{conflicts:?}")
    };
    assert_eq!((conflict.by, conflict.message_type), (1, PREPARE));
    let evidence = fixture.table.evidence(&conflict.digest).expect("kept");
    assert_eq!(byzantine_crypto::sha256(evidence), conflict.digest);
    assert_eq!(evidence.len(), 2 * (5 + 48 + 64));
    // Once per slot and signer, whatever else it signs.
    assert_eq!(
        fixture.prepare(1, &name(0, 1, [1; 32])),
        Err(Reason::ConflictingVote)
    );
    fixture.settle();
    assert_eq!(fixture.table.take_conflicts(), []);
}

#[test]
fn a_forged_second_vote_is_no_evidence_and_a_forged_first_one_gives_way() {
    let mut fixture = Fixture::new(4, 1);
    fixture.prepare(1, &name(0, 1, DIGEST)).expect("taken");
    let forged = fixture.table.offer_prepare(1, &name(0, 1, OTHER), &[0; 64]);
    assert_eq!(forged, Err(Reason::ConflictingVote));
    assert_eq!(fixture.settle(), [(Phase::Prepare, DIGEST, 0b010)]);
    fixture
        .table
        .offer_prepare(2, &name(0, 1, DIGEST), &[0; 64])
        .expect("taken");
    assert_eq!(
        fixture.prepare(2, &name(0, 1, OTHER)),
        Err(Reason::ConflictingVote)
    );
    assert_eq!(fixture.settle(), [(Phase::Prepare, OTHER, 0b100)]);
    assert_eq!(fixture.table.take_conflicts(), []);
}

#[test]
fn evidence_is_bounded() {
    let mut fixture = Fixture::new(4, 1);
    let mut conflicts = 0;
    for sequence in 1..=100 {
        fixture
            .prepare(1, &name(0, sequence, DIGEST))
            .expect("taken");
        assert_eq!(
            fixture.prepare(1, &name(0, sequence, OTHER)),
            Err(Reason::ConflictingVote)
        );
        fixture.settle();
        conflicts += fixture.table.take_conflicts().len();
    }
    assert_eq!(conflicts, 64);
}

#[test]
fn a_second_proposal_of_the_primary_is_evidence_against_it() {
    let mut fixture = Fixture::new(4, 1);
    let (first, second) = (name(0, 1, DIGEST), name(0, 1, OTHER));
    let signatures = [
        fixture.sign(0, PRE_PREPARE, &first),
        fixture.sign(0, PRE_PREPARE, &second),
    ];
    assert_eq!(fixture.table.file_proposal(&first, &signatures[0]), Ok(()));
    assert_eq!(fixture.table.file_proposal(&first, &signatures[0]), Ok(()));
    for _ in 0..2 {
        assert_eq!(
            fixture.table.file_proposal(&second, &signatures[1]),
            Err(Reason::ConflictingVote)
        );
    }
    let conflicts = fixture.table.take_conflicts();
    assert_eq!(
        conflicts
            .iter()
            .map(|conflict| (conflict.by, conflict.message_type))
            .collect::<Vec<_>>(),
        [(0, PRE_PREPARE)]
    );
}

#[test]
fn our_own_second_vote_with_another_digest_is_a_contradiction() {
    let mut fixture = Fixture::new(4, 1);
    let vote = name(0, 1, DIGEST);
    assert_eq!(fixture.table.own(PREPARE, &vote), Ok(None));
    let signature = fixture.sign(ME, PREPARE, &vote);
    fixture.table.file_own_prepare(&vote, &signature);
    assert_eq!(fixture.table.own(PREPARE, &vote), Ok(Some(signature)));
    assert_eq!(
        fixture.table.own(PREPARE, &name(0, 1, OTHER)),
        Err(Contradiction)
    );
}
