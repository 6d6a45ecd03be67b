//! Proposals and votes that arrive.

use super::*;

#[test]
fn a_proposal_counts_only_from_its_primary_signed_within_the_window() {
    let (name, valid) = pre_prepare(0, 0, 2, &[[1; 32]]);
    let altered = |place: usize| {
        let mut bytes = valid.to_vec();
        bytes[place] ^= 1;
        Bytes::from(bytes)
    };
    for (case, from, payload, reason) in [
        (
            "from a backup",
            2,
            pre_prepare(2, 0, 1, &[]).1,
            Reason::NotPrimary,
        ),
        (
            "the primary's, relayed by a backup",
            2,
            valid.clone(),
            Reason::NotPrimary,
        ),
        (
            "signed by another member",
            0,
            pre_prepare(2, 0, 1, &[]).1,
            Reason::WrongSigner,
        ),
        (
            "another sequence than signed",
            0,
            altered(8),
            Reason::BadSignature,
        ),
        (
            "another time than signed",
            0,
            altered(16),
            Reason::BadSignature,
        ),
        (
            "another bundle than signed",
            0,
            altered(30),
            Reason::BadSignature,
        ),
        (
            "above the window",
            0,
            pre_prepare(0, 0, 101, &[]).1,
            Reason::AboveWindow,
        ),
        (
            "at sequence 0",
            0,
            pre_prepare(0, 0, 0, &[]).1,
            Reason::BelowWindow,
        ),
        (
            "of a view that is not held",
            0,
            pre_prepare(0, 4, 1, &[]).1,
            Reason::WrongView,
        ),
        (
            "with too many bundles",
            0,
            pre_prepare(0, 0, 1, &[[1; 32]; 4]).1,
            Reason::BatchTooLarge,
        ),
        (
            "cut short",
            0,
            valid.slice(..valid.len() - 1),
            Reason::Malformed,
        ),
    ] {
        let (mut engine, links) = (engine(1), Recorded::default());
        peer(&mut engine, &links, from, PRE_PREPARE, payload);
        assert_eq!(
            records(&mut engine, &links),
            [rejected(reason, from)],
            "{case}"
        );
    }
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(&mut engine, &links, 0, PRE_PREPARE, valid.clone());
    let expected = [
        &[0, PRE_PREPARE],
        name.digest.as_slice(),
        &valid[..valid.len() - 64],
    ]
    .concat();
    assert_eq!(
        records(&mut engine, &links),
        [(InputKind::Control as u8, expected)]
    );
}

#[test]
fn an_equivocating_primary_is_heard_once_and_convicted() {
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(
        &mut engine,
        &links,
        0,
        PRE_PREPARE,
        pre_prepare(0, 0, 1, &[[1; 32]]).1,
    );
    peer(
        &mut engine,
        &links,
        0,
        PRE_PREPARE,
        pre_prepare(0, 0, 1, &[[2; 32]]).1,
    );
    let turn = records(&mut engine, &links);
    let kinds: Vec<u8> = turn.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            InputKind::Control as u8,
            InputKind::Conflict as u8,
            InputKind::Rejected as u8
        ]
    );
    assert_eq!(turn[1].1[..2], [0, PRE_PREPARE]);
    assert!(
        engine
            .votes()
            .evidence(turn[1].1[2..].try_into().expect("a digest"))
            .is_some()
    );
}

#[test]
fn votes_are_verified_at_the_threshold_and_handed_up_as_sets() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let (name, proposal) = pre_prepare(0, 0, 1, &[]);
    peer(&mut engine, &links, 0, PRE_PREPARE, proposal);
    peer(&mut engine, &links, 2, PREPARE, prepare(2, &name));
    peer(&mut engine, &links, 3, PREPARE, prepare(3, &name));
    for from in [0, 2] {
        peer(
            &mut engine,
            &links,
            from,
            COMMIT,
            name.signed_bytes().to_vec(),
        );
    }
    let votes = |phase: u8, set: u32| {
        let body = [&[phase], name.signed_bytes().as_slice(), &set.to_le_bytes()].concat();
        (InputKind::Votes as u8, body)
    };
    assert_eq!(
        records(&mut engine, &links)[1..],
        [votes(0, 0b1100), votes(1, 0b101)]
    );
    assert_eq!(engine.work().verify_batches, 1);
    assert_eq!(engine.votes().certificate(&name).len(), 3);
}

#[test]
fn a_vote_signed_by_another_member_than_its_connections_is_named_so() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let (name, _) = pre_prepare(0, 0, 1, &[]);
    peer(&mut engine, &links, 2, PREPARE, prepare(3, &name));
    peer(
        &mut engine,
        &links,
        3,
        PREPARE,
        Bytes::from([name.signed_bytes().as_slice(), &[1; 64]].concat()),
    );
    let expected = [
        rejected(Reason::WrongSigner, 2),
        rejected(Reason::BadSignature, 3),
    ];
    assert_eq!(records(&mut engine, &links), expected);
}
