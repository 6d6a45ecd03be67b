//! VIEW-CHANGEs: checked cheaply, paid for, verified once, kept, fetched, and evidence.

use super::*;
use crate::messages::view_change_digest;

const SOUND: ViewChangeOf<'static> = ViewChangeOf {
    by: 2,
    target: 1,
    stable: Some((4, 0b0111)),
    prepared: &[(5, 0b0111), (7, 0b1101)],
    forged: None,
};
/// Its own signature, and three under each of its three certificates.
const SIGNATURES: u64 = 10;

fn handed_up(payload: &Bytes) -> (u8, Vec<u8>) {
    control(2, VIEW_CHANGE, &view_change_digest(payload), payload)
}

fn forget(engine: &mut Engine, links: &Recorded, digest: Digest) {
    let kind = FetchKind::ViewChange;
    let digests = [digest];
    apply(
        engine,
        links,
        Action::Forget {
            kind,
            digests: &digests,
        },
    );
}

fn fetch(engine: &mut Engine, links: &Recorded, digest: Digest) {
    let kind = FetchKind::ViewChange;
    apply(
        engine,
        links,
        Action::Fetch {
            from: 0b1101,
            kind,
            digest,
        },
    );
    links.take();
}

fn ask(digest: &Digest) -> Vec<u8> {
    [&[FetchKind::ViewChange as u8], digest.as_slice()].concat()
}

fn fetched(signer: u8, payload: &Bytes) -> Vec<u8> {
    [&[signer], &payload[..]].concat()
}

#[test]
fn one_is_verified_once_however_often_and_from_whomever_it_comes() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = SOUND.payload();
    let digest = view_change_digest(&payload);
    for _ in 0..2 {
        peer(&mut engine, &links, 2, VIEW_CHANGE, payload.clone());
        assert_eq!(records(&mut engine, &links), [handed_up(&payload)]);
    }
    assert_eq!(engine.work().verified, SIGNATURES);
    forget(&mut engine, &links, digest);
    fetch(&mut engine, &links, digest);
    peer(
        &mut engine,
        &links,
        3,
        FETCHED_VIEW_CHANGE,
        fetched(2, &payload),
    );
    assert_eq!(
        records(&mut engine, &links),
        [handed_up(&payload)],
        "as its signer's"
    );
    assert_eq!(engine.work().verified, SIGNATURES);
    peer(&mut engine, &links, 3, VIEW_CHANGE, payload);
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 3)],
        "another's is not its own"
    );
}

#[test]
fn a_vote_is_verified_once_in_whatever_message_it_comes() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let (name, _) = (prepared_name(5), ());
    peer(&mut engine, &links, 2, PREPARE, prepare(2, &name));
    records(&mut engine, &links);
    assert_eq!(engine.work().verified, 1);
    // In one turn, so that nothing is known of the votes that they share.
    for by in [2, 3] {
        let message = ViewChangeOf { by, ..SOUND };
        peer(&mut engine, &links, by, VIEW_CHANGE, message.payload());
    }
    assert_eq!(records(&mut engine, &links).len(), 2);
    assert_eq!(
        engine.work().verified,
        1 + SIGNATURES - 1 + 1,
        "all but ours of before"
    );
    assert_eq!(engine.work().known, 10);
    let later = ViewChangeOf {
        by: 0,
        prepared: &[(5, 0b0111), (7, 0b1011)],
        ..SOUND
    };
    peer(&mut engine, &links, 0, VIEW_CHANGE, later.payload());
    assert_eq!(records(&mut engine, &links).len(), 1);
    assert_eq!(
        engine.work().verified,
        1 + SIGNATURES + 2,
        "its own and one vote"
    );
    // A PREPARE that comes by itself after all.
    peer(
        &mut engine,
        &links,
        3,
        PREPARE,
        prepare(3, &prepared_name(7)),
    );
    assert_eq!(records(&mut engine, &links).len(), 1);
    assert_eq!(engine.work().verified, 1 + SIGNATURES + 2);
}

#[test]
fn one_that_cannot_be_true_is_refused_before_any_signature_is_looked_at() {
    for (case, message, reason) in [
        (
            "of the installed view",
            ViewChangeOf { target: 0, ..SOUND },
            Reason::WrongView,
        ),
        (
            "with a stable certificate one short",
            ViewChangeOf {
                stable: Some((4, 0b0011)),
                ..SOUND
            },
            Reason::Malformed,
        ),
        (
            "with a prepared one one short",
            ViewChangeOf {
                prepared: &[(5, 0b0011)],
                ..SOUND
            },
            Reason::Malformed,
        ),
        (
            "without the primary's vote",
            ViewChangeOf {
                prepared: &[(5, 0b1110)],
                ..SOUND
            },
            Reason::Malformed,
        ),
        (
            "with a vote of nobody",
            ViewChangeOf {
                prepared: &[(5, 0b1_0111)],
                ..SOUND
            },
            Reason::Malformed,
        ),
        (
            "at its stable sequence",
            ViewChangeOf {
                prepared: &[(4, 0b0111)],
                ..SOUND
            },
            Reason::Malformed,
        ),
        (
            "beyond the widest window",
            ViewChangeOf {
                prepared: &[(4 + 4097, 0b0111)],
                ..SOUND
            },
            Reason::Malformed,
        ),
    ] {
        let (mut engine, links) = (engine(1), Recorded::default());
        let mut writer = message.unsigned();
        if case == "with a vote of nobody" {
            writer.raw(&[0; 64]);
        }
        peer(
            &mut engine,
            &links,
            2,
            VIEW_CHANGE,
            sign(writer, &key(2), VIEW_CHANGE),
        );
        assert_eq!(
            records(&mut engine, &links),
            [rejected(reason, 2)],
            "{case}"
        );
        assert_eq!(engine.work().verified, 0, "{case}");
    }
    let (mut engine, links) = (engine(1), Recorded::default());
    let last = ViewChangeOf {
        prepared: &[(4 + 4096, 0b0111)],
        ..SOUND
    };
    peer(&mut engine, &links, 2, VIEW_CHANGE, last.payload());
    assert_eq!(records(&mut engine, &links).len(), 1);
}

