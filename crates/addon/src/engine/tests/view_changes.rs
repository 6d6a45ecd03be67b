//! VIEW-CHANGEs that arrive: checked cheaply, paid for, and verified once.

use super::builders::*;
use super::*;
use crate::messages::view_change_digest;

#[test]
fn one_is_verified_once_however_often_and_from_whomever_it_comes() {
    let (mut engine, links) = (engine(1), Recorded::default());
    let payload = SOUND.payload();
    let digest = view_change_digest(&payload);
    peer(&mut engine, &links, 2, VIEW_CHANGE, payload.clone());
    assert_eq!(records(&mut engine, &links), [handed_up(&payload)]);
    peer(&mut engine, &links, 2, VIEW_CHANGE, payload.clone());
    assert_eq!(
        records(&mut engine, &links),
        [],
        "the core may let go of the second while it needs the first"
    );
    forget(&mut engine, &links, digest);
    for _ in 0..2 {
        peer(&mut engine, &links, 2, VIEW_CHANGE, payload.clone());
    }
    assert_eq!(
        records(&mut engine, &links),
        [handed_up(&payload)],
        "once in a turn"
    );
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
    forget(&mut engine, &links, view_change_digest(&of(16)));
    peer(&mut engine, &links, 2, VIEW_CHANGE, of(16));
    assert_eq!(
        records(&mut engine, &links),
        [handed_up(&of(16))],
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
