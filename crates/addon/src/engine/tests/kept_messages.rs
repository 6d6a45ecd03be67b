//! VIEW-CHANGEs that are kept: passed on, fetched, evidence; and our own.

use super::builders::*;
use super::*;
use crate::durable::DurableRecord;
use crate::messages::view_change_digest;

#[test]
fn it_is_kept_and_passed_on_until_it_is_let_go_of() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = SOUND.payload();
    let digest = view_change_digest(&payload);
    peer(&mut engine, &links, 3, FETCH, ask(&digest));
    peer(&mut engine, &links, 2, VIEW_CHANGE, payload.clone());
    records(&mut engine, &links);
    peer(&mut engine, &links, 3, FETCH, ask(&digest));
    forget(&mut engine, &links, digest);
    peer(&mut engine, &links, 3, FETCH, ask(&digest));
    assert_eq!(
        links.take(),
        [
            (Source::Peer(3), UNAVAILABLE, ask(&digest)),
            (Source::Peer(3), FETCHED_VIEW_CHANGE, fetched(2, &payload)),
            (Source::Peer(3), UNAVAILABLE, ask(&digest)),
        ]
    );
    assert_eq!(engine.kept_messages(), (0, 0));
    assert_eq!(
        records(&mut engine, &links),
        [],
        "fetches are not the core's"
    );
}

#[test]
fn its_stable_certificate_can_be_shown_afterwards() {
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(&mut engine, &links, 2, VIEW_CHANGE, SOUND.payload());
    records(&mut engine, &links);
    let name = checkpoint_bytes(4);
    let digest: Digest = *name.last_chunk().expect("a digest");
    let expected: Vec<Signature> = (0..3)
        .map(|by| key(by).sign(&[&domain().prefix(CHECKPOINT), &name]))
        .collect();
    assert_eq!(
        engine.stable_certificate(4, &digest, 0b0111),
        Ok(expected.clone())
    );
    apply(
        &mut engine,
        &links,
        Action::Stable {
            sequence: 4,
            digest,
            signers: 0b0101,
        },
    );
    forget(&mut engine, &links, view_change_digest(&SOUND.payload()));
    apply(
        &mut engine,
        &links,
        Action::Stable {
            sequence: 4,
            digest,
            signers: 0b0111,
        },
    );
    assert_eq!(engine.stable_certificate(4, &digest, 0b0111), Ok(expected));
}

#[test]
fn what_contradicts_a_signers_own_checkpoint_can_be_shown_as_long_as_it_is_kept() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let other = [&4u64.to_le_bytes()[..], &[1; 32]].concat();
    let first = key(0).sign(&[&domain().prefix(CHECKPOINT), &other]);
    peer(
        &mut engine,
        &links,
        0,
        CHECKPOINT,
        [&other[..], &first].concat(),
    );
    peer(&mut engine, &links, 2, VIEW_CHANGE, SOUND.payload());
    let turn = records(&mut engine, &links);
    let conflict = turn
        .iter()
        .find(|(kind, _)| *kind == InputKind::Conflict as u8);
    assert_eq!(
        conflict.map(|(_, body)| &body[..2]),
        Some(&[0, CHECKPOINT][..])
    );
    let digest: Digest = *checkpoint_bytes(4).last_chunk().expect("a digest");
    let shown = |engine: &mut Engine| {
        engine
            .stable_certificate(4, &digest, 0b0101)
            .map(|all| all.len())
    };
    assert_eq!(shown(&mut engine), Ok(2));
    forget(&mut engine, &links, view_change_digest(&SOUND.payload()));
    assert_eq!(shown(&mut engine), Ok(0), "none of it was filed");
}

#[test]
fn a_fetch_fails_when_everyone_asked_had_not_got_it_or_sent_something_bad() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = SOUND.payload();
    let digest = view_change_digest(&payload);
    peer(
        &mut engine,
        &links,
        3,
        FETCHED_VIEW_CHANGE,
        fetched(2, &payload),
    );
    assert_eq!(records(&mut engine, &links), [rejected(Reason::Unasked, 3)]);
    fetch(&mut engine, &links, digest);
    // The digest does not say whose it is: that it is not replica 0's proves nothing against it.
    peer(
        &mut engine,
        &links,
        3,
        FETCHED_VIEW_CHANGE,
        fetched(0, &payload),
    );
    peer(&mut engine, &links, 2, UNAVAILABLE, ask(&digest));
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 3)]
    );
    peer(
        &mut engine,
        &links,
        3,
        FETCHED_VIEW_CHANGE,
        fetched(2, &payload),
    );
    assert_eq!(records(&mut engine, &links), [rejected(Reason::Unasked, 3)]);
    peer(&mut engine, &links, 0, UNAVAILABLE, ask(&digest));
    let unavailable = (InputKind::Body as u8, [digest.as_slice(), &[1]].concat());
    assert_eq!(records(&mut engine, &links), [unavailable]);
    fetch(&mut engine, &links, digest);
    peer(
        &mut engine,
        &links,
        0,
        FETCHED_VIEW_CHANGE,
        fetched(2, &payload),
    );
    assert_eq!(records(&mut engine, &links), [handed_up(&payload)]);
    apply(
        &mut engine,
        &links,
        Action::Fetch {
            from: 0b1101,
            kind: FetchKind::ViewChange,
            digest,
        },
    );
    assert_eq!(
        records(&mut engine, &links),
        [handed_up(&payload)],
        "what is here is not asked for"
    );
    assert_eq!(links.take(), []);
}

