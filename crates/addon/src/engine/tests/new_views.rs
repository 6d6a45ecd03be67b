//! NEW-VIEWs: of their primary, verified once, kept under their view, fetched, and evidence.

use super::builders::control;
use super::*;
use crate::durable::DurableRecord;
use crate::messages::new_view_name;

/// A NEW_VIEW of replica 1 for view 1 that names three replicas.
fn new_view(view: u64, digests: &[Digest]) -> Writer {
    let mut writer = Writer::default();
    writer.u53(view).u8(3);
    for from in 0..3 {
        writer.u8(from).raw(&[from; 32]);
    }
    writer.u53(5).u16(digests.len() as u16);
    for (sequence, digest) in (5..).zip(digests) {
        let name = Name {
            view,
            sequence,
            digest: *digest,
        };
        writer
            .raw(digest)
            .raw(&signature((view % 4) as u8, PRE_PREPARE, &name));
    }
    writer
}

fn signed(view: u64, digests: &[Digest]) -> Bytes {
    sign(new_view(view, digests), &key((view % 4) as u8), NEW_VIEW)
}

fn window(engine: &mut Engine, links: &Recorded, low: u64, view: u64) {
    let high = low + 100;
    apply(
        engine,
        links,
        Action::Window {
            low,
            high,
            view,
            pending: None,
        },
    );
}

fn fetch(engine: &mut Engine, links: &Recorded, view: u64) {
    let (kind, digest) = (FetchKind::NewView, new_view_name(view));
    apply(
        engine,
        links,
        Action::Fetch {
            from: 0b1111,
            kind,
            digest,
        },
    );
    links.take();
}

#[test]
fn it_comes_from_its_primary_or_fetched_from_anyone_and_is_verified_once() {
    let (mut engine, links) = (engine(0), Recorded::default());
    let payload = signed(1, &[[1; 32], [2; 32]]);
    let expected = control(1, NEW_VIEW, &[0; 32], &payload);
    peer(&mut engine, &links, 3, NEW_VIEW, payload.clone());
    peer(&mut engine, &links, 3, FETCHED_NEW_VIEW, payload.clone());
    assert_eq!(
        records(&mut engine, &links),
        [
            rejected(Reason::NotPrimary, 3),
            rejected(Reason::Unasked, 3)
        ]
    );
    fetch(&mut engine, &links, 1);
    peer(&mut engine, &links, 3, FETCHED_NEW_VIEW, payload.clone());
    assert_eq!(
        records(&mut engine, &links),
        vec![expected.clone()],
        "as its primary's"
    );
    peer(&mut engine, &links, 1, NEW_VIEW, payload.clone());
    assert_eq!(records(&mut engine, &links), [expected]);
    assert_eq!(engine.work().verified, 3);
    let ask = [&[FetchKind::NewView as u8], new_view_name(1).as_slice()].concat();
    peer(&mut engine, &links, 3, FETCH, ask.clone());
    let digests = [new_view_name(1)];
    apply(
        &mut engine,
        &links,
        Action::Forget {
            kind: FetchKind::NewView,
            digests: &digests,
        },
    );
    peer(&mut engine, &links, 3, FETCH, ask.clone());
    assert_eq!(
        links.take(),
        [
            (Source::Peer(3), FETCHED_NEW_VIEW, payload.to_vec()),
            (Source::Peer(3), UNAVAILABLE, ask)
        ]
    );
}

#[test]
fn a_replica_that_is_far_behind_gets_its_proposals_when_it_enters_the_view() {
    let (mut engine, links) = (engine(0), Recorded::default());
    peer(&mut engine, &links, 1, NEW_VIEW, signed(41, &[[1; 32]]));
    assert_eq!(records(&mut engine, &links).len(), 1);
    let name = Name {
        view: 41,
        sequence: 5,
        digest: [1; 32],
    };
    assert_eq!(engine.votes().certificate(&name), []);
    window(&mut engine, &links, 4, 41);
    assert_eq!(
        engine.votes().certificate(&name),
        [(1, signature(1, PRE_PREPARE, &name))]
    );
}

#[test]
fn one_that_cannot_be_true_is_refused_unverified_and_so_is_what_is_behind_us() {
    let mut short = Writer::default();
    short
        .u53(1)
        .u8(2)
        .u8(0)
        .raw(&[0; 32])
        .u8(1)
        .raw(&[1; 32])
        .u53(5)
        .u16(0);
    let mut stranger = Writer::default();
    stranger.u53(1).u8(3);
    for from in [0, 1, 9] {
        stranger.u8(from).raw(&[0; 32]);
    }
    stranger.u53(5).u16(0);
    for (case, writer, reason) in [
        ("names one replica too few", short, Reason::Malformed),
        ("names a stranger", stranger, Reason::Malformed),
        (
            "of a view behind the installed one",
            new_view(1, &[]),
            Reason::WrongView,
        ),
    ] {
        let (mut engine, links) = (engine(0), Recorded::default());
        if reason == Reason::WrongView {
            window(&mut engine, &links, 0, 1);
        }
        peer(
            &mut engine,
            &links,
            1,
            NEW_VIEW,
            sign(writer, &key(1), NEW_VIEW),
        );
        assert_eq!(
            records(&mut engine, &links),
            [rejected(reason, 1)],
            "{case}"
        );
        assert_eq!(engine.work().verified, 0, "{case}");
    }
}

