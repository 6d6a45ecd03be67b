//! Clients at fault, beside clients that are not.

use super::*;
use crate::offenders::{BAR_MIN, FORGERIES_MAX};

const OTHER: u32 = 6;

fn other_key() -> SecretKey {
    key(2)
}

fn forged(first: u64) -> Bytes {
    let mut payload = bundle(&client_key(), first, b"x").to_vec();
    *payload.last_mut().expect("a signature") ^= 1;
    payload.into()
}

/// The client and another one are connected.
fn two_clients() -> (Engine, Recorded) {
    let (mut engine, links) = (engine(1), Recorded::default());
    let key = *other_key().public().as_bytes();
    engine.on_event(Event::ClientUp { client: OTHER, key }, &links);
    (engine, links)
}

fn honest(engine: &mut Engine, links: &Recorded, first: u64) {
    let payload = bundle(&other_key(), first, b"x");
    let from = Source::Client(OTHER);
    engine.on_frame(from, Lane::Client, BUNDLE, payload, links);
}

/// Requests that were delivered.
fn requests(engine: &mut Engine, links: &Recorded) -> usize {
    let records = records(engine, links);
    let is_request = |(kind, _): &&(u8, Vec<u8>)| *kind == InputKind::Request as u8;
    records.iter().filter(is_request).count()
}

#[test]
fn who_forges_again_and_again_is_barred_and_spoils_the_batch_of_others_once() {
    let (mut engine, links) = two_clients();
    for first in 1..=u64::from(FORGERIES_MAX) {
        let before = engine.work();
        honest(&mut engine, &links, 2 * first);
        honest(&mut engine, &links, 2 * first + 1);
        client(&mut engine, &links, forged(first));
        assert_eq!(requests(&mut engine, &links), 2);
        let batches = engine.work().verify_batches - before.verify_batches;
        assert_eq!(batches, if first == 1 { 1 } else { 2 }, "turn {first}");
    }
    let key = *client_key().public().as_bytes();
    assert_eq!(links.barred.take(), [(key, BAR_MIN)]);
    assert_eq!(
        engine.rejections().total_of(Reason::BadSignature),
        u64::from(FORGERIES_MAX)
    );

    // What it had sent before it was cut off is not looked at; later it is heard again.
    let verified = engine.work().verified;
    client(&mut engine, &links, bundle(&client_key(), 9, b"x"));
    assert_eq!(
        records(&mut engine, &links),
        [rejected(Reason::Barred, NO_PEER)]
    );
    assert_eq!(engine.work().verified, verified);
    engine.set_time(BAR_MIN);
    client(&mut engine, &links, bundle(&client_key(), 9, b"x"));
    assert_eq!(requests(&mut engine, &links), 1);
}

#[test]
fn of_a_thousand_forgeries_in_one_turn_a_few_are_verified() {
    let (mut engine, links) = two_clients();
    honest(&mut engine, &links, 1);
    for first in 0..1000 {
        client(&mut engine, &links, forged(first));
    }
    assert_eq!(requests(&mut engine, &links), 1);
    let (bad, barred) = (Reason::BadSignature, Reason::Barred);
    let counted = [bad, barred].map(|reason| engine.rejections().total_of(reason));
    assert_eq!(counted.iter().sum::<u64>(), 1000);
    assert!(engine.work().verified <= 20, "{:?}", engine.work());
    assert_eq!(links.barred.take().len(), 1);
}

#[test]
fn many_good_bundles_of_one_client_are_all_taken() {
    let (mut engine, links) = two_clients();
    for first in 1..=90 {
        honest(&mut engine, &links, first);
    }
    assert_eq!(requests(&mut engine, &links), 90);
    assert_eq!(engine.rejections().totals().count(), 0);
}

#[test]
fn who_signs_two_bundles_for_one_sequence_is_cut_off_and_the_others_get_both() {
    let (mut engine, links) = two_clients();
    for replica in [0, 2, 3] {
        let up = Event::PeerUp {
            peer: replica,
            address: (std::net::Ipv4Addr::LOCALHOST, 1).into(),
        };
        engine.on_event(up, &links);
    }
    let (one, two) = (
        bundle(&client_key(), 4, b"add 1"),
        bundle(&client_key(), 4, b"add 2"),
    );
    client(&mut engine, &links, one.clone());
    honest(&mut engine, &links, 4);
    assert_eq!(requests(&mut engine, &links), 2);
    assert_eq!(links.barred.take(), []);
    // Its signature is as good from a replica that passes it on as from itself.
    peer(&mut engine, &links, 0, BUNDLE, two.clone());
    assert_eq!(
        records(&mut engine, &links).len(),
        2,
        "it is delivered, as it may be proposed, and counted"
    );
    let key = *client_key().public().as_bytes();
    assert_eq!(links.barred.take(), [(key, BAR_MIN)]);
    let shown: Vec<_> = [&one, &two]
        .iter()
        .flat_map(|payload| [0, 2, 3].map(|to| (Source::Peer(to), BUNDLE, payload.to_vec())))
        .collect();
    assert_eq!(links.take(), shown);
    assert_eq!(engine.rejections().total_of(Reason::ConflictingBundle), 1);

    // More of it changes nothing while it is kept out.
    peer(
        &mut engine,
        &links,
        0,
        BUNDLE,
        bundle(&client_key(), 4, b"add 3"),
    );
    assert_eq!(records(&mut engine, &links).len(), 2);
    assert_eq!((links.take(), links.barred.take()), (vec![], vec![]));
}

#[test]
fn a_forgery_that_a_replica_passes_on_is_not_the_clients() {
    let (mut engine, links) = two_clients();
    for first in 1..=2 * u64::from(FORGERIES_MAX) {
        peer(&mut engine, &links, 3, BUNDLE, forged(first));
        assert_eq!(
            records(&mut engine, &links),
            [rejected(Reason::BadSignature, 3)]
        );
    }
    assert_eq!(links.barred.take(), []);
    client(&mut engine, &links, bundle(&client_key(), 9, b"x"));
    assert_eq!(requests(&mut engine, &links), 1);
}