#[test]
fn a_certificate_of_the_target_view_or_above_is_refused() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let (name, _) = pre_prepare(1, 1, 5, &[]);
    let mut writer = Writer::default();
    writer
        .u53(1)
        .u53(0)
        .u16(1)
        .raw(&name.signed_bytes())
        .u32(0b0111);
    for (by, message_type) in [(0, PREPARE), (1, PRE_PREPARE), (2, PREPARE)] {
        writer.raw(&signature(by, message_type, &name));
    }
    peer(
        &mut engine,
        &links,
        2,
        VIEW_CHANGE,
        sign(writer, &key(2), VIEW_CHANGE),
    );
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::Malformed, 2)]
    );
}

#[test]
fn a_bad_vote_inside_costs_its_sender_the_budget_for_some_time() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let forged = ViewChangeOf {
        forged: Some(0),
        ..SOUND
    };
    peer(&mut engine, &links, 2, VIEW_CHANGE, forged.payload());
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 2)]
    );
    let verified = engine.work().verified;
    peer(&mut engine, &links, 2, VIEW_CHANGE, SOUND.payload());
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::OverQuota, 2)]
    );
    assert_eq!(engine.work().verified, verified);
    engine.set_time(Duration::from_secs(300));
    peer(&mut engine, &links, 2, VIEW_CHANGE, SOUND.payload());
    assert_eq!(records(&mut engine, &links), [handed_up(&SOUND.payload())]);
}

#[test]
fn one_with_a_bad_vote_inside_is_not_looked_at_again_however_often_it_is_asked_for() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = ViewChangeOf {
        forged: Some(0),
        ..SOUND
    }
    .payload();
    let digest = view_change_digest(&payload);
    let mut verified = Vec::new();
    for from in [0, 2, 3] {
        fetch(&mut engine, &links, digest);
        peer(
            &mut engine,
            &links,
            from,
            FETCHED_VIEW_CHANGE,
            fetched(2, &payload),
        );
        assert_eq!(
            records(&mut engine, &links),
            [rejected(Reason::BadSignature, from)]
        );
        verified.push(engine.work().verified);
    }
    assert_eq!(verified, [SIGNATURES; 3]);
    assert_eq!(engine.kept_messages(), (0, 0));
}

#[test]
fn nothing_inside_is_looked_at_where_the_senders_own_signature_is_bad() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let mut payload = SOUND.payload().to_vec();
    *payload.last_mut().expect("a signature") ^= 1;
    peer(&mut engine, &links, 2, VIEW_CHANGE, payload);
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 2)]
    );
    assert_eq!(engine.work().verified, 1);
}

#[test]
fn a_peer_has_a_burst_of_them_verified_and_the_rest_refused_but_what_was_asked_for_is_free() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let of = |target| {
        ViewChangeOf {
            target,
            stable: None,
            prepared: &[],
            ..SOUND
        }
        .payload()
    };
    for target in 1..=20 {
        peer(&mut engine, &links, 2, VIEW_CHANGE, of(target));
    }
    let turn = records(&mut engine, &links);
    assert_eq!(
        turn.iter()
            .filter(|(kind, _)| *kind == InputKind::Control as u8)
            .count(),
        16
    );
    assert_eq!(turn[16].1, [Reason::OverQuota as u8, 2, 4, 0, 0, 0]);
    peer(&mut engine, &links, 2, VIEW_CHANGE, of(3));
    assert_eq!(
        records(&mut engine, &links),
        [handed_up(&of(3))],
        "a known one is free"
    );
    fetch(&mut engine, &links, view_change_digest(&of(20)));
    peer(
        &mut engine,
        &links,
        2,
        FETCHED_VIEW_CHANGE,
        fetched(2, &of(20)),
    );
    assert_eq!(records(&mut engine, &links), [handed_up(&of(20))]);
    engine.set_time(Duration::from_secs(10));
    for target in [18, 19] {
        peer(&mut engine, &links, 2, VIEW_CHANGE, of(target));
    }
    assert_eq!(
        records(&mut engine, &links),
        [handed_up(&of(18)), rejected(Reason::OverQuota, 2)]
    );
    for target in 21..50 {
        engine.set_time(Duration::from_secs(10 * target));
        peer(&mut engine, &links, 2, VIEW_CHANGE, of(target));
        records(&mut engine, &links);
    }
    assert_eq!(
        engine.kept_messages().0,
        32,
        "what is kept of one signer is bounded"
    );
}

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
        prepared: &[],
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
        assert_eq!(records(&mut engine, &links), [sealed.clone()]);
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
        Action::Keep {
            name,
            signers: 0b0111,
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