#[test]
fn two_of_one_signer_for_one_view_are_evidence_and_the_second_comes_up_only_when_asked_for() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let first = SOUND.payload();
    let second = ViewChangeOf {
        prepared: &[(6, 0b0111)],
        ..SOUND
    }
    .payload();
    peer(&mut engine, &links, 2, VIEW_CHANGE, first.clone());
    records(&mut engine, &links);
    let verified = engine.work().verified;
    peer(&mut engine, &links, 2, VIEW_CHANGE, second.clone());
    let turn = records(&mut engine, &links);
    assert_eq!(
        engine.work().verified,
        verified + 1,
        "only who signed it matters"
    );
    assert_eq!(
        (turn[0].0, &turn[0].1[..2]),
        (InputKind::Conflict as u8, &[2, VIEW_CHANGE][..])
    );
    assert_eq!(turn[1], rejected(Reason::ConflictingVote, 2));
    let name: Digest = turn[0].1[2..].try_into().expect("a digest");
    let evidence = engine.votes().evidence(&name).expect("kept").to_vec();
    let mut expected = Writer::default();
    for payload in [&first, &second] {
        expected.u8(VIEW_CHANGE).bytes(payload);
    }
    assert_eq!(evidence, expected.as_slice());
    // One pair is enough; another costs nothing.
    let third = ViewChangeOf {
        stable: None,
        ..SOUND
    }
    .payload();
    peer(&mut engine, &links, 2, VIEW_CHANGE, third);
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::ConflictingVote, 2)]
    );
    assert_eq!(engine.work().verified, verified + 1);
    // The NEW-VIEW may name the other one.
    fetch(&mut engine, &links, view_change_digest(&second));
    peer(
        &mut engine,
        &links,
        3,
        FETCHED_VIEW_CHANGE,
        fetched(2, &second),
    );
    assert_eq!(records(&mut engine, &links), [handed_up(&second)]);
}

#[test]
fn ours_is_sealed_once_and_leaves_byte_for_byte() {
    let (mut engine, links) = (engine(2), Recorded::default());
    let payload = SOUND.payload();
    let digest = view_change_digest(&payload);
    let unsigned = &payload[..payload.len() - 64];
    let sealed = (
        InputKind::Sealed as u8,
        [&1u64.to_le_bytes(), digest.as_slice()].concat(),
    );
    for _ in 0..2 {
        apply(&mut engine, &links, Action::Seal(unsigned));
        assert_eq!(records(&mut engine, &links), vec![sealed.clone()]);
    }
    for _ in 0..2 {
        apply(&mut engine, &links, Action::SendKept { to: 0b1111, digest });
        let expected = [0, 1, 3].map(|to| (Source::Peer(to), VIEW_CHANGE, payload.to_vec()));
        assert_eq!(links.take(), expected);
    }
    peer(&mut engine, &links, 3, FETCH, ask(&digest));
    assert_eq!(
        links.take(),
        [(Source::Peer(3), FETCHED_VIEW_CHANGE, fetched(2, &payload))]
    );
    let other = ViewChangeOf {
        prepared: &[],
        ..SOUND
    }
    .unsigned();
    let contradiction = Fault::Contradiction {
        message_type: VIEW_CHANGE,
        sequence: 1,
    };
    assert_eq!(
        engine.apply(Action::Seal(other.as_slice()), &links),
        Err(contradiction)
    );
    forget(&mut engine, &links, digest);
    apply(&mut engine, &links, Action::SendKept { to: 0b1111, digest });
    assert_eq!(links.take(), [], "what was let go of is not sent");
}

#[test]
fn another_replicas_message_does_not_leave_as_ours() {
    let (mut engine, links) = (engine(1), Recorded::default());
    peer(&mut engine, &links, 2, VIEW_CHANGE, SOUND.payload());
    records(&mut engine, &links);
    let digest = view_change_digest(&SOUND.payload());
    apply(&mut engine, &links, Action::SendKept { to: 0b1111, digest });
    assert_eq!(links.take(), []);
}

#[test]
fn our_vote_in_a_certificate_is_made_where_it_has_not_left_yet() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let (name, proposal) = pre_prepare(0, 0, 5, &[]);
    peer(&mut engine, &links, 0, PRE_PREPARE, proposal);
    peer(&mut engine, &links, 2, PREPARE, prepare(2, &name));
    records(&mut engine, &links);
    apply(
        &mut engine,
        &links,
        Action::Persist {
            lsn: 1,
            record: DurableRecord::Prepared {
                name,
                signers: 0b0111,
                batch: Batch {
                    time_ms: 7,
                    bundles: &[],
                },
            },
        },
    );
    apply(
        &mut engine,
        &links,
        Action::Window {
            low: 0,
            high: 100,
            view: 9,
            pending: None,
        },
    );
    let expected = vec![
        signature(0, PRE_PREPARE, &name),
        signature(1, PREPARE, &name),
        signature(2, PREPARE, &name),
    ];
    assert_eq!(
        engine.prepared_certificate(&name, 0b0111),
        Ok(expected.clone())
    );
    assert_eq!(
        engine.prepared_certificate(&name, 0b0101),
        Ok(vec![expected[0], expected[2]])
    );
}