#[test]
fn a_bad_proposal_inside_refuses_all_of_it() {
    let (mut engine, links) = (engine(0), Recorded::default());
    let mut writer = new_view(1, &[[1; 32]]).into_vec();
    *writer.last_mut().expect("a signature") ^= 1;
    let mut forged = Writer::default();
    forged.raw(&writer);
    peer(
        &mut engine,
        &links,
        1,
        NEW_VIEW,
        sign(forged, &key(1), NEW_VIEW),
    );
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 1)]
    );
    assert_eq!(engine.kept_messages(), (0, 0));
    assert_eq!(engine.votes().slots(), 0);
    peer(&mut engine, &links, 1, NEW_VIEW, signed(1, &[[1; 32]]));
    assert_eq!(
        records(&mut engine, &links).len(),
        1,
        "it does not keep a good one out"
    );
}

#[test]
fn a_primary_has_a_burst_of_them_verified_also_where_they_were_asked_for() {
    let (mut engine, links) = (engine(0), Recorded::default());
    for round in 0..10 {
        peer(&mut engine, &links, 1, NEW_VIEW, signed(1 + 4 * round, &[]));
    }
    let turn = records(&mut engine, &links);
    assert_eq!(
        (turn.len(), &turn[8].1[..3]),
        (9, &[Reason::OverQuota as u8, 1, 2][..])
    );
    assert_eq!(engine.work().verified, 8);
    // In its name nobody else spends what it has: it signed none of these.
    engine.set_time(Duration::from_secs(30));
    fetch(&mut engine, &links, 41);
    let forged = sign(new_view(41, &[]), &key(2), NEW_VIEW);
    peer(&mut engine, &links, 2, FETCHED_NEW_VIEW, forged);
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::BadSignature, 2)]
    );
    peer(&mut engine, &links, 3, FETCHED_NEW_VIEW, signed(41, &[]));
    assert_eq!(records(&mut engine, &links).len(), 1);
    fetch(&mut engine, &links, 45);
    peer(&mut engine, &links, 3, FETCHED_NEW_VIEW, signed(45, &[]));
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::OverQuota, 3)]
    );
}

#[test]
fn two_of_one_view_are_evidence_and_the_first_stays() {
    let (mut engine, links) = (engine(0), Recorded::default());
    let (first, second) = (signed(1, &[[1; 32]]), signed(1, &[[2; 32]]));
    for payload in [&first, &second] {
        peer(&mut engine, &links, 1, NEW_VIEW, payload.clone());
    }
    let turn = records(&mut engine, &links);
    assert_eq!(turn[0], control(1, NEW_VIEW, &[0; 32], &first));
    assert_eq!(
        (turn[1].0, &turn[1].1[..2]),
        (InputKind::Conflict as u8, &[1, NEW_VIEW][..])
    );
    assert_eq!(turn[2..], [rejected(Reason::ConflictingVote, 1)]);
    let evidence: Digest = turn[1].1[2..].try_into().expect("a digest");
    assert!(engine.votes().evidence(&evidence).is_some());
    window(&mut engine, &links, 4, 1);
    peer(&mut engine, &links, 1, NEW_VIEW, second);
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::ConflictingVote, 1)]
    );
    peer(&mut engine, &links, 1, NEW_VIEW, first.clone());
    assert_eq!(
        records(&mut engine, &links),
        [control(1, NEW_VIEW, &[0; 32], &first)]
    );
}

#[test]
fn ours_is_kept_when_it_is_recorded_before_or_after_its_view_is_entered() {
    for entered_first in [false, true] {
        let (mut engine, links) = (engine(1), Recorded::default());
        let name = Name {
            view: 1,
            sequence: 5,
            digest: [1; 32],
        };
        if entered_first {
            window(&mut engine, &links, 4, 1);
        }
        let proposal = engine.sign_name(PRE_PREPARE, &name);
        assert_eq!(proposal, Ok(signature(1, PRE_PREPARE, &name)));
        let payload = signed(1, &[[1; 32]]);
        let entered = |new_view| Action::Persist {
            lsn: 1,
            record: DurableRecord::ViewEntered { view: 1, new_view },
        };
        let unsigned = &payload[..payload.len() - 64];
        apply(&mut engine, &links, entered(unsigned));
        assert_eq!(links.take(), [], "it is sent by its name alone");
        if !entered_first {
            window(&mut engine, &links, 4, 1);
        }
        let expected = [0, 2, 3].map(|to| (Source::Peer(to), NEW_VIEW, payload.to_vec()));
        let digest = new_view_name(1);
        apply(&mut engine, &links, Action::SendKept { to: 0b1111, digest });
        assert_eq!(links.take(), expected);
        assert_eq!(
            engine.votes().certificate(&name),
            [(1, signature(1, PRE_PREPARE, &name))]
        );
        let other = new_view(1, &[[2; 32]]);
        let contradiction = Fault::Contradiction {
            message_type: NEW_VIEW,
            sequence: 1,
        };
        assert_eq!(
            engine.apply(entered(other.as_slice()), &links),
            Err(contradiction)
        );
    }
}
